"""Bad input: exit 2, one line that names place and fix, no request, no file left; and how to skip bad ids."""

from __future__ import annotations

import gzip
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from sandbox import Sandbox
from tests.conftest import Postgres, Project

# Every list that a test reads: name and content.
LISTS: dict[str, str | bytes] = {
    "spaces.txt": "1\n2\n3 4\n",
    "many.txt": "1\n" + "a b\n" * 10,
    "url.txt": "https://app.intercom.com/calls/7\n",
    "dots.txt": "..\n",
    "long.txt": "x" * 129,
    "nul.txt": b"1\n2\x003\n",
    "latin1.csv": "call_id\nM\xfcller\n".encode("latin-1"),
    "columns.csv": "agent,phone\r\n1,2\r\n",
    "no-heading.csv": "1000001\n1000002\n",
    "two.csv": "1,x\n2,y\n",
    "ragged.csv": "call_id,b\n1,2\n3,4,5\n",
    "open-quote.csv": 'call_id\n"1\n2\n',
    "excel.csv": b"PK\x03\x04 and so on",
    "login.txt": "<!doctype html><html>Please log in</html>",
    "float.json": "[1.5]",
    "cut.json": '["1", "2"',
    "broken.jsonl": '{"call_id": "1"}\n{"call_id":\n',
    "other.jsonl": '{"name": "1", "phone": "2"}\n',
    "not.csv.gz": "call_id\n1\n",
    "half.txt.gz": gzip.compress(b"1\n2\n" * 9999)[:-20],
    "empty.txt": "# nothing\n\n",
    "heading.csv": "call_id\n",
}


@pytest.fixture
def lists(project: Project) -> Path:
    return write_lists(project.folder)


def write_lists(folder: Path) -> Path:
    for name, content in LISTS.items():
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    (folder / "folder").mkdir()
    return folder


