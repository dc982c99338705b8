"""The files for GitHub and pre-commit: they parse, run what .ci/run runs, and give no job more than it needs."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
yaml: Any = pytest.importorskip("yaml", reason="PyYAML comes with dlt")


def read(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text("utf-8"))


def jobs() -> dict[str, Any]:
    found: dict[str, Any] = read(".github/workflows/tests.yml")["jobs"]
    return found


def test_the_workflow_runs_each_step_of_ci_on_each_python() -> None:
    steps = set(re.findall(r"^step (.+)$", (ROOT / ".ci" / "run").read_text("utf-8"), re.MULTILINE))
    matrix = jobs()["test"]["strategy"]["matrix"]
    # the matrix of Pythons is what test-pythons does, more of it at once
    assert {"test", "test-pythons", *jobs()["step"]["strategy"]["matrix"]["step"]} == steps
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert [f"Programming Language :: Python :: {python}" for python in matrix["python"]] == [
        line for line in project["classifiers"] if line.startswith("Programming Language")
    ]
    assert "macos" in matrix["include"][0]["os"]


def test_the_workflow_may_only_read_and_its_actions_are_pinned() -> None:
    assert read(".github/workflows/tests.yml")["permissions"] == {"contents": "read"}
    used = [step for job in jobs().values() for step in job["steps"] if "uses" in step]
    assert used
    for step in used:
        assert re.fullmatch(r"actions/[\w-]+@[0-9a-f]{40}", step["uses"])
    checkouts = [step for step in used if "/checkout@" in step["uses"]]
    assert [step["with"]["persist-credentials"] for step in checkouts] == [False] * len(jobs())


def test_dependabot_keeps_the_pins_up_to_date() -> None:
    updates = read(".github/dependabot.yml")["updates"]
    assert {update["package-ecosystem"] for update in updates} == {"github-actions", "pip"}


def test_pre_commit_runs_the_locked_tools_on_files_that_are_there() -> None:
    [repository] = read(".pre-commit-config.yaml")["repos"]
    assert repository["repo"] == "local"
    for hook in repository["hooks"]:
        command, *words = hook["entry"].split()
        assert command.startswith(".venv/bin/")
        assert all((ROOT / word).exists() for word in words if "/" in word)
