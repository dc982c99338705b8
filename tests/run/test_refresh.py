"""Which ids are asked for: each value of `--refresh` against everything a destination can hold of an id."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from sandbox import Sandbox
from tests.conftest import Project

NOW = datetime.now(UTC)
DATABASE = "intercom_calls.duckdb"


def ago(**time: float) -> str:
    return (NOW - timedelta(**time)).isoformat()


# What the API says of each, and whether `open`, `new` and `all` ask for it once more.
CALLS: dict[str, dict[str, Any]] = {
    "going-on": {"created_at": ago(hours=1)},
    "just-ended": {"ended_at": ago(hours=2)},
    "fetched-23-hours-after-its-end": {"ended_at": ago(days=3)},
    "fetched-24-hours-after-its-end": {"ended_at": ago(days=3)},
    "settled": {"ended_at": ago(hours=25)},
    "nobody-ended-for-29-days": {"created_at": ago(days=29)},
    "nobody-ended-for-31-days": {"created_at": ago(days=31)},
    "initiated-29-days-ago": {"initiated_at": ago(days=29)},
    "initiated-31-days-ago": {"initiated_at": ago(days=31)},
    "updated-31-days-ago": {"updated_at": ago(days=31)},
    "without-any-time": {},
    "settled-then-failed": {"ended_at": ago(days=3)},
    "deleted": {"ended_at": ago(days=3)},
    "failed": {},
    "never-asked": {"ended_at": ago(days=3)},
}
ASKED = {
    "going-on": ("open", "all"),
    "just-ended": ("open", "all"),
    "fetched-23-hours-after-its-end": ("open", "all"),
    "fetched-24-hours-after-its-end": ("all",),
    "settled": ("all",),
    "nobody-ended-for-29-days": ("open", "all"),
    "nobody-ended-for-31-days": ("all",),
    "initiated-29-days-ago": ("open", "all"),
    "initiated-31-days-ago": ("all",),
    "updated-31-days-ago": ("all",),
    "without-any-time": ("all",),
    "settled-then-failed": ("open", "all"),
    "deleted": ("all",),
    "failed": ("open", "new", "all"),
    "never-asked": ("open", "new", "all"),
    "missing-since-now": ("open", "new", "all"),
    "missing-since-yesterday": ("new", "all"),
}
IDS = tuple(ASKED)


@pytest.fixture(scope="module")
def history(sandbox_process: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with calls that loads left loaded, open, failed, missing and deleted."""
    api = sandbox_process
    api.reset(limit=None, calls=0, bodies=bodies(), statuses={"failed": 400})
    project = Project(
        tmp_path_factory.mktemp("history"),
        {"SOURCES__INTERCOM__BASE_URL": api.url, "SOURCES__INTERCOM__ACCESS_TOKEN": api.token},
    )
    assert project.load(*(name for name in IDS if name != "never-asked")).exit_code == 3
    gone = {name: body for name, body in bodies().items() if name != "deleted"}
    api.configure(bodies=gone, statuses={"settled-then-failed": 400})
    assert project.load("deleted", "settled-then-failed", "--refresh", "all").exit_code == 3
    with duckdb.connect(str(project.folder / DATABASE)) as database:
        for hours in (23, 24):
            database.execute(
                f"UPDATE intercom.calls SET _fetched_at = ended_at + INTERVAL {hours} HOURS "
                f"WHERE id = 'fetched-{hours}-hours-after-its-end'"
            )
        database.execute(
            "UPDATE intercom.call_errors SET first_failed_at = first_failed_at - INTERVAL 25 HOURS "
            "WHERE call_id = 'missing-since-yesterday'"
        )
    return project.folder / DATABASE


def bodies() -> dict[str, Any]:
    return {name: {"type": "call", "id": name, **times} for name, times in CALLS.items()}


@pytest.fixture
def past(history: Path, project: Project, api: Sandbox) -> Project:
    """The history in a project of the test's own: the database alone, as another machine would find it.

    From now on every call answers, but for the missing ones.
    """
    shutil.copy(history, project.folder / DATABASE)
    api.configure(calls=0, bodies=bodies())
    return project


@pytest.mark.parametrize(
    ("refresh", "already_loaded", "loaded", "missing"), [("open", 6, 8, 3), ("new", 12, 2, 3), ("all", 0, 15, 2)]
)
def test_what_is_requested(
    refresh: str, already_loaded: int, loaded: int, missing: int, past: Project, api: Sandbox
) -> None:
    asked = {name for name, by in ASKED.items() if refresh in by}

    plan = past.load(*IDS, "--refresh", refresh, "--dry-run")
    assert plan.exit_code == 0, plan.stderr
    assert plan.summary["already_loaded"] == already_loaded
    assert plan.summary["to_fetch"] == plan.summary["requests"] == len(asked)
    assert api.stats()["requests"] == 0

    result = past.load(*IDS, "--refresh", refresh)
    assert result.exit_code == 0, result.stderr
    assert api.stats()["by_id"] == dict.fromkeys(asked, 1)
    summary = result.summary
    assert (summary["requested"], summary["already_loaded"]) == (17, already_loaded)
    assert (summary["loaded"], summary["missing"], summary["not_reached"]) == (loaded, missing, 0)

    marked = past.query("SELECT id FROM intercom.calls WHERE _deleted_at IS NOT NULL")
    assert marked == ([] if refresh == "all" else [("deleted",)])
    failing = {call_id for (call_id,) in past.query("SELECT call_id FROM intercom.call_errors")}
    left = {"open": {"deleted"}, "new": {"deleted", "settled-then-failed"}, "all": set[str]()}
    assert failing == {"missing-since-now", "missing-since-yesterday"} | left[refresh]


def test_without_a_time_to_settle_only_what_never_ended_is_open(past: Project, api: Sandbox) -> None:
    result = past.load(*IDS, env={"SOURCES__INTERCOM__SETTLE_HOURS": "0"})
    assert result.exit_code == 0, result.stderr
    assert set(api.stats()["by_id"]) == {
        "going-on", "nobody-ended-for-29-days", "initiated-29-days-ago", "settled-then-failed", "failed", "never-asked"
    }  # fmt: skip


def test_open_is_the_default_and_limit_counts_what_is_requested(past: Project, api: Sandbox) -> None:
    """The settled ones at the head of the list are no part of the limit; the list's order holds."""
    result = past.load("settled", "never-asked", "failed", "going-on", "--limit", "2")
    assert result.exit_code == 0, result.stderr
    assert set(api.stats()["by_id"]) == {"never-asked", "failed"}
    summary = result.summary
    assert [summary[name] for name in ("requested", "already_loaded", "loaded", "not_reached")] == [4, 1, 2, 1]


def test_a_dry_run_makes_nothing_and_opens_the_database_to_read_only(project: Project, api: Sandbox) -> None:
    """No working folder: dlt would empty the one that a first load is just making."""
    assert project.load("1000001", "--dry-run").summary["to_fetch"] == 1
    assert list(project.folder.iterdir()) == []
    assert project.load("1000001").exit_code == 0
    shutil.rmtree(project.folder / ".dlt")
    before = (project.folder / "intercom_calls.duckdb").read_bytes()
    with duckdb.connect(str(project.folder / "intercom_calls.duckdb"), read_only=True):
        planned = project.load("1000001", "1000002", "--dry-run", "--refresh", "new")
    assert (planned.exit_code, planned.summary["already_loaded"], planned.summary["to_fetch"]) == (0, 1, 1)
    assert (project.folder / "intercom_calls.duckdb").read_bytes() == before
    assert not (project.folder / ".dlt").exists()
