"""What the hand-written loaders share: calls into a DuckDB table, by pyarrow and one INSERT."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import duckdb
import pyarrow as pa

TIMES = ("initiated_at", "answered_at", "ended_at", "created_at", "updated_at")
TEXTS = (
    "id",
    "type",
    "conversation_id",
    "admin_id",
    "contact_id",
    "state",
    "recording_url",
    "transcription_url",
    "call_type",
    "direction",
    "ended_reason",
    "phone",
    "fin_recording_url",
    "fin_transcription_url",
)
SCHEMA = pa.schema([(name, pa.string()) for name in TEXTS] + [(name, pa.timestamp("us", "UTC")) for name in TIMES])


def insert(calls: list[dict[str, Any]], database: str) -> None:
    """Insert or replace `calls`, as the API's JSON has them, into the table `calls` of a DuckDB file."""
    table = pa.Table.from_pylist([_with_times(call) for call in calls], schema=SCHEMA)
    with duckdb.connect(database) as connection:
        connection.register("fetched", table)
        connection.execute("CREATE TABLE IF NOT EXISTS calls AS SELECT * FROM fetched LIMIT 0")
        connection.execute("CREATE UNIQUE INDEX IF NOT EXISTS one_row_a_call ON calls (id)")
        connection.execute("INSERT OR REPLACE INTO calls SELECT * FROM fetched")


def _with_times(call: dict[str, Any]) -> dict[str, Any]:
    for name in TIMES:
        value = call.get(name)
        if isinstance(value, str):
            call[name] = datetime.fromisoformat(value)
        elif isinstance(value, int | float):
            call[name] = datetime.fromtimestamp(value, UTC)
    return call
