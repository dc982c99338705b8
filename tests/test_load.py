"""The main job over the wire: ids in, rows out."""

from __future__ import annotations

from sandbox import Sandbox

from .conftest import Postgres, Project


def test_a_call_is_loaded_into_duckdb(project: Project, api: Sandbox) -> None:
    api.configure(bodies={"0042": {"type": "call", "id": "0042", "state": "completed", "initiated_at": 1700000000}})
    result = project.load("0042")
    assert result.exit_code == 0, result.stderr
    assert result.summary["loaded"] == 1
    assert project.query("SELECT id, state, epoch(initiated_at) FROM intercom.calls") == [("0042", "completed", 1700000000.0)]


def test_a_call_is_loaded_into_postgres(project: Project, api: Sandbox, postgres: Postgres) -> None:
    api.configure(bodies={"0042": {"type": "call", "id": "0042", "state": "completed"}})
    result = project.load("0042", "--destination", "postgres")
    assert result.exit_code == 0, result.stderr
    assert postgres.query("SELECT id, state FROM intercom.calls") == [("0042", "completed")]
