"""Ids that a program holds: values, rows, Arrow data, columns and frames of pandas, polars and the like.

None of these libraries is imported: Arrow's PyCapsule interface (`__arrow_c_stream__`, `__arrow_c_array__`),
`to_numpy` and `__array__` show what an object is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from os import PathLike
from typing import Any, TypeAlias, cast

import pyarrow as pa

from ..errors import BadIds
from .cells import BATCH_ROWS, BadCell, Batch, Cells
from .columns import position
from .exact import value_text
from .formats import parquet
from .validate import shown

ORIGIN = "ids"
_OPTION = "id_column="
_place = "id {} given".format
# A part of the ids, as values or as Arrow data, and what messages call it.
_Stretch: TypeAlias = "tuple[list[object] | pa.Array[Any] | pa.ChunkedArray[Any], str]"


def refuse_kind(given: object, column: str | None) -> None:
    """Refuse at once what can't be ids, without reading any; the message says what to write instead."""
    kind = type(given).__name__
    if isinstance(given, str):
        raise BadIds(f"ids = {shown(given)} is one text, not a list of ids; write ids=[{shown(given)}]")
    if isinstance(given, (bytes, bytearray, memoryview)):
        raise BadIds(f'ids is {kind}, not a list of ids; decode it and write ids=["…"]')
    if isinstance(given, Mapping):
        raise BadIds(f"ids is a {kind}; write ids=[…] of its keys or values, or ids=[row] where it is one row")
    if _is_tabular(given):
        names = _column_names(given)
        if names is not None:
            position(names, column, ORIGIN, _OPTION)
        elif getattr(given, "ndim", 1) != 1:
            raise BadIds("ids has not one dimension; give one column of it, such as ids=array[:, 0]")
    elif not isinstance(given, Iterable):
        raise BadIds(f"ids is {kind}, which holds no ids to read; {_instead(given)}")


def cells(given: object, column: str | None) -> Iterator[Cells]:
    """The cells of all that `refuse_kind` allows, batch by batch; ids are numbered across all batches.

    Raises:
        BadIds: the column is unknown, or its type may have lost digits of ids.
    """
    refuse_kind(given, column)
    picker = _Picker(column)
    first = 1
    for values, origin in _batches(given, column):
        if isinstance(values, list):
            yield picker.cells(values, first)
        else:
            yield from parquet.numbered([values], origin, first, _place)
        first += len(values)


@dataclass
class _Picker:
    """Picks the id out of each value; the first row decides which column holds the ids."""

    wanted: str | None
    column: str | None = None

    def cells(self, values: list[object], first: int) -> Cells:
        """The ids of some values and rows, numbered from `first`."""
        batch = Batch()
        for row, value in enumerate(values, first):
            try:
                batch.values.append(self._text(value, row))
                batch.rows.append(row)
            except ValueError as unfit:
                batch.faults.append(BadCell(row, _named(value), str(unfit)))
        return batch.cells(_place)

    def _text(self, value: object, row: int) -> str | None:
        if not isinstance(value, str) and isinstance(value, Mapping):
            names = {str(name): name for name in value}
            if self.column is None:
                listed = list(names)
                self.column = listed[position(listed, self.wanted, f"{ORIGIN}: row {row}", _OPTION)]
            if self.column not in names:
                raise ValueError(f"it has no {shown(self.column)}")
            value = value[names[self.column]]
        return value_text(value)


def _batches(given: object, column: str | None) -> Iterator[_Stretch]:
    if _is_tabular(given):
        yield from _tabular(given, column)
        return
    values: list[object] = []
    for item in cast(Iterable[object], given):
        is_tabular = not isinstance(item, (str, int)) and _is_tabular(item)
        if is_tabular or len(values) == BATCH_ROWS:
            yield values, ORIGIN
            values = []
        if is_tabular:
            refuse_kind(item, column)
            yield from _tabular(item, column)
        else:
            values.append(item)
    yield values, ORIGIN


def _tabular(given: Any, column: str | None) -> Iterator[_Stretch]:
    """The ids of a frame or an array, as Arrow data where Arrow can hold them, else value by value."""
    names = _column_names(given)
    if names is None:
        yield from _array(given, ORIGIN)
        return
    at = position(names, column, ORIGIN, _OPTION)
    origin = f"{ORIGIN}: the column {shown(names[at])}"
    if hasattr(given, "to_numpy"):  # pandas, polars: Arrow need not be able to hold their other columns
        yield from _array(given[list(given.columns)[at]], origin)
        return
    with pa.RecordBatchReader.from_stream(given) as reader:
        for batch in reader:
            yield batch.column(at), origin


def _array(given: Any, origin: str) -> Iterator[_Stretch]:
    if hasattr(given, "to_pyarrow"):  # an expression of ibis
        given = given.to_pyarrow()
    try:
        values = pa.chunked_array(given) if hasattr(given, "__arrow_c_stream__") else pa.array(given, from_pandas=True)
    except (pa.ArrowException, OSError, OverflowError):  # texts beside numbers, more than 64 bits, a producer's fault
        yield from _batches(iter(given), None)
        return
    yield values, origin


def _is_tabular(value: object) -> bool:
    """Whether it is a frame or an array; scalars of numpy and pandas turn into arrays too, but have no length."""
    if any(hasattr(value, name) for name in ("__arrow_c_stream__", "__arrow_c_array__", "to_pyarrow")):
        return True
    return hasattr(value, "__len__") and (hasattr(value, "to_numpy") or hasattr(value, "__array__"))


def _column_names(given: Any) -> list[str] | None:
    """The names of a frame's columns; None of an array."""
    if isinstance(given, (pa.Table, pa.RecordBatch, pa.RecordBatchReader)):
        return given.schema.names
    names = getattr(given, "columns", None)
    return None if names is None else [str(name) for name in names]


def _named(value: object) -> str:
    """A value for a message; a row is shown by its names only."""
    return f"a row of {', '.join(map(str, value))}" if isinstance(value, Mapping) else str(value)


def _instead(given: object) -> str:
    if given is None or isinstance(given, (int, float, Decimal)):
        return "write ids=[…]"
    if hasattr(given, "collect"):  # polars' LazyFrame
        return "collect() it first"
    if hasattr(given, "__aiter__"):
        return 'wrap it: ids=dlt.resource(…, name="ids")'
    if isinstance(given, PathLike):
        return "read the file first"
    if callable(given):
        return "call it"
    if hasattr(given, "arrow"):  # a relation of dlt's datasets
        return "give its arrow()"
    return "give a list, an Arrow array, a column, rows or a dlt resource"
