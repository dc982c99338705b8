"""Columns with types: Parquet, and Arrow data of queries and programs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ...errors import BadIds
from ..cells import BATCH_ROWS, Cells
from ..columns import position
from ..exact import array_text, refuse_type
from ..streams import ListFile
from ..validate import shown

MAX_ROWS = 100_000_000
_BUFFER_BYTES = 1 << 20  # instead of a whole row group, which may be all of the file


def cells(file: ListFile, *, column: str | None) -> Iterator[Cells]:
    """The id column of a Parquet file, batch by batch.

    Raises:
        BadIds: the column is unknown, or its type may have lost digits of ids.
    """
    with pq.ParquetFile(file.path, pre_buffer=False, buffer_size=_BUFFER_BYTES) as content:
        names = content.schema_arrow.names
        chosen = position(names, column, file.name)
        origin = f"{file.name}: the column {shown(names[chosen])}"
        refuse_type(content.schema_arrow.field(chosen).type, origin)
        _refuse_bomb(content, file.name)
        batches = content.iter_batches(BATCH_ROWS, columns=[names[chosen]])
        yield from numbered((batch.column(0) for batch in batches), origin)


def numbered(
    batches: Iterable[pa.Array[Any] | pa.ChunkedArray[Any]],
    origin: str,
    first: int = 1,
    place: Callable[[int], str] = "row {}".format,
) -> Iterator[Cells]:
    """The values of a column as text, its rows counted from `first`."""
    for batch in batches:
        for chunk in batch.chunks if isinstance(batch, pa.ChunkedArray) else [batch]:
            yield Cells(array_text(chunk, origin), range(first, first + len(chunk)), place)
            first += len(chunk)


def _refuse_bomb(content: pq.ParquetFile, list_name: str) -> None:
    """A few bytes with run-length encoding can hold any number of rows."""
    rows = content.metadata.num_rows
    if rows > MAX_ROWS:
        raise BadIds(f"{list_name}: {rows} rows, more than {MAX_ROWS}; split it")
