"""`intercom-calls status`: what is loaded, told from the destination alone."""

from __future__ import annotations

import json
import threading
from typing import Any

import duckdb
import pytest

from sandbox import Sandbox

from .conftest import Postgres, Project

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
    assert status.pop("data_as_of").endswith("Z")
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


def test_nothing_loaded_is_said_and_nothing_is_made(project: Project) -> None:
    shown = project.run("status")
    assert shown.exit_code == 0
    assert "nothing is loaded yet" in shown.stdout
    assert list(project.folder.iterdir()) == []


def test_nothing_loaded_into_postgres_is_said(project: Project, postgres: Postgres) -> None:
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
