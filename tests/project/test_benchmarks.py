"""The benchmark's harness, at a size whose figures mean nothing: it runs, and table and chart are made of it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[2]


def benchmark(out: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks", "--size", "tiny", "--out", str(out), *options]
    return subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the results of one part."""
    out = tmp_path_factory.mktemp("results")
    done = benchmark(out, "--only", "cpu")
    assert done.returncode == 0, done.stderr
    return out


def test_each_load_is_counted_and_checked_for_what_arrived(measured: Path) -> None:
    runs = json.loads((measured / "results.json").read_text())["parts"]["cpu"]["runs"]
    assert [(run["contender"], run["ids"], run["rows"], run["exit_code"], run["requests"]) for run in runs] == [
        ("intercom-calls, by id", 30, 30, 0, 30),
        ("floor: requests, 16 threads", 30, 30, 0, 30),
        ("floor: aiohttp, 64 at once", 30, 30, 0, 30),
        ("intercom-calls, pages where cheaper", 30, 30, 0, 30),
        ("dlt rest_api, 64 workers", 20, 20, 0, 20),
    ]


def test_the_table_names_promise_machine_and_loaders(measured: Path) -> None:
    page = (measured / "results.md").read_text()
    assert re.search(
        r"\| CPU of 30 calls by that of the floor on requests \| .* \| (pass|pass, goal missed|\*\*fail\*\*) \|", page
    )
    assert "| dlt rest_api, 64 workers | 20 |" in page
    assert "cores of" in page
    assert "sizes: tiny" in page


def test_the_chart_is_an_svg_with_a_bar_for_each_loader(measured: Path) -> None:
    told = re.findall("<text[^>]*>([^<]+)</text>", (measured / "chart.svg").read_text())
    assert "CPU seconds per 1,000 calls, start-up included (less is better)" in told
    assert "intercom-calls, by id" in told
    assert "floor: aiohttp, 64 at once" in told


def test_a_part_that_is_complete_is_not_measured_again_when_resumed(measured: Path) -> None:
    before = (measured / "results.json").read_bytes()
    done = benchmark(measured, "--only", "cpu", "--resume")
    assert done.returncode == 0, done.stderr
    assert (measured / "results.json").read_bytes() == before


def test_an_unknown_part_is_refused_with_those_there_are(tmp_path: Path) -> None:
    done = benchmark(tmp_path, "--only", "speed")
    assert done.returncode == 2
    assert (
        "no such part: speed; there are startup, cpu, faulty, library, rate, windows, sharing, chunks, scale, sweep"
        in done.stderr
    )
