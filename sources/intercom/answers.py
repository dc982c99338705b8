"""What an answer means for one call: a row, an error to record, a fault to retry, or the end of the run."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from .api import Answer
from .calls import CallRow, call_id, normalise, parse_json
from .errors import TokenRefused
from .retry import Fault, is_retryable
from .values import read_text

# How much of what an answer says is kept of a text.
_LONGEST_TEXT = 2000


_TOKEN_MENDS = {
    401: "copy it again from Intercom's developer hub, and see that region is the workspace's",
    403: "give its app the scope read_conversations in Intercom's developer hub",
}


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
        return self.http_status == 404 and self.code is not None


class ErrorList(NamedTuple):
    """Intercom's error body, `{"type": "error.list", …}`; all None where the body is of another form."""

    code: str | None
    message: str | None
    request_id: str | None


def read_call(asked_id: str, answer: Answer, *, attempts: int, at: datetime) -> CallRow | CallError:
    """Read the answer to `GET /calls/{id}` (Intercom 2.14).

    Raises:
        Fault: the answer is worth asking for again.
        TokenRefused: 401 or 403.
    """
    if answer.status == 200:
        return _read_200(asked_id, answer, attempts, at)
    error = read_error(answer)
    if answer.status in (401, 403):
        told = [f"HTTP {answer.status}", error.message, error.request_id and f"request id {error.request_id}"]
        raise TokenRefused(
            f"the API refused the access token ({', '.join(filter(None, told))}): {_TOKEN_MENDS[answer.status]}",
            status=answer.status,
            request_id=error.request_id,
        )
    message = error.message or _first_words(answer)
    if is_retryable(answer.status):
        raise Fault(error.code, message, http_status=answer.status, request_id=error.request_id)
    return CallError(asked_id, answer.status, error.code, message, error.request_id, attempts, at)


def read_error(answer: Answer) -> ErrorList:
    """Read Intercom's error body; the request id is also looked for among the headers."""
    request_id = _request_id(answer)
    try:
        body = parse_json(answer.body)
    except ValueError:
        return ErrorList(None, None, request_id)
    if not isinstance(body, Mapping) or body.get("type") != "error.list":
        return ErrorList(None, None, request_id)
    errors = body.get("errors")
    first: Any = errors[0] if isinstance(errors, list) and errors else None
    if not isinstance(first, Mapping):
        first = {}
    code = _text(answer, first.get("code")) or ("not_found" if answer.status == 404 else None)
    return ErrorList(code, _text(answer, first.get("message")), _text(answer, body.get("request_id")) or request_id)


def _read_200(asked_id: str, answer: Answer, attempts: int, at: datetime) -> CallRow | CallError:
    request_id = _request_id(answer)
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
        message = f"asked for call {asked_id}, the answer was {_text(answer, answered_id) or 'of no call'}"
        return CallError(asked_id, 200, "id_mismatch", message, request_id, attempts, at)
    return normalise(body, at)


def _request_id(answer: Answer) -> str | None:
    return _text(answer, answer.headers.get("X-Request-Id"))


def _text(answer: Answer, value: object) -> str | None:
    """A text of the answer as every destination can hold it, and without the token."""
    if not isinstance(value, str):
        return None
    return read_text(value.replace(answer.secret, "***")[:_LONGEST_TEXT])[0]


def _first_words(answer: Answer) -> str:
    beginning = answer.body[: 100 * _LONGEST_TEXT].decode("utf-8", "replace")
    return (_text(answer, " ".join(beginning.split())) or f"HTTP {answer.status} with an empty body")[:200]
