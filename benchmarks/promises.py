"""What this project promises of its speed, and what was measured of it."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from typing import NamedTuple

from . import contenders as who
from .measure import Run
from .results import Results, grouped, median, ratios


class Promise(NamedTuple):
    """A line of the report's first table."""

    what: str
    measured: str
    needed: str
    result: str
    """`pass`, `pass, goal missed`, `fail` or `not measured`; empty where the figure is only stated"""


def promises(results: Results) -> Iterator[Promise]:
    """Each promise whose part was measured."""
    for part, tell in _OF_PART.items():
        if results.runs(part):
            yield from tell(results.runs(part))


def _startup(runs: list[Run]) -> Iterator[Promise]:
    for figure, name in (("wall_seconds", "time"), ("cpu_seconds", "CPU")):
        measured = ratios(runs, figure, who.OURS.name, who.MINIMAL_DLT.name)
        yield _at_most(f"ten ids: {name} by that of dlt merging ten rows", measured, 1.3)


def _cpu(runs: list[Run]) -> Iterator[Promise]:
    ids = max(run["ids"] for run in runs)
    measured = ratios(runs, "cpu_seconds", who.OURS.name, who.FLOOR_THREADS_16.name)
    yield _at_most(f"CPU of {ids:,} calls by that of the floor on requests", measured, 0.75, goal=0.4)


def _faulty(runs: list[Run]) -> Iterator[Promise]:
    measured = ratios(runs, "cpu_seconds", who.FAULTY.name, who.OURS.name)
    what = "CPU where a quarter of the answers are faulty (without 429 and hangs) by that where none is"
    yield _at_most(what, measured, 1.5)


def _library(runs: list[Run]) -> Iterator[Promise]:
    ids = max(run["ids"] for run in runs)
    for figure, name, most in (("cpu_seconds", "CPU", 1.1), ("peak_mb", "peak memory", 1.2)):
        measured = ratios(runs, figure, who.LIBRARY.name, who.OURS.name)
        yield _at_most(f"{name} of {ids:,} calls through the source by the command's", measured, most)


def _windows(runs: list[Run]) -> Iterator[Promise]:
    own = [run for run in runs if run["contender"] in (who.OURS.name, who.PAGES.name)]
    for (name, latency), same in grouped(own, "contender", "latency_seconds").items():
        what = f"windows used{' by pages' * (name == who.PAGES.name)} at {latency * 1000:.0f} ms; answers of 429"
        yield _used(what, same, max(run["rate_limited"] for run in same), 0.97, 0.99, 0)


def _sharing(runs: list[Run]) -> Iterator[Promise]:
    for (name,), same in grouped(runs, "contender").items():
        refused = max(max((window["rate_limited"] for window in run["windows"]), default=0) for run in same)
        what = f"{name}: windows used together; most answers of 429 in a window"
        yield _used(what, same, refused, 0.95, None, 2)


def _chunks(runs: list[Run]) -> Iterator[Promise]:
    loads = grouped((run for run in runs if run["steps"]), "table_rows")
    took = {rows: median([run["steps"] for run in same], "load") or 0 for (rows,), same in loads.items()}
    told = ", ".join(f"{seconds:.2f} s at {rows:,}" for rows, seconds in took.items())
    kept = took[max(took)] <= took[min(took)] * 1.1 if took else None  # a tenth is chance
    yield Promise("loading a chunk into a table of so many rows", told, "no growth", _result(kept))


def _scale(runs: list[Run]) -> Iterator[Promise]:
    firsts, agains = (
        {ids: same for (ids, again), same in grouped(runs, "ids", "again").items() if again is kind}
        for kind in (False, True)
    )
    few, many = min(firsts), max(firsts)
    memory = (median(firsts[many], "peak_mb") or 0) / (median(firsts[few], "peak_mb") or 1)
    yield _at_most(f"peak memory at {many:,} ids by that at {few:,}", [memory], 1.5, goal=1.2)
    for ids, same in firsts.items():
        if ids != few:
            grown = (median(same, "wall_seconds") or 0) / (median(firsts[few], "wall_seconds") or 1) / (ids / few)
            yield Promise(f"time a call at {ids:,} ids by that at {few:,}", f"{grown:.2f}", "stated", "")
    if again := agains.get(many):
        took, asked = median(again, "wall_seconds") or 0, max(run["requests"] for run in again)
        what = f"again over {many:,} settled ids: seconds; requests but /me"
        yield Promise(what, f"{took:.1f}; {asked}", "under 10; 0", _result(took < 10 and not asked))


def _sweep(runs: list[Run]) -> Iterator[Promise]:
    counts = sorted({run["ids"] for run in runs})
    pages = {ids: [run for run in runs if run["ids"] == ids and run["contender"] == who.PAGES.name] for ids in counts}
    for ids in counts[1:-1] or counts[:1]:
        measured = ratios([run for run in runs if run["ids"] == ids], "cpu_seconds", who.PAGES.name, who.OURS.name)
        yield _at_most(f"CPU of {ids:,} calls by pages by that by id", measured, 0.33)
    few, many = counts[0], counts[-1]
    memory = (median(pages[many], "peak_mb") or 0) / (median(pages[few], "peak_mb") or 1)
    yield _at_most(f"peak memory by pages at {many:,} ids by that at {few:,}", [memory], 1.5, goal=1.2)
    requests = f"{median(pages[many], 'requests') or 0:,.0f}"
    yield Promise(f"requests for {many:,} calls by pages", requests, "stated", "")


_OF_PART: dict[str, Callable[[list[Run]], Iterator[Promise]]] = {
    "startup": _startup,
    "cpu": _cpu,
    "faulty": _faulty,
    "library": _library,
    "windows": _windows,
    "sharing": _sharing,
    "chunks": _chunks,
    "scale": _scale,
    "sweep": _sweep,
}


def _at_most(what: str, measured: list[float], most: float, goal: float | None = None) -> Promise:
    """A ratio; its median counts."""
    needed = f"at most {most:g}" + (f", goal {goal:g}" if goal else "")
    if not measured:
        return Promise(what, "not measured", needed, _result(None))
    middle = statistics.median(measured)
    spread = f" ({min(measured):.2f} to {max(measured):.2f})" if len(measured) > 1 else ""
    return Promise(what, f"{middle:.2f}{spread}", needed, _result(middle <= most, goal is None or middle <= goal))


def _used(what: str, runs: list[Run], refused: int, least: float, goal: float | None, most_refused: int) -> Promise:
    """A share of the windows and answers of 429; the worst run counts."""
    needed = f"at least {least:.0%}" + (f", goal {goal:.0%}" if goal else "") + f"; {most_refused}"
    shares = [run["window_share"] for run in runs if run["window_share"] is not None]
    if not shares:
        return Promise(what, f"no full window; {refused}", needed, _result(None))
    kept = min(shares) >= least and refused <= most_refused
    return Promise(what, f"{min(shares):.1%}; {refused}", needed, _result(kept, min(shares) >= (goal or 0)))


def _result(kept: bool | None, goal_met: bool = True) -> str:
    if kept is None:
        return "not measured"
    return ("pass" if goal_met else "pass, goal missed") if kept else "**fail**"
