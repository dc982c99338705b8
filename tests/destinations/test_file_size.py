"""The DuckDB file grows with the calls, not with the runs."""

from __future__ import annotations

from pathlib import Path

import duckdb

from sandbox import Sandbox
from tests.conftest import Project


def test_runs_of_a_few_calls_grow_the_file_by_the_calls(project: Project, api: Sandbox) -> None:
    api.configure(missing_share=0)
    file, first, runs = project.folder / "intercom_calls.duckdb", 0, 6
    for number in range(runs):
        ids = [str(1_000_001 + 5 * number + n) for n in range(5)]
        assert project.load(*ids).exit_code == 0
        first = first or file.stat().st_size
    # 0.78 MB a run, where the row groups of each package stay
    assert file.stat().st_size - first < 0.3 * (runs - 1) * 1_000_000
    assert project.query("SELECT count(*) FROM intercom.calls") == [(5 * runs,)]
    groups = "SELECT count(DISTINCT row_group_id) FROM pragma_storage_info('intercom.calls')"
    assert project.query(groups)[0][0] <= 2


def test_a_file_that_has_grown_is_rewritten_with_all_rows(project: Project, api: Sandbox) -> None:
    api.configure(missing_share=0)
    file = project.folder / "intercom_calls.duckdb"
    assert project.load("1000001").exit_code == 0
    _bloat(file)
    assert file.stat().st_size > 40_000_000
    file.chmod(0o640)
    grown = project.load("1000002")
    assert grown.exit_code == 0, grown.stderr
    assert file.stat().st_size < 10_000_000
    assert file.stat().st_mode & 0o777 == 0o640
    assert project.query("SELECT id FROM intercom.calls ORDER BY id") == [("1000001",), ("1000002",)]
    assert project.query("SELECT * FROM mine.seen") == [(2,)]
    assert sorted(path.name for path in project.folder.iterdir() if "compact" in path.name) == []
    assert project.load("1000003").exit_code == 0
    assert project.query("SELECT * FROM mine.seen") == [(3,)]


def _bloat(file: Path) -> None:
    """What a user has there, a view among it; and many free blocks before the last used one."""
    with duckdb.connect(str(file)) as connection:
        connection.execute("CREATE SCHEMA mine; CREATE VIEW mine.seen AS SELECT count(*) FROM intercom.calls")
        connection.execute("CREATE TABLE mine.filler AS SELECT random() AS a, random() AS b FROM range(3_000_000)")
        connection.execute("CHECKPOINT; CREATE TABLE mine.last AS SELECT 1 AS a; CHECKPOINT; DROP TABLE mine.filler")
