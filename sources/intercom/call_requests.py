"""`GET /calls/{id}`: requests one call; the outcome is a row, or an error to record."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from .api.answers import first_words, points_to, read_error, refusal, request_id_of, text
from .api.client import Answer, CallsApi
from .api.requester import Requester
from .api.retry import Fault, is_retryable
from .rows.calls import CallRow, call_id, normalise, parse_json

# The code of our own for a 404 that nothing proves to be this workspace's; it counts as failed.
UNPROVEN_404 = "unproven_404"


def is_missing(http_status: int | None, code: str | None) -> bool:
    """Whether Intercom itself said that there is no such call; other 404s have no code, or `unproven_404`."""
    return http_status == 404 and code is not None and code != UNPROVEN_404


IS_MISSING_SQL = f"CASE WHEN http_status = 404 AND code <> '{UNPROVEN_404}' THEN true ELSE false END"
"""`is_missing` of a row of `call_errors`."""


class CallError(NamedTuple):
    """Why a call could not be fetched: the part of a `call_errors` row that comes from its last answer.

    `http_status` is None when there was no answer; `code` is None for a 404 that is not in Intercom's form.
    """

    call_id: str
    http_status: int | None
    code: str | None
    message: str | None
    request_id: str | None
    attempts: int
    failed_at: datetime

    @property
    def is_missing(self) -> bool:
        """Whether Intercom itself said that there is no such call."""
        return is_missing(self.http_status, self.code)


async def request_call(requester: Requester, api: CallsApi, call_id: str) -> CallRow | CallError:
    """Request one call; a failure becomes a `CallError`.

    Raises:
        TokenRefused, ApiUnreachable: the run can't go on.
    """
    attempts = 0

    def send() -> Awaitable[Answer]:
        nonlocal attempts
        attempts += 1
        return api.get_call(call_id)

    def read(answer: Answer) -> CallRow | CallError:
        return read_call(call_id, answer, attempts=attempts, at=datetime.now(UTC))

    try:
        return await requester.ask(send, read)
    except Fault as fault:
        failed_at = datetime.now(UTC)
        return CallError(call_id, fault.http_status, fault.code, fault.message, fault.request_id, attempts, failed_at)


def read_call(requested_id: str, answer: Answer, *, attempts: int, at: datetime) -> CallRow | CallError:
    """Read the answer to `GET /calls/{id}` (Intercom 2.14).

    Raises:
        Fault: a retry may help.
        TokenRefused: 401, or a 403 of Intercom's own.
    """
    if answer.status == 200:
        return _read_200(requested_id, answer, attempts, at)
    error = read_error(answer)
    if (refused := refusal(answer, error)) is not None:
        raise refused
    message = error.message or first_words(answer)
    if where := points_to(answer):
        message = f"{error.message or f'HTTP {answer.status}'} to {where}; set base_url to where the API itself answers"
    if is_retryable(answer.status):
        raise Fault(error.code, message, http_status=answer.status, request_id=error.request_id)
    return CallError(requested_id, answer.status, error.code, message, error.request_id, attempts, at)


def _read_200(requested_id: str, answer: Answer, attempts: int, at: datetime) -> CallRow | CallError:
    request_id = request_id_of(answer.headers)
    try:
        body = parse_json(answer.body)
    except ValueError as error:
        message = f"the body can't be read ({error}): {first_words(answer)}"
        raise Fault("invalid_json", message, http_status=200, request_id=request_id) from None
    if not isinstance(body, Mapping):
        message = f"the body is no JSON object: {first_words(answer)}"
        raise Fault("invalid_json", message, http_status=200, request_id=request_id)
    answered_id = call_id(body)
    if answered_id != requested_id:
        message = f"asked for call {requested_id}, the answer was {text(answered_id) or 'of no call'}"
        return CallError(requested_id, 200, "id_mismatch", message, request_id, attempts, at)
    return normalise(body, at)
