"""Two loads at once, again and again into the same tables: right each time, and who comes second changes nothing."""

from __future__ import annotations

import pytest

from sandbox import Sandbox
from tests.crash.pairs import PAIRINGS, Pairing, run_pairs

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]  # a dozen loads each

TIMES = 2


@pytest.mark.parametrize("pairing", PAIRINGS, ids=[pairing.name for pairing in PAIRINGS])
def test_two_loads_at_once_leave_the_tables_right(pairing: Pairing, api: Sandbox, postgres_server: str) -> None:
    report = run_pairs(api, pairing, postgres_server, seed=1, times=TIMES)
    assert report.faults == []
    assert report.codes.total() == TIMES
