"""The main job over the wire: a list of ids in, every field of every row right, a summary that is exact."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from sandbox import Sandbox
from tests.conftest import Postgres, Project
from tests.support.leaks import TOKEN

Row = tuple[Any, ...]
Ask = Callable[[str], list[Row]]

CALLS = 3_000
START = 1_740_816_000  # 2025-03-01T08:00:00Z
MOMENT = datetime(2025, 3, 1, 8, 0, tzinfo=UTC)
MICROSECONDS = 1_000_000
TOKYO = timezone(timedelta(hours=9))

TEXTS = (
    "id, type, conversation_id, admin_id, contact_id, state, recording_url, transcription_url, call_type, direction, "
    "ended_reason, phone, fin_recording_url, fin_transcription_url"
)
TIMES = ("initiated_at", "answered_at", "ended_at", "created_at", "updated_at")
SECONDS = "duration, talk_time, queue_time, hold_time"


def call_id(number: int) -> str:
    """Leading zeros, twenty digits, hex: nothing that survives being taken for a number."""
    return (f"{number:08d}", f"9007199254740993{number:04d}", f"6e{number:022x}")[number % 3]


def is_missing(number: int) -> bool:
    return number % 50 == 49


def call(number: int) -> tuple[dict[str, Any], Row]:
    """A call as the API has it, and the row it is to become: five ways in turn of writing one.

    The row's times are microseconds since the epoch, its `extra` parsed.
    """
    name, at, moment = call_id(number), START + 60 * number, MOMENT + timedelta(minutes=number)
    microseconds = at * MICROSECONDS
    nothing = (None,) * 12
    texts: Row
    match number % 5:
        case 0:  # everything, in unix seconds
            body: dict[str, Any] = {
                "type": "call", "id": name, "conversation_id": f"00{number}", "admin_id": "7", "contact_id": "6553c0",
                "state": "completed", "recording_url": f"https://api.intercom.io/calls/{name}/recording",
                "transcription_url": "https://api.intercom.io/t?a=1&b=é", "call_type": "phone", "direction": "outbound",
                "ended_reason": "caller_hangup", "phone": "+12025550142", "fin_recording_url": "https://fin/1",
                "fin_transcription_url": "https://fin/2",
                "initiated_at": at, "answered_at": at + 5, "ended_at": at + 600, "created_at": at,
                "updated_at": at + 601,
            }  # fmt: skip
            texts = (
                f"00{number}", "7", "6553c0", "completed", f"https://api.intercom.io/calls/{name}/recording",
                "https://api.intercom.io/t?a=1&b=é", "phone", "outbound", "caller_hangup", "+12025550142",
                "https://fin/1", "https://fin/2",
            )  # fmt: skip
            times: Row = (0, 5, 600, 0, 601)
            seconds: Row = (None,) * 4
            extra: dict[str, Any] | None = None
        case 1:  # ISO-8601 with Z and a fraction, nulls
            body = dict.fromkeys(TEXTS.split(", ")[2:]) | {
                "type": "call", "id": name, "state": "missed", "initiated_at": f"{moment:%Y-%m-%dT%H:%M:%S}.250Z",
                "answered_at": None, "ended_at": f"{moment:%Y-%m-%dT%H:%M:%S}Z", "created_at": None, "updated_at": None,
                "duration": None,
            }  # fmt: skip
            texts = (None, None, None, "missed", *nothing[:8])
            times, seconds, extra = (0.25, None, 0, None, None), (None,) * 4, None
        case 2:  # ISO-8601 with an offset and without one; most fields absent; a field of tomorrow
            body = {
                "type": "call", "id": name, "direction": "inbound",
                "initiated_at": moment.astimezone(TOKYO).isoformat(), "ended_at": f"{moment:%Y-%m-%dT%H:%M:%S}",
                "summary": {"mood": ["ok", None], "score": 1.5},
            }  # fmt: skip
            texts = (*nothing[:7], "inbound", *nothing[:4])
            times, seconds = (0, None, 0, None, None), (None,) * 4
            extra = {"summary": {"mood": ["ok", None], "score": 1.5}}
        case 3:  # numeric strings, milliseconds, empty values, Preview's seconds; a boolean where text should be
            body = {
                "type": "call", "id": name, "admin_id": 42, "state": True, "phone": "", "initiated_at": str(at),
                "answered_at": "", "ended_at": at * 1000, "created_at": 0, "updated_at": f"{at}.5",
                "duration": 61, "talk_time": "60", "queue_time": 0, "hold_time": None,
            }  # fmt: skip
            texts = (None, "42", *nothing[:10])
            times, seconds, extra = (0, None, 0, None, 0.5), (61, 60, 0, None), {"state": True}
        case _:  # never ended, and created long ago; hardly a field
            body = {"id": name, "created_at": at}
            return body, (name, *(None,) * 13, None, None, None, microseconds, None, *(None,) * 4, None)
    if number % 5 == 3:  # in milliseconds beyond 253402300799, this is the year 2025 all the same
        assert body["ended_at"] > 253_402_300_799
    stamps = tuple(None if offset is None else microseconds + int(offset * MICROSECONDS) for offset in times)
    return body, (name, "call", *texts, *stamps, *seconds, extra)


def rows_of(ask: Ask, microseconds: str) -> list[Row]:
    """All of `calls` but the connector's own times; `microseconds` makes an integer of a timestamp."""
    times = ", ".join(microseconds.format(name) for name in TIMES)
    rows = ask(f"SELECT {TEXTS}, {times}, {SECONDS}, CAST(extra AS text) FROM intercom.calls")
    return sorted((*row[:-1], None if row[-1] is None else json.loads(row[-1])) for row in rows)


