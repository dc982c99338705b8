"""What a 404 means: a missing call, a deleted one, or a failure."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from sandbox import Sandbox
from tests.conftest import Postgres, Project

Ask = Callable[[str], list[tuple[Any, ...]]]

ENDED = 1_740_816_000
ERRORS = "SELECT call_id, http_status, code, attempts, last_failed_at > first_failed_at FROM intercom.call_errors"


def body(call_id: str, **fields: Any) -> dict[str, Any]:
    return {"type": "call", "id": call_id, "ended_at": ENDED, **fields}


def bodies(*call_ids: str) -> dict[str, Any]:
    return {call_id: body(call_id) for call_id in call_ids}


def counts(summary: dict[str, Any]) -> dict[str, int]:
    """The counts of calls that are not zero."""
    names = ("requested", "already_loaded", "fetched", "loaded", "missing", "failed", "not_reached")
    return {name: summary[name] for name in names if summary[name]}


@pytest.mark.parametrize("destination", ["duckdb", pytest.param("postgres", marks=pytest.mark.long)])
def test_a_loaded_call_that_answers_404_is_marked_deleted_until_it_answers_again(
    destination: str, project: Project, api: Sandbox, request: pytest.FixtureRequest
) -> None:
    ask: Ask = project.query
    if destination == "postgres":
        postgres: Postgres = request.getfixturevalue("postgres")
        ask = postgres.query
    load = ("--destination", destination, "gone", "stays")
    row = "SELECT * FROM intercom.calls WHERE id = 'gone'"
    rest = (
        "SELECT id, type, state, phone, extract(epoch FROM updated_at), extract(epoch FROM ended_at), duration, "
        "CAST(extra AS text), _fetched_at, extract(epoch FROM initiated_at), extract(epoch FROM answered_at) "
        "FROM intercom.calls WHERE id = 'gone'"
    )
    kept = '{"n": 123456789012345678901234567890.10, "u": "\\u00e9 \\\\u0000"}'
    first, last = "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"  # what no local time zone holds
    fields = {"state": "completed", "duration": 61, "initiated_at": first, "answered_at": last}
    gone = json.dumps(body("gone", **fields, updated_at=ENDED + 9))[:-1] + f', "new": {kept}}}'
    project.env["TZ"] = project.env["PGTZ"] = "Asia/Tokyo"
    api.configure(calls=0, bodies={"gone": gone, "stays": body("stays", state="new", updated_at=last)})
    assert project.load(*load).exit_code == 0
    before, whole = ask(rest), ask(row)
    assert before[0][:7] == ("gone", "call", "completed", None, ENDED + 9, ENDED, 61)
    assert "123456789012345678901234567890.10" in before[0][7]

    # one is gone, the other's answer is older than its row
    api.configure(bodies={"stays": body("stays", state="old", updated_at=ENDED + 8)})
    result = project.load(*load, "--refresh", "all")
    assert result.exit_code == 0, result.stderr
    assert counts(result.summary) == {"requested": 2, "already_loaded": 1, "fetched": 1, "missing": 1}
    assert ask(rest) == before
    assert ask("SELECT state FROM intercom.calls WHERE id = 'stays'") == [("new",)]
    assert ask(ERRORS) == [("gone", 404, "not_found", 1, False)]
    since = ask("SELECT _deleted_at FROM intercom.calls WHERE id = 'gone'")
    assert since == ask("SELECT first_failed_at FROM intercom.call_errors")

    # still gone: the first time counts
    result = project.load(*load, "--refresh", "all")
    assert result.exit_code == 0, result.stderr
    assert ask("SELECT _deleted_at FROM intercom.calls WHERE id = 'gone'") == since
    assert ask(ERRORS) == [("gone", 404, "not_found", 2, True)]

    # back again, with an answer older than the row: the row stays and lives
    api.configure(bodies={"gone": body("gone", state="older", updated_at=ENDED + 8)})
    result = project.load(*load[:-1], "--refresh", "all")
    assert result.exit_code == 0, result.stderr
    assert ask(rest) == before
    assert ask("SELECT count(*) FROM intercom.calls WHERE _deleted_at IS NOT NULL") == [(0,)]
    assert ask("SELECT * FROM intercom.call_errors") == []
    assert len(ask(row)) == len(whole) == 1

    # an answer of the same age is news
    api.configure(bodies={"gone": body("gone", state="corrected", updated_at=ENDED + 9)})
    assert project.load(*load[:-1], "--refresh", "all").exit_code == 0
    assert ask("SELECT state, extra FROM intercom.calls WHERE id = 'gone'") == [("corrected", None)]


def test_a_failure_is_recorded_retried_and_removed_when_the_call_loads(project: Project, api: Sandbox) -> None:
    names = ("html404", "json404", "bare404", "mismatch", "no-id", "gone", "redirected", "refused")
    answers = {
        "html404": "<html>who?</html>",
        "json404": {"type": "call", "id": "json404"},
        "mismatch": {"type": "call", "id": "MISMATCH"},
        "no-id": {"type": "call"},
        "gone": {"type": "error.list", "request_id": "r-410", "errors": [{"code": "gone", "message": "Gone."}]},
        "bare404": " ",
    }
    statuses = {"html404": 404, "json404": 404, "bare404": 404, "gone": 410, "refused": 400}
    api.configure(calls=0, bodies=answers, statuses=statuses, faults={"redirected": ["redirect"] * 2})
    result = project.load(*names)
    assert result.exit_code == 3
    assert counts(result.summary) == {"requested": 8, "failed": 8}
    assert result.summary["error"] is None
    assert result.summary["requests"] == 9  # GET /me, and none of them is worth a retry
    assert "call_errors" in result.stderr
    found = {row[0]: row[1:] for row in project.query(ERRORS)}
    assert found == {
        "html404": (404, None, 1, False),
        "json404": (404, None, 1, False),
        "bare404": (404, None, 1, False),
        "mismatch": (200, "id_mismatch", 1, False),
        "no-id": (200, "id_mismatch", 1, False),
        "gone": (410, "gone", 1, False),
        "redirected": (302, None, 1, False),
        "refused": (400, "bad_request", 1, False),
    }
    told = "SELECT message, request_id FROM intercom.call_errors WHERE call_id = "
    assert project.query(told + "'gone'") == [("Gone.", "r-410")]
    ((message, request_id),) = project.query(told + "'mismatch'")
    assert "MISMATCH" in message
    assert request_id
    assert project.query("SELECT * FROM intercom.calls") == []

    api.configure(bodies=bodies("mismatch", "no-id", "gone"), statuses={"refused": 400, "html404": 404})
    result = project.load(*names)
    assert result.exit_code == 3
    assert counts(result.summary) == {"requested": 8, "fetched": 3, "loaded": 3, "missing": 3, "failed": 2}
    found = {row[0]: row[1:] for row in project.query(ERRORS)}
    assert found == {  # from a failure to a missing call, counting starts again
        "html404": (404, "not_found", 1, False),
        "json404": (404, "not_found", 1, False),
        "bare404": (404, "not_found", 1, False),
        "redirected": (302, None, 2, True),
        "refused": (400, "bad_request", 2, True),
    }
