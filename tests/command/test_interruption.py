"""Ctrl-C, SIGTERM and SIGHUP: what was received is loaded, the exit code shows it, the same command continues."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import duckdb
import pytest

from sandbox import Sandbox
from tests.conftest import Postgres, Project, Result
from tests.support.processes import has_file, running, write_ids

CODES = [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]


def _is_clean(result: Result) -> bool:
    return "Traceback" not in result.stderr and "Aborted" not in result.stderr


def _has_asked(api: Sandbox, requests: int) -> bool:
    return bool(api.stats()["requests"] >= requests)


def _loaded(project: Project) -> list[tuple[int, int]]:
    return project.query("SELECT count(*), count(DISTINCT id) FROM intercom.calls")


@pytest.mark.parametrize(("number", "code"), CODES)
def test_a_signal_while_fetching_loads_what_was_received_and_the_same_command_continues(
    project: Project, api: Sandbox, number: signal.Signals, code: int
) -> None:
    ids = write_ids(project, 1_000_001, 200)
    api.configure(missing_share=0, fault_ranges=[(121, None, "hang")])
    with running(project, "--ids", ids, "--workers", "8") as run:
        run.wait_until(lambda: _has_asked(api, 128))  # all eight hang, so all answers before have been read
        run.send(number)
        stopped = run.end()
    assert stopped.exit_code == code
    assert _is_clean(stopped)
    assert "the same command goes on" in stopped.stderr
    summary = stopped.summary
    assert (summary["exit_code"], summary["loaded"], summary["not_reached"]) == (code, 120, 80)
    assert (summary["failed"], summary["missing"], summary["requested"]) == (0, 0, 200)
    assert _loaded(project) == [(120, 120)]
    assert project.query("SELECT count(*) FROM intercom.call_errors") == [(0,)]
    assert project.query("SELECT exit_code, loaded, finished_at IS NOT NULL FROM intercom.load_runs") == [
        (code, 120, True)
    ]
    api.reset(limit=None, missing_share=0)
    again = project.load("--ids", ids, "--refresh", "new")
    assert again.exit_code == 0, again.stderr
    assert (again.summary["already_loaded"], again.summary["loaded"], again.summary["requests"]) == (
        120,
        80,
        81,
    )
    assert _loaded(project) == [(200, 200)]


def test_a_signal_while_loading_finishes_the_chunk_and_the_same_command_continues(
    project: Project, api: Sandbox
) -> None:
    ids = write_ids(project, 1_000_001, 400)
    api.configure(missing_share=0, latency_seconds=0.01)
    with running(project, "--ids", ids, "--chunk-size", "20") as run:
        run.wait_until(has_file(project, "load/normalized/*/started_jobs/calls.*"), every_seconds=0.002)
        run.send(signal.SIGTERM)
        stopped = run.end()
    assert stopped.exit_code == 143
    assert _is_clean(stopped)
    # what had been fetched is loaded, which is no more than two chunks ahead
    loaded = stopped.summary["loaded"]
    assert 20 <= loaded <= 60
    assert stopped.summary["not_reached"] == 400 - loaded
    assert _loaded(project) == [(loaded, loaded)]
    again = project.load("--ids", ids, "--refresh", "new")
    assert again.exit_code == 0, again.stderr
    assert again.summary["already_loaded"] == loaded
    assert _loaded(project) == [(400, 400)]


@contextmanager
def _read_from_a_pipe(project: Project) -> Iterator[list[str]]:
    os.mkfifo(project.folder / "ids.txt")
    yield ["--ids", "ids.txt"]


@contextmanager
def _queried_from_duckdb(project: Project) -> Iterator[list[str]]:
    """DuckDB waits for the pipe in C, where no handler of a signal runs."""
    os.mkfifo(project.folder / "ids.txt")
    yield ["--ids-sql", "SELECT * FROM read_csv('ids.txt')", "--ids-db", "duckdb://"]


@contextmanager
def _downloaded(project: Project) -> Iterator[list[str]]:
    os.mkfifo(project.folder / "ids.txt")

    def answer() -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n1000001\n")
            with (project.folder / "ids.txt").open("rb"):  # until the test lets go of it
                connection.recv(65536)

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=answer, daemon=True).start()
        yield ["--ids", f"http://127.0.0.1:{server.getsockname()[1]}/ids.txt"]


@pytest.mark.parametrize(
    ("listed", "number", "code"),
    [
        (_read_from_a_pipe, signal.SIGINT, 130),
        (_read_from_a_pipe, signal.SIGTERM, 143),
        (_queried_from_duckdb, signal.SIGINT, 130),
        (_downloaded, signal.SIGHUP, 129),
    ],
)
def test_a_signal_while_the_list_is_read_ends_the_run_there_with_its_summary(
    project: Project,
    api: Sandbox,
    listed: Callable[[Project], AbstractContextManager[list[str]]],
    number: signal.Signals,
    code: int,
) -> None:
    (folder := project.folder / "temporary").mkdir()
    with (
        listed(project) as options,
        running(project, *options, env={"TMPDIR": str(folder)}, plain=True) as run,
        (project.folder / "ids.txt").open("w"),  # opens when it is read
    ):
        run.send(number)
        stopped = run.end()
    summary = stopped.summary
    assert (stopped.exit_code, summary["exit_code"], summary["error"]) == (code, code, f"stopped by {number.name}")
    assert (summary["requested"], summary["requests"], summary["loaded"]) == (0, 0, 0)
    assert stopped.stderr == f"error: stopped by {number.name}\n"
    assert list(folder.iterdir()) == []
    assert api.stats()["requests"] == 0


def test_a_signal_while_ids_are_queried_ends_the_run(project: Project, postgres: Postgres) -> None:
    query = "SELECT pg_sleep(600)::text"
    with running(project, "--ids-sql", query, "--destination", "postgres") as run:
        run.wait_until(lambda: postgres.query("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"))
        run.send(signal.SIGTERM)
        stopped = run.end(seconds=30)
    assert (stopped.exit_code, stopped.summary["exit_code"]) == (143, 143)
    assert _is_clean(stopped)


def test_a_second_signal_ends_the_run_at_once(project: Project, api: Sandbox) -> None:
    """The first leaves it loading, which another program's lock on the file makes last."""
    project.load("1000001")
    with duckdb.connect(str(project.folder / "intercom_calls.duckdb")), running(project, "1000002") as run:
        run.wait_until(lambda: "Could not set lock" in run.said())
        run.send(signal.SIGINT)
        run.send(signal.SIGTERM)
        # by its own handler or by the system, whichever of the two comes first to the main thread
        assert run.process.wait(timeout=30) in (-signal.SIGTERM, 143, 130)