@pytest.fixture(scope="module")
def workspace() -> Iterator[Sandbox]:
    """The three thousand calls, 60 of them unknown to the API."""
    bodies = {call_id(number): call(number)[0] for number in range(CALLS) if not is_missing(number)}
    with Sandbox(limit=None, calls=0, bodies=bodies, token=TOKEN) as sandbox:
        yield sandbox


def id_list() -> bytes:
    """A CSV as Excel writes it: a BOM, CRLF, a second column; 300 repeats and 3 cells without an id."""
    lines = ["agent;call_id"]
    for number in range(CALLS):
        lines.append(f'"Doe; Jane";{call_id(number)}')
        if number % 10 == 0:
            lines.append(f"again; {call_id(number)} ")
        if number % 1000 == 7:
            lines.append("nobody;")
    return b"\xef\xbb\xbf" + "\r\n".join([*lines, ""]).encode()


@pytest.mark.parametrize("destination", ["duckdb", "postgres"])
def test_three_thousand_ids(
    destination: str, workspace: Sandbox, project: Project, request: pytest.FixtureRequest
) -> None:
    """Every field of every row, the summary to each field, and a second run that asks for nothing settled."""
    ask: Ask = project.query
    microseconds = "epoch_us({})"
    if destination == "postgres":
        postgres: Postgres = request.getfixturevalue("postgres")
        ask, microseconds = postgres.query, "(extract(epoch FROM {}) * 1000000)::bigint"
    workspace.reset()
    project.env["SOURCES__INTERCOM__BASE_URL"] = workspace.url
    (project.folder / "calls.csv").write_bytes(id_list())
    arguments = ("--ids", "calls.csv", "--destination", destination, "--strategy", "by-id")
    began = time.time()

    first = project.load(*arguments)

    assert first.exit_code == 0, first.stderr
    summary = first.summary
    seconds, rate, run_id = summary.pop("seconds"), summary.pop("calls_per_second"), summary.pop("run_id")
    packages = summary.pop("load_packages")
    assert summary == {
        "destination": destination, "dataset": "intercom", "requested": 3000, "duplicates": 300, "blank": 3,
        "already_loaded": 0, "fetched": 2940, "loaded": 2940, "missing": 60, "failed": 0, "skipped": 0,
        "not_reached": 0, "requests": 3001, "rate_limited": 0, "retries": 0, "unreadable_values": 600,
        "exit_code": 0, "workspace": "sandbox1", "workspace_name": "The sandbox", "strategy": "by-id", "error": None,
    }  # fmt: skip
    assert 0 < seconds < time.time() - began
    assert rate == pytest.approx(3000 / seconds, rel=0.01)
    assert ask("SELECT count(*) FROM intercom._dlt_loads") == [(packages,)]
    assert ask("SELECT run_id FROM intercom.load_runs") == [(run_id,)]
    assert workspace.stats()["requests"] == 3000

    expected = sorted(call(number)[1] for number in range(CALLS) if not is_missing(number))
    found = rows_of(ask, microseconds)
    assert len(found) == 2940
    for row, as_expected in zip(found, expected, strict=True):
        assert row == as_expected
    fetched_at = f"min({microseconds.format('_fetched_at')}), max({microseconds.format('_fetched_at')})"
    ((earliest, latest, deleted),) = ask(f"SELECT {fetched_at}, count(_deleted_at) FROM intercom.calls")
    assert began * MICROSECONDS <= earliest <= latest <= time.time() * MICROSECONDS
    assert deleted == 0
    assert ask("SELECT count(*) FROM intercom.calls JOIN intercom._dlt_loads ON _dlt_load_id = load_id") == [(2940,)]
    missing = sorted(call_id(number) for number in range(CALLS) if is_missing(number))
    errors = ask("SELECT call_id, http_status, code, attempts FROM intercom.call_errors")
    assert sorted(errors) == [(name, 404, "not_found", 1) for name in missing]

    workspace.reset()
    second = project.load(*arguments)

    assert second.exit_code == 0, second.stderr
    counts = {name: count for name, count in second.summary.items() if isinstance(count, int) and count}
    assert counts.pop("load_packages") >= 1
    assert counts == {
        "requested": 3000, "duplicates": 300, "blank": 3, "already_loaded": 2940, "missing": 60, "requests": 61
    }  # fmt: skip
    assert workspace.stats()["by_id"] == dict.fromkeys(missing, 1)
    assert rows_of(ask, microseconds) == expected
    assert ask("SELECT min(attempts), max(attempts), count(*) FROM intercom.call_errors") == [(2, 2, 60)]
