"""Reads a page of `GET /calls`, and compares its calls with `GET /calls/{id}`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from ..api.answers import read_error, refusal
from ..api.client import Answer
from ..api.retry import Fault, is_retryable
from ..call_requests import CallError
from ..rows.calls import SCHEMA, CallRow, call_id, normalise, parse_json
from ..rows.values import Number, read_timestamp
from .verification import Listed, Verdict

_UPDATED_AT = SCHEMA.get_field_index("updated_at")
_API_COLUMNS = [column for column, name in enumerate(SCHEMA.names) if name not in ("_fetched_at", "_deleted_at")]


class PagesRefused(NamedTuple):
    """The API returns no pages of calls, and a retry will not help; single calls may still work."""

    reason: str


class Page(NamedTuple):
    """A page: the same calls as `listed` and `calls`; `total_pages` is None if the answer does not say."""

    listed: Sequence[Listed]
    calls: Sequence[Mapping[str, Any]]
    total_pages: int | None
    read_at: datetime

    def row(self, place: int) -> CallRow:
        """The row of the call at this place of the page."""
        return normalise(self.calls[place], self.read_at)

    def row_of(self, wanted_id: str) -> CallRow | None:
        """The row of a call, by its id; None if the page does not hold it."""
        return next((self.row(place) for place, call in enumerate(self.listed) if call.call_id == wanted_id), None)


def read_page(answer: Answer) -> Page | PagesRefused:
    """Read the answer to `GET /calls?page=N&per_page=25` (Intercom 2.14).

    Raises:
        Fault: a retry may help.
        TokenRefused: 401. A 403 may concern pages only, so it does not count as a refused token.
    """
    if answer.status != 200:
        error = read_error(answer)
        message = error.message or f"HTTP {answer.status}"
        if answer.status == 401 and (refused := refusal(answer, error)) is not None:
            raise refused
        if is_retryable(answer.status):
            raise Fault(error.code, message, http_status=answer.status, request_id=error.request_id)
        return PagesRefused(f"GET /calls answers {answer.status} ({message})")
    try:
        body = parse_json(answer.body)
    except ValueError as error:
        raise Fault("invalid_json", f"a page can't be read ({error})", http_status=200) from None
    items = body.get("data") if isinstance(body, Mapping) else None
    if not isinstance(items, list):
        return PagesRefused("GET /calls answers 200 without a list of calls")
    calls = [item for item in items if isinstance(item, Mapping) and call_id(item)]
    return Page([_listed(call) for call in calls], calls, _total_pages(body, len(items)), datetime.now(UTC))


def compare(of_page: CallRow, by_id: CallRow | CallError) -> Verdict:
    """Compare a page's call with the answer to `GET /calls/{id}`, column by column, `extra` included.

    If the call was updated in between, the result is `UNKNOWN`.
    """
    if isinstance(by_id, CallError):
        return Verdict.UNKNOWN
    if all(of_page.values[column] == by_id.values[column] for column in _API_COLUMNS):
        return Verdict.SAME
    before, after = updated_at(of_page), updated_at(by_id)
    return Verdict.UNKNOWN if before is not None and after is not None and before < after else Verdict.DIFFERENT


def updated_at(row: CallRow) -> int | None:
    """When the call was last updated, in microseconds since the epoch."""
    value = row.values[_UPDATED_AT]
    return value if isinstance(value, int) else None


def _listed(call: Mapping[str, Any]) -> Listed:
    updated, _ = read_timestamp(call.get("updated_at"))
    return Listed(call_id(call) or "", updated, len(call) - list(call.values()).count(None))


def _total_pages(body: Mapping[str, Any], per_page: int) -> int | None:
    pages = body.get("pages")
    total_pages = _count(pages.get("total_pages")) if isinstance(pages, Mapping) else None
    total_calls = _count(body.get("total_count"))
    if total_pages is None and total_calls is not None and per_page:
        return math.ceil(total_calls / per_page)
    return total_pages


def _count(value: object) -> int | None:
    return int(value) if isinstance(value, Number) and value.isdecimal() and len(value) < 19 else None
