"""Files and folders that can't be written or are of another version are reported and not changed; a load continues."""

from __future__ import annotations

import hashlib
import re
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import duckdb
import pytest

from sandbox import Sandbox
from tests.conftest import Postgres, Project, Result
from tests.support import bounds
from tests.support.leaks import files_below
from tests.support.processes import has_file, running, write_ids

ROOT = Path(__file__).resolve().parents[2]


@cache
def _heeds_rights(folder: Path) -> bool:
    folder.chmod(0o500)
    tried = subprocess.run(
        ["touch", folder / "file"], check=False, capture_output=True, preexec_fn=bounds.by_rights_of_files
    )
    return tried.returncode != 0


@pytest.fixture
def heeded(tmp_path: Path) -> None:
    """Rights of files mean something here."""
    folder = tmp_path / "tried"
    folder.mkdir()
    if not _heeds_rights(folder):
        pytest.skip("this user writes wherever it likes, and can't give up that right")


@contextmanager
def _rights(path: Path, mode: int) -> Iterator[None]:
    before = path.stat().st_mode
    path.chmod(mode)
    try:
        yield
    finally:
        path.chmod(before)


def _told(result: Result, *words: str, exit_code: int = 1) -> None:
    """One line that has these words."""
    assert result.exit_code == exit_code, result.stderr
    assert "Traceback" not in result.stderr
    assert result.stderr.count("error: ") == 1
    for word in words:
        assert word in result.summary["error"]


def _contents(folder: Path) -> dict[str, str]:
    return {str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in files_below(folder)}


def _with_version(file: Path, version: int) -> None:
    """Give a DuckDB file another storage version: bytes 12 to 20, and the checksum of the header before them."""
    content = bytearray(file.read_bytes())
    content[12:20] = struct.pack("<Q", version)
    checksum = 5381
    for (word,) in struct.iter_unpack("<Q", content[8:4096]):
        checksum ^= word * 0xBF58476D1CE4E5B9 & (2**64 - 1)
    content[:8] = struct.pack("<Q", checksum)
    file.write_bytes(content)


def test_a_file_of_a_newer_duckdb_is_reported_with_the_fix_and_not_changed(project: Project, api: Sandbox) -> None:
    file = project.folder / "intercom_calls.duckdb"
    with duckdb.connect(str(file)) as connection:
        connection.execute("CREATE TABLE other AS SELECT 1 AS number")
    newer = struct.unpack("<Q", file.read_bytes()[12:20])[0] + 100
    _with_version(file, newer)
    before = hashlib.sha256(file.read_bytes()).digest()
    mends = (f"version number {newer}", "pip install --upgrade duckdb", "DESTINATION__DUCKDB")
    _told(project.load("1000001"), *mends, exit_code=2)
    for command in ("check", "status"):
        told = project.run(command)
        assert told.exit_code == 2
        assert f"version number {newer}" in told.stdout + told.stderr
    assert hashlib.sha256(file.read_bytes()).digest() == before
    assert api.stats()["by_id"] == {"0": 1}  # by `check`
    _with_version(file, newer - 100)
    assert project.load("1000001").exit_code == 0
    assert project.query("SELECT number FROM other") == [(1,)]


# What can't be written: its path, and its mode.
LOCKED = {
    "the project folder": (".", 0o500),
    "the working folder": (".dlt/data", 0o500),
    "a folder in the working folder": (".dlt/data/pipelines", 0o500),
    "the working folder, read": (".dlt/data", 0o000),
    "the database, written": ("intercom_calls.duckdb", 0o400),
    "the database, read": ("intercom_calls.duckdb", 0o000),
}


@pytest.mark.usefixtures("heeded")
@pytest.mark.parametrize("place", LOCKED)
def test_what_a_first_load_may_not_write_is_reported_before_any_request(
    project: Project, api: Sandbox, place: str
) -> None:
    path, mode = project.folder / LOCKED[place][0], LOCKED[place][1]
    if path.suffix == ".duckdb":
        duckdb.connect(str(path)).close()
    else:
        path.mkdir(parents=True, exist_ok=True)
    before = _contents(project.folder)
    with _rights(path, mode):
        refused = project.load("1000001", bound=bounds.by_rights_of_files)
        exit_code = 1 if ".dlt" in str(path) else 2  # the working folder is no part of the destination
        _told(refused, "Permission denied", "needs the right", path.name, exit_code=exit_code)
    after = _contents(project.folder)
    assert {file: after[file] for file in before} == before
    assert not [file for file in after.keys() - before.keys() if ".dlt" not in file and not file.endswith(".lock")]
    assert api.stats()["requests"] == 0
    done = project.load("1000001")
    assert done.exit_code == 0, done.stderr


