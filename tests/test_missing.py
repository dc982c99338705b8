"""What a 404 means: a missing call, a deleted one, a failure, or a token of another workspace."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from sandbox import Sandbox

from .conftest import Postgres, Project

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


@pytest.mark.parametrize("destination", ["duckdb", "postgres"])
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


def test_a_failure_is_recorded_asked_again_and_leaves_when_the_call_loads(project: Project, api: Sandbox) -> None:
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
    assert result.summary["requests"] == 8  # none of them is worth a retry
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
    assert found == {  # from a failure to a missing call, counting starts anew
        "html404": (404, "not_found", 1, False),
        "json404": (404, "not_found", 1, False),
        "bare404": (404, "not_found", 1, False),
        "redirected": (302, None, 2, True),
        "refused": (400, "bad_request", 2, True),
    }


def test_nineteen_new_ids_may_all_be_missing_twenty_may_not(project: Project, api: Sandbox) -> None:
    api.configure(calls=0)
    names = [f"m{number}" for number in range(42)]
    believed = "SELECT count(*) FROM intercom.call_errors WHERE code = 'not_found'"

    result = project.load(*names[:19])
    assert (result.exit_code, result.summary["missing"]) == (0, 19), result.stderr

    # twenty were asked, but nineteen of them were known as missing
    result = project.load(*names[:20])
    assert (result.exit_code, result.summary["missing"], result.summary["requests"]) == (0, 20, 20), result.stderr
    assert project.query(believed) == [(20,)]

    # one call that is there vouches for the token
    api.configure(bodies=bodies(names[20]))
    result = project.load(*names[20:42], "--chunk-size", "5")
    assert (result.exit_code, result.summary["missing"]) == (0, 21), result.stderr
    assert project.query(believed) == [(41,)]


def test_twenty_new_ids_that_are_all_missing_are_not_believed(project: Project, api: Sandbox) -> None:
    """In however many chunks they came; and the next run asks for each of them again, however short `settle_hours`."""
    api.configure(calls=0)
    names = [f"m{number}" for number in range(20)]
    result = project.load(*names, "--chunk-size", "3")
    assert result.exit_code == 3
    assert counts(result.summary) == {"requested": 20, "missing": 20}
    assert "another workspace" in result.summary["error"]
    assert result.stderr.count("another workspace") == 1
    assert project.query("SELECT exit_code, missing FROM intercom.load_runs") == [(3, 20)]

    api.configure(bodies=bodies(*names))
    result = project.load(*names, env={"SOURCES__INTERCOM__SETTLE_HOURS": "0"})
    assert (result.exit_code, result.summary["loaded"]) == (0, 20), result.stderr
    assert project.query("SELECT * FROM intercom.call_errors") == []


def test_a_fifth_of_the_loaded_calls_may_vanish_more_may_not(project: Project, api: Sandbox) -> None:
    names = [f"c{number}" for number in range(139)]
    lists = {"all": names, "nineteen": names[:19], "hundred": names[19:119], "ninety-nine": names[39:138]}
    for name, some in lists.items():
        (project.folder / f"{name}.txt").write_text("\n".join(some))
    deleted = "SELECT count(*) FROM intercom.calls WHERE _deleted_at IS NOT NULL"
    api.configure(calls=0, bodies=bodies(*names))
    assert project.load("--ids", "all.txt").summary["loaded"] == 139

    api.configure(bodies=bodies(*names[19:]))  # all that were asked, but fewer than twenty
    result = project.load("--ids", "nineteen.txt", "--refresh", "all")
    assert (result.exit_code, result.summary["missing"]) == (0, 19), result.stderr
    assert project.query(deleted) == [(19,)]

    api.configure(bodies=bodies(*names[39:]))  # twenty of a hundred; known ones beside them are not counted
    result = project.load("--ids", "hundred.txt", "--ids", "nineteen.txt", "--refresh", "all", "--chunk-size", "7")
    assert (result.exit_code, result.summary["missing"]) == (0, 39), result.stderr
    assert project.query(deleted) == [(39,)]

    api.configure(bodies=bodies(*names[59:]))  # twenty of ninety-nine
    result = project.load("--ids", "ninety-nine.txt", "--refresh", "all", "--chunk-size", "7")
    assert result.exit_code == 3
    assert (result.summary["loaded"], result.summary["missing"]) == (79, 20)
    assert "another workspace" in result.summary["error"]
    assert project.query(deleted) == [(39,)]

    api.reset(limit=None, calls=0, bodies=bodies(*names))  # what was doubted is open again, and nothing else
    result = project.load("--ids", "ninety-nine.txt")
    assert (result.exit_code, result.summary["loaded"], result.summary["already_loaded"]) == (0, 20, 79), result.stderr
    assert api.stats()["by_id"] == dict.fromkeys(names[39:59], 1)
    assert project.query("SELECT count(*) FROM intercom.call_errors") == [(39,)]
