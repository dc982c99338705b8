"""What a run logs: lines for people, or one JSON object per line for machines."""

from __future__ import annotations

import json
import re

import duckdb
import psycopg2
import pytest

from pipelines.cli import progress
from pipelines.destinations.faults import Overtaken, readable_errors
from pipelines.errors import DestinationFailed
from sandbox import Sandbox
from sources.intercom.fetch import Fetch
from sources.intercom.settings import Settings
from tests.conftest import Postgres, Project
from tests.support import bounds
from tests.support.leaks import TOKEN


def test_each_retry_is_a_json_line_with_its_request_id(project: Project, api: Sandbox) -> None:
    api.configure(faults={"1000001": ["status:503", "status:502"]})
    result = project.load("1000001", "-v", "--log-format", "json")
    assert result.exit_code == 0
    lines = [json.loads(line) for line in result.stderr.splitlines()]
    retries = [line for line in lines if line.get("event") == "retry"]
    assert [line["http_status"] for line in retries] == [503, 502]
    assert all(line["request_id"] and line["at"] and line["level"] == "debug" for line in retries)
    assert result.summary["retries"] == 2


def test_a_run_that_fails_says_what_is_safe_and_what_to_type(project: Project, api: Sandbox) -> None:
    api.configure(fault_ranges=[[1, None, "status:500"]])
    env = {"SOURCES__INTERCOM__RETRY_SECONDS": "0.5"}
    as_text = project.load("1000001", env=env)
    assert as_text.exit_code == 1
    assert as_text.stderr.splitlines()[-1].startswith("error: nothing answered usably for 0.5 seconds")
    assert as_text.stderr.endswith("(0 calls were loaded and are safe; the same command goes on)\n")
    as_json = project.load("1000001", "--log-format", "json", env=env)
    last = json.loads(as_json.stderr.splitlines()[-1])
    assert (last["event"], last["level"], last["exit_code"]) == ("end", "error", 1)


def test_an_api_that_stops_answering_is_reported_once_with_the_cause_and_so_is_its_return(
    project: Project, api: Sandbox
) -> None:
    api.configure(faults={"1000001": ["status:503"] * 8})
    result = project.load("1000001", "-q", "--log-format", "json", env={"SOURCES__INTERCOM__RETRY_SECONDS": "60"})
    assert result.exit_code == 0
    silent, back = (json.loads(line) for line in result.stderr.splitlines())
    assert (silent["event"], silent["for"], silent["level"]) == ("wait", "api", "warning")
    for part in (api.url, "no usable answer for", "HTTP 503", "s more"):
        assert part in silent["message"]
    assert (back["event"], back["for"]) == ("back", "api")
    assert back["seconds"] > 5


def test_a_wait_says_that_others_used_the_budget(project: Project, api: Sandbox) -> None:
    api.configure(limit=10, foreign_at_start=10, window_seconds=1)
    result = project.load("1000001", env={"SOURCES__INTERCOM__RETRY_SECONDS": "0"})
    assert "most of it by other apps or an earlier load" in result.stderr


