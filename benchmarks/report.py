"""The figures as Markdown: what is promised and what was measured, then each part's table."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from typing import Any

from . import contenders as who
from .measure import Run
from .promises import promises
from .results import Results, grouped, median

TITLES = {
    "startup": "Ten ids: what a load costs before it loads",
    "cpu": "By id without latency: CPU",
    "faulty": "A quarter of the answers faulty, in every way at once: CPU",
    "library": "The source as a library, beside the command",
    "rate": "By id at a latency of 150 ms: rate",
    "windows": "Under 1,666 requests in 10 seconds",
    "sharing": "Several clients on the same windows",
    "chunks": "One chunk into a table that grows",
    "scale": "From ten thousand ids to a million, and again over what is settled",
    "sweep": "All calls of a workspace: by pages, and by id",
}


def report(results: Results) -> str:
    """Everything that was measured, as one page."""
    lines = ["# Results", "", "Made by `make bench`; how, and what is compared: [README](../README.md).", ""]
    lines += _table(["promise", "measured", "needed", "result"], [list(row) for row in promises(results)])
    lines += ["", "![Chart of these figures](chart.svg)"]
    for part, title in TITLES.items():
        if results.runs(part):
            lines += ["", f"## {title}", "", *_PART_TABLES[part](results.runs(part)), "", _taken(results.parts[part])]
    return "\n".join(lines) + "\n"


def _loads(runs: list[Run]) -> list[str]:
    """CPU, wall and memory of whole loads, a line for each contender."""
    rows = []
    for (name, ids), same in grouped(runs, "contender", "ids").items():
        loaded = [run | _per_call(run) for run in same]
        rows.append(
            [
                name,
                f"{ids:,}",
                _spread(loaded, "cpu_per_1000", ".2f"),
                _spread(loaded, "calls_per_second", ".0f"),
                _spread(loaded, "peak_mb", ".0f"),
                _outcome(same),
            ]
        )
    headings = ["loader", "ids", "CPU s per 1,000 calls", "calls a second", "peak MB", "outcome"]
    return _table(headings, rows)


def _sweep(runs: list[Run]) -> list[str]:
    rows = [
        [
            name,
            f"{ids:,}",
            _spread(same, "requests", ",.0f"),
            _spread(same, "wall_seconds", ".1f"),
            _spread([run | _per_call(run) for run in same], "cpu_per_1000", ".3f"),
            _spread(same, "peak_mb", ".0f"),
            _outcome(same),
        ]
        for (ids, name), same in grouped(runs, "ids", "contender").items()
    ]
    return _table(["loader", "ids", "requests", "seconds", "CPU s per 1,000 calls", "peak MB", "outcome"], rows)


def _startup(runs: list[Run]) -> list[str]:
    rows = [
        [name, _spread(same, "wall_seconds", ".2f"), _spread(same, "cpu_seconds", ".2f"), _outcome(same)]
        for (name,), same in grouped(runs, "contender").items()
    ]
    return _table(["loader", "seconds", "CPU seconds", "outcome"], rows)


def _windows(runs: list[Run]) -> list[str]:
    rows = []
    for (name, latency, ids), same in grouped(runs, "contender", "latency_seconds", "ids").items():
        rows.append(
            [
                name,
                "" if latency is None else f"{latency * 1000:.0f}",
                f"{ids:,}",
                _percent(median(same, "window_share")),
                f"{median(same, 'full_windows') or 0:g}",
                _spread(same, "rate_limited", ",.0f"),
                _spread(same, "lost", ",.0f"),
                _spread(same, "wall_seconds", ".1f"),
                _outcome(same),
            ]
        )
    headings = [
        "loader",
        "latency ms",
        "ids",
        "windows used",
        "full windows",
        "answers of 429",
        "calls lost",
        "seconds",
    ]
    return _table([*headings, "outcome"], rows)


def _sharing(runs: list[Run]) -> list[str]:
    rows = [
        [
            name,
            _percent(median(same, "window_share")),
            _percent(median(same, "smaller_part")),
            f"{median(same, 'full_windows') or 0:g}",
            _spread(same, "rate_limited", ",.0f"),
            _spread(same, "lost", ",.0f"),
        ]
        for (name,), same in grouped(runs, "contender").items()
    ]
    note = (
        "The smaller part: of two loads, the share of the calls that the slower one had while both were at work; "
        "beside other apps, how much of its 30% the load used."
    )
    headings = ["case", "windows used together", "smaller part", "full windows", "answers of 429", "calls lost"]
    return [*_table(headings, rows), "", note]


def _chunks(runs: list[Run]) -> list[str]:
    rows = []
    for (name, table_rows, ids), same in grouped(runs, "contender", "table_rows", "ids").items():
        steps = [run["steps"] for run in same if run["steps"]]
        rows.append(
            [
                name,
                f"{table_rows:,}",
                f"{ids:,}",
                *(_spread(steps, step, ".2f") if steps else "" for step in ("normalize", "load")),
                _spread(same, "wall_seconds", ".1f"),
                _spread(same, "cpu_seconds", ".1f"),
            ]
        )
    return _table(["what", "rows there", "calls", "normalise s", "load s", "whole s", "whole CPU s"], rows)


def _scale(runs: list[Run]) -> list[str]:
    rows = [
        [
            f"{ids:,}",
            "again, all settled" if again else "into an empty database",
            _spread(same, "wall_seconds", ".1f"),
            _spread(same, "cpu_seconds", ".1f"),
            _spread(same, "peak_mb", ".0f"),
            _spread(same, "requests", ",.0f"),
            _outcome(same),
        ]
        for (ids, again), same in grouped(runs, "ids", "again").items()
    ]
    return _table(["ids", "run", "seconds", "CPU seconds", "peak MB", "requests", "outcome"], rows)


_PART_TABLES = {
    "startup": _startup,
    "cpu": _loads,
    "faulty": _loads,
    "library": _loads,
    "rate": _loads,
    "windows": _windows,
    "sharing": _sharing,
    "chunks": _chunks,
    "scale": _scale,
    "sweep": _sweep,
}


def _per_call(run: Run) -> Run:
    rows = run["rows"]
    return {
        "cpu_per_1000": run["cpu_seconds"] / rows * 1000 if rows else None,
        "calls_per_second": rows / run["wall_seconds"] if rows else None,
    }


def _outcome(runs: list[Run]) -> str:
    failed = [run for run in runs if run["exit_code"]]
    lost = max(run["ids"] - run["rows"] for run in runs)
    if failed:
        why = f" ({failed[0]['error']})" if failed[0].get("error") else ""
        return f"failed in {len(failed)} of {len(runs)}{why}".replace("|", "/")
    return f"up to {lost:,} lost" if lost else "all loaded"


def _spread(runs: Iterable[Run], name: str, form: str) -> str:
    """The median, and beside it the least and the most where they read differently."""
    values = [run[name] for run in runs if run.get(name) is not None]
    if not values:
        return ""
    middle, least, most = (format(value, form) for value in (statistics.median(values), min(values), max(values)))
    return middle if least == most else f"{middle} ({least} to {most})"


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.1%}"


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [list(headings), ["---"] * len(headings), *rows]
    return ["| " + " | ".join(cells) + " |" for cells in lines]


def _taken(part: dict[str, Any]) -> str:
    machine, runs = part["machine"], part["runs"]
    loads = [run["load_average"] for run in runs if "load_average" in run]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    said = [
        f"{machine['taken_at']}: {machine['cores']} cores of {machine['cpu']}, {machine['system']}",
        f"Python {machine['python']}, {versions}",
        f"sizes: {part['sizes']}",
    ]
    if loads:
        said.append(f"load average before a run {min(loads):.1f} to {max(loads):.1f}")
    if not part["complete"]:
        said.append("**not complete**")
    if part["left_out"]:
        said.append(f"left out, as not installed: {', '.join(part['left_out'])}")
    return f"<sub>{'; '.join(said)}. Medians, with the least and the most.</sub>"


def left_out() -> list[str]:
    """Contenders whose environment is not there."""
    everyone = (value for value in vars(who).values() if isinstance(value, who.Contender))
    return [contender.name for contender in everyone if not contender.needs.exists()]
