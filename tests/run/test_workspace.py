"""`GET /me`: one dataset holds one workspace, and each run asks first which one its token is of."""

from __future__ import annotations

import json
import shutil
import signal
import time
from typing import Any

import duckdb
import pytest

from sandbox import Sandbox
from tests.conftest import Postgres, Project
from tests.run.test_missing import bodies
from tests.support.processes import running

ACME = {"workspace_id": "acme1", "workspace_name": "Acme", "workspace_timezone": "Europe/Berlin"}
OTHER = {"workspace_id": "other2", "workspace_name": "Other Inc."}
RUNS = "SELECT workspace, workspace_name, workspace_timezone, loaded FROM intercom.load_runs ORDER BY started_at"


def told(summary: dict[str, Any]) -> tuple[Any, Any]:
    return summary["workspace"], summary["workspace_name"]


def test_each_run_asks_once_which_workspace_it_is_also_where_nothing_is_to_fetch(
    project: Project, api: Sandbox
) -> None:
    api.configure(calls=0, bodies=bodies("1"), **ACME)
    plan = project.load("1", "--dry-run")
    assert (plan.exit_code, api.stats()["me_requests"]) == (0, 0)
    assert "workspace" not in plan.summary
    for requests, loaded in ((2, 1), (1, 0)):
        result = project.load("1")
        assert result.exit_code == 0, result.stderr
        assert (told(result.summary), result.summary["requests"]) == (("acme1", "Acme"), requests)
        assert "workspace_timezone" not in result.summary
        assert result.summary["loaded"] == loaded
    stats = api.stats()
    assert (stats["me_requests"], stats["by_id"]) == (2, {"1": 1})
    assert len(stats["authorizations"]) == 1
    assert project.query(RUNS) == [("acme1", "Acme", "Europe/Berlin", 1), ("acme1", "Acme", "Europe/Berlin", 0)]
    shown = project.run("status")
    assert "workspace    Acme (acme1)" in shown.stdout
    status = json.loads(project.run("status", "--json").stdout)
    assert told(status) == ("acme1", "Acme")

    # a refused token is reported first, even with nothing to fetch
    refused = project.load("1", env={"SOURCES__INTERCOM__ACCESS_TOKEN": "another"})
    assert (refused.exit_code, refused.summary["requests"], api.stats()["requests"]) == (4, 1, 1)
    assert "refused the access token (HTTP 401" in refused.summary["error"]
    assert project.query("SELECT exit_code FROM intercom.load_runs WHERE workspace IS NULL") == [(4,)]


@pytest.mark.parametrize(
    ("settings", "tries"),
    [
        ({"statuses": {"/me": 403}}, 1),
        ({"statuses": {"/me": 404}}, 1),
        ({"statuses": {"/me": 500}}, 3),
        ({"faults": {"/me": ["hang"] * 3}}, 3),
        ({"faults": {"/me": ["reset", "cut", "status:429"]}}, 3),
        ({"faults": {"/me": ["html200"]}}, 1),
        ({"faults": {"/me": ["array200"]}}, 1),
        ({"faults": {"/me": ["redirect"]}}, 1),
        ({"bodies": {"/me": {"type": "admin", "id": "1"}}}, 1),
        ({"bodies": {"/me": {"app": {"id_code": "", "name": "x"}}}}, 1),
        ({"bodies": {"/me": {"app": {"id_code": {"a": 1}}}}}, 1),
        ({"bodies": {"/me": {"app": "acme1"}}}, 1),
    ],
)
def test_if_the_workspace_is_unknown_the_run_continues_without_it(
    settings: dict[str, Any], tries: int, project: Project, api: Sandbox
) -> None:
    api.configure(missing_share=0, **settings)
    result = project.load("1000001", env={"SOURCES__INTERCOM__READ_TIMEOUT_SECONDS": "0.4"})
    assert result.exit_code == 0, result.stderr
    assert told(result.summary) == (None, None)
    assert (result.summary["loaded"], result.summary["requests"], result.summary["retries"]) == (1, tries + 1, 0)
    assert api.stats()["me_requests"] == tries
    assert "GET /me does not tell the token's workspace" in result.stderr
    assert project.query(RUNS) == [(None, None, None, 1)]


def test_a_second_try_finds_it_and_names_are_stored_as_every_destination_can_hold_them(
    project: Project, api: Sandbox
) -> None:
    api.configure(missing_share=0, faults={"/me": ["status:503", "reset"]}, workspace_name="Zoë\0 \x1b[31m")
    result = project.load("1000001")
    assert (result.exit_code, told(result.summary)) == (0, ("sandbox1", "Zoë\ufffd \x1b[31m"))
    assert "\x1b" not in project.run("status").stdout + project.run("check").stdout