def test_a_line_now_and_then_says_how_far_the_load_is(
    api: Sandbox, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(progress, "LOG_SECONDS", 0.1)
    caplog.set_level("INFO", "intercom_calls")
    api.configure(latency_seconds=0.05, statuses={"gone": 404, "refused": 400})
    settings = Settings(base_url=api.url, access_token=api.token)
    ids = ["gone", "refused", *(str(number) for number in range(1_000_001, 1_000_009))]
    with Fetch(iter(ids), settings, workers=1, chunk_size=100) as fetch, progress.show_progress("log", fetch, 10):
        fetch.take()
    lines = [message for message in caplog.messages if " of 10 calls, " in message]
    full = re.compile(r"[3-9] of 10 calls, \d+/s, 0 min left, 1 missing, 1 failed")
    assert any(map(full.fullmatch, lines)), lines


def test_each_run_ends_with_one_line_that_says_how_it_ended_and_its_counts(project: Project, api: Sandbox) -> None:
    api.configure(calls=0, bodies={"1": {"type": "call", "id": "1"}}, statuses={"2": 400})
    result = project.load("1", "2", "--log-format", "json")
    lines = [json.loads(line) for line in result.stderr.splitlines()]
    (end,) = [line for line in lines if line.get("event") == "end"]
    assert end is lines[-1]
    expected = {name: value for name, value in result.summary.items() if name != "error"}
    assert {name: end[name] for name in expected} == expected
    assert (end["exit_code"], end["loaded"], end["failed"], end["level"]) == (3, 1, 1, "warning")
    ended = json.loads(project.load("1", "--refresh", "all", "--log-format", "json").stderr.splitlines()[-1])
    assert (ended["event"], ended["exit_code"], ended["dataset"]) == ("end", 0, "intercom")


def test_quiet_says_nothing_of_success_and_when_where_and_how_many_of_failures(project: Project, api: Sandbox) -> None:
    api.configure(calls=0, bodies={"1": {"type": "call", "id": "1"}}, statuses={"2": 400})
    assert project.load("1", "-q").stderr == ""
    (line,) = project.load("1", "2", "-q").stderr.splitlines()
    assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d loaded 0 calls into ", line)
    for part in ("intercom_calls.duckdb", "dataset intercom", "1 failed", "exit code 3"):
        assert part in line


def test_more_workers_than_are_used_are_reported_as_too_many(project: Project, api: Sandbox) -> None:
    (line,) = project.load("1000001", "--workers", "500", "-q").stderr.splitlines()
    assert "--workers 500: at most 128 requests are in flight at once" in line


def test_a_database_that_turned_read_only_is_reported_as_a_standby(postgres: Postgres) -> None:
    told = "read-only transaction; the server is likely a standby"
    with pytest.raises(DestinationFailed, match=told), readable_errors("postgres"):
        postgres.query("SET TRANSACTION READ ONLY; CREATE TABLE t (a int)")


# What ends the run, and whether the same command goes on when that has passed.
ENDS: dict[str, tuple[dict[str, object], dict[str, str], bool]] = {
    "server errors": ({"fault_ranges": [[11, None, "status:500"]]}, {}, True),
    "a refused token": ({"fault_ranges": [[11, None, "status:401"]]}, {}, False),
    "a scope that lacks": ({"fault_ranges": [[11, None, "status:403"]]}, {}, False),
    "a name that is none": (
        {},
        {"SOURCES__INTERCOM__BASE_URL": "https://api.intercom.invalid", "NO_PROXY": "*"},
        False,
    ),
    "a list with a bad id": ({}, {}, False),
    "no such user": ({}, {"DESTINATION__POSTGRES__CREDENTIALS": "nobody"}, False),
    "no such host": ({}, {"DESTINATION__POSTGRES__CREDENTIALS": "postgresql://u:pass-word@db.invalid/calls"}, False),
    "no server": ({}, {"DESTINATION__POSTGRES__CREDENTIALS": "postgresql://u:pass-word@127.0.0.1:9/calls"}, True),
}


@pytest.mark.parametrize("end", ENDS)
def test_the_advice_to_run_the_same_command_is_given_only_where_it_continues(
    project: Project, api: Sandbox, end: str, request: pytest.FixtureRequest
) -> None:
    faults, env, goes_on = ENDS[end]
    if env.get("DESTINATION__POSTGRES__CREDENTIALS") == "nobody":
        url = request.getfixturevalue("postgres").url
        env = {"DESTINATION__POSTGRES__CREDENTIALS": url.replace("postgres:x", "nobody:x")}
    api.configure(missing_share=0, **faults)
    ids = ["a b"] if "bad" in end else [str(1_000_001 + number) for number in range(20)]
    to = ["--destination", "postgres"] if "DESTINATION__POSTGRES__CREDENTIALS" in env else []
    result = project.load(*ids, *to, "--workers", "1", env={**env, "SOURCES__INTERCOM__RETRY_SECONDS": "0.5"})
    assert result.exit_code not in (0, 3)
    assert ("the same command goes on" in result.stderr) == goes_on, result.stderr
    assert ("10 calls were loaded and are safe" in result.stderr) == bool(faults)


@pytest.mark.parametrize("place", ["pipelines.run.run.reconcile", "pipelines.destinations.target.restore_tables"])
def test_an_unexpected_error_is_one_line_with_its_type_and_a_file(project: Project, api: Sandbox, place: str) -> None:
    module, _, name = place.rpartition(".")
    assert project.load("1000001").exit_code == 0
    password = "the-pass-word"
    env = {"DESTINATION__POSTGRES__CREDENTIALS": f"postgresql://u:{password}@localhost/calls"}
    error = KeyError(f"hold_time of {TOKEN}, {password}")
    failed = project.load("1000002", env=env, bound=bounds.by_an_error(module, name, error))
    assert failed.exit_code == 1
    assert "Traceback" not in failed.stderr
    (line,) = [line for line in failed.stderr.splitlines() if "KeyError" in line]
    assert line.startswith("error: KeyError: 'hold_time of ")
    assert "goes on" not in line
    (file,) = (project.folder / ".dlt/data/errors").iterdir()
    assert str(file) in line
    assert str(file) in failed.summary["error"]
    assert file.stat().st_mode & 0o077 == 0
    kept = file.read_text()
    assert "Traceback" in kept
    assert "_raise" in kept
    assert password not in kept


@pytest.mark.parametrize("command", ["status", "check"])
def test_other_commands_keep_the_details_of_such_an_error_too(project: Project, api: Sandbox, command: str) -> None:
    bound = bounds.by_an_error(f"pipelines.commands.{command}", "Dataset", AttributeError("no such thing"))
    failed = project.run(command, bound=bound)
    assert failed.exit_code == 1
    (line,) = failed.stderr.splitlines()
    (file,) = (project.folder / ".dlt/data/errors").iterdir()
    assert line.startswith("error: AttributeError: no such thing")
    assert str(file) in line


def test_twice_quiet_is_quiet_of_all_loggers(project: Project, api: Sandbox) -> None:
    loud = project.load("1000001", "-v", bound=bounds.by_talkative_loggers)
    assert "Using selector" in loud.stderr
    for quiet in ("-q", "-qq"):
        assert project.load("1000001", quiet, bound=bounds.by_talkative_loggers).stderr == ""


def test_a_dry_run_ends_with_an_end_line_too(project: Project, api: Sandbox) -> None:
    planned = project.load("1000001", "--dry-run", "--log-format", "json")
    (end,) = [json.loads(line) for line in planned.stderr.splitlines()]
    assert (end["event"], end["exit_code"], end["to_fetch"]) == ("end", 0, 1)


# An error, and the one while which was dealt with it was raised.
TELLING = {
    "a system's error under a database's": (psycopg2.OperationalError("no route"), OSError(113, "")),
    "a closed connection under a real fault": (psycopg2.DataError("no route"), psycopg2.InterfaceError("closed")),
    "a real fault under a closed connection": (
        psycopg2.InterfaceError("connection already closed"),
        psycopg2.OperationalError("no route"),
    ),
    "a real fault under an aborted transaction": (
        psycopg2.InternalError("current transaction is aborted"),
        psycopg2.DataError("no route"),
    ),
    "what was dealt with before": (duckdb.IOException("no route"), Overtaken()),
}


@pytest.mark.parametrize("case", TELLING)
def test_of_all_causes_the_most_useful_one_is_named(case: str) -> None:
    error, before = TELLING[case]
    error.__context__ = before
    with pytest.raises(DestinationFailed, match="no route"), readable_errors("postgres"):
        raise error


def test_an_error_raised_from_none_hides_what_was_before_it() -> None:
    error = psycopg2.InterfaceError("connection already closed")
    error.__context__, error.__suppress_context__ = OSError("one address was tried"), True
    with pytest.raises(DestinationFailed, match="already closed"), readable_errors("postgres"):
        raise error
