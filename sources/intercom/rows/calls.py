"""The fields of a call (Intercom 2.14 to 2.16 and Preview), the columns of `calls`, and an answer as a row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple, TypeAlias

import pyarrow as pa

from .values import json_text, microseconds_since_epoch, parse_json, read_seconds, read_text, read_timestamp

__all__ = ["SCHEMA", "CallRow", "call_id", "normalise", "parse_json", "to_batch"]

_TIMESTAMP: Final = pa.timestamp("us", tz="UTC")
_Reader: TypeAlias = Callable[[Any], tuple[str | int | None, bool]]
_TEXT: Final[tuple[pa.DataType, _Reader]] = (pa.string(), read_text)
_TIME: Final[tuple[pa.DataType, _Reader]] = (_TIMESTAMP, read_timestamp)
_SECONDS: Final[tuple[pa.DataType, _Reader]] = (pa.int64(), read_seconds)

_FIELDS: Final = {
    "id": _TEXT,
    "type": _TEXT,
    "conversation_id": _TEXT,
    "admin_id": _TEXT,
    "contact_id": _TEXT,
    "state": _TEXT,
    "recording_url": _TEXT,
    "transcription_url": _TEXT,
    "call_type": _TEXT,
    "direction": _TEXT,
    "ended_reason": _TEXT,
    "phone": _TEXT,
    "fin_recording_url": _TEXT,
    "fin_transcription_url": _TEXT,
    **dict.fromkeys(("initiated_at", "answered_at", "ended_at", "created_at", "updated_at"), _TIME),
    **dict.fromkeys(("duration", "talk_time", "queue_time", "hold_time"), _SECONDS),
}
_TYPES: Final[Mapping[str, pa.DataType]] = {
    **{name: kind for name, (kind, _) in _FIELDS.items()},
    "extra": pa.string(),
    "_fetched_at": _TIMESTAMP,
    "_deleted_at": _TIMESTAMP,
}

SCHEMA: Final = pa.schema([pa.field(name, kind, nullable=name != "id") for name, kind in _TYPES.items()])
"""The columns of `calls` without dlt's `_dlt_load_id`. Durations are in seconds, `extra` is JSON text."""

_COLUMNS: Final = {name: (SCHEMA.get_field_index(name), read) for name, (_, read) in _FIELDS.items()}
_ID: Final = SCHEMA.get_field_index("id")
_EXTRA: Final = SCHEMA.get_field_index("extra")
_FETCHED_AT: Final = SCHEMA.get_field_index("_fetched_at")


class CallRow(NamedTuple):
    """A row of `calls`, light enough to keep by the thousand.

    Attributes:
        values: in the order of `SCHEMA`; timestamps as microseconds since the epoch.
        unreadable: fields whose value does not fit the column; the value is in `extra`.
    """

    values: tuple[str | int | None, ...]
    unreadable: int

    @property
    def call_id(self) -> str:
        """The id of the call."""
        return str(self.values[_ID])


def call_id(call: Mapping[str, Any]) -> str | None:
    """The call's id as text, a numeric one by its JSON digits; None when there is none to compare."""
    value = call.get("id")
    return str(value) if isinstance(value, str) and value else None


def normalise(call: Mapping[str, Any], fetched_at: datetime) -> CallRow:
    """Turn a call, as `parse_json` gives it, into a row. Whatever its fields hold: no exception, and no loss."""
    values: list[str | int | None] = [None] * len(SCHEMA)
    extra: dict[str, Any] = {}
    unreadable = 0
    for field, value in call.items():
        if value is None:
            continue
        column = _COLUMNS.get(field)
        if column is None:
            extra[field] = value
            continue
        position, read = column
        # A shortcut that fits most text, since a function call costs time. NUL and surrogates are not printable.
        if read is read_text and type(value) is str and value and value.isprintable():
            values[position] = value
            continue
        values[position], whole = read(value)
        if not whole:
            extra[field] = value
            unreadable += values[position] is None
    if extra:
        values[_EXTRA] = json_text(extra)
    values[_FETCHED_AT] = microseconds_since_epoch(fetched_at)
    return CallRow(tuple(values), unreadable)


def to_batch(rows: Sequence[CallRow]) -> pa.RecordBatch:
    """Rows as one Arrow batch of `SCHEMA`."""
    return batch_of(SCHEMA, [row.values for row in rows])


def batch_of(schema: pa.Schema, rows: Sequence[Sequence[Any]]) -> pa.RecordBatch:
    """Rows of plain values as one Arrow batch."""
    columns = zip(*rows, strict=True) if rows else [()] * len(schema)
    arrays = [pa.array(column, type=field.type) for column, field in zip(columns, schema, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)
