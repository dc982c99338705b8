"""docs/library.md: every example runs against the sandbox as it is written, and type checkers accept it."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import duckdb
import pytest

from sandbox import Sandbox
from tests.conftest import Postgres, Project
from tests.project.test_docs import ROOT, blocks
from tests.support import forked

PAGE = "docs/library.md"
FRAMES = ("pandas", "polars", "ibis")


def examples(*libraries: str) -> str:
    """The page's examples as one script, without those that need a library that is not named."""
    others = [library for library in FRAMES if library not in libraries]
    needs_another = re.compile(rf"^(?:import|from) (?:{'|'.join(others)})\b", re.MULTILINE) if others else None
    return "\n\n".join(block for block in blocks(PAGE, "python") if not (needs_another and needs_another.search(block)))


@pytest.fixture
def own(project: Project) -> Project:
    """A project in which the command never ran, with settings for two workspaces."""
    project.env |= {"DLT_DATA_DIR": str(project.folder / "dlt"), "RUNTIME__DLTHUB_TELEMETRY": "false"}
    for name in ("BASE_URL", "ACCESS_TOKEN"):
        project.env[f"SOURCES__INTERCOM_EU__{name}"] = project.env[f"SOURCES__INTERCOM__{name}"]
    return project


def run(project: Project, script: str, *, plain: bool = False) -> str:
    """Run a script; `plain` in a process of its own, not forked from one that has imported the project."""
    command, environment = [sys.executable, "-c", script], project.environment()
    done = (
        subprocess.run(command, cwd=project.folder, env=environment, capture_output=True, check=False)
        if plain
        else forked.run(command, cwd=project.folder, env=environment)
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def rows(project: Project, database: str, query: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(project.folder / f"{database}.duckdb"), read_only=True) as connection:
        return connection.execute(query).fetchall()


def test_the_page_works_as_it_is_written(own: Project, api: Sandbox) -> None:
    api.configure(missing_share=0)
    printed = run(own, examples())
    assert "LOADED and contains no failed jobs" in printed
    assert "id 2 given: 'not an id' can't be a call id" in printed
    assert "\n0 97 0\n" in printed  # the three of the first example are settled
    assert "\n2 ['id', 'type', 'conversation_id'," in printed
    assert "created_at: timestamp[us, tz=UTC]" in printed
    assert rows(own, "phone_calls", "SELECT count(*), count(DISTINCT id) FROM intercom.calls") == [(100, 100)]
    assert rows(own, "phone_calls_eu", "SELECT id FROM intercom_eu.calls") == [("1000004",)]
    [(answered, rest)] = rows(
        own, "answered_calls", "SELECT count(answered_at), count(*) - count(answered_at) FROM answered.calls"
    )
    assert answered > 0
    assert rest == 0


@pytest.mark.parametrize("library", FRAMES)
def test_the_examples_with_frames_work(own: Project, api: Sandbox, library: str) -> None:
    pytest.importorskip(library, reason=f"{library} is no dependency of the project")
    first = blocks(PAGE, "python")[0]
    needs = re.compile(rf"^import {library}\b", re.MULTILINE)
    chosen = [block for block in blocks(PAGE, "python") if needs.search(block)]
    assert chosen
    assert "created_at" in run(own, "\n\n".join([first, *chosen]), plain=True)


TYPES = """
import importlib.util, json
import dlt
from sources.intercom import intercom

def declared(name):
    pipeline = dlt.pipeline("types_" + name, destination=name, dataset_name="typed")
    pipeline.run(intercom(ids=["typed"]))
    query = "SELECT column_name, data_type FROM information_schema.columns WHERE table_schema = 'typed'"
    with pipeline.sql_client() as client:
        return pipeline, dict(client.execute_sql(query + " AND table_name = 'calls'"))

pipeline, found = declared("duckdb")
types = {"DuckDB": found, "PostgreSQL": declared("postgres")[1]}
for table in intercom(ids=["typed"]).calls:
    types["Arrow"] = {field.name: str(field.type) for field in table.schema}
calls = pipeline.dataset()["calls"]
assert {field.name: str(field.type) for field in calls.arrow().schema} == types["Arrow"]
if importlib.util.find_spec("pandas"):
    types["pandas"] = {name: str(kind) for name, kind in calls.df().dtypes.items()}
if importlib.util.find_spec("polars"):
    import polars
    types["polars"] = {name: str(kind) for name, kind in polars.DataFrame(calls.arrow()).schema.items()}
print(json.dumps(types))
"""


def test_the_page_s_types_are_those_of_the_tables(own: Project, api: Sandbox, postgres: Postgres) -> None:
    call = {"type": "call", "id": "typed", "created_at": 1_740_816_000, "duration": 5, "from_tomorrow": 1}
    api.configure(calls=0, bodies={"typed": call})
    own.env["DESTINATION__DUCKDB__CREDENTIALS"] = "types.duckdb"
    types = json.loads(run(own, TYPES, plain=True))
    section = (ROOT / PAGE).read_text("utf-8").split("## Types\n")[1]
    heading, _, *listed = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("|")]
    assert heading == ["column", "Arrow", "pandas", "polars", "DuckDB", "PostgreSQL"]
    for column, row in zip(("id", "created_at", "duration", "extra"), listed, strict=True):
        for name, documented in zip(heading[1:], row[1:], strict=True):
            if name in types:
                assert re.match(r"`(.*?)`", documented)[1] == types[name][column], (name, column)  # type: ignore[index]


