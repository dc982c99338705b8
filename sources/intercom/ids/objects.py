"""Ids that a program holds: values, rows, Arrow data, columns and frames of pandas, polars and the like.

No such library is imported. Arrow's PyCapsule interface (`__arrow_c_stream__`, `__arrow_c_array__`), `to_numpy` and
`__array__` tell what an object is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from os import PathLike
from typing import Any, cast

import pyarrow as pa

from ..errors import BadIds
from .cells import BATCH_ROWS, BadCell, Cells, text_array
from .columns import position
from .exact import value_text
from .formats import parquet as columnar
from .validate import shown

ORIGIN = "ids"
_OPTION = "id_column="


def refuse_kind(given: object, column: str | None) -> None:
    """Refuse at once what can't be ids, without reading any.

    Raises:
        BadIds: with what to write instead.
    """
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
    """The cells of what `refuse_kind` let pass, batch by batch; rows are places among all that was given.

    Raises:
        BadIds: the column can't be told, or its type is one that ids lose digits in.
    """
    refuse_kind(given, column)
    first = 1
    for batch in _batches(given, column):
        if isinstance(batch, _Values):
            yield batch.cells(first)
            first += len(batch.values)
        else:
            for part in columnar.numbered([batch.values], batch.origin, first):
                yield replace(part, places=_places)
            first += len(batch.values)


@dataclass(frozen=True)
class _Column:
    """A stretch of ids that Arrow could read, and what messages call it."""

    values: pa.Array[Any] | pa.ChunkedArray[Any]
    origin: str


@dataclass
class _Values:
    """A stretch of values and rows; the first row decides which column holds the ids."""

    wanted: str | None
    column: str | None = None
    values: list[object] = field(default_factory=list)

    def cells(self, first: int) -> Cells:
        texts: list[str | None] = []
        rows: list[int] = []
        faults: list[BadCell] = []
        for row, value in enumerate(self.values, first):
            try:
                texts.append(self._text(value, row))
                rows.append(row)
            except ValueError as unfit:
                faults.append(BadCell(row, _named(value), str(unfit)))
        return Cells(text_array(texts), rows, _places, faults)

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


def _batches(given: object, column: str | None) -> Iterator[_Column | _Values]:
    if _is_tabular(given):
        yield from _tabular(given, column)
        return
    values = _Values(column)
    for item in cast(Iterable[object], given):
        if not isinstance(item, (str, int)) and _is_tabular(item):
            yield values
            values = _Values(column, values.column)
            refuse_kind(item, column)
            yield from _tabular(item, column)
            continue
        values.values.append(item)
        if len(values.values) == BATCH_ROWS:
            yield values
            values = _Values(column, values.column)
    yield values


def _tabular(given: Any, column: str | None) -> Iterator[_Column | _Values]:
    """A frame's or an array's ids, as Arrow data where Arrow can hold them, else value by value."""
    names = _column_names(given)
    if names is None:
        yield from _array(given, ORIGIN)
        return
    at = position(names, column, ORIGIN, _OPTION)
    origin = f"{ORIGIN}: the column {shown(names[at])}"
    if hasattr(given, "to_numpy"):  # pandas, polars: their other columns need not be what Arrow can hold
        yield from _array(given[list(given.columns)[at]], origin)
        return
    with pa.RecordBatchReader.from_stream(given) as reader:
        for batch in reader:
            yield _Column(batch.column(at), origin)


def _array(given: Any, origin: str) -> Iterator[_Column | _Values]:
    given = given if not hasattr(given, "to_pyarrow") else given.to_pyarrow()  # an expression of ibis
    try:
        values = pa.chunked_array(given) if hasattr(given, "__arrow_c_stream__") else pa.array(given, from_pandas=True)
    except (pa.ArrowException, OSError, OverflowError):  # texts beside numbers, more than 64 bits, a producer's fault
        yield from _batches(iter(given), None)
        return
    yield _Column(values, origin)


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
    """A value for a message; of a row its names alone."""
    return f"a row of {', '.join(map(str, value))}" if isinstance(value, Mapping) else str(value)


def _places(rows: Sequence[int]) -> list[str]:
    return [f"id {row} given" for row in rows]


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
