"""Sweeps over a real socket: what they cost, and that the table is the same as by id."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from sandbox import Sandbox
from tests.conftest import Project
from tests.support.processes import running

FIRST = 1_000_001
ALL_BUT_RUN = "* EXCLUDE (_fetched_at, _dlt_load_id)"


def ids_from(first: int, count: int) -> list[str]:
    return [str(number) for number in range(first, first + count)]


def list_of(project: Project, ids: Iterable[str], name: str = "ids.txt") -> Path:
    path = project.folder / name
    path.write_text("\n".join(ids))
    return path


@pytest.mark.parametrize(
    ("order", "calls", "wanted", "most"),
    [
        ("id", 2_100, 2_000, 105),
        ("none", 2_100, 2_000, 105),
        pytest.param("id", 42_000, 40_000, 1_900, marks=pytest.mark.long),
    ],
)
def test_a_sweep_gives_the_same_table_as_by_id(
    api: Sandbox, project: Project, order: str, calls: int, wanted: int, most: int
) -> None:
    api.reset(limit=None, calls=calls, list_order=order)
    ids = list_of(project, Random(1).sample(ids_from(FIRST, calls), wanted))

    swept = project.load("--ids", str(ids), "--dataset", "swept")
    by_id = project.load("--ids", str(ids), "--dataset", "by_id", "--strategy", "by-id")

    assert (swept.exit_code, by_id.exit_code) == (0, 0), swept.stderr
    assert (swept.summary["strategy"], by_id.summary["strategy"]) == ("sweep", "by-id")
    assert (swept.summary["requests"] <= most, by_id.summary["requests"]) == (True, wanted + 1)
    for name in ("fetched", "loaded", "missing", "failed", "not_reached"):
        assert swept.summary[name] == by_id.summary[name]
    difference = "(SELECT {what} FROM {a}.{table} EXCEPT ALL SELECT {what} FROM {b}.{table})"
    for table, what in (("calls", ALL_BUT_RUN), ("call_errors", "call_id, http_status, code, message, attempts")):
        for a, b in (("swept", "by_id"), ("by_id", "swept")):
            assert project.query(difference.format(what=what, table=table, a=a, b=b)) == []
    loaded = swept.summary["loaded"]
    assert loaded > 0.99 * wanted
    assert project.query("SELECT count(*), count(DISTINCT id) FROM swept.calls") == [(loaded, loaded)]


@pytest.mark.parametrize("newest_first", [True, False])
def test_one_days_ids_of_a_million_calls_cost_that_days_pages(
    api: Sandbox, project: Project, newest_first: bool
) -> None:
    api.reset(limit=None, calls=1_000_000, missing_share=0, list_descending=newest_first)
    ids = ids_from(1_500_000, 3_000)
    result = project.load("--ids", str(list_of(project, ids)))
    assert (result.exit_code, result.summary["strategy"]) == (0, "sweep"), result.stderr
    assert result.summary["requests"] == api.all_requests() <= 300
    assert project.query("SELECT id FROM intercom.calls ORDER BY id") == [(call_id,) for call_id in ids]


def test_scattered_ids_cost_the_same_as_by_id(api: Sandbox, project: Project) -> None:
    api.reset(limit=None, calls=1_000_000, missing_share=0)
    ids = Random(2).sample(ids_from(FIRST, 1_000_000), 3_000)
    result = project.load("--ids", str(list_of(project, ids)))
    assert (result.exit_code, result.summary["strategy"]) == (0, "by-id"), result.stderr
    assert result.summary["requests"] == api.all_requests() <= 3_030
    assert project.query("SELECT id FROM intercom.calls ORDER BY id") == [(call_id,) for call_id in sorted(ids)]


@pytest.mark.parametrize("differs", [{"list_fields": {"tags": ["a"]}}, {"list_without": ["phone"]}])
def test_pages_that_differ_from_the_call_are_not_used(api: Sandbox, project: Project, differs: dict[str, Any]) -> None:
    api.reset(limit=None, calls=600, missing_share=0, **differs)
    ids = list_of(project, ids_from(1_000_001, 550))
    result = project.load("--ids", str(ids))
    assert (result.exit_code, result.summary["strategy"], result.summary["loaded"]) == (0, "by-id", 550)
    assert "differs from GET /calls/" in result.stderr
    assert result.summary["requests"] <= 560
    assert project.query("SELECT count(*), count(phone) > 500, count(extra) FROM intercom.calls") == [(550, True, 0)]


def test_a_refused_token_ends_a_sweep_too(api: Sandbox, project: Project) -> None:
    ids = list_of(project, ids_from(1_000_001, 600))
    result = project.load("--ids", str(ids), env={"SOURCES__INTERCOM__ACCESS_TOKEN": "wrong"})
    assert (result.exit_code, result.summary["requests"]) == (4, 1)


def test_settled_calls_are_not_written_again(api: Sandbox, project: Project) -> None:
    api.reset(limit=None, calls=2_000, missing_share=0, until="2025-01-01T00:00:00Z")
    first = project.load("--ids", str(list_of(project, ids_from(1_000_001, 800))))
    before = project.query("SELECT id, _fetched_at, _dlt_load_id FROM intercom.calls ORDER BY id")
    second = project.load("--ids", str(list_of(project, ids_from(1_000_001, 1_800))))
    assert (first.summary["strategy"], second.summary["strategy"]) == ("sweep", "sweep")
    assert (second.summary["already_loaded"], second.summary["loaded"]) == (800, 1_000)
    assert project.query("SELECT id, _fetched_at, _dlt_load_id FROM intercom.calls ORDER BY id LIMIT 800") == before


@pytest.mark.long
@pytest.mark.parametrize("seed", [1, 2])
def test_a_sweep_that_is_killed_repeatedly_is_completed_by_the_same_command(
    api: Sandbox, project: Project, seed: int
) -> None:
    chance = Random(seed)
    api.reset(limit=None, calls=5_000, missing_share=0, latency_seconds=0.2, until="2025-01-01T00:00:00Z")
    ids = list_of(project, ids_from(FIRST, 5_000))
    arguments = ("--ids", str(ids), "--chunk-size", "500", "--strategy", "sweep")
    kills = 0
    while kills < 4:
        at = api.stats()["requests"] + chance.randrange(1, 90)
        with running(project, *arguments, "--workers", "8") as run:
            while api.stats()["requests"] < at and run.process.poll() is None:
                time.sleep(0.02)
            if run.process.poll() is None:
                run.kill()
                kills += 1
            else:
                break
    api.configure(latency_seconds=0)
    result = project.load(*arguments)
    assert (result.exit_code, result.summary["failed"]) == (0, 0), result.stderr
    assert project.query("SELECT count(*), count(DISTINCT id) FROM intercom.calls") == [(5_000, 5_000)]
    assert kills
    # 200 pages; after each kill two chunks of them again, three first pages and at most eight comparisons
    assert api.stats()["requests"] <= 200 + kills * (2 * 500 // 25 + 11) + 11


def test_the_plan_says_whether_a_sweep_will_be_tried(api: Sandbox, project: Project) -> None:
    ids = str(list_of(project, ids_from(1_000_001, 600)))

    def tried(*arguments: str) -> bool:
        plan = project.load("--dry-run", *arguments).summary
        assert plan["requests"] == plan["to_fetch"]
        return bool(plan["sweep"])

    assert (tried("--ids", ids), tried("1"), tried("1", "--strategy", "sweep")) == (True, False, True)
    assert api.stats()["requests"] == 0
