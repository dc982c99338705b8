"""`intercom-calls status`: what is loaded, by the destination alone."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import pytest
from click.testing import CliRunner

from pipelines.intercom_calls import main
from sandbox import Sandbox
from tests.conftest import Postgres, Project, Result
from tests.support.processes import running

CALLS = {
    "1": {"type": "call", "id": "1", "created_at": 1700000000, "ended_at": 1700000100},
    "2": {"type": "call", "id": "2", "created_at": 1700003600},
}


def load_some(project: Project, api: Sandbox, *options: str) -> None:
    """Two calls (one open), a missing one, two that fail with 410."""
    api.configure(bodies=CALLS, statuses={"9": 404, "10": 410, "11": 410})
    assert project.load("1", "2", "9", "10", "11", *options).exit_code == 3


def without_moments(status: dict[str, Any]) -> dict[str, Any]:
    for failure in status["failures"]:
        assert failure.pop("last_failed_at").endswith("Z")
    assert status.pop("data_as_of") is None  # not every id was got
    assert status.pop("complete_run_at") is None
    assert status.pop("location")
    del status["runs"]
    return status


@pytest.mark.parametrize("destination", ["duckdb", "postgres"])
def test_status_counts_what_is_loaded_and_groups_failures_by_cause(
    destination: str, project: Project, api: Sandbox, postgres: Postgres
) -> None:
    load_some(project, api, "--destination", destination)
    shown = project.run("status", "--destination", destination, "--json")
    assert shown.exit_code == 0, shown.stderr
    [run] = json.loads(shown.stdout)["runs"]
    assert {name: run[name] for name in ("requested", "loaded", "missing", "failed", "exit_code", "error")} == {
        "requested": 5,
        "loaded": 2,
        "missing": 1,
        "failed": 2,
        "exit_code": 3,
        "error": None,
    }
    assert without_moments(json.loads(shown.stdout)) == {
        "destination": destination,
        "dataset": "intercom",
        "workspace": "sandbox1",
        "workspace_name": "The sandbox",
        "calls": 2,
        "newest_call_at": "2023-11-14T23:13:20Z",
        "open_calls": 1,
        "deleted_calls": 0,
        "missing": 1,
        "failed": 2,
        "failures": [
            {
                "http_status": 410,
                "code": "gone",
                "ids": 2,
                "example_id": "10",
                "mend": "the API refuses it; Intercom's support takes the request_id in call_errors",
            }
        ],
    }


def test_status_reads_well_and_a_file_that_is_held_is_waited_for(project: Project, api: Sandbox) -> None:
    load_some(project, api)
    held = duckdb.connect(str(project.folder / "intercom_calls.duckdb"))
    threading.Timer(3, held.close).start()
    shown = project.run("status")
    assert shown.exit_code == 0, shown.stderr
    for line in ("open calls   1,", "missing      1 id", "HTTP 410 gone    2", "newest call  2023-11-14 23:13:20 UTC"):
        assert line in shown.stdout


def test_status_of_a_file_that_stays_held_fails_with_1(project: Project, api: Sandbox) -> None:
    with duckdb.connect(str(project.folder / "intercom_calls.duckdb")):
        shown = project.run("status", env={"SOURCES__INTERCOM__LOCK_WAIT_SECONDS": "0"})
    assert (shown.exit_code, shown.stdout) == (1, "")
    assert shown.stderr.startswith("error: duckdb: ")
    assert "Could not set lock on file" in shown.stderr


def test_that_nothing_is_loaded_is_reported_and_nothing_is_created(project: Project) -> None:
    shown = project.run("status")
    assert shown.exit_code == 0
    assert "nothing is loaded yet" in shown.stdout
    assert list(project.folder.iterdir()) == []


def test_that_nothing_is_loaded_into_postgres_is_reported(project: Project, postgres: Postgres) -> None:
    shown = project.run("status", "--destination", "postgres")
    assert shown.exit_code == 0, shown.stderr
    assert "nothing is loaded yet" in shown.stdout
    assert postgres.query("SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'intercom%'") == [(0,)]


@pytest.mark.parametrize(
    ("credentials", "exit_code", "told"),
    [
        ("postgresql://nobody:hunter2@127.0.0.1:1/none", 1, "Connection refused"),
        ("postgres", 2, "--destination postgres is not configured"),
    ],
)
def test_a_destination_that_is_down_or_not_configured(
    project: Project, credentials: str, exit_code: int, told: str
) -> None:
    shown = project.run("status", "--destination", "postgres", env={"DESTINATION__POSTGRES__CREDENTIALS": credentials})
    assert (shown.exit_code, shown.stdout) == (exit_code, "")
    assert told in shown.stderr
    assert len(shown.stderr.splitlines()) == 1
    assert "hunter2" not in shown.stderr


def test_status_exits_3_when_the_last_complete_run_is_older_than_max_age(project: Project, api: Sandbox) -> None:
    def status(max_age: str) -> Result:
        return project.run("status", "--json", "--max-age", max_age)

    never = status("26h")
    assert (never.exit_code, json.loads(never.stdout)["complete_run_at"]) == (3, None)
    assert never.stderr == ("no run here has asked for everything it was given and got it; --max-age allows 26 hours\n")
    load_some(project, api)  # some of it failed
    assert status("9d").exit_code == 3
    assert project.load("1", "2", "--refresh", "all", "--limit", "1").exit_code == 0  # not all of it was asked for
    assert status("9d").exit_code == 3
    assert project.load("1", "2").exit_code == 0
    fresh = status("1h")
    assert (fresh.exit_code, fresh.stderr) == (0, "")
    assert datetime.now(UTC) - datetime.fromisoformat(json.loads(fresh.stdout)["complete_run_at"]) < timedelta(hours=1)
    with duckdb.connect(str(project.folder / "intercom_calls.duckdb")) as connection:
        connection.execute("UPDATE intercom.load_runs SET finished_at = finished_at - INTERVAL 27 HOUR")
    # a newer run that failed does not count
    assert project.load("3", env={"SOURCES__INTERCOM__ACCESS_TOKEN": "wrong"}).exit_code == 4
    old = status("26h")
    assert old.exit_code == 3
    assert json.loads(old.stdout)["calls"] == 2
    assert "the last complete run ended 27 hours ago, at 20" in old.stderr
    assert status("1.5d").exit_code == 0


def test_data_as_of_counts_only_runs_that_got_all_of_their_list(project: Project, api: Sandbox) -> None:
    ghosts = [f"c{number}" for number in range(20)]
    api.configure(calls=0, bodies=CALLS, statuses={"10": 410, "/me": 403})
    for arguments, exit_code in (
        (["1", "2", "--limit", "1"], 0),
        (["10"], 3),
        (["1", "10"], 3),
        (ghosts, 3),  # unproven
        (["c1"], 3),  # not one id is a call
        (["1", "", "two words", "--bad-ids", "skip"], 3),
    ):
        assert project.load(*arguments).exit_code == exit_code, arguments
        assert status_of(project)["data_as_of"] is None, arguments
    assert "no run got all of its list yet" in project.run("status").stdout
    assert project.load("1", "2", "9").exit_code == 0  # 9 is missing
    [begun] = project.query("SELECT max(started_at) FROM intercom.load_runs")[0]
    assert project.load("1", "2", "--limit", "1", "--refresh", "all").exit_code == 0
    as_of = status_of(project)["data_as_of"]
    assert datetime.fromisoformat(as_of) == begun


def test_a_run_has_no_exit_code_until_it_has_ended(project: Project, api: Sandbox) -> None:
    api.configure(missing_share=0, faults={"1000003": ["hang"]})
    with running(project, *(f"100000{n}" for n in range(1, 4)), "--chunk-size", "1", "--workers", "1") as run:
        run.wait_until(lambda: api.requests_for("1000003") == 1)
        run.kill()
    ended = "SELECT exit_code, finished_at FROM intercom.load_runs"
    assert project.query(ended) == [(None, None)]
    for _ in range(2):
        status = status_of(project)
        assert (status["runs"][0]["exit_code"], status["runs"][0]["finished_at"], status["data_as_of"]) == (None,) * 3
        with duckdb.connect(str(project.folder / "intercom_calls.duckdb")) as connection:  # as earlier versions left it
            connection.execute("UPDATE intercom.load_runs SET exit_code = 0, not_reached = 0")
    assert "running or killed" in project.run("status").stdout


def status_of(project: Project) -> dict[str, Any]:
    status: dict[str, Any] = json.loads(project.run("status", "--json").stdout)
    return status


@pytest.mark.parametrize("age", ["26", "h", "-1h", "0h", "26m", "nanh", "1e3h", "٣h", " 26h", ""])
def test_an_age_that_is_none_is_refused(age: str) -> None:
    refused = CliRunner().invoke(main, ["status", "--max-age", age])
    assert refused.exit_code == 2
    assert "such as 26h or 2d" in refused.output
