"""A schedule at speed: load after load into one database while calls arrive, change, vanish and come back."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from statistics import median
from tempfile import TemporaryDirectory

from sandbox import Sandbox

from .checker import Checker
from .databases import Postgres
from .stage import Stage, settled_log
from .world import World

CHUNK_SIZE = 40
# A night's list is that of the last few nights; now and then of many more; seldom with --refresh all.
NIGHTS_A_LIST = 5
NIGHTS_A_LONG_LIST = 40
LONG_LIST_EACH = 10
REFRESH_ALL_EACH = 25
FAULTS = {"status:500": 1, "status:503": 1, "status:429": 1, "reset": 1, "cut": 1, "not_json": 1, "html200": 1}
# At this latency; a faulty answer may cost its connection.
MOST_CONNECTIONS = 64
# The server notices a while later that a client is gone.
GONE_SECONDS = 5.0
# Growth within this is the allocator's and the plan's few kilobytes a thousand ids.
FLAT = 1.1


@dataclass
class NightReport:
    """What each night used; the figures are one a night."""

    peak_rss_kb: list[int] = field(default_factory=list)
    working_files: list[int] = field(default_factory=list)
    api_connections: list[int] = field(default_factory=list)
    calls: int = 0
    faulty_answers: int = 0
    faults: list[str] = field(default_factory=list)

    def grown(self) -> list[str]:
        """What a later night used more of than an early one, beyond chance."""
        tenth = max(len(self.peak_rss_kb) // 10, 1)
        figures = {"memory": self.peak_rss_kb, "working files": self.working_files}
        # the first night makes the tables
        ends = {name: (median(each[1 : 1 + tenth]), median(each[-tenth:])) for name, each in figures.items()}
        return [f"{name}: from {early} to {late}" for name, (early, late) in ends.items() if late > FLAT * early + 2]


def run_nights(sandbox: Sandbox, destination: str, postgres: str | None, *, seed: int, nights: int) -> NightReport:
    """So many loads, each of which must leave everything right."""
    chance = Random(f"{seed} nights {destination}")
    report = NightReport()
    with TemporaryDirectory(prefix="crash") as name:
        stage = Stage(Path(name), sandbox, destination, postgres, CHUNK_SIZE)
        world = World(chance, int(time.time()))
        checker = Checker(world, stage.database, CHUNK_SIZE)
        arrived: list[list[str]] = []
        for night in range(nights):
            arrived.append(world.arrive(chance.randint(15, 45)))
            is_long = night % LONG_LIST_EACH == LONG_LIST_EACH - 1
            recent = arrived[-NIGHTS_A_LONG_LIST if is_long else -NIGHTS_A_LIST :]
            call_ids = [name for names in recent for name in names]
            world.change(call_ids, chance.randint(0, 25))
            refresh = "all" if night % REFRESH_ALL_EACH == REFRESH_ALL_EACH - 1 else "open"
            if refresh == "all":
                call_ids += [name for name in world.come_back() if name not in set(call_ids)]
            share = chance.choice((0.0, 0.05, 0.15))
            stage.list(call_ids)
            sandbox.reset(limit=None, fault_share=share, fault_weights=FAULTS, **world.settings(call_ids))
            ended = stage.run("--refresh", refresh)
            if ended.exit_code not in (0, 3):
                wrong = [f"ended with {ended.exit_code}: {ended.stdout} {ended.stderr}"]
            else:
                wrong = checker.heard(settled_log(sandbox), ended, refresh=refresh)
                wrong += checker.completed(call_ids, ended)
                wrong += _left_open(stage)
            stats = sandbox.stats()
            faulty = sum(stats["by_fault"].values())
            if stats["connections"] > MOST_CONNECTIONS + faulty:
                wrong.append(f"{stats['connections']} connections to the API, {faulty} faulty answers")
            report.faults += [f"[seed {seed}] night {night}: {each}" for each in wrong]
            if wrong:
                break
            report.peak_rss_kb.append(ended.peak_rss_kb)
            report.working_files.append(stage.working_files())
            report.api_connections.append(stats["connections"])
            report.faulty_answers += faulty
        report.calls = len(world.calls)
    report.faults += report.grown() if not report.faults else []
    return report


def _left_open(stage: Stage) -> list[str]:
    if not isinstance(stage.database, Postgres):
        return []
    others = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
        "AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
    )
    deadline = time.monotonic() + GONE_SECONDS
    while (count := stage.database.query(others)[0][0]) and time.monotonic() < deadline:
        time.sleep(0.05)
    return [f"{count} connections to the database are left"] if count else []
