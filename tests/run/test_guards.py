"""When so many 404s are believed: the token's workspace, a 200, or other loaded calls must prove them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sandbox import Sandbox
from tests.conftest import Project
from tests.run.test_missing import bodies, counts

UNTOLD = {"statuses": {"/me": 403}}
CODES = "SELECT code, count(*) FROM intercom.call_errors GROUP BY code ORDER BY code"
DELETED = "SELECT count(*) FROM intercom.calls WHERE _deleted_at IS NOT NULL"
GONE = "Resource Not Found"


def ids(first: int, last: int) -> list[str]:
    return [f"c{number}" for number in range(first, last)]


def listed(project: Project, name: str, call_ids: list[str]) -> str:
    path: Path = project.folder / f"{name}.txt"
    path.write_text("\n".join(call_ids))
    return str(path)


def agreed(project: Project, summary: dict[str, Any]) -> dict[str, Any]:
    """What summary, `call_errors`, `load_runs` and `status` all say of a run whose list is all there is."""
    status = json.loads(project.run("status", "--json").stdout)
    table = dict(project.query("SELECT code, count(*) FROM intercom.call_errors GROUP BY code"))
    missing = table.pop("not_found", 0)
    assert summary["missing"] == status["missing"] == missing
    assert summary["failed"] == status["failed"] == sum(table.values())
    run = "SELECT missing, failed, exit_code, error FROM intercom.load_runs ORDER BY started_at DESC LIMIT 1"
    names = ("missing", "failed", "exit_code", "error")
    assert project.query(run) == [tuple(summary[name] for name in names)]
    assert {name: status["runs"][0][name] for name in names} == {name: summary[name] for name in names}
    return {"missing": missing, "failed": table}


@pytest.mark.parametrize("chunk_size", ["3", "50"])
def test_without_a_workspace_twenty_404s_and_no_200_are_failures_of_our_own_code(
    chunk_size: str, project: Project, api: Sandbox
) -> None:
    api.configure(calls=0, statuses={"/me": 403, "c50": 400})
    few = project.load("--ids", listed(project, "few", ids(0, 19)))
    assert (few.exit_code, few.summary["missing"], few.summary["failed"]) == (3, 19, 0)
    assert agreed(project, few.summary)["failed"] == {}

    # the nineteen are known as missing; a failure vouches for nothing
    some = listed(project, "some", [*ids(0, 39), "c50"])
    result = project.load("--ids", some, "--chunk-size", chunk_size)
    assert result.exit_code == 3
    assert counts(result.summary) == {"requested": 40, "missing": 19, "failed": 21}
    assert agreed(project, result.summary) == {"missing": 19, "failed": {"unproven_404": 20, "bad_request": 1}}
    assert "20 calls answered 404 and none 200" in result.summary["error"]
    assert "another workspace" in result.stderr
    kept = "SELECT DISTINCT http_status, message, attempts FROM intercom.call_errors WHERE code = 'unproven_404'"
    assert project.query(kept) == [(404, GONE, 1)]
    assert "HTTP 404 unproven_404" in project.run("status").stdout

    # asked again each time, however short `settle_hours`, and counted on
    result = project.load("--ids", some, env={"SOURCES__INTERCOM__SETTLE_HOURS": "0"})
    assert (result.exit_code, result.summary["failed"]) == (3, 21)
    assert project.query(kept) == [(404, GONE, 2)]

    # one call that is there, in the last chunk, vouches for the token
    api.configure(bodies=bodies("c60"))
    result = project.load("--ids", some, "c60", "--chunk-size", chunk_size, "--workers", "1")
    assert result.exit_code == 3  # for the one that is refused
    assert counts(result.summary) == {"requested": 41, "fetched": 1, "loaded": 1, "missing": 39, "failed": 1}
    assert agreed(project, result.summary) == {"missing": 39, "failed": {"bad_request": 1}}
    assert result.summary["error"] is None


def test_in_a_known_workspace_missing_is_missing_and_a_list_without_a_call_is_reported_each_time(
    project: Project, api: Sandbox
) -> None:
    api.configure(calls=0, workspace_id="w1", workspace_name="Acme")
    some = listed(project, "some", ids(0, 25))
    settled = {"SOURCES__INTERCOM__SETTLE_HOURS": "0"}
    for requests in (26, 1):
        result = project.load("--ids", some, env=settled)
        assert (result.exit_code, result.summary["requests"]) == (3, requests)
        assert agreed(project, result.summary) == {"missing": 25, "failed": {}}
        assert "not one id of the list is" in result.summary["error"]
        assert "workspace Acme (w1)" in result.summary["error"]
        assert result.stderr.count("not one id of the list") == 1
    assert project.load("c1").exit_code == 3  # one id that answers 404 is such a list
    assert project.load("--ids", some, "--limit", "0", "--refresh", "all").exit_code == 0

    # one that is a call, or was one, is enough
    api.configure(bodies=bodies("c30"))
    assert project.load("--ids", some, "c30", env=settled).exit_code == 0
    api.configure(bodies={})
    assert project.load("c30", "--refresh", "all").exit_code == 0
    assert project.query(DELETED) == [(1,)]
    result = project.load("--ids", some, "c30", env=settled)
    assert (result.exit_code, result.summary["missing"]) == (0, 26)


@pytest.mark.parametrize("told", [True, False], ids=["told", "untold"])
def test_a_fifth_of_the_loaded_calls_may_vanish_but_more_needs_a_proof(
    told: bool, project: Project, api: Sandbox
) -> None:
    names = ids(0, 139)
    hundred, last = listed(project, "hundred", names[19:119]), listed(project, "last", names[39:138])
    statuses = {} if told else UNTOLD["statuses"]
    api.configure(calls=0, bodies=bodies(*names), statuses=statuses)
    assert project.load("--ids", listed(project, "all", names)).summary["loaded"] == 139

    api.configure(bodies=bodies(*names[19:]))  # all that were asked, but fewer than twenty
    nineteen = listed(project, "nineteen", names[:19])
    result = project.load("--ids", nineteen, "--refresh", "all")
    assert (result.exit_code, result.summary["missing"]) == (0, 19), result.stderr
    assert project.query(DELETED) == [(19,)]

    api.configure(bodies=bodies(*names[39:]))  # twenty of a hundred; known ones among them are not counted
    result = project.load("--ids", hundred, "--ids", nineteen, "--refresh", "all", "--chunk-size", "7")
    assert (result.exit_code, result.summary["missing"]) == (0, 39), result.stderr
    assert project.query(DELETED) == [(39,)]

    # twenty of ninety-nine: in the dataset's own workspace twenty other calls are asked for
    api.reset(limit=None, calls=0, bodies=bodies(*names[59:]), statuses=statuses)
    result = project.load("--ids", last, "--refresh", "all", "--chunk-size", "7")
    summary = result.summary
    assert (summary["loaded"], summary["missing"], summary["requested"]) == (79, 20, 99)
    assert summary["requests"] == api.all_requests()
    assert sum(asked == 2 for asked in api.stats()["by_id"].values()) + ("c138" in api.stats()["by_id"]) == 20 * told
    assert summary["fetched"] == 79  # what the guard requests counts in `requests` alone
    if told:
        assert result.exit_code == 0, result.stderr
        assert project.query(DELETED) == [(59,)]
        return
    assert result.exit_code == 3
    assert "20 loaded calls answered 404, and no call was marked deleted" in summary["error"]
    assert project.query(DELETED) == [(39,)]

    api.reset(limit=None, calls=0, bodies=bodies(*names))  # what was doubted is open again, and nothing else
    result = project.load("--ids", last)
    assert (result.exit_code, result.summary["loaded"], result.summary["already_loaded"]) == (0, 20, 79), result.stderr
    assert api.stats()["by_id"] == dict.fromkeys(names[39:59], 1)


def test_many_that_vanish_stay_where_other_calls_are_not_there_or_too_few(project: Project, api: Sandbox) -> None:
    names = ids(0, 60)
    api.configure(calls=0, bodies=bodies(*names))
    assert project.load("--ids", listed(project, "some", names[:39])).exit_code == 0
    twenty = listed(project, "twenty", names[:20])

    api.configure(bodies=bodies(*names[20:]))  # nineteen others
    result = project.load("--ids", twenty, "--refresh", "all")
    assert (result.exit_code, result.summary["missing"], result.summary["failed"]) == (3, 20, 0)
    assert "fewer than 20 other loaded calls" in result.summary["error"]
    assert agreed(project, result.summary) == {"missing": 20, "failed": {}}

    assert project.load(*names[39:40]).exit_code == 0  # a twentieth, but one of them is gone too
    api.configure(bodies=bodies(*names[20:39]))
    result = project.load("--ids", twenty)
    assert result.exit_code == 3
    assert "of 20 other loaded calls only 19 are there" in result.summary["error"]
    assert project.query(DELETED) == [(0,)]

    api.configure(bodies=bodies(*names[20:40]))
    result = project.load("--ids", twenty)
    assert (result.exit_code, result.summary["requests"]) == (0, 41), result.stderr
    assert project.query(DELETED) == [(20,)]


def test_a_workspace_that_no_earlier_run_had_proves_no_deletion(project: Project, api: Sandbox) -> None:
    names = ids(0, 45)
    api.configure(calls=0, bodies=bodies(*names), **UNTOLD)
    assert project.load("--ids", listed(project, "all", names)).exit_code == 0
    api.configure(bodies=bodies(*names[20:]), statuses={})
    result = project.load("--ids", listed(project, "twenty", names[:20]), "--refresh", "all")
    assert (result.exit_code, result.summary["requests"]) == (3, 21)
    assert project.query(DELETED) == [(0,)]
