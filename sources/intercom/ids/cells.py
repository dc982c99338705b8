"""What every reader of a list gives: batches of cells, not yet checked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

BATCH_ROWS = 65_536


@dataclass(frozen=True, slots=True)
class BadCell:
    """A place in a list that holds no id; `row` is numbered as in `Cells.rows`."""

    row: int
    value: str
    reason: str


@dataclass(frozen=True, slots=True)
class Cells:
    """A batch of the cells in which ids are expected.

    Attributes:
        values: string or (where UTF-8 is not certain) binary; null where there is nothing.
        rows: the number of each value's row, ascending, from 1.
        place: turns a row number into words ("line 12").
        faults: rows without a usable value, ascending.
        blank: rows without a value that are not in `values`.
        passed_over: webhook notifications of other topics.
    """

    values: pa.StringArray | pa.BinaryArray
    rows: Sequence[int]
    place: Callable[[int], str] = "line {}".format
    faults: Sequence[BadCell] = ()
    blank: int = 0
    passed_over: int = 0


@dataclass(slots=True)
class Batch:
    """Cells while they are collected one by one; the fields are those of `Cells`."""

    values: list[str | None] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    faults: list[BadCell] = field(default_factory=list)
    blank: int = 0
    passed_over: int = 0

    def cells(self, place: Callable[[int], str] = "line {}".format) -> Cells:
        """The collected cells."""
        return Cells(text_array(self.values), self.rows, place, self.faults, self.blank, self.passed_over)


def text_array(values: Sequence[str | None]) -> pa.StringArray | pa.BinaryArray:
    """The values as a string array, or as a binary one if a lone surrogate makes one of them invalid UTF-8."""
    try:
        return pa.array(values, pa.string())
    except UnicodeEncodeError:
        return pa.array([None if value is None else _encoded(value) for value in values], pa.binary())


def _encoded(value: str) -> bytes:
    try:
        return value.encode("utf-8", "surrogateescape")  # the bytes that a reader decoded in this way
    except UnicodeEncodeError:
        return value.encode("utf-8", "surrogatepass")
