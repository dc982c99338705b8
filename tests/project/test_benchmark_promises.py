"""The report of the benchmark says of each promise whether it is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.promises import promises
from benchmarks.report import report
from benchmarks.results import Results

ROOT = Path(__file__).resolve().parents[2]


def run(contender: str, **figures: float) -> dict[str, Any]:
    return {"contender": contender, "round": 0, "exit_code": 0, **figures}


def test_each_promise_is_marked_as_kept_or_not(tmp_path: Path) -> None:
    results = Results.read(tmp_path)
    results.parts["startup"] = {
        "runs": [
            run("intercom-calls, by id", wall_seconds=1.5, cpu_seconds=1.2),
            run("dlt, ten rows merged, nothing fetched", wall_seconds=1.0, cpu_seconds=1.0),
        ]
    }
    results.parts["windows"] = {
        "runs": [
            run("intercom-calls, by id", latency_seconds=0.06, window_share=0.98, rate_limited=0),
            run("intercom-calls, by id", latency_seconds=0.15, window_share=1.0, rate_limited=1),
            run("intercom-calls, by id", latency_seconds=0.3, window_share=1.0, rate_limited=0),
        ]
    }
    assert [(promise.measured, promise.result) for promise in promises(results)] == [
        ("1.50", "**fail**"),
        ("1.20", "pass"),
        ("98.0%; 0", "pass, goal missed"),
        ("100.0%; 1", "**fail**"),
        ("100.0%; 0", "pass"),
    ]


def test_the_published_page_is_made_of_the_published_figures() -> None:
    folder = ROOT / "benchmarks" / "results"
    assert report(Results.read(folder)) == (folder / "results.md").read_text("utf-8")
