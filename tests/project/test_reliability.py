"""The reliability page names tests; each of them is there."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
PAGE = (TESTS.parent / "docs" / "reliability.md").read_text("utf-8")


def test_every_test_that_the_reliability_page_names_is_there() -> None:
    named = re.findall(r"`(test_\w+\.py)::(test_\w+)`", PAGE)
    assert len(named) > 30
    files = {path.name: path.read_text("utf-8") for path in TESTS.rglob("test_*.py")}
    assert [name for name in named if f"def {name[1]}(" not in files.get(name[0], "")] == []


def test_every_promise_and_every_fault_names_what_holds_it() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("|") and not line.startswith("|---")]
    headings = ("| promise |", "| the API |", "| the destination |", "| the machine |")
    assert [row for row in rows if "test_" not in row and not row.startswith(headings)] == []
