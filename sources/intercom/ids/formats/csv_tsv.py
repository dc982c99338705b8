"""csv and tsv: RFC 4180, any line ends; a heading unless the caller says there is none.

A csv whose first line has no comma outside quotes but semicolons (Excel in much of Europe) or tabs (Excel's
"Unicode text") is separated by those.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator
from itertools import chain

from ...errors import BadIds
from ..cells import BATCH_ROWS, BadCell, Batch, Cells
from ..columns import USUAL_NAMES, position
from ..streams import LINE_BYTES, ListFile
from ..validate import reason, shown, trim

# What PostgreSQL's \copy writes for NULL.
_NULL = r"\N"
_QUOTED = re.compile(r'"[^"]*"')
# Comes after the last line: only an open quote can keep it from being a record of its own.
_END = "\0end\0"
_SHOWN_CHARACTERS = 200


def cells(file: ListFile, *, column: str | None, header: bool) -> Iterator[Cells]:
    """The cells of the id column, batch by batch; a row's number is the line on which it begins.

    Raises:
        BadIds: the column is unknown, a line or cell is longer than 1 MiB, or a quote is never closed.
    """
    csv.field_size_limit(max(csv.field_size_limit(), LINE_BYTES))
    lines = _lines(file)
    line, heading = next((number, text) for number, text in enumerate(lines, 1) if text.strip())
    if heading == _END:
        return
    delimiter = "\t" if file.format == "tsv" else _delimiter(heading)
    records = _records(file.name, chain([heading], lines), delimiter, line)
    _, names = next(records)
    place = f"{file.name} line {line}"
    if header:
        chosen = position(names, column, place)
        _refuse_lost_id(trim(names[chosen]), column, place)
    else:
        chosen = _numbered(len(names), column, place)
        records = chain([(line, names)], records)

    batch = Batch()
    for row, record in records:
        if len(record) == len(names):
            batch.values.append(None if record[chosen] == _NULL else record[chosen])
            batch.rows.append(row)
        elif text := "".join(record).strip():
            text = delimiter.join(record)[:_SHOWN_CHARACTERS]
            batch.faults.append(BadCell(row, text, f"{len(record)} fields where {len(names)} belong"))
        else:
            batch.blank += 1
        if len(batch.rows) + len(batch.faults) == BATCH_ROWS:
            yield batch.cells()
            batch = Batch()
    yield batch.cells()


def _lines(file: ListFile) -> Iterator[str]:
    """The lines with their ends, then `_END`. Bytes that are not UTF-8 become lone surrogates, refused in an id."""
    for _, block in file.blocks():
        yield from io.StringIO(block.decode("utf-8", "surrogateescape") + "\n", newline="\n")
    yield _END


def _records(name: str, lines: Iterable[str], delimiter: str, first_line: int) -> Iterator[tuple[int, list[str]]]:
    """The records, each with the line on which it begins."""
    reader = csv.reader(lines, delimiter=delimiter)
    line = first_line
    try:
        for record in reader:
            if record == [_END]:
                return
            if record and record[-1].endswith(_END):
                what = "the quote that is opened there is never closed; was the list cut off?"
                raise BadIds(f"{name} line {line}: {what}")
            yield line, record
            line = first_line + reader.line_num
    except csv.Error as error:
        what = "longer than 1 MiB, or a quote there is never closed; correct it"
        raise BadIds(f"{name} line {line}: {what}") from error


def _delimiter(heading: str) -> str:
    bare = _QUOTED.sub("", heading)
    return next((sign for sign in (",", ";", "\t") if sign in bare), ",")


def _numbered(fields: int, column: str | None, place: str) -> int:
    """Without a heading a column's name is its number, from 1."""
    if column is None and fields == 1:
        return 0
    if column is not None and column.isdecimal() and 1 <= int(column) <= fields:
        return int(column) - 1
    raise BadIds(f"{place}: {fields} columns and no heading; say which holds the ids by --id-column 1 to {fields}")


def _refuse_lost_id(heading: str, column: str | None, place: str) -> None:
    """The heading of a lone column may be the first id of a list without a heading: do not lose it."""
    if column is None and heading not in USUAL_NAMES and not reason(heading) and re.search(r"\d", heading):
        raise BadIds(
            f"{place}: the heading {shown(heading)} could be an id; "
            f"pass --no-header if it is one, else --id-column {shown(heading)}"
        )
