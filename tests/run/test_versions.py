"""Which of two answers for one call stays: the later `updated_at`, then the later `_fetched_at`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import duckdb
import pytest

from sandbox import Sandbox
from tests.conftest import Postgres, Project

Ask = Callable[[str], list[tuple[Any, ...]]]

AT = 1_740_816_000


@pytest.mark.parametrize("destination", ["duckdb", "postgres"])
@pytest.mark.parametrize(
    ("updated", "there_fetched", "wins"),
    [
        (AT - 1, "- INTERVAL '1' HOUR", False),
        (AT - 1, "+ INTERVAL '1' HOUR", False),
        (AT, "- INTERVAL '1' HOUR", True),
        (AT, "+ INTERVAL '1' HOUR", False),  # fetched by a machine whose clock is ahead
        (AT + 1, "+ INTERVAL '1' HOUR", True),
        (None, "+ INTERVAL '1' HOUR", True),  # of no version that could be older
    ],
)
def test_the_later_version_stays_then_the_one_fetched_later(
    destination: str,
    updated: int | None,
    there_fetched: str,
    wins: bool,
    project: Project,
    api: Sandbox,
    request: pytest.FixtureRequest,
) -> None:
    ask: Ask = project.query
    if destination == "postgres":
        postgres: Postgres = request.getfixturevalue("postgres")
        ask = postgres.query
    load = ("--destination", destination, "a", "--refresh", "all")
    api.configure(calls=0, bodies={"a": {"type": "call", "id": "a", "state": "there", "updated_at": AT}})
    assert project.load(*load).exit_code == 0
    change = f"UPDATE intercom.calls SET _fetched_at = _fetched_at {there_fetched} RETURNING id"
    if destination == "postgres":
        assert ask(change) == [("a",)]
    else:
        with duckdb.connect(str(project.folder / "intercom_calls.duckdb")) as database:
            assert database.execute(change).fetchall() == [("a",)]

    api.configure(bodies={"a": {"type": "call", "id": "a", "state": "new", "updated_at": updated}})
    result = project.load(*load)
    assert result.exit_code == 0, result.stderr
    assert ask("SELECT state FROM intercom.calls") == [("new" if wins else "there",)]
    assert (result.summary["loaded"], result.summary["already_loaded"]) == (int(wins), int(not wins))
