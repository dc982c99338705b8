"""Failures of the matrix once more, as loud as can be: the token is in no log, traceback, file or process list."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pytest

from sandbox import Sandbox
from tests.conftest import Project, Result
from tests.support import bounds
from tests.support.leaks import TOKEN, holds_token
from tests.support.processes import Running, running, write_ids

LOUD = ("-v", "-v")
SOON = {"RETRY_SECONDS": "0.5", "READ_TIMEOUT_SECONDS": "0.5", "LOCK_WAIT_SECONDS": "0.5"}
NO_DATABASE = {"DESTINATION__POSTGRES__CREDENTIALS": "postgresql://loader:x@127.0.0.1:9/calls"}


@contextmanager
def _process_list_watched(run: Running) -> Iterator[list[bytes]]:
    """What the process list showed of the run and what it started, for as long as it ran."""
    seen: set[bytes] = set()

    def watch() -> None:
        while run.process.poll() is None:
            time.sleep(0.01)
            for folder in Path("/proc").glob("[0-9]*"):
                try:
                    parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
                    if str(run.process.pid) in (folder.name, parent):
                        seen.add((folder / "cmdline").read_bytes())
                except OSError:  # it has ended
                    continue

    shown: list[bytes] = []
    watching = threading.Thread(target=watch)
    watching.start()
    yield shown
    watching.join()
    shown += seen


def _api_faults(*ranges: tuple[int, int | None, str]) -> Callable[[Project, Sandbox], None]:
    return lambda project, api: api.configure(fault_ranges=list(ranges), limit=1_000, window_seconds=1)


def _foreign_table(project: Project, api: Sandbox) -> None:
    with duckdb.connect(str(project.folder / "intercom_calls.duckdb")) as connection:
        connection.execute("CREATE SCHEMA intercom; CREATE TABLE intercom.calls (number INTEGER)")


def _in_the_way(project: Project, api: Sandbox) -> None:
    (project.folder / ".dlt").write_text("")


def _no_database(project: Project, api: Sandbox) -> None:
    (project.folder / "intercom_calls.duckdb").write_bytes(b"not a database " * 1000)


def _nothing(project: Project, api: Sandbox) -> None:
    pass


# What goes wrong, what else is in the environment and on the command line, the exit code.
Case = tuple[Callable[[Project, Sandbox], None], dict[str, str], tuple[str, ...], int]
FAILURES: dict[str, Case] = {
    "refused connections": (_nothing, {"SOURCES__INTERCOM__BASE_URL": "http://127.0.0.1:9"}, (), 1),
    "a name without address": (
        _nothing,
        {"SOURCES__INTERCOM__BASE_URL": "https://api.intercom.invalid", "NO_PROXY": "*", "no_proxy": "*"},
        (),
        1,
    ),
    "a bundle that is none": (
        _nothing,
        {"SOURCES__INTERCOM__BASE_URL": "https://127.0.0.1:9", "REQUESTS_CA_BUNDLE": "nowhere.pem"},
        (),
        2,
    ),
    **{
        kind: (_api_faults((1, None, fault)), {}, (), code)
        for kind, fault, code in (
            ("503 for ever", "status:503", 1),
            ("429 for ever", "status:429", 1),
            ("resets", "reset_mid", 1),
            ("hangs", "hang", 1),
            ("an HTML page", "html200", 1),
            ("broken gzip", "broken_gzip", 1),
            ("nested without end", "deep", 1),
            ("a refused token", "status:401", 4),
            ("a scope that lacks", "status:403", 4),
        )
    },
    "an API that dies": (_api_faults((11, None, "reset")), {}, (), 1),
    "a token refused in the middle": (_api_faults((11, None, "status:401")), {}, ("--workers", "1"), 4),
    "no DuckDB file": (_no_database, {}, (), 2),
    "somebody else's table": (_foreign_table, {}, (), 2),
    "no working folder": (_in_the_way, {}, (), 1),
    "no server": (_nothing, NO_DATABASE, ("--destination", "postgres"), 1),
    "no driver": (
        _nothing,
        {"DESTINATION__SNOWFLAKE__CREDENTIALS": "snowflake://user:x@account/db"},
        ("--destination", "snowflake"),
        2,
    ),
    "a bad list": (_nothing, {}, ("a b",), 2),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_no_failure_shows_the_token_even_at_the_highest_log_level(project: Project, api: Sandbox, failure: str) -> None:
    """The files and what was printed are searched as the test ends, by `project`."""
    prepare, env, arguments, code = FAILURES[failure]
    prepare(project, api)
    project.env |= {f"SOURCES__INTERCOM__{name}": value for name, value in SOON.items()} | env
    result = _watched(project, *arguments)
    assert result.exit_code == code, result.stderr
    if failure != "no working folder":
        kept = [file.read_text() for file in (project.folder / ".dlt/data/errors").iterdir()]
        assert any("Traceback" in text for text in kept)  # it is as loud as that


@pytest.mark.long
def test_neither_a_full_disk_nor_a_held_file_nor_another_load_nor_a_signal_does(project: Project, api: Sandbox) -> None:
    api.configure(latency_seconds=0.05)
    project.env |= {f"SOURCES__INTERCOM__{name}": value for name, value in SOON.items()}
    ids = write_ids(project, 1_000_001, 20)
    full = project.load(*LOUD, "--ids", ids, bound=bounds.by_size_of_files(30_000))
    assert full.exit_code == 1, full.stderr
    with duckdb.connect(str(project.folder / "intercom_calls.duckdb")):
        assert _watched(project).exit_code == 1
    for number, code in ((signal.SIGTERM, 143), (signal.SIGKILL, 137)):
        api.reset(limit=None, latency_seconds=0.05)
        ids = write_ids(project, 1_000_001, 2_000)
        slow = ("--refresh", "all", "--strategy", "by-id", "--workers", "1")
        with running(project, *LOUD, "--ids", ids, *slow) as run:
            run.wait_until(lambda: api.stats()["requests"] >= 20)
            if number == signal.SIGTERM:
                assert _watched(project).exit_code == 5
            run.send(number)
            assert run.end().exit_code == code


def _watched(project: Project, *arguments: str) -> Result:
    ids = write_ids(project, 1_000_001, 20)
    with running(project, *LOUD, "--ids", ids, *arguments, plain=True) as run, _process_list_watched(run) as shown:
        result = run.end()
    assert any(b"load" in line for line in shown)
    assert not any(holds_token(line) for line in shown)
    assert TOKEN in project.environment().values()
    return result
