"""The figures as they are kept: one JSON file, a part replaced at a time, written after each run."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from .measure import Run


@dataclass
class Results:
    """Figures in `folder`/results.json.

    Attributes:
        parts: by name: the machine and moment, whether the part is complete, and its runs.
    """

    folder: Path
    parts: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """What the folder holds, or nothing yet."""
        file = folder / "results.json"
        return cls(folder, json.loads(file.read_text())["parts"] if file.exists() else {})

    def write(self) -> None:
        """Write them, whole or not at all."""
        self.folder.mkdir(parents=True, exist_ok=True)
        new = self.folder / "results.json.new"
        new.write_text(json.dumps({"parts": self.parts}, indent=1) + "\n")
        new.rename(self.folder / "results.json")

    def runs(self, part: str) -> list[Run]:
        """The runs of a part, in the order they were taken; none where it was not measured."""
        runs: list[Run] = self.parts.get(part, {}).get("runs", [])
        return runs


def grouped(runs: Iterable[Run], *names: str) -> dict[tuple[Any, ...], list[Run]]:
    """Runs by their values of `names`, in the order of first appearance."""
    groups: dict[tuple[Any, ...], list[Run]] = {}
    for run in runs:
        groups.setdefault(tuple(run.get(name) for name in names), []).append(run)
    return groups


def median(runs: Iterable[Run], name: str) -> float | None:
    """The median of a figure; None where no run has it."""
    values = [run[name] for run in runs if run.get(name) is not None]
    return statistics.median(values) if values else None


def ratios(runs: list[Run], figure: str, ours: str, other: str) -> list[float]:
    """Ours by the other's, each taken in the same round, so that a machine's moods cancel out."""
    of = {(run["contender"], run["round"]): run[figure] for run in runs if not run["exit_code"]}
    rounds = sorted({number for _, number in of})
    return [of[ours, n] / of[other, n] for n in rounds if (ours, n) in of and (other, n) in of]
