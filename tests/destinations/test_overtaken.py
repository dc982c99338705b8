"""A load that lost its lock, or was killed, while another load ran: no older row replaces a newer one."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox import Sandbox
from tests.conftest import Postgres, Project
from tests.support.processes import kill_with_a_package_waiting, running, write_ids

FIRST, CALLS = 1_000_001, 40
HELD, GONE, VERSIONLESS = "1000040", "1000005", "1000006"
ENDED, OLD, NEW = 1_740_816_000, 1_740_820_000, 1_740_830_000
ROWS = "SELECT state, count(*) FROM intercom.calls WHERE id <> '1000040' AND _deleted_at IS NULL GROUP BY 1"
ELSEWHERE = {"DLT_DATA_DIR": "another machine"}


def bodies(state: str, updated_at: int, *without: str) -> dict[str, Any]:
    ids = {str(FIRST + number) for number in range(CALLS)} - set(without)
    calls = {
        call_id: {"type": "call", "id": call_id, "state": state, "ended_at": ENDED, "updated_at": updated_at}
        for call_id in ids
    }
    if VERSIONLESS in calls:
        del calls[VERSIONLESS]["updated_at"]
    return calls


@pytest.fixture
def load(project: Project, api: Sandbox) -> tuple[str, ...]:
    """Every call is loaded once, in its first state."""
    api.configure(calls=0, bodies=bodies("first", OLD - 1))
    load = ("--ids", write_ids(project, FIRST, CALLS), "--destination", "postgres", "--refresh", "all")
    return (*load, "--strategy", "by-id")


def test_after_its_lock_was_cut_a_load_compares_what_it_has_with_what_another_wrote(
    project: Project, api: Sandbox, postgres: Postgres, load: tuple[str, ...]
) -> None:
    assert project.load(*load).exit_code == 0
    api.configure(bodies=bodies("old", OLD, GONE, HELD), statuses={HELD: 503})
    with running(project, *load) as first:
        first.wait_until(lambda: len(api.stats()["by_id"]) >= CALLS and api.stats()["by_id"][HELD] >= 3)
        cut = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
        assert postgres.query(cut) == [(True,)]
        api.configure(statuses={HELD: 503}, bodies=bodies("new", NEW, HELD))
        (project.folder / "rest.txt").write_text("".join(f"{FIRST + n}\n" for n in range(CALLS - 1)))
        other = project.load("--ids", "rest.txt", *load[2:], env=ELSEWHERE)
        assert other.exit_code == 0, other.stderr
        assert other.summary["loaded"] == CALLS - 1
        api.configure(statuses={}, bodies=bodies("new", NEW))
        done = first.end()
    assert done.exit_code == 0, done.stderr
    assert postgres.query(ROWS) == [("new", CALLS - 1)]
    assert "another load has written" in done.stderr
    assert done.summary["already_loaded"] == CALLS - 1
    assert done.summary["loaded"] == 1
    assert postgres.query("SELECT count(*) FROM intercom.call_errors") == [(0,)]


def test_a_waiting_package_does_not_replace_what_another_load_wrote_since(
    project: Project, api: Sandbox, postgres: Postgres, load: tuple[str, ...]
) -> None:
    assert project.load(*load).exit_code == 0
    api.configure(bodies=bodies("old", OLD))
    kill_with_a_package_waiting(project, postgres, load)
    api.configure(bodies=bodies("new", NEW))
    other = project.load(*load, env=ELSEWHERE)
    assert other.exit_code == 0, other.stderr

    again = project.load(*load, "--limit", "0")
    assert again.exit_code == 0, again.stderr
    assert "another load came after it" in again.stderr
    assert postgres.query(ROWS) == [("new", CALLS - 1)]
    assert project.load(*load[:4]).summary["requests"] <= 1


def test_alone_a_load_looks_once(project: Project, api: Sandbox) -> None:
    load = ("--ids", write_ids(project, FIRST, CALLS), "--chunk-size", "10")
    done = project.load(*load)
    again = project.load(*load, "--refresh", "all")
    assert done.exit_code == again.exit_code == 0, done.stderr + again.stderr
    assert "another load has written" not in done.stderr + again.stderr
    assert min(done.summary["load_packages"], again.summary["load_packages"]) > 2
    assert str(project.folder) in done.stderr
    assert project.load(*load).summary["already_loaded"] == CALLS
