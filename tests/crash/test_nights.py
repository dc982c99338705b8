"""Night after night of a schedule: right after each, and no night uses more than the one before."""

from __future__ import annotations

import pytest

from sandbox import Sandbox
from tests.crash.nights import run_nights

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]  # a dozen loads each


@pytest.mark.parametrize("destination", ["duckdb", "postgres"])
def test_every_night_of_a_schedule_leaves_all_right_and_nothing_behind(
    destination: str, api: Sandbox, postgres_server: str
) -> None:
    report = run_nights(api, destination, postgres_server, seed=1, nights=5)
    assert report.faults == []
    assert len(report.working_files) == 5
    assert report.calls > 75
    assert report.faulty_answers > 0
