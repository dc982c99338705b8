"""What every endpoint's answers have in common: Intercom's error body, request ids, a refused token."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit, urlunsplit

from ..errors import TokenRefused
from ..rows.values import parse_json, read_text
from .client import Answer

_LONGEST_TEXT = 2000


class ErrorList(NamedTuple):
    """Intercom's error body, `{"type": "error.list", …}`.

    If the body has another form, `is_intercoms` is False and code and message are None.
    """

    code: str | None
    message: str | None
    request_id: str | None
    is_intercoms: bool = True


def read_error(answer: Answer) -> ErrorList:
    """Read Intercom's error body; the request id is also looked for among the headers."""
    request_id = request_id_of(answer.headers)
    try:
        body = parse_json(answer.body)
    except ValueError:
        body = None
    if not isinstance(body, Mapping) or body.get("type") != "error.list":
        return ErrorList(None, None, request_id, is_intercoms=False)
    errors = body.get("errors")
    first: Any = errors[0] if isinstance(errors, list) and errors else None
    if not isinstance(first, Mapping):
        first = {}
    code = text(first.get("code")) or ("not_found" if answer.status == 404 else None)
    return ErrorList(code, text(first.get("message")), text(body.get("request_id")) or request_id)


def refusal(answer: Answer, error: ErrorList) -> TokenRefused | None:
    """What ends the run: a 401, or a 403 in Intercom's form; None for every other answer.

    A 403 in any other form is a firewall's or a proxy's, and says nothing about the token.
    """
    if answer.status == 401:
        fix = "copy it again from Intercom's developer hub, and see that region is the workspace's"
    elif answer.status == 403 and error.is_intercoms:
        fix = cause_of_403(error)
    else:
        return None
    details = [f"HTTP {answer.status}", error.message, error.request_id and f"request id {error.request_id}"]
    return TokenRefused(
        f"the API refused the access token ({', '.join(filter(None, details))}): {fix}",
        status=answer.status,
        request_id=error.request_id,
    )


def cause_of_403(error: ErrorList) -> str:
    """What is missing where Intercom answers 403, and the fix."""
    if error.code == "api_plan_restricted":
        return "the workspace's plan does not include calls over the API; see its plan in Intercom's billing settings"
    return "give its app the scope read_conversations in Intercom's developer hub"


def request_id_of(headers: Mapping[str, str]) -> str | None:
    """The request id, by which Intercom's support finds a request."""
    return text(headers.get("X-Request-Id"))


def text(value: object) -> str | None:
    """A text of an answer, cut, and in characters that every destination can hold: a header may hold any byte."""
    return read_text(value[:_LONGEST_TEXT])[0] if isinstance(value, str) else None


def points_to(answer: Answer) -> str | None:
    """Where a 3xx points, without its login and query, which may hold secrets."""
    location = answer.headers.get("Location") if 300 <= answer.status < 400 else None
    try:
        url = urlsplit(location or "")
    except ValueError:
        return None
    return text(urlunsplit((url.scheme, url.netloc.rpartition("@")[2], url.path, "", "")))


def first_words(answer: Answer) -> str:
    """The beginning of a body that is no error of Intercom's, for a message."""
    beginning = answer.body[: 100 * _LONGEST_TEXT].decode("utf-8", "replace")
    return (text(" ".join(beginning.split())) or f"HTTP {answer.status} with an empty body")[:200]
