"""csv and tsv, by pyarrow: RFC 4180, any line ends; a heading unless told otherwise.

A csv whose first line has no comma outside quotes but semicolons (Excel in much of Europe) or tabs (Excel's
"Unicode text") is separated by those.
"""

from __future__ import annotations

import csv
import io
import re
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import IO, Any, Literal, cast

import pyarrow as pa
from pyarrow import csv as arrow_csv

from ...errors import BadIds
from ..cells import BadCell, Cells
from ..columns import USUAL_NAMES, position
from ..streams import LINE_BYTES, ListFile
from ..validate import reason, shown, trim

# What PostgreSQL's \copy writes for NULL.
_NULL = r"\N"
_LINE = re.compile(rb"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
_QUOTED = re.compile(rb'"[^"]*"')
# Only the first few faults are ever shown; a list of nothing else must not fill the memory with their text.
_TEXTS_KEPT = 100


@dataclass(frozen=True)
class _Layout:
    """What the first record tells: the separator, how many fields, which one holds the ids, which record is next."""

    delimiter: str
    fields: int
    position: int
    first_row: int


def cells(file: ListFile, *, column: str | None, header: bool) -> Iterator[Cells]:
    """The cells of the id column, batch by batch; the rows are the file's records, the heading being one.

    Raises:
        BadIds: the column can't be told, a record is longer than 1 MiB, a quote is never closed.
    """
    layout = _layout(file, column, header)
    if layout is None:
        return
    ragged: deque[BadCell] = deque()

    def on_ragged(row: arrow_csv.InvalidRow) -> Literal["skip"]:
        text = row.text[:200] if len(ragged) < _TEXTS_KEPT or not row.text.strip() else "…"
        ragged.append(
            BadCell(
                row.number or 0,
                text,
                f"{row.actual_columns} fields where {layout.fields} belong",
            )
        )
        return "skip"

    places = partial(_places, file, layout.delimiter)
    next_row = layout.first_row
    try:
        for batch in _batches(file, layout, on_ragged):
            rows, faults = _rows(next_row, batch.num_rows, ragged)
            next_row = rows[-1] + 1 if rows else next_row
            yield _cells(cast(pa.BinaryArray, batch.column(0)), rows, faults, places)
    except pa.ArrowInvalid as error:
        if "straddling" not in str(error):
            raise
        (place,) = places([next_row + len(ragged)])
        what = "longer than 1 MiB, or a quote there is never closed; correct it"
        raise BadIds(f"{file.name} {place}: {what}") from error
    yield _cells(pa.nulls(0, pa.binary()), [], ragged, places)


def _layout(file: ListFile, column: str | None, header: bool) -> _Layout | None:
    """The layout by the first record that is not blank; None when there are no rows."""
    with file.open_text() as stream:
        lines = _LINE.findall(stream.read(LINE_BYTES))
    blank = next((index for index, line in enumerate(lines) if line.strip()), None)
    if blank is None:
        return None
    delimiter = "\t" if file.format == "tsv" else _delimiter(lines[blank])
    _refuse_open_quote(file, delimiter)
    records = csv.reader((line.decode("utf-8", "replace") for line in lines[blank:]), delimiter=delimiter)
    names = next(records)
    place = f"{file.name} line {blank + 1}"
    if not header:
        return _Layout(delimiter, len(names), _numbered(len(names), column, place), blank + 1)
    chosen = position(names, column, place)
    _refuse_lost_id(trim(names[chosen]), column, place)
    if blank + records.line_num >= len(lines) and not lines[-1].endswith((b"\r", b"\n")):
        return None
    return _Layout(delimiter, len(names), chosen, blank + 2)


def _delimiter(line: bytes) -> str:
    bare = _QUOTED.sub(b"", line)
    return next((sign for sign in (",", ";", "\t") if sign.encode() in bare), ",")


def _numbered(fields: int, column: str | None, place: str) -> int:
    """Without a heading a column's name is its number, from 1."""
    if column is None and fields == 1:
        return 0
    if column is not None and column.isdecimal() and 1 <= int(column) <= fields:
        return int(column) - 1
    raise BadIds(f"{place}: {fields} columns and no heading; say which holds the ids by --id-column 1 to {fields}")


def _refuse_lost_id(heading: str, column: str | None, place: str) -> None:
    """A lone column's heading that could be an id is one, more often than not: it must not be lost."""
    if column is None and heading not in USUAL_NAMES and not reason(heading) and re.search(r"\d", heading):
        raise BadIds(
            f"{place}: the heading {shown(heading)} could be an id; "
            f"pass --no-header if it is one, else --id-column {shown(heading)}"
        )


def _batches(
    file: ListFile,
    layout: _Layout,
    on_ragged: Callable[[arrow_csv.InvalidRow], Literal["skip"]],
) -> Iterator[pa.RecordBatch]:
    names = [str(index) for index in range(layout.fields)]
    chosen = names[layout.position]
    with file.open_text() as stream:
        yield from arrow_csv.open_csv(
            cast(IO[bytes], stream),
            # One thread, for only then rows are numbered.
            arrow_csv.ReadOptions(
                use_threads=False,
                block_size=LINE_BYTES,
                column_names=names,
                skip_rows_after_names=layout.first_row - 1,
            ),
            arrow_csv.ParseOptions(
                delimiter=layout.delimiter,
                newlines_in_values=True,
                ignore_empty_lines=False,
                invalid_row_handler=on_ragged,
            ),
            # As bytes, so that a line that is not UTF-8 can be named.
            arrow_csv.ConvertOptions(
                include_columns=[chosen],
                column_types={chosen: pa.binary()},
                null_values=[_NULL],
                strings_can_be_null=True,
                check_utf8=False,
            ),
        )


def _rows(first: int, count: int, ragged: deque[BadCell]) -> tuple[Sequence[int], list[BadCell]]:
    """The rows of the next `count` values, and the ragged rows before the last of them, taken off `ragged`."""
    if not ragged:
        return range(first, first + count), []
    rows: list[int] = []
    passed: list[BadCell] = []
    row = first
    while len(rows) < count:
        if ragged and ragged[0].row == row:
            passed.append(ragged.popleft())
        else:
            rows.append(row)
        row += 1
    return rows, passed


def _cells(
    values: pa.BinaryArray,
    rows: Sequence[int],
    faults: Sequence[BadCell],
    places: Callable[[Sequence[int]], list[str]],
) -> Cells:
    real = [fault for fault in faults if fault.value.strip()]
    return Cells(values, rows, places, real, blank=len(faults) - len(real))


def _places(file: ListFile, delimiter: str, rows: Sequence[int]) -> list[str]:
    """The lines on which these records begin, found by reading the list again."""
    begins = dict.fromkeys(rows, "")
    with _records(file, delimiter) as records:
        line = 1
        for row in range(1, max(begins) + 1):
            if row in begins:
                begins[row] = f"line {line}"
            next(records, None)
            line = records.line_num + 1
    return [begins[row] for row in rows]


def _refuse_open_quote(file: ListFile, delimiter: str) -> None:
    """Refuses what pyarrow takes as whole: a quote left open at the end, where a cut list loses part of an id."""
    quotes = 0
    with file.open_text() as stream:
        while block := stream.read(LINE_BYTES):
            quotes += block.count(b'"')
    if quotes % 2 == 0:
        return
    with _records(file, delimiter, strict=True) as records:
        line = 1
        try:
            for _ in records:
                line = records.line_num + 1
        except csv.Error as error:
            # Every other fault of strict reading is one that pyarrow reads as it is meant.
            if "unexpected end of data" in str(error):
                what = "the quote that is opened there is never closed; was the list cut off?"
                raise BadIds(f"{file.name} line {line}: {what}") from error


@contextmanager
def _records(file: ListFile, delimiter: str, *, strict: bool = False) -> Iterator[Any]:
    """The list by the standard library's csv.reader, slower, but it knows its lines."""
    limit = csv.field_size_limit(sys.maxsize)
    try:
        with file.open_text() as stream:
            text = io.TextIOWrapper(cast(IO[bytes], stream), "utf-8", errors="replace", newline="")
            yield csv.reader(text, delimiter=delimiter, strict=strict)
    finally:
        csv.field_size_limit(limit)