@pytest.mark.usefixtures("heeded")
@pytest.mark.parametrize("place", ["", ".dlt/data/pipelines/*/normalize", "intercom_calls.duckdb"])
def test_a_right_that_is_lost_between_two_loads_is_reported_and_not_waited_for(
    project: Project, api: Sandbox, place: str
) -> None:
    """DuckDB's log beside the database, dlt's working folder, the database: `retry_seconds` is for what may pass."""
    assert project.load("1000001").exit_code == 0
    (path,) = project.folder.glob(place) if place else [project.folder]
    env = {"SOURCES__INTERCOM__RETRY_SECONDS": "10000"}
    with _rights(path, 0o400 if path.is_file() else 0o500):
        refused = project.load("1000002", bound=bounds.by_rights_of_files, env=env)
        _told(refused, "Permission denied", "needs the right", exit_code=1 if ".dlt" in place else 2)
    assert project.query("SELECT id FROM intercom.calls") == [("1000001",)]
    done = project.load("1000002")
    assert done.exit_code == 0, done.stderr
    assert project.query("SELECT count(*) FROM intercom.calls") == [(2,)]


def test_a_working_folder_that_is_deleted_during_a_load_loses_nothing(project: Project, api: Sandbox) -> None:
    ids = write_ids(project, 1_000_001, 120)
    api.configure(missing_share=0, latency_seconds=0.05)
    load = ("--ids", ids, "--chunk-size", "10", "--workers", "4")
    with running(project, *load) as run:
        run.wait_until(lambda: api.stats()["requests"] >= 50)
        shutil.rmtree(project.folder / ".dlt", ignore_errors=True)
        done = run.end()
    assert "Traceback" not in done.stderr
    if done.exit_code != 0:
        _told(done)
        done = project.load(*load)
    assert done.exit_code == 0, done.stderr
    assert project.query("SELECT count(*), count(DISTINCT id) FROM intercom.calls") == [(120, 120)]


def test_a_working_folder_that_is_full_is_exit_1_and_the_same_command_completes(
    project: Project, api: Sandbox, postgres: Postgres
) -> None:
    """A limit on the size of files stands in for the disk; PostgreSQL, another process, is not under it."""
    ids = write_ids(project, 1_000_001, 200)
    api.configure(missing_share=0)
    load = ("--ids", ids, "--destination", "postgres")
    full = bounds.by_size_of_files(10_000)
    _told(project.load(*load, bound=full, env={"SOURCES__INTERCOM__RETRY_SECONDS": "1"}), "File too large")
    done = project.load(*load)
    assert done.exit_code == 0, done.stderr
    assert postgres.query("SELECT count(*), count(DISTINCT id) FROM intercom.calls") == [(200, 200)]


@dataclass
class _OlderProject(Project):
    """The command as it was before it knew of `NEW_FIELDS`."""

    older: Path = Path()

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-c", "from pipelines.intercom_calls import main; main()", *arguments]

    def environment(self, **changes: str) -> dict[str, str]:
        return super().environment(PYTHONPATH=str(self.older), **changes)


NEW_FIELDS = ("fin_transcription_url", "hold_time")


@pytest.fixture
def older(project: Project, tmp_path: Path) -> _OlderProject:
    folder = tmp_path / "older"
    for package in ("sources", "pipelines"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    calls = folder / "sources/intercom/rows/calls.py"
    text = calls.read_text()
    for field in NEW_FIELDS:
        assert text.count(f'"{field}"') == 1
        text = re.sub(rf'\n    "{field}": .*|, "{field}"', "", text)
    calls.write_text(text)
    descriptions = folder / "sources/intercom/descriptions.py"
    text = descriptions.read_text()
    for field in NEW_FIELDS:
        text, removed = re.subn(rf'    "{field}": .*\n', "", text)
        assert removed == 1
    descriptions.write_text(text)
    return _OlderProject(project.folder, project.env, project.results, older=folder)


def test_a_load_continues_with_the_working_folder_and_tables_of_an_older_version(
    project: Project, older: _OlderProject, api: Sandbox
) -> None:
    """The older one was killed as it loaded its second chunk; its package is finished, its tables get their columns."""
    ids = write_ids(project, 1_000_001, 60)
    api.configure(missing_share=0, latency_seconds=0.02)
    load = ("--ids", ids, "--chunk-size", "10", "--workers", "4")
    with running(older, *load) as run:
        run.wait_until(lambda: api.stats()["requests"] >= 30)
        run.wait_until(has_file(project, "load/normalized/*/started_jobs/calls.*"), every_seconds=0.001)
        run.kill()
    loaded = project.query("SELECT count(*) FROM intercom.calls")
    assert not {*NEW_FIELDS} & _columns(project)
    assert (project.folder / ".dlt/data/pipelines").exists()

    bodies = {"new": {"type": "call", "id": "new", "hold_time": 7, "fin_transcription_url": "https://t"}}
    api.configure(bodies=bodies)
    done = project.load(*load, "new")
    assert done.exit_code == 0, done.stderr
    assert "an interrupted load left a package behind" in done.stderr
    assert loaded < project.query("SELECT count(*) FROM intercom.calls") == [(61,)]
    assert {*NEW_FIELDS} <= _columns(project)
    assert project.query("SELECT hold_time, fin_transcription_url FROM intercom.calls WHERE id = 'new'") == [
        (7, "https://t")
    ]
    assert project.query("SELECT count(DISTINCT id) FROM intercom.calls") == [(61,)]


def _columns(project: Project) -> set[str]:
    return {name for (name,) in project.query("SELECT column_name FROM duckdb_columns() WHERE table_name = 'calls'")}
