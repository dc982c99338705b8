"""The crash harness: loads that are killed, a schedule, and the checker, which finds what is wrong in a table."""

from __future__ import annotations

import time
from pathlib import Path
from random import Random

import duckdb
import pytest

from sandbox import Sandbox
from tests.crash.campaign import Campaign, take_census
from tests.crash.checker import Checker
from tests.crash.nights import run_nights
from tests.crash.processes import Ended, Kill
from tests.crash.stage import Stage, settled_log
from tests.crash.world import World

pytestmark = pytest.mark.timeout(600)  # a dozen loads each

CHUNK_SIZE = 20


@pytest.mark.long
@pytest.mark.parametrize("destination", ["duckdb", "postgres"])
def test_killed_loads_continue_to_tables_that_are_right(destination: str, api: Sandbox, postgres_server: str) -> None:
    census = take_census(api, destination, postgres_server, seed=1)
    assert {"before Pipeline.load", "after stage calls", "before merge call_errors"} <= set(census.points)
    campaign = Campaign(api, destination, postgres_server, seed=1, kills=3, census=census, turn=0)
    report = campaign.run()
    assert report.faults == []
    assert report.kills == 3
    assert report.most_fetched_again <= 80  # two chunks


# The moments at which a database has more than dlt has noted.
UNNOTED = (
    "before the note of stage calls",
    "before the note of merge calls",
    "after SqlJobClientBase.complete_load",
    "after PackageStorage.complete_loading_package",
    "before the note of merge load_runs",
)


@pytest.mark.parametrize("destination", ["duckdb", pytest.param("postgres", marks=pytest.mark.long)])
def test_what_was_committed_but_not_recorded_is_loaded_once(
    destination: str, tmp_path: Path, api: Sandbox, postgres_server: str
) -> None:
    stage = Stage(tmp_path, api, destination, postgres_server, CHUNK_SIZE)
    world = World(Random(1), int(time.time()))
    checker = Checker(world, stage.database, CHUNK_SIZE)
    call_ids = world.arrive(8 * CHUNK_SIZE)
    stage.list(call_ids)
    api.reset(limit=None, **world.settings(call_ids))
    seen = 0
    for point in UNNOTED:
        killed = stage.run(kill=Kill(point))
        assert killed.was_killed, (point, killed)
        log = settled_log(api)
        assert checker.heard(log[seen:], killed) == []
        assert checker.always() == [], point
        seen = len(log)
    ended = stage.run()
    assert checker.heard(settled_log(api)[seen:], ended) == []
    assert checker.completed(call_ids, ended) == []


@pytest.mark.long
@pytest.mark.parametrize("destination", ["duckdb", "postgres"])
def test_every_run_of_a_schedule_leaves_right_tables_and_no_extra_files(
    destination: str, api: Sandbox, postgres_server: str
) -> None:
    report = run_nights(api, destination, postgres_server, seed=1, nights=5)
    assert report.faults == []
    assert len(report.working_files) == 5
    assert report.calls > 75
    assert report.faulty_answers > 0


class Loaded:
    """Sixty calls loaded into DuckDB, of which the checker says that they are right."""

    def __init__(self, folder: Path, api: Sandbox) -> None:
        self.stage = Stage(folder, api, "duckdb", None, CHUNK_SIZE)
        self.world = World(Random(1), int(time.time()))
        self.checker = Checker(self.world, self.stage.database, CHUNK_SIZE)
        self.call_ids = self.world.arrive(60)
        self.stage.list(self.call_ids)
        api.reset(limit=None, **self.world.settings(self.call_ids))
        killed = self.stage.run(kill=Kill("before Pipeline.load"))
        assert killed.was_killed
        assert self.checker.heard(settled_log(api), killed) == []
        seen = len(settled_log(api))
        self.ended: Ended = self.stage.run()
        assert self.checker.heard(settled_log(api)[seen:], self.ended) == []
        assert self.checker.completed(self.call_ids, self.ended) == []

    def spoil(self, sql: str) -> list[str]:
        """What the checker says once `sql` has been at the tables."""
        settled = [name for name, call in self.world.calls.items() if call.is_settled]
        call, with_extra = settled[0], next(name for name in settled if self.world.calls[name].number % 8 == 2)
        with duckdb.connect(str(self.stage.project.folder / "intercom_calls.duckdb")) as connection:
            connection.execute(sql.format(call=call, with_extra=with_extra))
        return self.checker.completed(self.call_ids, self.ended)


SPOILED = {
    "DELETE FROM intercom.calls WHERE id = '{call}'": "was there and is gone",
    "INSERT INTO intercom.calls SELECT * FROM intercom.calls WHERE id = '{call}'": "is there 2 times",
    "UPDATE intercom.calls SET phone = NULL WHERE id = '{call}'": "phone is None, not '+12025550142'",
    "UPDATE intercom.calls SET ended_at = ended_at + INTERVAL 1 SECOND WHERE id = '{call}'": "ended_at is",
    "UPDATE intercom.calls SET extra = '[]' WHERE id = '{with_extra}'": "extra is []",
    "UPDATE intercom.calls SET state = 'version 2' WHERE id = '{call}'": "version 2, which was never answered",
    "UPDATE intercom.calls SET _deleted_at = now() WHERE id = '{call}'": "is marked deleted and is there",
    "DELETE FROM intercom.call_errors": "is not in call_errors",
    "INSERT INTO intercom.call_errors SELECT * FROM intercom.call_errors": "is twice in call_errors",
    "UPDATE intercom.call_errors SET attempts = 9": "call_errors says",
    "UPDATE intercom.load_runs SET loaded = loaded + 1": "does not add up",
    "DELETE FROM intercom.load_runs": "left no row in load_runs",
    "INSERT INTO intercom._dlt_loads SELECT * FROM intercom._dlt_loads LIMIT 1": "is twice in _dlt_loads",
}


@pytest.mark.long
def test_the_checker_finds_what_is_wrong(tmp_path: Path, api: Sandbox) -> None:
    loaded = Loaded(tmp_path, api)
    file = tmp_path / "intercom_calls.duckdb"
    right = file.read_bytes()
    for sql, expected in SPOILED.items():
        wrong = loaded.spoil(sql)
        assert any(expected in sentence for sentence in wrong), (sql, wrong)
        file.write_bytes(right)