@pytest.mark.parametrize(
    "settings",
    [
        {"limit": 12, "window_seconds": 60, "fault_ranges": [(11, None, "status:429")]},
        {"fault_ranges": [(11, None, "status:503")]},
        {"fault_ranges": [(11, None, "bare:429")]},
    ],
    ids=["in a rate-limit window", "in a back-off", "in a pause"],
)
def test_a_signal_while_waiting_ends_the_wait(project: Project, api: Sandbox, settings: dict[str, object]) -> None:
    ids = write_ids(project, 1_000_001, 30)
    api.configure(missing_share=0, **settings)
    with running(project, "--ids", ids) as run:
        run.wait_until(lambda: _has_asked(api, 11) or len(api.log()) >= 10)
        time.sleep(1.0)
        run.send(signal.SIGTERM)
        sent_at = time.monotonic()
        stopped = run.end()
        # generous for a busy machine, and far below the window's minute or the 300 seconds of retrying
        assert time.monotonic() - sent_at < 20
    assert stopped.exit_code == 143
    assert _is_clean(stopped)
    assert (stopped.summary["loaded"], stopped.summary["not_reached"]) == (10, 20)


def test_a_signal_while_another_program_holds_the_file_ends_the_wait(project: Project, api: Sandbox) -> None:
    assert project.load("1000001").exit_code == 0
    with duckdb.connect(str(project.folder / "intercom_calls.duckdb")), running(project, "1000002") as run:
        run.wait_until(lambda: "Could not set lock" in run.said())
        run.send(signal.SIGTERM)
        stopped = run.end()
    assert stopped.exit_code == 143
    assert stopped.summary["exit_code"] == 143
    assert _is_clean(stopped)
    again = project.load("1000002")
    assert again.exit_code == 0, again.stderr
    assert _loaded(project) == [(2, 2)]
