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


def promises(results: Results) -> Iterator[Promise]:
    """Each promise whose part was measured."""
    for part, tell in _OF_PART.items():
        if results.runs(part):
            yield from tell(results.runs(part))


def _startup(runs: list[Run]) -> Iterator[Promise]:
    for figure, name in (("wall_seconds", "time"), ("cpu_seconds", "CPU")):
        measured = ratios(runs, figure, who.OURS.name, who.MINIMAL_DLT.name)
        yield Promise(f"ten ids: {name} by that of dlt merging ten rows", _ratio(measured), "at most 1.3")


def _cpu(runs: list[Run]) -> Iterator[Promise]:
    ids = max(run["ids"] for run in runs)
    measured = ratios(runs, "cpu_seconds", who.OURS.name, who.FLOOR_THREADS_16.name)
    yield Promise(f"CPU of {ids:,} calls by that of the floor on requests", _ratio(measured), "at most 0.75, goal 0.4")


def _faulty(runs: list[Run]) -> Iterator[Promise]:
    measured = ratios(runs, "cpu_seconds", who.FAULTY.name, who.OURS.name)
    yield Promise(
        "CPU where a quarter of the answers are faulty (without 429 and hangs) by that where none is",
        _ratio(measured),
        "at most 1.5",
    )


def _library(runs: list[Run]) -> Iterator[Promise]:
    ids = max(run["ids"] for run in runs)
    for figure, name, most in (("cpu_seconds", "CPU", 1.1), ("peak_mb", "peak memory", 1.2)):
        measured = ratios(runs, figure, who.LIBRARY.name, who.OURS.name)
        yield Promise(
            f"{name} of {ids:,} calls through the source by the command's", _ratio(measured), f"at most {most}"
        )


def _windows(runs: list[Run]) -> Iterator[Promise]:
    own = [run for run in runs if run["contender"] in (who.OURS.name, who.PAGES.name)]
    for (name, latency), same in grouped(own, "contender", "latency_seconds").items():
        what = f"windows used{' by pages' * (name == who.PAGES.name)} at {latency * 1000:.0f} ms; answers of 429"
        yield Promise(what, f"{_share(same)}; {max(run['rate_limited'] for run in same)}", "at least 97%, goal 99%; 0")


def _sharing(runs: list[Run]) -> Iterator[Promise]:
    for (name,), same in grouped(runs, "contender").items():
        refused = max(max((window["rate_limited"] for window in run["windows"]), default=0) for run in same)
        what = f"{name}: windows used together; most answers of 429 in a window"
        yield Promise(what, f"{_share(same)}; {refused}", "at least 95%; 2")


def _chunks(runs: list[Run]) -> Iterator[Promise]:
    loads = grouped((run for run in runs if run["steps"]), "table_rows")
    told = [
        f"{median([run['steps'] for run in same], 'load') or 0:.2f} s at {rows:,}" for (rows,), same in loads.items()
    ]
    yield Promise("loading a chunk into a table of so many rows", ", ".join(told), "no growth")


def _scale(runs: list[Run]) -> Iterator[Promise]:
    firsts, agains = (
        {ids: same for (ids, again), same in grouped(runs, "ids", "again").items() if again is kind}
        for kind in (False, True)
    )
    few, many = min(firsts), max(firsts)
    memory = (median(firsts[many], "peak_mb") or 0) / (median(firsts[few], "peak_mb") or 1)
    yield Promise(f"peak memory at {many:,} ids by that at {few:,}", f"{memory:.2f}", "at most 1.5, goal 1.2")
    for ids, same in firsts.items():
        if ids != few:
            grown = (median(same, "wall_seconds") or 0) / (median(firsts[few], "wall_seconds") or 1) / (ids / few)
            yield Promise(f"time a call at {ids:,} ids by that at {few:,}", f"{grown:.2f}", "stated")
    if again := agains.get(many):
        took, asked = median(again, "wall_seconds") or 0, max(run["requests"] for run in again)
        yield Promise(
            f"again over {many:,} settled ids: seconds; requests but /me", f"{took:.1f}; {asked}", "under 10; 0"
        )


def _sweep(runs: list[Run]) -> Iterator[Promise]:
    counts = sorted({run["ids"] for run in runs})
    pages = {ids: [run for run in runs if run["ids"] == ids and run["contender"] == who.PAGES.name] for ids in counts}
    for ids in counts[1:-1] or counts[:1]:
        measured = ratios([run for run in runs if run["ids"] == ids], "cpu_seconds", who.PAGES.name, who.OURS.name)
        yield Promise(f"CPU of {ids:,} calls by pages by that by id", _ratio(measured), "at most 0.33")
    few, many = counts[0], counts[-1]
    memory = (median(pages[many], "peak_mb") or 0) / (median(pages[few], "peak_mb") or 1)
    yield Promise(f"peak memory by pages at {many:,} ids by that at {few:,}", f"{memory:.2f}", "at most 1.5, goal 1.2")
    yield Promise(f"requests for {many:,} calls by pages", f"{median(pages[many], 'requests') or 0:,.0f}", "stated")


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


def _ratio(measured: list[float]) -> str:
    if not measured:
        return "not measured"
    return f"{statistics.median(measured):.2f} ({min(measured):.2f} to {max(measured):.2f})"


def _share(runs: list[Run]) -> str:
    shares = [run["window_share"] for run in runs if run["window_share"] is not None]
    return f"{min(shares):.1%}" if shares else "no full window"