BAD: dict[str, tuple[list[str], list[str]]] = {
    # arguments, and what the one line on stderr must say: the place, the value or the cause, the fix
    "white space inside": (["--ids", "spaces.txt"], ["spaces.txt line 3", "'3 4'", "--bad-ids skip"]),
    "an argument": (["1", "a/b"], ["id 2 given", "'a/b'", "--bad-ids skip"]),
    "many bad lines": (["--ids", "many.txt"], ["line 2", "line 4", "and 7 more", "--bad-ids skip"]),
    "a URL": (["--ids", "url.txt"], ["url.txt line 1", "/", "--bad-ids skip"]),
    "dots": (["--ids", "dots.txt"], ["dots.txt line 1", "'..'"]),
    "too long": (["--ids", "long.txt"], ["long.txt line 1", "129 characters, more than 128"]),
    "a control character": (["--ids", "nul.txt"], ["nul.txt line 2", r"'2\x003'"]),
    "not UTF-8": (["--ids", "latin1.csv"], ["latin1.csv line 2", "UTF-8"]),
    "no such column": (["--ids", "columns.csv", "--id-column", "id"], ["columns.csv", "'id'", "agent", "phone"]),
    "which column": (["--ids", "columns.csv"], ["columns.csv", "agent", "phone", "--id-column"]),
    "a heading that is an id": (["--ids", "no-heading.csv"], ["no-heading.csv line 1", "'1000001'", "--no-header"]),
    "columns without heading": (["--ids", "two.csv", "--no-header"], ["two.csv line 1", "--id-column"]),
    "a ragged line": (["--ids", "ragged.csv"], ["ragged.csv line 3", "3 fields where 2 belong"]),
    "an open quote": (["--ids", "open-quote.csv"], ["open-quote.csv line 2", "quote"]),
    "an Excel workbook": (["--ids", "excel.csv"], ["excel.csv", "Excel", "save the sheet as CSV"]),
    "a login page": (["--ids", "login.txt"], ["login.txt", "HTML"]),
    "a fraction": (["--ids", "float.json"], ["float.json line 1", "1.5"]),
    "half a JSON": (["--ids", "cut.json"], ["cut.json line 1", "not JSON"]),
    "a broken line": (["--ids", "broken.jsonl"], ["broken.jsonl line 2", "not JSON"]),
    "objects without the column": (["--ids", "other.jsonl"], ["other.jsonl line 1", "name", "phone", "--id-column"]),
    "not gzip": (["--ids", "not.csv.gz"], ["not.csv.gz", "gzip"]),
    "half a gzip": (["--ids", "half.txt.gz"], ["half.txt.gz", "gzip"]),
    "an empty list": (["--ids", "empty.txt"], ["no id", "--allow-empty"]),
    "a heading alone": (["--ids", "heading.csv"], ["no id", "--allow-empty"]),
    "nothing but bad lines": (["--ids", "dots.txt", "--bad-ids", "skip"], ["no id", "--allow-empty"]),
    "no such file": (["--ids", "nowhere.txt"], ["nowhere.txt"]),
    "a folder": (["--ids", "folder"], ["folder"]),
    "an unknown format": (["--ids", "-", "--ids-format", "xlsx"], ["xlsx", "csv"]),
    "no ids at all": ([], ["--ids"]),
    "a query without its database": (["1", "--ids-db", "duckdb:///x.duckdb"], ["--ids-db", "--ids-sql"]),
    "a dataset that is a path": (["1", "--dataset", "../x"], ["--dataset", "../x"]),
    "a dataset of another spelling": (["1", "--dataset", "My Calls"], ["--dataset", "My Calls", "my_calls"]),
    "a dataset without a name": (["1", "--dataset", " "], ["--dataset"]),
    "a share that is no number": (["1", "--share", "nan"], ["--share", "nan"]),
    "a project that is not there": (["1", "--project", "nowhere"], ["--project", "nowhere"]),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_input_ends_in_one_line_and_leaves_nothing(kind: str, project: Project, api: Sandbox) -> None:
    arguments, told = BAD[kind]
    before = set(write_lists(project.folder).rglob("*"))
    result = project.load(*arguments)
    assert result.exit_code == 2, result.stderr
    (line,) = result.stderr.splitlines()[-1:]
    assert line.startswith("error: ")
    for part in told:
        assert part in line
    assert [other for other in result.stderr.splitlines()[:-1] if " skipped: " not in other] == []
    assert "Traceback" not in result.stderr
    assert result.summary["exit_code"] == 2
    assert result.summary["error"] == line.removeprefix("error: ")
    assert set(project.folder.rglob("*")) == before
    assert api.stats()["requests"] == 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--workers", "0"], "--workers"),
        (["--workers", "many"], "'many'"),
        (["--share", "0"], "--share"),
        (["--share", "1.1"], "--share"),
        (["--chunk-size", "0"], "--chunk-size"),
        (["--limit", "-1"], "--limit"),
        (["--refresh", "some"], "'open', 'new', 'all'"),
        (["--bad-ids", "ignore"], "'refuse', 'skip'"),
        (["--progress", "loud"], "'auto', 'rich', 'log', 'none'"),
        (["--ids"], "--ids"),
        (["--no-such-option"], "--no-such-option"),
    ],
)
def test_an_option_that_cant_be_is_named(arguments: list[str], told: str, project: Project, api: Sandbox) -> None:
    result = project.load("1", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert told in result.stderr.splitlines()[-1]
    assert api.stats()["requests"] == 0
    assert list(project.folder.iterdir()) == []


def test_bad_lines_can_be_skipped(lists: Path, project: Project, api: Sandbox) -> None:
    """The first few are shown and all are counted; the rest is loaded; the exit code shows it."""
    api.configure(calls=0, bodies={name: {"type": "call", "id": name} for name in ("1", "2")})
    result = project.load("--ids", "spaces.txt", "--ids", "many.txt", "--bad-ids", "skip")
    assert result.exit_code == 3
    counts = {name: count for name, count in result.summary.items() if isinstance(count, int) and count}
    assert counts == {
        "requested": 2, "duplicates": 1, "skipped": 11, "fetched": 2, "loaded": 2, "requests": 3, "load_packages": 1,
        "exit_code": 3,
    }  # fmt: skip
    assert result.summary["error"] is None
    skipped = [line for line in result.stderr.splitlines() if " skipped: " in line]
    assert "spaces.txt line 3" in skipped[0]
    assert "many.txt line 2" in skipped[1]
    assert len(skipped) <= 4
    assert project.query("SELECT skipped FROM intercom.load_runs") == [(11,)]


def test_lists_are_united_in_order_and_a_dry_run_asks_nothing(lists: Path, project: Project, api: Sandbox) -> None:
    (lists / "a.csv").write_text('agent,call_id\nx,3\ny,""\n')
    (lists / "b.jsonl").write_text('{"id": 4}\n\n"3"\n{"id": null}\n')
    arguments = ("1", " 2 ", "1", "--ids", "a.csv", "--ids", "-", "--ids", "b.jsonl")
    given: dict[str, Any] = {"stdin": b"\xff\xfe" + "5 \n# a comment\n2\n".encode("utf-16-le")}
    before = sorted(lists.rglob("*"))
    plan = project.load(*arguments, "--dry-run", "--limit", "4", "--dataset", "calls", **given)
    assert plan.exit_code == 0, plan.stderr
    assert plan.summary == {
        "requested": 5, "duplicates": 3, "blank": 3, "skipped": 0, "already_loaded": 0, "to_fetch": 4, "requests": 4,
        "minutes": 0.0004, "sweep": False, "destination": "duckdb", "dataset": "calls",
    }  # fmt: skip
    assert api.stats()["requests"] == 0
    assert not (lists / "intercom_calls.duckdb").exists()
    made = {path.relative_to(lists).parts[0] for path in set(lists.rglob("*")) - set(before)}
    assert made <= {".dlt"}

    api.configure(calls=0, bodies={name: {"type": "call", "id": name} for name in "12345"})
    result = project.load(*arguments, "--workers", "1", **given)
    assert result.exit_code == 0, result.stderr
    assert [call_id for _, call_id, _ in api.log()] == ["1", "2", "3", "5", "4"]


def test_an_empty_list_can_be_allowed_and_a_query_may_find_nothing(project: Project, api: Sandbox) -> None:
    result = project.load("--ids", "-", "--allow-empty", stdin="# nothing\n")
    assert result.exit_code == 0, result.stderr
    assert (result.summary["requested"], result.summary["blank"], result.summary["strategy"]) == (0, 0, "none")
    result = project.load("--ids-sql", "SELECT id FROM intercom.calls")
    assert result.exit_code == 0, result.stderr
    assert api.stats()["requests"] == 0


@pytest.mark.parametrize("destination", ["duckdb", "postgres"])
def test_a_query_of_the_destination_changes_nothing_there(
    project: Project, api: Sandbox, postgres: Postgres, destination: str
) -> None:
    api.configure(calls=0, bodies={name: {"type": "call", "id": name} for name in "12"})
    project.load("1", "2", "--destination", destination)
    result = project.load("--destination", destination, "--ids-sql", "SELECT id FROM intercom.calls")
    assert (result.exit_code, result.summary["requested"]) == (0, 2), result.stderr
    before = api.stats()["requests"]
    for query, cause in {
        "DELETE FROM intercom.calls RETURNING id": "read-only",
        "SELECT idd FROM intercom.calls": "idd",
        "SELECT 1.5::float8": "is double and holds 1.5, in which ids are not exact",
        "SET search_path = 'public'" if destination == "postgres" else "SELEC": "--ids-sql",
    }.items():
        result = project.load("--destination", destination, "--ids-sql", query)
        assert result.exit_code == 2, result.stderr
        assert cause in result.summary["error"]
        assert result.stderr.count("\n") == 1
    assert api.stats()["requests"] == before


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("SELECT id FROM intercom.calls WHERE ended_at IS NULL AND _fetched_at < now()", 0),
        ("SELECT call_id FROM intercom_calls.intercom.call_errors WHERE http_status = 500", 0),
        ("SELECT '7' AS id WHERE '7' NOT IN (SELECT id FROM calls)", 1),
        ("SELECT run_id FROM intercom.load_runs ORDER BY started_at, _dlt_load_id", 0),
        ("SELECT id FROM intercom.callz", "callz"),
        ("SELECT id FROM intercomm.calls", "intercomm"),
        ("SELECT id FROM crm.calls JOIN intercom.calls USING (id)", "crm"),
        ("SELECT idd FROM intercom.calls", "idd"),
        ("DELETE FROM nothing", "nothing"),
    ],
)
def test_in_a_new_file_only_our_own_tables_may_be_missing(query: str, found: int | str, project: Project) -> None:
    result = project.load("--dry-run", "--ids-sql", query)
    if isinstance(found, int):
        assert (result.exit_code, result.summary["to_fetch"]) == (0, found), result.stderr
    else:
        error = result.summary["error"]
        # DuckDB 1.4 names the table without its schema, and the one that is meant
        assert (result.exit_code, found in error or 'mean "intercom.calls"' in error) == (2, True), error
    assert not (project.folder / "intercom_calls.duckdb").exists()


