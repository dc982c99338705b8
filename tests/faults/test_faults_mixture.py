"""Faults of every kind at once, at Intercom's own time limits: nothing stalls, nothing is lost."""

from __future__ import annotations

import pytest

from sandbox import Sandbox
from tests.conftest import Project
from tests.support.processes import running, write_ids

# Each as often as the others: what a server, a proxy or a network does now and then.
MIXTURE = (
    "status:500",
    "status:502",
    "status:503",
    "bare:429",
    "reset",
    "cut",
    "not_json",
    "html200",
    "hang",
)
CALLS = 1_500


@pytest.mark.long
@pytest.mark.timeout(400)
@pytest.mark.parametrize(("seed", "limit"), [(1, None)])
def test_a_load_with_a_quarter_of_all_answers_faulty_in_every_way_completes_in_two_minutes(
    project: Project, api: Sandbox, seed: int, limit: int | None
) -> None:
    """Refusals without headers meet requests that hang for half a minute: the budget must know whose answer it got."""
    ids = write_ids(project, 1_000_001, CALLS)
    api.configure(seed=seed)  # of the calls and of the faults
    assert project.load("--ids", ids, "--dataset", "clean").exit_code == 0
    faults = {"fault_share": 0.25, "fault_weights": dict.fromkeys(MIXTURE, 1)}
    api.reset(limit=limit, seed=seed, latency_seconds=0.05, **faults)
    with running(project, "--ids", ids, "--strategy", "by-id") as run:
        result = run.end(seconds=300)
    assert result.exit_code == 0, result.stderr
    summary, stats = result.summary, api.stats()
    assert summary["failed"] == 0
    assert summary["requests"] == stats["requests"] + 1 == CALLS + 1 + summary["retries"]
    assert set(stats["by_fault"]) == {fault.partition(":")[0] for fault in MIXTURE}
    columns = "* EXCLUDE (_fetched_at, _dlt_load_id)"
    for one, other in (("clean", "intercom"), ("intercom", "clean")):
        assert project.query(f"SELECT {columns} FROM {one}.calls EXCEPT SELECT {columns} FROM {other}.calls") == []
    assert summary["seconds"] < 120
