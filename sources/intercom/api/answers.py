"""What an answer means for one call: a row, an error to record, a fault to retry, or the end of the run."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import urlsplit, urlunsplit

from ..errors import TokenRefused
from ..rows.calls import CallRow, call_id, normalise, parse_json
from ..rows.values import read_text
from .client import Answer
from .retry import Fault, is_retryable

# How much of what an answer says is kept of a text.
_LONGEST_TEXT = 2000


# The code of our own for a 404 that nothing proves to be this workspace's; it counts as failed.
UNPROVEN_404 = "unproven_404"


def is_missing(http_status: int | None, code: str | None) -> bool:
    """Whether Intercom itself said that there is no such call; other 404s have no code, or `unproven_404`."""
    return http_status == 404 and code is not None and code != UNPROVEN_404


IS_MISSING_SQL = f"CASE WHEN http_status = 404 AND code <> '{UNPROVEN_404}' THEN true ELSE false END"
"""`is_missing` of a row of `call_errors`."""


class CallError(NamedTuple):
    """Why a call could not be had: the part of a `call_errors` row that one answer tells.

    `http_status` is None when there was no answer. A call is missing, rather than failed, where the status is
    404 and `code` is Intercom's; a 404 in any other form has no code.
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


class ErrorList(NamedTuple):
    """Intercom's error body, `{"type": "error.list", …}`.

    Where the body is of another form, `is_intercoms` is False and code and message are None.
    """

    code: str | None
    message: str | None
    request_id: str | None
    is_intercoms: bool = True


def read_call(asked_id: str, answer: Answer, *, attempts: int, at: datetime) -> CallRow | CallError:
    """Read the answer to `GET /calls/{id}` (Intercom 2.14).

    Raises:
        Fault: the answer is worth asking for again.
        TokenRefused: 401, or a 403 of Intercom's own.
    """
    if answer.status == 200:
        return _read_200(asked_id, answer, attempts, at)
    error = read_error(answer)
    if (refused := refusal(answer, error)) is not None:
        raise refused
    message = error.message or _first_words(answer)
    if where := _points_to(answer):
        message = f"{error.message or f'HTTP {answer.status}'} to {where}; set base_url to where the API itself answers"
    if is_retryable(answer.status):
        raise Fault(error.code, message, http_status=answer.status, request_id=error.request_id)
    return CallError(asked_id, answer.status, error.code, message, error.request_id, attempts, at)


def refusal(answer: Answer, error: ErrorList) -> TokenRefused | None:
    """What ends the run: a 401, or a 403 of Intercom's own form; None for every other answer.

    A 403 of any other form is a firewall's or a proxy's, and says nothing of the token.
    """
    if answer.status == 401:
        fix = "copy it again from Intercom's developer hub, and see that region is the workspace's"
    elif answer.status == 403 and error.is_intercoms:
        fix = cause_of_403(error)
    else:
        return None
    told = [f"HTTP {answer.status}", error.message, error.request_id and f"request id {error.request_id}"]
    return TokenRefused(
        f"the API refused the access token ({', '.join(filter(None, told))}): {fix}",
        status=answer.status,
        request_id=error.request_id,
    )


def cause_of_403(error: ErrorList) -> str:
    """What is missing where Intercom answers 403, and the fix."""
    if error.code == "api_plan_restricted":
        return "the workspace's plan does not include calls over the API; see its plan in Intercom's billing settings"
    return "give its app the scope read_conversations in Intercom's developer hub"


def read_error(answer: Answer) -> ErrorList:
    """Read Intercom's error body; the request id is also looked for among the headers."""
    request_id = request_id_of(answer.headers)
    try:
        body = parse_json(answer.body)
    except ValueError:
        return ErrorList(None, None, request_id, is_intercoms=False)
    if not isinstance(body, Mapping) or body.get("type") != "error.list":
        return ErrorList(None, None, request_id, is_intercoms=False)
    errors = body.get("errors")
    first: Any = errors[0] if isinstance(errors, list) and errors else None
    if not isinstance(first, Mapping):
        first = {}
    code = _text(first.get("code")) or ("not_found" if answer.status == 404 else None)
    return ErrorList(code, _text(first.get("message")), _text(body.get("request_id")) or request_id)


def _read_200(asked_id: str, answer: Answer, attempts: int, at: datetime) -> CallRow | CallError:
    request_id = request_id_of(answer.headers)
    try:
        body = parse_json(answer.body)
    except ValueError as error:
        message = f"the body can't be read ({error}): {_first_words(answer)}"
        raise Fault("invalid_json", message, http_status=200, request_id=request_id) from None
    if not isinstance(body, Mapping):
        message = f"the body is no JSON object: {_first_words(answer)}"
        raise Fault("invalid_json", message, http_status=200, request_id=request_id)
    answered_id = call_id(body)
    if answered_id != asked_id:
        message = f"asked for call {asked_id}, the answer was {_text(answered_id) or 'of no call'}"
        return CallError(asked_id, 200, "id_mismatch", message, request_id, attempts, at)
    return normalise(body, at)


def request_id_of(headers: Mapping[str, str]) -> str | None:
    """What Intercom's support asks for, as every destination can hold it: a header may hold any byte."""
    return _text(headers.get("X-Request-Id"))


def _text(value: object) -> str | None:
    """A text of the answer as every destination can hold it."""
    return read_text(value[:_LONGEST_TEXT])[0] if isinstance(value, str) else None


def _points_to(answer: Answer) -> str | None:
    """Where a 3xx points, without a login and a query, which may hold secrets."""
    location = answer.headers.get("Location") if 300 <= answer.status < 400 else None
    try:
        url = urlsplit(location or "")
    except ValueError:
        return None
    return _text(urlunsplit((url.scheme, url.netloc.rpartition("@")[2], url.path, "", "")))


def _first_words(answer: Answer) -> str:
    beginning = answer.body[: 100 * _LONGEST_TEXT].decode("utf-8", "replace")
    return (_text(" ".join(beginning.split())) or f"HTTP {answer.status} with an empty body")[:200]
