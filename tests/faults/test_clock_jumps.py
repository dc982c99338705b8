"""The machine's clock is set an hour forward or back in the middle of a load: no wait notices, times are as it says."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sandbox import Sandbox
from tests.conftest import Project
from tests.support.processes import running, write_ids

# The command, whose wall clock goes wrong by as many seconds as the file `jump` in its folder says.
_JUMPING = """
import importlib, pathlib, sys, time
from datetime import datetime as true

true_time, jump = time.time, pathlib.Path("jump")
time.time = lambda: true_time() + (float(jump.read_text()) if jump.exists() else 0)

class Jumping(true):
    @classmethod
    def now(cls, tz=None):
        return true.fromtimestamp(time.time(), tz)

from pipelines import intercom_calls
from pipelines.cli import project
project.enter(None)
importlib.import_module("pipelines.commands.load")
for name, module in list(sys.modules.items()):
    if name.startswith(("pipelines", "sources")) and getattr(module, "datetime", None) is true:
        module.datetime = Jumping
sys.exit(intercom_calls.main(prog_name="intercom-calls"))
"""


@dataclass
class _JumpingProject(Project):
    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-c", _JUMPING, *arguments]


@pytest.mark.parametrize("seconds", [3600, pytest.param(-3600, marks=pytest.mark.long)], ids=["forward", "back"])
def test_a_clock_that_is_set_during_a_load_changes_only_the_times_in_the_tables(
    seconds: int, project: Project, api: Sandbox
) -> None:
    """While the rate budget waits for a window, a call is retried, and chunks are loaded."""
    jumping = _JumpingProject(project.folder, project.env, project.results)
    ids = write_ids(project, 1_000_001, 60)
    api.configure(missing_share=0, limit=20, window_seconds=1, faults={"1000019": ["status:503"] * 4})
    jump = Path(project.folder, "jump")
    with running(jumping, "--ids", ids, "--chunk-size", "10", "--workers", "4", "--strategy", "by-id") as run:
        run.wait_until(lambda: api.stats()["requests"] >= 20)
        jump.with_suffix(".new").write_text(str(seconds))
        jump.with_suffix(".new").rename(jump)
        result = run.end()
    assert result.exit_code == 0, result.stderr
    summary = result.summary
    assert (summary["loaded"], summary["failed"], summary["retries"]) == (60, 0, 4)
    assert (summary["requests"], summary["rate_limited"]) == (api.all_requests(), 0)
    assert 0 < summary["seconds"] < 1800
    assert project.query("SELECT count(*), count(DISTINCT id) FROM intercom.calls") == [(60, 60)]
    packages = project.query("SELECT count(DISTINCT load_id) FROM intercom._dlt_loads WHERE status = 0")
    assert packages == [(summary["load_packages"],)]

    # each call says what the clock said as it was asked for: some before it was set, some after
    assert {_hours_off(at) for (at,) in project.query("SELECT _fetched_at FROM intercom.calls")} == {0, seconds / 3600}
    [(started_at, finished_at)] = project.query("SELECT started_at, finished_at FROM intercom.load_runs")
    assert (_hours_off(started_at), _hours_off(finished_at)) == (0, seconds / 3600)

    jump.unlink()
    api.configure(limit=None)
    again = project.load("--ids", ids, "--refresh", "new")
    assert (again.exit_code, again.summary["requests"], again.summary["already_loaded"]) == (0, 1, 60)
    asked = project.load("--ids", ids, "--refresh", "all")
    assert asked.exit_code == 0, asked.stderr
    assert project.query("SELECT count(*), count(DISTINCT id) FROM intercom.calls") == [(60, 60)]


def _hours_off(at: datetime) -> int:
    return round((at - datetime.now(UTC)).total_seconds() / 3600)
