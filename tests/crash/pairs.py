"""Two loads at once, in every pairing of destinations and working folders."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from sandbox import Sandbox

from .checker import Checker
from .processes import Ended
from .stage import Stage, settled_log
from .world import World

CHUNK_SIZE = 15
LIST_SIZE = 50
# Two loads are seldom started in one instant; the second meets the first in each of its steps.
MOST_SECONDS_APART = 1.5

# How often both find no working folder and make one.
AFRESH = 0.3


@dataclass(frozen=True)
class Pairing:
    """Two loads: where each goes, and whether they share the working folder."""

    name: str
    first: str
    second: str
    one_folder: bool


PAIRINGS = (
    Pairing("duckdb, one working folder", "duckdb", "duckdb", True),
    Pairing("duckdb, two working folders", "duckdb", "duckdb", False),
    Pairing("postgres, one working folder", "postgres", "postgres", True),
    Pairing("postgres, two working folders", "postgres", "postgres", False),
    Pairing("duckdb and postgres", "duckdb", "postgres", True),
)


@dataclass
class PairReport:
    """How often which exit codes were seen together, and what was wrong."""

    codes: Counter[tuple[int, int]] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)


def run_pairs(sandbox: Sandbox, pairing: Pairing, postgres: str | None, *, seed: int, times: int) -> PairReport:
    """So many times two loads of one list at once, into the same tables again and again."""
    chance = Random(f"{seed} {pairing.name}")
    report = PairReport()
    with TemporaryDirectory(prefix="crash") as name, ThreadPoolExecutor(2) as pool:
        stages = [Stage(Path(name), sandbox, pairing.first, postgres, CHUNK_SIZE)]
        stages.append(Stage(Path(name), sandbox, pairing.second, postgres, CHUNK_SIZE))
        if pairing.first == pairing.second:
            stages[1].database, stages[1].project.env = stages[0].database, dict(stages[0].project.env)
        if not pairing.one_folder:
            stages[1].project.env["DLT_DATA_DIR"] = "elsewhere"
        world = World(chance, int(time.time()))
        checkers = [Checker(world, stage.database, CHUNK_SIZE) for stage in stages]
        if pairing.first == pairing.second:
            checkers[1] = checkers[0]
        for turn in range(times):
            if chance.random() < AFRESH:
                for folder in (".dlt", "elsewhere"):
                    shutil.rmtree(Path(name) / folder, ignore_errors=True)
            call_ids = world.arrive(LIST_SIZE)
            stages[0].list(call_ids)
            sandbox.reset(limit=None, latency_seconds=0.01, **world.settings(call_ids))
            apart = chance.uniform(0, MOST_SECONDS_APART) * chance.random()
            first = pool.submit(stages[0].run)
            time.sleep(apart)
            both = [stages[1].run(), first.result()][::-1]
            report.codes[both[0].exit_code, both[1].exit_code] += 1
            wrong = _judge(
                call_ids, both, checkers, settled_log(sandbox), apart_allowed=pairing.first != pairing.second
            )
            report.faults += [f"[seed {seed}] pair {turn}, {apart:.2f} s apart: {each}" for each in wrong]
            if wrong:
                break
    return report


def _judge(
    call_ids: list[str],
    both: list[Ended],
    checkers: list[Checker],
    log: list[tuple[float, str, int]],
    *,
    apart_allowed: bool,
) -> list[str]:
    wrong = []
    for ended in both:
        if ended.stuck or ended.exit_code not in (0, 3, 5) or "Traceback" in ended.stderr:
            return [f"exit code {ended.exit_code}: {ended.stdout} {ended.stderr}"]
        summary = ended.summary
        if ended.exit_code == 5 and (apart_allowed or summary["requests"] or summary["loaded"]):
            wrong.append(f"left with 5: {summary}")
    if all(ended.exit_code == 5 for ended in both):
        wrong.append("both left with 5")
    for checker in {id(each): each for each in checkers}.values():
        wrong += checker.heard(log, *both)
    for checker in {id(each): each for each in checkers}.values():
        pairs = zip(both, checkers, strict=True)
        wrong += checker.completed(call_ids, *(run for run, its in pairs if its is checker and run.exit_code != 5))
    return wrong