def test_a_mistyped_database_of_ids_is_named_and_not_made(project: Project, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*.*"))
    for url in (
        "sqlite:///mistyped",
        f"sqlite:///{tmp_path}/mistyped.db",
        "sqlite+pysqlite:///mistyped.db",
        "sqlite:///file:mistyped.db?uri=true",
        "duckdb:///mistyped.duckdb",
        f"duckdb:///{tmp_path}/mistyped.duckdb",
    ):
        result = project.load("--ids-sql", "SELECT 1", "--ids-db", url)
        assert (result.exit_code, "mistyped" in result.summary["error"]) == (2, True), url
    assert sorted(tmp_path.rglob("*.*")) == before
    with closing(sqlite3.connect(project.folder / "crm.db")) as database:
        database.executescript("CREATE TABLE crm (id TEXT); INSERT INTO crm VALUES ('7')")
    for url, query in (("sqlite:///crm.db", "SELECT id FROM crm"), ("sqlite://", "SELECT '7'")):
        assert project.load("--dry-run", "--ids-sql", query, "--ids-db", url).summary["to_fetch"] == 1
    result = project.load("--dry-run", "--ids-sql", "DELETE FROM crm RETURNING id", "--ids-db", "sqlite:///crm.db")
    assert (result.exit_code, "readonly" in result.summary["error"]) == (2, True)


def test_a_query_of_a_database_that_does_not_exist_yet(lists: Path, project: Project, api: Sandbox) -> None:
    query = "SELECT call_id FROM read_csv('ids.csv', all_varchar = true)"
    (lists / "ids.csv").write_text("call_id\n007\n007\n")
    plan = project.load("--ids-sql", query, "--dry-run")
    assert plan.exit_code == 0, plan.stderr
    assert (plan.summary["to_fetch"], plan.summary["duplicates"]) == (1, 1)
    for query, cause in {"SELEC 1": "SELEC", "-- no query": "it returns no rows; give a SELECT"}.items():
        result = project.load("--ids-sql", query)
        assert result.exit_code == 2
        assert result.summary["error"].startswith("--ids-sql: ")
        assert cause in result.summary["error"]
    result = project.load("1", env={"DESTINATION__DUCKDB__CREDENTIALS": "intercom.duckdb"})
    assert result.exit_code == 2
    for part in ("dataset intercom", "intercom.duckdb", "rename one"):
        assert part in result.summary["error"]
    assert not (lists / "intercom_calls.duckdb").exists()


def test_ids_that_a_spreadsheet_rounded_are_reported(project: Project, api: Sandbox) -> None:
    result = project.load("1.23457E+11", "--dry-run")
    assert result.exit_code == 0
    assert "a spreadsheet has rounded 1 id (1.23457E+11 …): format the column as text there" in result.stderr


def test_a_missing_package_of_a_destination_is_reported_by_name(project: Project) -> None:
    for destination, lacking in {"clickhouse": "CREDENTIALS", "postgres": "CREDENTIALS"}.items():
        result = project.load("1", "--destination", destination)
        assert result.exit_code == 2
        assert f"DESTINATION__{destination.upper()}__{lacking}" in result.stderr
