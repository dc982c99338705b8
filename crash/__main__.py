"""The command line: `python -m crash --duckdb 300 --postgres 100 --seed 1`."""

from __future__ import annotations

import contextlib
import queue
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import click

from sandbox import Sandbox

from .campaign import Campaign, Census, Report, take_census
from .databases import postgres_server

KILLS_A_CAMPAIGN = 20


@click.command(context_settings={"show_default": True})
@click.option("--duckdb", default=0, help="Kills of loads into DuckDB.")
@click.option("--postgres", default=0, help="Kills of loads into PostgreSQL.")
@click.option("--seed", default=1, help="Of everything left to chance; the same seed does the same again.")
@click.option("--jobs", default=2, help="Campaigns at a time.")
def main(duckdb: int, postgres: int, seed: int, jobs: int) -> None:
    """Kill, double and repeat real loads, and compare the tables with what they must hold.

    Exit code 1 where anything is wrong: it is said at once, and at the end.
    """
    print(f"seed {seed}", flush=True)
    reports: dict[str, Report] = {}
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(postgres_server()) if postgres else None
        sandboxes: queue.SimpleQueue[Sandbox] = queue.SimpleQueue()
        for _ in range(jobs):
            sandboxes.put(stack.enter_context(Sandbox(limit=None, calls=0)))
        for destination, kills in (("duckdb", duckdb), ("postgres", postgres)):
            if kills:
                reports[destination] = _kill(destination, kills, seed, jobs, sandboxes, server)
    faults = [fault for report in reports.values() for fault in report.faults]
    sys.exit(1 if faults else 0)


def _kill(
    destination: str, kills: int, seed: int, jobs: int, sandboxes: queue.SimpleQueue[Sandbox], server: str | None
) -> Report:
    began = time.monotonic()
    total = Report()
    sandbox = sandboxes.get()
    census = take_census(sandbox, destination, server, seed)
    sandboxes.put(sandbox)
    _say(f"{destination}: {len(census.points)} points; a load of the longest list takes {census.seconds:.1f} s")

    def campaign(turn: int) -> None:
        sandbox = sandboxes.get()
        try:
            wanted = min(KILLS_A_CAMPAIGN, kills - turn * KILLS_A_CAMPAIGN)
            one = Campaign(sandbox, destination, server, seed=seed, kills=wanted, census=census, turn=turn)
            report = one.run()
        finally:
            sandboxes.put(sandbox)
        for fault in report.faults:
            _say(f"FAULT {destination} campaign {turn}: {fault}")
        total.add(report)
        _say(f"{destination}: {total.kills}/{kills} kills, {total.lists} lists, {time.monotonic() - began:.0f} s")

    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(campaign, range(-(-kills // KILLS_A_CAMPAIGN))))
    _say(_table(destination, total, census, time.monotonic() - began))
    return total


def _table(destination: str, report: Report, census: Census, seconds: float) -> str:
    reached = sum(point in report.points for point in census.points)
    first, last = report.working_files
    lines = {
        "kills": f"{report.kills}: {report.named_kills} at {reached} of {len(census.points)} points, "
        f"{report.kills - report.named_kills} by the clock ({report.plain_kills} of them plain processes)",
        "loads": f"{report.runs} of {report.lists} lists with {report.calls:,} calls, "
        f"the slowest {report.slowest_seconds:.1f} s",
        "fetched again": f"{report.fetched_again:,}; {report.fetched_again / max(report.kills, 1):.0f} a kill, "
        f"{report.most_fetched_again} at most",
        "working files": f"{first} after the first list, {last} after the last",
        "faults": str(len(report.faults)),
        "seconds": f"{seconds:.0f}",
    }
    return "\n".join([f"\n{destination}", *(f"  {name:<14}{text}" for name, text in lines.items())])


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    main()
