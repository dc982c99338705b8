"""What can't be loaded into is refused before anything is requested: exit 2, one line, the fix; by each command."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from sandbox import Sandbox
from tests.conftest import Project, Result

FILE = "calls.duckdb"


def refused(project: Project, api: Sandbox, *options: str, also: tuple[str, ...] = ("check", "status")) -> list[str]:
    """Run `load`, which must request nothing, and the other commands; what each said of it, without its beginning."""
    before = api.stats()["requests"]
    loaded = project.load("1000001", *options)
    assert api.stats()["requests"] == before
    told = [_one_line(loaded)]
    assert loaded.summary["error"] in told[0]
    told += [_one_line(project.run(command, *options)) for command in also]
    return told


def _one_line(result: Result) -> str:
    assert result.exit_code == 2, result.stdout + result.stderr
    said = result.stderr + "".join(line for line in result.stdout.splitlines(True) if line.startswith("wrong"))
    assert "Traceback" not in said
    lines = [line for line in said.splitlines() if line.startswith(("error: ", "wrong"))]
    assert len(lines) == 1, said
    return lines[0]


def _sqlite(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE calls (id TEXT)")
    connection.close()


# What is where the DuckDB file should be, and what is said of it.
FILES: dict[str, tuple[Callable[[Path], object], list[str]]] = {
    "a folder": (Path.mkdir, ["is a folder", f"{FILE}/intercom_calls.duckdb"]),
    "an empty file": (Path.touch, ["is empty (0 bytes)", "remove it"]),
    "a short text": (lambda path: path.write_text("id\n1"), ["is not a valid DuckDB database file"]),
    "a text": (lambda path: path.write_text("id,name\n" * 5000), ["is not a valid DuckDB database file"]),
    "SQLite's": (_sqlite, ["is a SQLite database"]),
    "a pipe": (os.mkfifo, ["is no regular file"]),
}


@pytest.mark.parametrize("kind", FILES)
def test_what_is_no_duckdb_file_is_refused_and_left_as_it_is(kind: str, project: Project, api: Sandbox) -> None:
    make, words = FILES[kind]
    path = project.folder / FILE
    make(path)
    content = path.read_bytes() if path.is_file() else None
    project.env["DESTINATION__DUCKDB__CREDENTIALS"] = FILE
    for told in refused(project, api):
        for word in (*words, FILE, "DESTINATION__DUCKDB__CREDENTIALS"):
            assert word in told
        assert "extension" not in told
    assert (path.read_bytes() if path.is_file() else None) == content


# The setting, or the options, that name no place; and what is said of it.
PLACES: dict[str, tuple[str, list[str], list[str]]] = {
    "in memory": (":memory:", [], [":memory: is a database in memory", "DESTINATION__DUCKDB__CREDENTIALS"]),
    "of a pipeline": (":pipeline:", [], [":pipeline: is no file", "DESTINATION__DUCKDB__CREDENTIALS"]),
    "an unset variable": (FILE, ["--dataset", ""], ["--dataset ''", "unset variable"]),
    "another spelling": (FILE, ["--dataset", "My Calls"], ["write it as my_calls"]),
    "the file's name": (FILE, ["--dataset", "calls"], ["can't tell the two apart", "rename"]),
    "files": (FILE, ["--destination", "filesystem"], ["can't load into files yet", "duckdb or postgres"]),
}


@pytest.mark.parametrize("kind", PLACES)
def test_what_names_no_place_is_refused(kind: str, project: Project, api: Sandbox) -> None:
    credentials, options, words = PLACES[kind]
    project.env["DESTINATION__DUCKDB__CREDENTIALS"] = credentials
    project.env["DESTINATION__FILESYSTEM__BUCKET_URL"] = "bucket"
    for told in refused(project, api, *options):
        for word in words:
            assert word in told
    assert not [path for path in project.folder.iterdir() if path.name != ".dlt"]


def test_a_folder_that_is_not_there_is_refused_by_what_writes(project: Project, api: Sandbox) -> None:
    project.env["DESTINATION__DUCKDB__CREDENTIALS"] = f"missing/{FILE}"
    for told in refused(project, api):
        assert "missing can't be written: No such file or directory; make that folder" in told


# A setting of a later version, by its section's content or a variable, and what is said of it.
NOT_BUILT: dict[str, tuple[str, str, str]] = {
    "config.toml": ("[sources.intercom.privacy]\ndrop = ['phone']", "", "privacy in [sources.intercom]"),
    "secrets.toml": ("[sources.intercom.privacy]\nhash_key = 'sixteen letters and more'", "", "privacy in"),
    "environment": ("", "SOURCES__INTERCOM__PRIVACY__DROP", "SOURCES__INTERCOM__PRIVACY__DROP"),
    "history": ("[sources.intercom]\nhistory = true", "", "history in [sources.intercom]"),
    "history, environment": ("", "SOURCES__INTERCOM__HISTORY", "history in [sources.intercom]"),
}


@pytest.mark.parametrize("kind", NOT_BUILT)
def test_a_setting_without_effect_is_refused(kind: str, project: Project, api: Sandbox) -> None:
    content, variable, words = NOT_BUILT[kind]
    if content:
        (project.folder / ".dlt").mkdir()
        name = "secrets.toml" if kind == "secrets.toml" else "config.toml"
        (project.folder / ".dlt" / name).write_text(content)
    else:
        project.env[variable] = "true"
    for told in refused(project, api, also=("check",)):
        assert words in told
        assert "remove the setting" in told
        assert "sixteen letters" not in told


def test_a_setting_that_is_off_is_no_fault(project: Project, api: Sandbox) -> None:
    (project.folder / ".dlt").mkdir()
    (project.folder / ".dlt/config.toml").write_text("[sources.intercom]\nhistory = false\n")
    assert project.load("1000001").exit_code == 0
