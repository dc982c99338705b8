"""Two loads into one dataset: the second leaves with 5 and has changed nothing; a lock dies with its holder."""

from __future__ import annotations

import signal

import pytest

from sandbox import Sandbox
from tests.conftest import Postgres, Project
from tests.support.processes import running, write_ids

# keeps the first load at it until the second has been seen to leave
UNTIL_TOLD = {"1000050": 503}
MARK = "another load is at work on"


def _has_asked(api: Sandbox, requests: int) -> bool:
    return bool(api.stats()["requests"] >= requests)


def test_a_second_load_into_a_duckdb_dataset_ends_with_5(project: Project, api: Sandbox) -> None:
    ids = write_ids(project, 1_000_001, 120)
    api.configure(missing_share=0, statuses=UNTIL_TOLD)
    link = project.folder / "link.duckdb"
    link.symlink_to(project.folder / "intercom_calls.duckdb")
    with running(project, "--ids", ids, "--chunk-size", "30") as first:
        first.wait_until(lambda: _has_asked(api, 40))
        for env in (
            {},
            {"DLT_DATA_DIR": "elsewhere"},  # another working folder
            {"DESTINATION__DUCKDB__CREDENTIALS": str(link)},  # another name of the file
        ):
            second = project.load("--ids", ids, "--refresh", "all", env=env)
            assert second.exit_code == 5
            assert second.summary["exit_code"] == 5
            assert second.summary["requests"] == second.summary["loaded"] == 0
            assert MARK in second.summary["error"]
            assert second.stderr.count(MARK) == 1
            assert "Traceback" not in second.stderr
        api.configure(statuses={})
        done = first.end()
    assert done.exit_code == 0, done.stderr
    assert done.summary["loaded"] == 120
    assert done.summary["requests"] == api.all_requests()
    assert project.query("SELECT count(*), count(DISTINCT id) FROM intercom.calls") == [(120, 120)]
    assert project.query("SELECT exit_code FROM intercom.load_runs") == [(0,)]


def test_a_second_load_into_a_postgres_dataset_ends_with_5_on_any_machine(
    project: Project, api: Sandbox, postgres: Postgres
) -> None:
    ids = write_ids(project, 1_000_001, 90)
    api.configure(missing_share=0, statuses=UNTIL_TOLD)
    load = ("--ids", ids, "--destination", "postgres")
    with running(project, *load, "--chunk-size", "30") as first:
        first.wait_until(lambda: _has_asked(api, 20))
        for env in ({}, {"DLT_DATA_DIR": "another machine"}):
            second = project.load(*load, "--refresh", "all", env=env)
            assert second.exit_code == 5
            assert MARK in second.summary["error"]
            assert "Traceback" not in second.stderr
        # the lock is waited for in no transaction: that would hold up VACUUM as long as the load takes
        assert postgres.query(
            "SELECT count(*) FROM pg_stat_activity a JOIN pg_locks l USING (pid) "
            "WHERE l.locktype = 'advisory' AND l.granted AND a.state = 'idle'"
        ) == [(1,)]
        other = project.load("--ids", ids, "--destination", "postgres", "--dataset", "other", "--limit", "1")
        assert other.exit_code == 0, other.stderr
        api.configure(statuses={})
        done = first.end()
    assert done.exit_code == 0, done.stderr
    assert postgres.query("SELECT count(*), count(DISTINCT id) FROM intercom.calls") == [(90, 90)]
    assert postgres.query("SELECT exit_code FROM intercom.load_runs") == [(0,)]
    assert postgres.query("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == [(0,)]


@pytest.mark.parametrize("destination", ["duckdb", "postgres"])
def test_a_lock_is_free_when_its_holder_was_killed(
    project: Project, api: Sandbox, postgres: Postgres, destination: str
) -> None:
    ids = write_ids(project, 1_000_001, 20)
    api.configure(missing_share=0, faults={"1000007": ["hang"]})
    load = ("--ids", ids, "--destination", destination)
    with running(project, *load) as first:
        first.wait_until(lambda: _has_asked(api, 20))
        first.kill()
    again = project.load(*load)
    assert again.exit_code == 0, again.stderr
    assert again.summary["loaded"] == 20


@pytest.mark.parametrize("destination", ["duckdb", "postgres"])
def test_a_load_that_may_wait_begins_when_the_other_has_ended_and_knows_what_it_loaded(
    project: Project, api: Sandbox, postgres: Postgres, destination: str
) -> None:
    ids = write_ids(project, 1_000_001, 60)
    api.configure(missing_share=0, statuses=UNTIL_TOLD)
    load = ("--ids", ids, "--destination", destination)
    with running(project, *load) as first:
        first.wait_until(lambda: _has_asked(api, 40))
        with running(project, *load, "--refresh", "new", "--wait", "60") as second:
            second.wait_until(lambda: MARK in second.said())
            assert "trying again for up to 60 s" in second.said()
            api.configure(statuses={})
            assert first.end().exit_code == 0
            waited = second.end()
    assert waited.exit_code == 0, waited.stderr
    assert (waited.summary["already_loaded"], waited.summary["loaded"]) == (60, 0)


def test_a_wait_for_another_load_ends_after_its_time_or_by_a_signal(project: Project, api: Sandbox) -> None:
    api.configure(missing_share=0, statuses=UNTIL_TOLD)
    with running(project, "1000050") as first:
        first.wait_until(lambda: _has_asked(api, 1))
        assert project.load("1", "--wait", "0.2").exit_code == 5
        with running(project, "1", "--wait", "60") as second:
            second.wait_until(lambda: MARK in second.said())
            second.send(signal.SIGTERM)
            stopped = second.end()
        assert (stopped.exit_code, stopped.summary["exit_code"], stopped.summary["requests"]) == (143, 143, 0)