@pytest.mark.parametrize("destination", ["duckdb", "postgres"])
def test_another_workspaces_token_is_refused_and_nothing_is_written(
    destination: str, project: Project, api: Sandbox, request: pytest.FixtureRequest
) -> None:
    ask = project.query
    if destination == "postgres":
        postgres: Postgres = request.getfixturevalue("postgres")
        ask = postgres.query
    to = ("--destination", destination)
    api.configure(calls=0, bodies=bodies("1", "2"), **ACME)
    assert project.load("1", *to).exit_code == 0
    tables = ("calls", "call_errors", "load_runs", "_dlt_loads")
    everything = [ask(f"SELECT * FROM intercom.{table}") for table in tables]

    api.configure(**OTHER)
    for extra in (("2",), ("--refresh", "all"), ()):
        result = project.load("1", *extra, *to)
        assert result.exit_code == 4
        for name in ("Other Inc. (other2)", "Acme (acme1)"):
            assert name in result.summary["error"]
        assert (told(result.summary), result.summary["requests"]) == (("other2", "Other Inc."), 1)
        assert result.summary["not_reached"] == result.summary["requested"]
    assert api.stats()["by_id"] == {"1": 1}
    assert [ask(f"SELECT * FROM intercom.{table}") for table in tables] == everything

    check = project.run("check", *to)
    assert check.exit_code == 4
    assert "wrong workspace    Other Inc. (other2), but dataset intercom holds calls of workspace Acme (acme1)" in (
        check.stdout
    )
    # with an unknown workspace, or in another dataset, it may load
    assert project.load("2", *to, "--dataset", "second").exit_code == 0
    api.configure(statuses={"/me": 500})
    untold = project.load("2", *to)
    assert untold.exit_code == 0, untold.stderr
    assert "GET /me does not tell" in project.load("2", "-q", *to).stderr  # reported, since it was known before


def test_the_dataset_is_of_the_workspace_of_the_newest_run_that_wrote_a_call(project: Project, api: Sandbox) -> None:
    """A token given by mistake, which loaded nothing, does not shut out the right one."""
    api.configure(calls=0, bodies=bodies("1"), **OTHER)
    assert project.load("ghost").exit_code == 3
    api.configure(**ACME)
    assert project.load("1").exit_code == 0
    api.configure(statuses={"/me": 403})
    assert project.load("1", "--refresh", "all").exit_code == 0  # a newer run, which knew no workspace
    assert told(json.loads(project.run("status", "--json").stdout)) == ("acme1", "Acme")
    api.configure(statuses={}, **OTHER)
    assert project.load("1").exit_code == 4


def test_an_older_table_gets_the_columns_and_the_first_known_workspace(project: Project, api: Sandbox) -> None:
    api.configure(calls=0, bodies=bodies("1", "2"), **ACME)
    assert project.load("1").exit_code == 0
    with duckdb.connect(str(project.folder / "intercom_calls.duckdb")) as database:
        for name in ("workspace", "workspace_name", "workspace_timezone"):
            database.execute(f"ALTER TABLE intercom.load_runs DROP COLUMN {name}")
        # an earlier version wrote 0 for a run that was killed
        database.execute("UPDATE intercom.load_runs SET exit_code = 0, finished_at = NULL")
        database.execute("DELETE FROM intercom._dlt_version")
    shutil.rmtree(project.folder / ".dlt" / "data")
    status = json.loads(project.run("status", "--json").stdout)
    assert (told(status), status["runs"][0]["exit_code"], status["data_as_of"]) == ((None, None), None, None)
    assert project.run("check").exit_code == 0
    result = project.load("2", "1")
    assert result.exit_code == 0, result.stderr
    assert project.query(RUNS) == [(None, None, None, 1), ("acme1", "Acme", "Europe/Berlin", 1)]
    api.configure(**OTHER)
    assert project.load("1").exit_code == 4


def test_a_signal_while_me_hangs_ends_the_run_within_seconds(project: Project, api: Sandbox) -> None:
    api.configure(missing_share=0, faults={"/me": ["hang"] * 3})
    with running(project, "1000001") as run:
        run.wait_until(lambda: api.stats()["me_requests"] == 1)
        began = time.monotonic()
        run.send(signal.SIGTERM)
        result = run.end()
    assert (result.exit_code, result.summary["not_reached"], api.stats()["requests"]) == (143, 1, 0)
    assert time.monotonic() - began < 10  # the first try alone would take five, all of them fifteen
    assert project.query("SELECT exit_code FROM intercom.load_runs") == [(143,)]
