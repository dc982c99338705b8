"""json and jsonl: bare ids, objects with the column, and Intercom's webhook notifications.

Read by the standard library's decoder: it keeps every digit of an integer and distinguishes `1` from `1.0`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any, cast

from ...errors import BadIds
from ..cells import BATCH_ROWS, BadCell, Batch, Cells
from ..columns import position
from ..streams import LINE_BYTES, ListFile
from ..validate import shown

# https://developers.intercom.com/docs/references/webhooks/webhook-models: `data.item` is the call.
CALL_TOPICS = ("call.started", "call.ended", "call.recording_available", "call.transcription_available")
JSON_BYTES = 512 << 20

_WHITE_SPACE = re.compile(r"[ \t\r\n]*")
# The text of an integer is its digits.
_DECODER = json.JSONDecoder(parse_int=str, parse_float=Decimal)


class _PassedOver(Exception):
    """A webhook notification of another topic."""


@dataclass
class _Picker:
    """Picks the id out of each value; the first plain object decides which of its names holds the id."""

    list_name: str
    place: Callable[[int], str]
    wanted: str | None
    column: str | None = None

    def add(self, batch: Batch, value: Any, row: int, text: str) -> None:
        """Add a value of the list to the batch; `text` is its JSON."""
        try:
            batch.values.append(self._pick(value, row, text))
            batch.rows.append(row)
        except _PassedOver:
            batch.passed_over += 1
        except ValueError as unfit:
            batch.faults.append(BadCell(row, text, str(unfit)))

    def _pick(self, value: Any, row: int, text: str) -> str | None:
        if isinstance(value, dict):
            value = self._member(value, row, text)
        if value is None or isinstance(value, str):
            return value
        raise ValueError("neither text nor an integer")

    def _member(self, value: dict[str, Any], row: int, text: str) -> Any:
        if value.get("type") == "notification_event":
            return _notified(value)
        if self.column is None:
            names = list(value)
            self.column = names[position(names, self.wanted, f"{self.list_name} {self.place(row)}")]
        if self.column not in value:
            raise ValueError(f"it has no {shown(self.column)}")
        if text.count(f'"{self.column}"') > 1:
            _refuse_repeated(text, self.column)
        return value[self.column]


def _refuse_repeated(text: str, column: str) -> None:
    """If a name is there twice, the decoder silently takes the last."""
    outermost: list[str] = []

    def names_of(pairs: list[tuple[str, Any]]) -> None:
        outermost[:] = [name for name, _ in pairs]  # the outermost object is the last to be complete

    json.loads(text, object_pairs_hook=names_of)
    if outermost.count(column) > 1:
        raise ValueError(f"it has {shown(column)} twice")


def _notified(notification: dict[str, Any]) -> Any:
    if notification.get("topic") not in CALL_TOPICS:
        raise _PassedOver
    try:
        return notification["data"]["item"]["id"]
    except (KeyError, TypeError):
        raise ValueError("a webhook notification without data.item.id") from None


def lines(file: ListFile, *, column: str | None) -> Iterator[Cells]:
    """The ids of a jsonl, batch by batch: one string, integer, object or notification a line.

    Raises:
        BadIds: the first object lacks the column.
    """
    picker = _Picker(file.name, "line {}".format, column)
    for first, block in file.blocks():
        batch = Batch()
        # A byte that is not UTF-8 becomes a lone surrogate, which is refused in an id.
        for row, line in enumerate(block.decode("utf-8", "surrogateescape").split("\n"), first):
            if not line or line.isspace():
                batch.blank += 1
                continue
            try:
                value = _DECODER.decode(line)
            except (ValueError, RecursionError) as error:
                batch.faults.append(BadCell(row, line, f"not JSON: {_fault(error)}"))
            else:
                picker.add(batch, value, row, line)
        yield batch.cells()


def document(file: ListFile, *, column: str | None) -> Iterator[Cells]:
    """The ids of a json, batch by batch: an array, or values one after another; rows are positions in the text.

    Raises:
        BadIds: it is not JSON, larger than 512 MiB, or its first object lacks the column.
    """
    content = bytearray()
    with file.open_text() as stream:
        while read := stream.read(LINE_BYTES):
            content += read
            file.refuse_bomb(len(content))
            if len(content) > JSON_BYTES:
                raise BadIds(f"{file.name}: more than {JSON_BYTES >> 20} MiB, too large for json; write it as jsonl")
    text = content.decode("utf-8", "surrogateescape")
    del content

    picker = _Picker(file.name, partial(_place, text), column)
    batch = Batch()
    try:
        for start, end, value in _values(text):
            picker.add(batch, value, start, text[start:end])
            if len(batch.values) == BATCH_ROWS:
                yield batch.cells(picker.place)
                batch = Batch()
    except (json.JSONDecodeError, RecursionError) as error:
        at = getattr(error, "pos", 0)
        fix = "correct it" if text[at:].strip() else "the end is missing; fetch or write it anew"
        raise BadIds(f"{file.name} {_place(text, at)}: not JSON: {_fault(error)}; {fix}") from error
    yield batch.cells(picker.place)


def _values(text: str) -> Iterator[tuple[int, int, Any]]:
    """The values of a document or of its arrays, each with its start and end."""
    at = _next(text, 0)
    while at < len(text):
        if text[at] == "[":
            at = yield from _items(text, at)
        else:
            value, end = _DECODER.raw_decode(text, at)
            yield at, end, value
            at = end
        at = _next(text, at)


def _items(text: str, at: int) -> Generator[tuple[int, int, Any], None, int]:
    at = _next(text, at + 1)
    if text.startswith("]", at):
        return at + 1
    while True:
        value, end = _DECODER.raw_decode(text, at)
        yield at, end, value
        end = _next(text, end)
        if text.startswith("]", end):
            return end + 1
        if not text.startswith(",", end):
            raise json.JSONDecodeError("Expecting ',' or ']'", text, end)
        at = _next(text, end + 1)


def _next(text: str, at: int) -> int:
    """The position after the white space at `at`."""
    return cast("re.Match[str]", _WHITE_SPACE.match(text, at)).end()


def _place(text: str, position: int) -> str:
    column = position - text.rfind("\n", 0, position)
    return f"line {text.count(chr(10), 0, position) + 1} column {column}"


def _fault(error: ValueError | RecursionError) -> str:
    return error.msg if isinstance(error, json.JSONDecodeError) else "nested too deeply"
