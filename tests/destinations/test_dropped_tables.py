"""Tables, columns, schemas, the file, an older backup: whatever was dropped or put back, the next load is whole."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import psycopg2
import pytest

from sandbox import Sandbox
from tests.conftest import Postgres, Project, Result
from tests.support.processes import has_file, running, write_ids

TABLES = ("calls", "call_errors", "load_runs", "_dlt_loads", "_dlt_version")
STAGING_TABLES = ("calls", "call_errors", "load_runs", "_dlt_version")
DROPS = [
    *(f"DROP TABLE intercom.{table}" for table in TABLES),
    *(f"DROP TABLE intercom_staging.{table}" for table in STAGING_TABLES),
    "DROP TABLE intercom.calls; DROP TABLE intercom._dlt_version",
    "DROP TABLE intercom._dlt_version; DROP TABLE intercom._dlt_loads; DROP TABLE intercom.load_runs",
    "DROP TABLE intercom.calls; DROP SCHEMA intercom_staging CASCADE",
    "DROP SCHEMA intercom CASCADE",
    "DROP SCHEMA intercom_staging CASCADE",
    "DROP TABLE intercom_staging.calls; DROP SCHEMA intercom CASCADE; DROP SCHEMA intercom_staging CASCADE",
    "ALTER TABLE intercom.calls DROP COLUMN _fetched_at",
    "ALTER TABLE intercom.calls DROP COLUMN phone; DROP TABLE intercom._dlt_version",
    "ALTER TABLE intercom_staging.calls DROP COLUMN phone",
    "ALTER TABLE intercom.load_runs DROP COLUMN seconds",
    "ALTER TABLE intercom.calls DROP COLUMN _dlt_load_id",
]
# one of each kind, for every day
FEW_DROPS = [DROPS[0], DROPS[5], *DROPS[11:16], DROPS[-1]]


def _ask_duckdb(project: Project) -> Callable[[str], list[tuple[Any, ...]]]:
    def ask(sql: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(project.folder / "intercom_calls.duckdb")) as connection:
            for statement in sql.split("; "):
                rows = connection.execute(statement).fetchall()
            return rows

    return ask


def _ask_postgres(postgres: Postgres) -> Callable[[str], list[tuple[Any, ...]]]:
    def ask(sql: str) -> list[tuple[Any, ...]]:
        connection = psycopg2.connect(host=postgres.socket_folder, user="postgres", dbname=postgres.database)
        connection.autocommit = True
        try:
            with connection.cursor() as cursor:
                cursor.execute(sql)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    return ask


def _is_whole(result: Result, ask: Callable[[str], list[tuple[Any, ...]]], ids: range) -> None:
    assert result.exit_code == 0, result.stderr
    assert "Traceback" not in result.stderr
    listed = ", ".join(f"'{call_id}'" for call_id in ids)
    count = f"SELECT count(*), count(DISTINCT id) FROM intercom.calls WHERE id IN ({listed})"
    assert ask(count) == [(len(ids),) * 2]
    assert ask("SELECT count(*) > 0 FROM intercom.load_runs") == [(True,)]


EVERY_DAY_AND_LONG = pytest.mark.parametrize(
    ("destination", "drops"),
    [
        pytest.param("duckdb", FEW_DROPS, id="duckdb, some"),
        pytest.param("duckdb", DROPS, marks=pytest.mark.long, id="duckdb"),
        pytest.param("postgres", DROPS, marks=pytest.mark.long, id="postgres"),
    ],
)


@EVERY_DAY_AND_LONG
def test_what_was_dropped_is_created_again_by_the_next_load(
    destination: str, drops: list[str], project: Project, api: Sandbox, request: pytest.FixtureRequest
) -> None:
    api.configure(missing_share=0)
    ask = _ask_postgres(request.getfixturevalue("postgres")) if destination == "postgres" else _ask_duckdb(project)
    ask("CREATE SCHEMA intercom")
    first = project.load("1000001", "1000002", "--destination", destination)
    _is_whole(first, ask, range(1000001, 1000003))
    assert "created what was missing" not in first.stderr
    for number, drop in enumerate(drops):
        ask(drop)
        if number % 3 == 0:  # dlt's own knowledge is gone too, so that only the destination's is left
            shutil.rmtree(project.folder / ".dlt")
        given = range(1000001, 1000004 + number)
        loaded = project.load(*map(str, given), "--refresh", "new", "--destination", destination)
        _is_whole(loaded, ask, given)
        if "SCHEMA" not in drop:
            assert "created what was missing: " in loaded.stderr


def _leave_waiting(project: Project, ids: str, destination: str) -> None:
    """Kill a load while its package is being loaded."""
    with running(project, "--ids", ids, "--destination", destination, "--refresh", "all") as run:
        run.wait_until(has_file(project, "load/normalized/*/started_jobs/*"), every_seconds=0.001)
        run.kill()
    assert has_file(project, "load/normalized/*/*_jobs/*")()


@EVERY_DAY_AND_LONG
def test_a_waiting_package_is_loaded_into_the_tables_that_were_created_again(
    destination: str, drops: list[str], project: Project, api: Sandbox, request: pytest.FixtureRequest
) -> None:
    api.configure(missing_share=0)
    ask = _ask_postgres(request.getfixturevalue("postgres")) if destination == "postgres" else _ask_duckdb(project)
    ids, given = write_ids(project, 1_000_001, 30), range(1_000_001, 1_000_031)
    assert project.load("1000001", "--destination", destination).exit_code == 0
    for drop in drops[:: 1 if drops is DROPS else 3]:
        _leave_waiting(project, ids, destination)
        ask(drop)
        loaded = project.load("--ids", ids, "--refresh", "new", "--destination", destination)
        _is_whole(loaded, ask, given)
        assert not has_file(project, "load/normalized/*/*_jobs/*")()


def test_a_waiting_package_is_loaded_into_a_file_that_was_deleted_or_replaced_by_a_backup(
    project: Project, api: Sandbox, tmp_path: Path
) -> None:
    api.configure(missing_share=0)
    file, backup, ask = project.folder / "intercom_calls.duckdb", tmp_path / "backup.duckdb", _ask_duckdb(project)
    ids, given = write_ids(project, 1_000_001, 30), range(1_000_001, 1_000_031)
    assert project.load("1000001").exit_code == 0
    shutil.copy(file, backup)
    _leave_waiting(project, ids, "duckdb")
    file.unlink()
    Path(f"{file}.wal").unlink(missing_ok=True)
    _is_whole(project.load("--ids", ids), ask, given)
    _leave_waiting(project, ids, "duckdb")
    Path(f"{file}.wal").unlink(missing_ok=True)
    shutil.copy(backup, file)
    _is_whole(project.load("--ids", ids), ask, given)
    # copied elsewhere, with the working folder of the first: another database, and another working folder
    other = project.folder / "copied.duckdb"
    shutil.copy(file, other)
    with duckdb.connect(str(other)) as connection:
        connection.execute("DROP TABLE intercom.calls")
    env = {"DESTINATION__DUCKDB__CREDENTIALS": str(other)}
    copied = project.load("--ids", ids, env=env)
    assert copied.exit_code == 0, copied.stderr
    with duckdb.connect(str(other)) as connection:
        assert connection.execute("SELECT count(*) FROM intercom.calls").fetchall() == [(30,)]


def test_a_waiting_package_is_set_aside_if_a_later_load_has_run(project: Project, api: Sandbox, tmp_path: Path) -> None:
    """The other load's answers are newer."""
    api.configure(missing_share=0)
    ids, ask = write_ids(project, 1_000_001, 30), _ask_duckdb(project)
    assert project.load("1000001").exit_code == 0
    _leave_waiting(project, ids, "duckdb")
    api.configure(bodies={"1000002": {"type": "call", "id": "1000002", "updated_at": 4_000_000_000, "phone": "+1"}})
    elsewhere = {"DLT_DATA_DIR": str(tmp_path / "elsewhere")}
    assert project.load("1000002", "--refresh", "all", env=elsewhere).exit_code == 0
    later = project.load("--ids", ids, "--refresh", "new")
    _is_whole(later, ask, range(1_000_001, 1_000_031))
    assert ask("SELECT phone FROM intercom.calls WHERE id = '1000002'") == [("+1",)]
    [kept] = (project.folder / ".dlt/data/set_aside").glob("*/*")
    assert str(kept) in later.stderr
    assert "another load came after it" in later.stderr
    assert list(kept.glob("*_jobs/calls.*"))


def test_a_package_that_can_not_be_loaded_is_set_aside_and_its_calls_are_fetched_again(
    project: Project, api: Sandbox
) -> None:
    api.configure(missing_share=0)
    ids = write_ids(project, 1_000_001, 30)
    assert project.load("1000001").exit_code == 0
    _leave_waiting(project, ids, "duckdb")
    for file in project.folder.glob(".dlt/data/pipelines/*/load/normalized/*/*_jobs/calls.*"):
        file.write_bytes(b"half of it was never written")
    done = project.load("--ids", ids)
    _is_whole(done, _ask_duckdb(project), range(1_000_001, 1_000_031))
    [kept] = (project.folder / ".dlt/data/set_aside").glob("*/*")
    assert str(kept) in done.stderr
    assert "its calls are planned again" in done.stderr
