"""The command line: `python -m tests.crash --duckdb 300 --postgres 100 --pairs 50 --nights 100 --seed 1`."""

from __future__ import annotations

import contextlib
import queue
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from typing import TypeVar

import click

from sandbox import Sandbox
from tests.conftest import postgres_running

from .campaign import Campaign, Census, Report, take_census
from .nights import NIGHTS_A_LIST, NightReport, run_nights
from .pairs import PAIRINGS, PairReport, run_pairs

KILLS_A_CAMPAIGN = 20
DESTINATIONS = ("duckdb", "postgres")

T = TypeVar("T")


class Harness:
    """Runs parts of the harness side by side, each with a sandbox of its own, and says how they ended.

    Attributes:
        faults: every sentence about something wrong.
    """

    def __init__(self, sandboxes: list[Sandbox], postgres: str | None, seed: int) -> None:
        self.faults: list[str] = []
        self._jobs = len(sandboxes)
        self._sandboxes: queue.SimpleQueue[Sandbox] = queue.SimpleQueue()
        for sandbox in sandboxes:
            self._sandboxes.put(sandbox)
        self._postgres = postgres
        self._seed = seed

    def kill(self, destination: str, kills: int) -> None:
        """So many kills, in campaigns, each in a project of its own."""
        began = time.monotonic()
        with self._sandbox() as sandbox:
            census = take_census(sandbox, destination, self._postgres, self._seed)
        seconds = f"{census.seconds:.1f} s"
        _say(f"{destination}: {len(census.points)} points; a load that nobody kills takes {seconds}")
        total = Report()

        def campaign(sandbox: Sandbox, turn: int) -> None:
            wanted = min(KILLS_A_CAMPAIGN, kills - turn * KILLS_A_CAMPAIGN)
            one = Campaign(
                sandbox, destination, self._postgres, seed=self._seed, kills=wanted, census=census, turn=turn
            )
            report = one.run()
            total.add(report)
            self._tell(f"{destination} campaign {turn}", report.faults)
            _say(f"{destination}: {total.kills}/{kills} kills, {total.lists} lists, {time.monotonic() - began:.0f} s")

        self._side_by_side(campaign, range(-(-kills // KILLS_A_CAMPAIGN)))
        _say(_kill_table(destination, total, census, time.monotonic() - began))

    def pairs(self, times: int) -> None:
        """Two loads at once, so many times in every pairing."""
        reports: dict[str, PairReport] = {}

        def pairing(sandbox: Sandbox, number: int) -> None:
            each = PAIRINGS[number]
            report = run_pairs(sandbox, each, self._postgres, seed=self._seed, times=times)
            reports[each.name] = report
            self._tell(each.name, report.faults)
            _say(f"two at once, {each.name}: {report.codes.total()}/{times}")

        self._side_by_side(pairing, range(len(PAIRINGS)))
        lines = {
            each.name: ", ".join(
                f"{first} and {second} {count} times"
                for (first, second), count in sorted(reports[each.name].codes.items())
            )
            for each in PAIRINGS
        }
        _say(_table("two at once: exit codes", lines))

    def nights(self, nights: int) -> None:
        """So many loads of a schedule, into each destination."""
        reports: dict[str, NightReport] = {}

        def schedule(sandbox: Sandbox, number: int) -> None:
            destination = DESTINATIONS[number]
            report = run_nights(sandbox, destination, self._postgres, seed=self._seed, nights=nights)
            reports[destination] = report
            self._tell(f"nights, {destination}", report.faults)

        self._side_by_side(schedule, range(len(DESTINATIONS)))
        for destination, report in reports.items():
            _say(_night_table(destination, report))

    def _side_by_side(self, work: Callable[[Sandbox, int], None], turns: range) -> None:
        def one(turn: int) -> None:
            with self._sandbox() as sandbox:
                work(sandbox, turn)

        with ThreadPoolExecutor(self._jobs) as pool:
            list(pool.map(one, turns))

    @contextlib.contextmanager
    def _sandbox(self) -> Iterator[Sandbox]:
        sandbox = self._sandboxes.get()
        try:
            yield sandbox
        finally:
            self._sandboxes.put(sandbox)

    def _tell(self, where: str, faults: list[str]) -> None:
        self.faults += faults
        for fault in faults:
            _say(f"FAULT {where}: {fault}")


@click.command(context_settings={"show_default": True})
@click.option("--duckdb", default=0, help="Kills of loads into DuckDB.")
@click.option("--postgres", default=0, help="Kills of loads into PostgreSQL.")
@click.option("--pairs", default=0, help="How often two loads at once run in every combination.")
@click.option("--nights", default=0, help="Loads of a schedule, into each database.")
@click.option("--seed", default=1, help="Seed of all randomness except the machine's own.")
@click.option("--jobs", default=2, help="How many projects run in parallel.")
def main(duckdb: int, postgres: int, pairs: int, nights: int, seed: int, jobs: int) -> None:
    """Kill, double and repeat real loads, and compare the tables with what they must hold.

    What is wrong is said at once; the exit code is then 1.
    """
    began = time.monotonic()
    _say(f"seed {seed}")
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(postgres_running()) if postgres or pairs or nights else None
        sandboxes = [stack.enter_context(Sandbox(limit=None, calls=0)) for _ in range(jobs)]
        harness = Harness(sandboxes, server, seed)
        for destination, kills in zip(DESTINATIONS, (duckdb, postgres), strict=True):
            if kills:
                harness.kill(destination, kills)
        if pairs:
            harness.pairs(pairs)
        if nights:
            harness.nights(nights)
    _say(f"\n{len(harness.faults)} faults, {time.monotonic() - began:.0f} s, seed {seed}")
    sys.exit(1 if harness.faults else 0)


def _kill_table(destination: str, report: Report, census: Census, seconds: float) -> str:
    reached = sum(point in report.points for point in census.points)
    first, last = report.working_files
    lines = {
        "kills": f"{report.kills}: {report.named_kills} at {reached} of {len(census.points)} points, "
        f"{report.kills - report.named_kills} by the clock ({report.plain_kills} of them plain processes)",
        "loads": f"{report.runs} of {report.lists} lists with {report.calls:,} calls, "
        f"the slowest {report.slowest_seconds:.1f} s",
        "fetched again": f"{report.fetched_again:,} calls; {report.fetched_again / max(report.kills, 1):.0f} a kill, "
        f"{report.most_fetched_again} at most",
        "working files": f"{first} after the first list, {last} after the last",
        "faults": str(len(report.faults)),
        "seconds": f"{seconds:.0f}",
    }
    return _table(destination, lines)


def _night_table(destination: str, report: NightReport) -> str:
    figures = {
        "peak memory, MB": [size // 1024 for size in report.peak_rss_kb],
        "working files": report.working_files,
        "connections": report.api_connections,
    }
    # until then the lists grow, and with them what a load uses
    whole = {name: each[NIGHTS_A_LIST:] for name, each in figures.items()}
    lines = {
        name: f"{median(each[:10]):g} in the first ten nights with a whole list, {median(each[-10:]):g} in the last ten"
        for name, each in whole.items()
        if each
    }
    lines = {
        "nights": f"{len(report.working_files)} with {report.calls:,} calls, {report.faulty_answers:,} faulty answers",
        **lines,
        "faults": str(len(report.faults)),
    }
    return _table(f"nights, {destination}", lines)


def _table(title: str, lines: dict[str, str]) -> str:
    width = max(map(len, lines))
    return "\n".join([f"\n{title}", *(f"  {name:<{width}}  {text}" for name, text in lines.items())])


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    main()
