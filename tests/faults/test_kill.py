"""`kill -9` at one moment after another: the same command completes, nothing lost, nothing twice."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from sandbox import Sandbox
from tests.conftest import Postgres, Project
from tests.support.processes import Running, has_file, running

CALLS = 240
CHUNK = 10
QUERY = "SELECT id, state, phone, initiated_at, ended_at, CAST(extra AS VARCHAR) FROM intercom.calls ORDER BY id"

Moment = Callable[[Running, Project, Sandbox], None]


def _fetching(run: Running, project: Project, api: Sandbox) -> None:
    """The first answers have come, nothing is loaded."""
    before = api.stats()["requests"]
    run.wait_until(lambda: api.stats()["requests"] >= before + 8)


def _fetching_ahead(run: Running, project: Project, api: Sandbox) -> None:
    """A chunk is loaded while the next is fetched."""
    before = api.stats()["requests"]
    run.wait_until(lambda: api.stats()["requests"] >= before + 35)


def _at(pattern: str) -> Moment:
    """When dlt's working folder holds such a file."""

    def moment(run: Running, project: Project, api: Sandbox) -> None:
        _fetching(run, project, api)
        run.wait_until(has_file(project, pattern), every_seconds=0.001)

    return moment


MOMENTS: list[Moment] = [
    _fetching,
    _at("normalize/extracted/*/new_jobs/calls.*"),
    _at("load/normalized/*/new_jobs/calls.*"),
    _at("load/normalized/*/started_jobs/calls.*.[!s]*"),
    _at("load/normalized/*/started_jobs/calls.*.sql"),
    _at("load/normalized/*/completed_jobs/calls.*"),
    _fetching_ahead,
]


@pytest.fixture(params=["duckdb", "postgres"])
def query(request: pytest.FixtureRequest, project: Project) -> Callable[[str], list[tuple[object, ...]]]:
    """Asks the destination, which the project's configuration names."""
    if request.param == "duckdb":
        return project.query
    postgres: Postgres = request.getfixturevalue("postgres")
    return postgres.query


@pytest.mark.long
def test_killed_at_every_step_nothing_is_lost_or_duplicated(
    project: Project,
    api: Sandbox,
    query: Callable[[str], list[tuple[object, ...]]],
    request: pytest.FixtureRequest,
) -> None:
    destination = request.node.callspec.params["query"]
    ids = [f"{number:05}" for number in range(CALLS)]
    bodies = {
        call_id: {
            "type": "call",
            "id": call_id,
            "state": f"state {call_id}",
            "phone": f"+1{call_id}",
            "mood": [call_id],
        }
        | {"initiated_at": 1_700_000_000 + int(call_id), "ended_at": "2023-11-15T00:00:00Z"}
        for call_id in ids
    }
    del bodies["00133"], bodies["00134"]
    api.configure(bodies=bodies, latency_seconds=0.02)
    (project.folder / "ids.txt").write_text("\n".join(ids))
    load = ("--ids", "ids.txt", "--destination", destination, "--chunk-size", str(CHUNK))

    for moment in MOMENTS:
        with running(project, *load) as run:
            moment(run, project, api)
            run.kill()
    done = project.load(*load)
    assert done.exit_code == 0, done.stderr
    assert done.summary["requested"] == CALLS
    assert done.summary["loaded"] + done.summary["already_loaded"] == CALLS - 2
    assert done.summary["missing"] == 2

    start = datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)  # 1,700,000,000
    rows = query(QUERY)
    assert len(rows) == CALLS - 2
    for row, call_id in zip(rows, bodies, strict=True):
        assert row[:3] == (call_id, f"state {call_id}", f"+1{call_id}")
        assert isinstance(row[3], datetime)
        assert (row[3] - start).total_seconds() == int(call_id)
        assert row[4] == datetime(2023, 11, 15, tzinfo=UTC)
        assert str(row[5]).replace(" ", "") == f'{{"mood":["{call_id}"]}}'
    assert query("SELECT call_id, http_status FROM intercom.call_errors ORDER BY call_id") == [
        ("00133", 404),
        ("00134", 404),
    ]

    requests = api.stats()["by_id"]
    assert sum(requests.values()) <= CALLS + len(MOMENTS) * 2 * CHUNK + 2
    runs = query("SELECT finished_at IS NULL, exit_code, loaded FROM intercom.load_runs ORDER BY started_at")
    assert len(runs) <= len(MOMENTS) + 1
    assert any(run[0] for run in runs[:-1]), "a killed run that had loaded a chunk is seen to have no end"
    assert all(exit_code is None for is_unfinished, exit_code, _ in runs if is_unfinished)
    assert runs[-1][:2] == (False, 0)
    # nothing of any package stays in the working folder
    assert list((project.folder / ".dlt").rglob("calls.*")) == []
    assert list((project.folder / ".dlt").rglob("load/loaded/*")) == []
