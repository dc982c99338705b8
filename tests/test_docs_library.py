"""docs/library.md: every example runs against the sandbox as it is written, and type checkers accept it."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import duckdb
import pytest

from sandbox import Sandbox

from . import forked
from .conftest import Project
from .test_docs import ROOT, blocks

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


def test_the_page_s_settings_are_a_section_of_the_second_source(own: Project) -> None:
    [example] = blocks(PAGE, "toml")
    assert set(tomllib.loads(example)["sources"]) == {"intercom_eu"}
    assert 'section="intercom_eu"' in examples()


@pytest.fixture
def user_code(tmp_path: Path) -> Path:
    """The page and what `dlt init` copies, as a user's own files."""
    known = [library for library in FRAMES if importlib.util.find_spec(library)]
    (tmp_path / "page.py").write_text(examples(*known))
    example = (ROOT / "sources" / "intercom_pipeline.py").read_text("utf-8")
    (tmp_path / "intercom_pipeline.py").write_text(example.replace("from intercom ", "from sources.intercom "))
    wrong = 'from sources.intercom import intercom\n\nintercom(ids=["1"], strategy="by_id")\n'
    (tmp_path / "wrong.py").write_text(wrong)
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
    command = [sys.executable, "-m", "mypy", "page.py", "intercom_pipeline.py", "wrong.py"]
    done = subprocess.run(command, cwd=user_code, capture_output=True, text=True, check=False)
    found = done.stdout.splitlines()
    assert [line.split(" error: ")[0] for line in found if " error: " in line] == ["wrong.py:3:"], done.stdout


@pytest.mark.long
def test_pyright_accepts_the_examples(user_code: Path) -> None:
    pytest.importorskip("pyright", reason="pyright is not installed: pip install pyright, which needs node")
    settings = {"extraPaths": [str(ROOT)], "reportMissingTypeStubs": False, "reportMissingModuleSource": False}
    (user_code / "pyrightconfig.json").write_text(json.dumps(settings))
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable]
    done = subprocess.run(command, cwd=user_code, capture_output=True, text=True, check=False)
    if not done.stdout.startswith("{"):
        pytest.skip(f"pyright can't run here: {done.stderr[-300:]}")
    found = json.loads(done.stdout)["generalDiagnostics"]
    assert [Path(one["file"]).name for one in found if one["severity"] == "error"] == ["wrong.py"], found
