"""The command line: `python -m benchmarks` measures and reports; `make bench` runs it."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path

import click

from .chart import chart
from .machine import described
from .measure import Run
from .parts import PARTS, QUICK_PARTS
from .report import left_out, report
from .results import Results
from .sizes import BY_NAME, Sizes

FOLDER = Path(__file__).resolve().parent / "results"


@click.command(context_settings={"show_default": True})
@click.option("--only", metavar="PART,…", help=f"Of {', '.join(PARTS)}.  [default: all; the first four when quick]")
@click.option("--size", type=click.Choice(list(BY_NAME)), default="full", help="How much is loaded, and how often.")
@click.option("--scale", type=float, default=1.0, help="Factor for the parts with a million ids and rows.")
@click.option("--rounds", type=click.IntRange(1), help="Rounds of each part in which loaders take turns.")
@click.option("--resume", is_flag=True, help="Skip the parts that are complete in the folder.")
@click.option("--report-only", is_flag=True, help="Measure nothing; only write table and chart.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for the results.  [default: benchmarks/results]")
def main(
    only: str | None, size: str, scale: float, rounds: int | None, resume: bool, report_only: bool, out: Path | None
) -> None:
    r"""Load the same calls by every loader, side by side, and report CPU, rate, memory, refusals and losses.

    \b
    Example: python -m benchmarks --only cpu,rate
    """
    names = only.split(",") if only else list(QUICK_PARTS if size == "quick" else PARTS)
    if unknown := set(names) - PARTS.keys():
        raise click.UsageError(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # loaders are ended, folders cleared
    sizes = BY_NAME[size].scaled(scale)
    if rounds is not None:
        sizes = sizes.repeated(rounds)
    results = Results.read(out or (FOLDER if size == "full" else FOLDER / size))
    for name in names:
        if report_only or (resume and results.parts.get(name, {}).get("complete")):
            continue
        _measure(results, name, sizes, f"{size}, scale {scale:g}" + (f", rounds {rounds}" if rounds else ""))
    (results.folder / "results.md").write_text(report(results))
    (results.folder / "chart.svg").write_text(chart(results))
    click.echo(report(results))
    click.echo(f"{results.folder}: results.json, results.md, chart.svg", err=True)


def _measure(results: Results, name: str, sizes: Sizes, told_sizes: str) -> None:
    """Measure one part anew; what was taken is on disk after each run."""
    runs: list[Run] = []
    part = {"machine": described(), "sizes": told_sizes, "left_out": left_out(), "complete": False, "runs": runs}
    results.parts[name] = part
    began = time.monotonic()
    for run in PARTS[name](sizes):
        runs.append({key: value for key, value in run.items() if key != "stdout"})
        results.write()
        _tell(name, run, time.monotonic() - began)
    part["complete"] = True
    results.write()


def _tell(part: str, run: Run, seconds: float) -> None:
    share = f", windows {run['window_share']:.1%}" if run.get("window_share") is not None else ""
    failed = f", exit code {run['exit_code']}: {run.get('error', '')}" if run["exit_code"] else ""
    print(
        f"{seconds:6.0f} s  {part}  {run['contender']}: {run['rows']:,} of {run['ids']:,} "
        f"in {run['wall_seconds']:.1f} s, CPU {run['cpu_seconds']:.2f} s, {run['rate_limited']} of 429{share}{failed}",
        file=sys.stderr,
        flush=True,
    )


if __name__ == "__main__":
    main(prog_name="python -m benchmarks")
