"""txt: one id a line; `#` begins a comment, at the start of a line or after white space."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import pyarrow as pa

from ...errors import BadIds
from ..cells import Cells
from ..columns import USUAL_NAMES
from ..streams import ListFile
from ..validate import shown, trim

_COMMENT = re.compile(rb"(^|\s)#.*", re.DOTALL)
_SEPARATORS = re.compile(rb"[,;\t]")


def cells(file: ListFile) -> Iterator[Cells]:
    """The lines of the list without their comments, batch by batch.

    Raises:
        BadIds: the first line is the heading of a csv or tsv.
    """
    begun = False
    for first, block in file.blocks():
        lines = block.split(b"\n")
        rows: Sequence[int] = range(first, first + len(lines))
        if b"#" in block:
            kept = [(row, line) for row, line in zip(rows, map(_uncommented, lines), strict=True) if line is not None]
            rows, lines = [row for row, _ in kept], [line for _, line in kept]
        if not begun and block.strip():
            begun = _refuse_heading(file.name, rows, lines)
        yield Cells(pa.array(lines, pa.binary()), rows)


def _uncommented(line: bytes) -> bytes | None:
    """The line without its comment; None if it is only a comment."""
    value = _COMMENT.sub(b"", line)
    return None if value != line and not value.strip() else value


def _refuse_heading(name: str, rows: Sequence[int], lines: Sequence[bytes]) -> bool:
    """Refuse a list whose first filled line is a heading; True if that line was there."""
    row, line = next(((row, line) for row, line in zip(rows, lines, strict=True) if line.strip()), (0, b""))
    fields = [trim(field.decode("utf-8", "replace")).strip('"') for field in _SEPARATORS.split(line)]
    if heading := next((field for field in fields if field in USUAL_NAMES), None):
        raise BadIds(
            f"{name} line {row}: {shown(heading)} is a column's heading, but a txt has none; "
            "name the list .csv or .tsv, pass it as - with --ids-format csv, or remove the line"
        )
    return bool(line)