def test_the_page_s_settings_are_a_section_of_the_second_source(own: Project) -> None:
    [example] = blocks(PAGE, "toml")
    assert set(tomllib.loads(example)["sources"]) == {"intercom_eu"}
    assert 'section="intercom_eu"' in examples()


@pytest.fixture
def user_code(tmp_path: Path) -> Path:
    """The page, what `dlt init` copies, and tests/typing, as a user's own files."""
    known = [library for library in FRAMES if importlib.util.find_spec(library)]
    (tmp_path / "page.py").write_text(examples(*known))
    example = (ROOT / "sources" / "intercom_pipeline.py").read_text("utf-8")
    (tmp_path / "intercom_pipeline.py").write_text(example.replace("from intercom ", "from sources.intercom "))
    shutil.copy(ROOT / "tests" / "typing" / "library.py", tmp_path)
    return tmp_path


@pytest.mark.long
def test_mypy_accepts_the_examples(user_code: Path) -> None:
    settings = {
        "strict": "true",
        "explicit_package_bases": "true",
        "mypy_path": str(ROOT),
        "follow_imports": "silent",
        "cache_dir": str(ROOT / ".mypy_cache" / "user"),
    }
    untyped = "".join(f"[mypy-{library}.*]\nignore_missing_imports = true\n" for library in FRAMES)
    text = "".join(f"{name} = {value}\n" for name, value in settings.items())
    (user_code / "mypy.ini").write_text(f"[mypy]\n{text}{untyped}")
    command = [sys.executable, "-m", "mypy", "page.py", "intercom_pipeline.py", "library.py"]
    done = subprocess.run(command, cwd=user_code, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.long
def test_pyright_accepts_the_examples(user_code: Path) -> None:
    pytest.importorskip("pyright", reason="pyright is not installed: pip install pyright, which needs node")
    settings = {
        "extraPaths": [str(ROOT)],
        "reportMissingModuleSource": False,
        "reportMissingTypeStubs": False,
        "reportUnnecessaryTypeIgnoreComment": "error",
    }
    (user_code / "pyrightconfig.json").write_text(json.dumps(settings))
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable]
    done = subprocess.run(command, cwd=user_code, capture_output=True, text=True, check=False)
    if not done.stdout.startswith("{"):
        pytest.skip(f"pyright can't run here: {done.stderr[-300:]}")
    found = json.loads(done.stdout)["generalDiagnostics"]
    assert [one for one in found if one["severity"] == "error"] == []
