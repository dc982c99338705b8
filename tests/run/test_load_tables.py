"""The tables: every column there from the first load on, a row for each run, what no column holds in `extra`."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from sandbox import Sandbox
from tests.conftest import Postgres, Project

Ask = Callable[[str], list[tuple[Any, ...]]]

TEXT = (
    "id", "type", "conversation_id", "admin_id", "contact_id", "state", "recording_url", "transcription_url",
    "call_type", "direction", "ended_reason", "phone", "fin_recording_url", "fin_transcription_url", "_dlt_load_id",
)  # fmt: skip
TIMES = (
    "initiated_at", "answered_at", "ended_at", "created_at", "updated_at", "_fetched_at", "_deleted_at"
)  # fmt: skip
SECONDS = ("duration", "talk_time", "queue_time", "hold_time")
CALLS = {
    **dict.fromkeys(TEXT, "text"), **dict.fromkeys(TIMES, "time"), **dict.fromkeys(SECONDS, "bigint"), "extra": "json"
}  # fmt: skip
CALL_ERRORS = {
    "call_id": "text", "http_status": "bigint", "code": "text", "message": "text", "request_id": "text",
    "attempts": "bigint", "first_failed_at": "time", "last_failed_at": "time", "_resolved": "bool",
    "_dlt_load_id": "text",
}  # fmt: skip
COUNTS = (
    "requested", "duplicates", "blank", "already_loaded", "fetched", "loaded", "missing", "failed", "skipped",
    "not_reached", "requests", "rate_limited", "retries", "unreadable_values", "load_packages", "exit_code",
)  # fmt: skip
LOAD_RUNS = {
    "started_at": "time", "finished_at": "time", **dict.fromkeys(COUNTS, "bigint"), "seconds": "double",
    "calls_per_second": "double", "run_id": "text", "workspace": "text", "workspace_name": "text",
    "workspace_timezone": "text", "strategy": "text", "destination": "text", "dataset": "text",
    "error": "text", "_dlt_load_id": "text",
}  # fmt: skip
# What each database calls these types.
TYPES = {
    "VARCHAR": "text", "BIGINT": "bigint", "DOUBLE": "double", "JSON": "json", "TIMESTAMP WITH TIME ZONE": "time",
    "BOOLEAN": "bool", "boolean": "bool", "character varying": "text", "bigint": "bigint",
    "double precision": "double", "jsonb": "json",
    "timestamp with time zone": "time",
}  # fmt: skip


@pytest.fixture(params=["duckdb", "postgres"])
def destination(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def ask(destination: str, project: Project, request: pytest.FixtureRequest) -> Ask:
    """A query to the destination."""
    if destination == "duckdb":
        return project.query
    postgres: Postgres = request.getfixturevalue("postgres")
    return postgres.query


def columns(ask: Ask, table: str) -> dict[str, str]:
    rows = ask(
        "SELECT column_name, data_type FROM information_schema.columns "
        f"WHERE table_schema = 'intercom' AND table_name = '{table}'"
    )
    return {name: TYPES[kind] for name, kind in rows}


def test_every_column_is_there_from_a_first_load_that_found_nothing(
    destination: str, ask: Ask, project: Project, api: Sandbox
) -> None:
    api.configure(calls=0)
    to = ("--destination", destination)
    result = project.load("ghost", *to)
    assert result.exit_code == 3, result.stderr  # not one id of the list is a call
    assert columns(ask, "calls") == CALLS
    assert columns(ask, "call_errors") == CALL_ERRORS
    assert columns(ask, "load_runs") == LOAD_RUNS
    assert ask("SELECT * FROM intercom.calls") == []
    not_null = "SELECT column_name FROM information_schema.columns WHERE table_schema = 'intercom' AND "
    assert ("id",) in ask(not_null + "table_name = 'calls' AND is_nullable = 'NO'")

    # in the same tables: a call with what no column holds
    strange = (
        '{"type": "call", "id": 7, "state": true, "phone": "a\\u0000b\\ud800", "duration": 1.5, "talk_time": "2e1", '
        '"created_at": "12345-01-01", "ended_at": 1740816000, "admin_id": "", "contact_id": 1.10, '
        '"_fetched_at": "x", "extra": {"a": [1, "é"]}, "_dlt_id": "y", "tomorrow": 123456789012345678901234567890.10, '
        '"nothing": null, "_deleted_at": false}'
    )
    api.configure(bodies={"7": strange, "8": {"type": "call", "id": "8", "ended_at": 1740816000}})
    result = project.load("7", "8", *to)
    assert result.exit_code == 0, result.stderr
    assert (result.summary["loaded"], result.summary["unreadable_values"]) == (2, 3)
    fields = "id, state, phone, duration, talk_time, created_at, admin_id, contact_id, _deleted_at"
    assert ask(f"SELECT {fields} FROM intercom.calls WHERE id = '7'") == [
        ("7", None, "a\ufffdb\ufffd", None, 20, None, None, "1.10", None)
    ]
    ((extra,),) = ask("SELECT CAST(extra AS text) FROM intercom.calls WHERE id = '7'")
    assert json.loads(extra, parse_float=str) == {
        "state": True,
        "phone": "a\\u0000b\\ud800",
        "duration": "1.5",
        "created_at": "12345-01-01",
        "_fetched_at": "x",
        "extra": {"a": [1, "é"]},
        "_dlt_id": "y",
        "tomorrow": "123456789012345678901234567890.10",
        "_deleted_at": False,
    }
    assert ask("SELECT extra FROM intercom.calls WHERE id = '8'") == [(None,)]


def test_each_run_leaves_its_row_even_one_that_had_nothing_to_do(
    destination: str, ask: Ask, project: Project, api: Sandbox
) -> None:
    api.configure(calls=0, bodies={"1": {"type": "call", "id": "1", "ended_at": 1740816000}}, statuses={"bad": 400})
    to = ("--destination", destination)
    began = datetime.now(UTC)
    runs = [
        project.load("1", "1", "bad", "ghost", " ", "not reached", "never", "--bad-ids", "skip", "--limit", "3", *to),
        project.load("1", *to),
        project.load("--ids", "-", "--allow-empty", *to),
    ]
    assert [run.exit_code for run in runs] == [3, 0, 0], runs
    names = ["run_id", *COUNTS, "workspace", "workspace_name", "strategy", "destination", "dataset", "error"]
    rows = ask(f"SELECT {', '.join(names)} FROM intercom.load_runs ORDER BY started_at")
    assert [dict(zip(names, row, strict=True)) for row in rows] == [
        {name: run.summary[name] for name in names} for run in runs
    ]
    figures = ("requested", "duplicates", "blank", "skipped", "loaded", "missing", "failed", "not_reached", "requests")
    assert [runs[0].summary[name] for name in figures] == [4, 1, 1, 1, 1, 1, 1, 1, 4]
    for run in runs[1:]:
        assert run.summary["strategy"] == "none"
        assert run.summary["load_packages"] == 1
        assert run.summary["requests"] == 1  # GET /me
    times = ask("SELECT started_at, finished_at, seconds FROM intercom.load_runs ORDER BY started_at")
    for started_at, finished_at, seconds in times:
        assert began <= started_at < finished_at <= datetime.now(UTC)
        assert seconds > 0
    for table in ("calls", "call_errors", "load_runs"):
        joined = f"SELECT count(*) FROM intercom.{table} t JOIN intercom._dlt_loads l ON t._dlt_load_id = l.load_id"
        assert ask(joined) == ask(f"SELECT count(*) FROM intercom.{table}")
    packages = sum(run.summary["load_packages"] for run in runs)
    assert ask("SELECT count(*) FROM intercom._dlt_loads WHERE status = 0") == [(packages,)]
