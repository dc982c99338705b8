"""An answer of the API in, a row out: the row itself, and as a reader of the table gets it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sources.intercom.rows.calls import CallRow, normalise, parse_json, to_batch

FETCHED_AT = datetime(2026, 3, 1, 12, 30, 15, 250_000, tzinfo=UTC)


def normalised(body: str) -> CallRow:
    return normalise(parse_json(body.encode()), FETCHED_AT)


def stored(body: str) -> dict[str, Any]:
    """The row as a reader of the table gets it: timestamps as datetimes."""
    (row,) = to_batch([normalised(body)]).to_pylist()
    return row


def with_field(field: str, literal: str) -> str:
    """A call's body with its id and one field more."""
    return f'{{"id":"1","{field}":{literal}}}'
