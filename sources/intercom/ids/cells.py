"""What every reader of a list gives: batches of cells, still unchecked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pyarrow as pa

BATCH_ROWS = 65_536


@dataclass(frozen=True, slots=True)
class BadCell:
    """A place of a list that holds no id: `row` as in `Cells.rows`, the value as it is there, why not."""

    row: int
    value: str
    reason: str


def line_places(rows: Sequence[int]) -> list[str]:
    """The places of a list whose rows are its lines."""
    return [f"line {row}" for row in rows]


def row_places(rows: Sequence[int]) -> list[str]:
    """The places of a list that has rows but no lines."""
    return [f"row {row}" for row in rows]


@dataclass(frozen=True, slots=True)
class Cells:
    """A batch of the cells in which ids are expected.

    Attributes:
        values: string or (where UTF-8 is not certain) binary; null where there is nothing.
        rows: the number of each value's row, ascending, from 1.
        places: turns row numbers into words ("line 12"); may read the list again, so only for a few.
        faults: rows that gave no value at all, ascending.
        blank: rows without a value that are not in `values`.
        passed_over: webhook notifications of other topics.
    """

    values: pa.StringArray | pa.BinaryArray
    rows: Sequence[int]
    places: Callable[[Sequence[int]], list[str]] = line_places
    faults: Sequence[BadCell] = ()
    blank: int = 0
    passed_over: int = 0


def text_array(values: Sequence[str | None]) -> pa.StringArray | pa.BinaryArray:
    """The values as a string array; as a binary one when a lone surrogate keeps them from being UTF-8."""
    try:
        return pa.array(values, pa.string())
    except UnicodeEncodeError:
        encoded = [None if value is None else value.encode("utf-8", "surrogatepass") for value in values]
        return pa.array(encoded, pa.binary())
