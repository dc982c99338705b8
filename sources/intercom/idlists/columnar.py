"""Columns that have types of their own: Parquet's, and a query's Arrow batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import BadIds
from .cells import BATCH_ROWS, Cells, row_places
from .checks import shown
from .columns import position
from .streams import ListFile

MAX_ROWS = 100_000_000
_BUFFER_BYTES = 1 << 20  # instead of a whole row group, which may be all of the file


def parquet(file: ListFile, *, column: str | None) -> Iterator[Cells]:
    """The id column of a Parquet file, batch by batch.

    Raises:
        BadIds: the column can't be told, or its type is one that ids lose digits in.
    """
    with pq.ParquetFile(file.path, pre_buffer=False, buffer_size=_BUFFER_BYTES) as content:
        names = content.schema_arrow.names
        chosen = position(names, column, file.name)
        origin = f"{file.name}: the column {shown(names[chosen])}"
        refuse_type(content.schema_arrow.field(chosen).type, origin)
        _refuse_bomb(content, file.name)
        batches = content.iter_batches(BATCH_ROWS, columns=[names[chosen]])
        yield from numbered((batch.column(0) for batch in batches), origin)


def numbered(batches: Iterable[pa.Array[Any] | pa.ChunkedArray[Any]], origin: str) -> Iterator[Cells]:
    """The values of a column as text, its rows counted from 1.

    Raises:
        BadIds: the column's type is one that ids lose digits in.
    """
    first = 1
    for batch in batches:
        for chunk in batch.chunks if isinstance(batch, pa.ChunkedArray) else [batch]:
            yield Cells(_text(chunk, origin), range(first, first + len(chunk)), row_places)
            first += len(chunk)


def refuse_type(kind: pa.DataType, origin: str) -> None:
    """Refuses a type whose values are no text of an id, or have lost it.

    Raises:
        BadIds: with the type and the mend.
    """
    if isinstance(kind, pa.DictionaryType):
        refuse_type(kind.value_type, origin)
    elif not (_is_text(kind) or _is_whole(kind) or pa.types.is_null(kind)):
        raise BadIds(f"{origin} is {kind}, in which ids are not exact; write it as text or as integers")


def _is_text(kind: pa.DataType) -> bool:
    types = pa.types
    texts = (types.is_string, types.is_large_string, types.is_string_view)
    utf8_or_not = (types.is_binary, types.is_large_binary, types.is_binary_view)
    return any(test(kind) for test in (*texts, *utf8_or_not))


def _is_whole(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or (pa.types.is_decimal(kind) and kind.scale == 0)


def _text(values: pa.Array[Any], origin: str) -> pa.StringArray | pa.BinaryArray:
    """The values as a string array, or as a binary one where they are bytes."""
    refuse_type(values.type, origin)
    if isinstance(values, pa.DictionaryArray):
        values = values.dictionary_decode()
    kind = values.type
    if pa.types.is_string(kind) or _is_whole(kind) or pa.types.is_null(kind):
        return cast(pa.StringArray, values.cast(pa.string()))
    return cast(pa.BinaryArray, values.cast(pa.binary()))


def _refuse_bomb(content: pq.ParquetFile, list_name: str) -> None:
    """Run-length encoding can hold any number of rows in a few bytes."""
    rows = content.metadata.num_rows
    if rows > MAX_ROWS:
        raise BadIds(f"{list_name}: {rows} rows, more than {MAX_ROWS}; split it")
