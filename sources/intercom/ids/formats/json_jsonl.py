"""json and jsonl: bare ids, objects with the column, and Intercom's webhook notifications.

By the standard library's decoder, because it keeps every digit of an integer and tells `1` from `1.0`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from typing import Any

from ...errors import BadIds
from ..cells import BATCH_ROWS, BadCell, Cells, text_array
from ..columns import position
from ..streams import ListFile
from ..validate import shown

# https://developers.intercom.com/docs/references/webhooks/webhook-models: `data.item` is the call.
CALL_TOPICS = ("call.started", "call.ended", "call.recording_available", "call.transcription_available")
JSON_BYTES = 512 << 20

_WHITE_SPACE = re.compile(r"[ \t\r\n]*")
# The text of an integer is its digits.
_DECODER = json.JSONDecoder(parse_int=str, parse_float=Decimal)


class _Unfit(Exception):
    """A value that holds no id; why."""


class _PassedOver(Exception):
    """A webhook notification of another topic."""


@dataclass
class _Picker:
    """Picks the id out of a value; the first plain object decides by which name."""

    list_name: str
    place: Callable[[int], str]
    wanted: str | None
    column: str | None = None

    def pick(self, value: Any, row: int, text: str) -> str | None:
        """The id as text, None for null; `text` is the value's JSON."""
        if not isinstance(value, dict):
            return _id(value)
        if value.get("type") == "notification_event":
            return _id(_called(value))
        if self.column is None:
            names = list(value)
            self.column = names[position(names, self.wanted, f"{self.list_name} {self.place(row)}")]
        if self.column not in value:
            raise _Unfit(f"it has no {shown(self.column)}")
        if text.count(f'"{self.column}"') > 1:
            _refuse_repeated(text, self.column)
        return _id(value[self.column])


def _refuse_repeated(text: str, column: str) -> None:
    """Of a name that is there twice the decoder takes the last without a word."""
    outermost: list[str] = []

    def names_of(pairs: list[tuple[str, Any]]) -> None:
        outermost[:] = [name for name, _ in pairs]  # the outermost object is the last to be complete

    json.loads(text, object_pairs_hook=names_of)
    if outermost.count(column) > 1:
        raise _Unfit(f"it has {shown(column)} twice")


def _called(notification: dict[str, Any]) -> Any:
    if notification.get("topic") not in CALL_TOPICS:
        raise _PassedOver
    try:
        return notification["data"]["item"]["id"]
    except (KeyError, TypeError):
        raise _Unfit("a webhook notification without data.item.id") from None


def _id(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise _Unfit("neither text nor an integer")


@dataclass
class _Batch:
    """What a stretch of the list gave so far."""

    picker: _Picker
    values: list[str | None] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    faults: list[BadCell] = field(default_factory=list)
    blank: int = 0
    passed_over: int = 0

    def add(self, value: Any, row: int, text: str) -> None:
        """Takes a value of the list; `text` is its JSON."""
        try:
            self.values.append(self.picker.pick(value, row, text))
            self.rows.append(row)
        except _PassedOver:
            self.passed_over += 1
        except _Unfit as unfit:
            self.faults.append(BadCell(row, text, str(unfit)))

    def cells(self) -> Cells:
        """The batch as every reader gives it."""
        place = self.picker.place
        return Cells(
            text_array(self.values),
            self.rows,
            lambda rows: [place(row) for row in rows],
            self.faults,
            self.blank,
            self.passed_over,
        )


def lines(file: ListFile, *, column: str | None) -> Iterator[Cells]:
    """The ids of a jsonl, batch by batch: one string, integer, object or notification a line.

    Raises:
        BadIds: the first object has not the column.
    """
    picker = _Picker(file.name, "line {}".format, column)
    for first, block in file.blocks():
        batch = _Batch(picker)
        # A byte that is not UTF-8 becomes a lone surrogate, which is refused where it is in an id.
        for row, line in enumerate(block.decode("utf-8", "surrogateescape").split("\n"), first):
            if not line or line.isspace():
                batch.blank += 1
                continue
            try:
                value = _value(line)
            except (ValueError, RecursionError) as error:
                batch.faults.append(BadCell(row, line, f"not JSON: {_fault(error)}"))
            else:
                batch.add(value, row, line)
        yield batch.cells()


def _value(line: str) -> Any:
    try:
        value, end = _DECODER.raw_decode(line)
        if end == len(line):
            return value
    except json.JSONDecodeError:
        pass
    return _DECODER.decode(line)  # slower: it allows white space around, and tells what is wrong


def document(file: ListFile, *, column: str | None) -> Iterator[Cells]:
    """The ids of a json, batch by batch: an array, or values one after another; rows are places in the text.

    Raises:
        BadIds: it is not JSON, larger than 512 MiB, or its first object has not the column.
    """
    with file.open_text() as stream:
        content = stream.read(JSON_BYTES + 1)
    if len(content) > JSON_BYTES:
        raise BadIds(f"{file.name}: more than {JSON_BYTES >> 20} MiB, too large for json; write it as jsonl")
    text = content.decode("utf-8", "surrogateescape")
    del content

    picker = _Picker(file.name, partial(_place, text), column)
    batch = _Batch(picker)
    try:
        for start, end, value in _values(text):
            batch.add(value, start, text[start:end])
            if len(batch.values) == BATCH_ROWS:
                yield batch.cells()
                batch = _Batch(picker)
    except (json.JSONDecodeError, RecursionError) as error:
        at = getattr(error, "pos", 0)
        mend = "correct it" if text[at:].strip() else "the end is missing; fetch or write it anew"
        raise BadIds(f"{file.name} {_place(text, at)}: not JSON: {_fault(error)}; {mend}") from error
    yield batch.cells()


def _values(text: str) -> Iterator[tuple[int, int, Any]]:
    """The values of a document, each with where it begins and ends; those of an array one by one."""
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
    """Where the white space that may begin at `at` ends."""
    space = _WHITE_SPACE.match(text, at)
    return space.end() if space else at


def _place(text: str, position: int) -> str:
    column = position - text.rfind("\n", 0, position)
    return f"line {text.count(chr(10), 0, position) + 1} column {column}"


def _fault(error: ValueError | RecursionError) -> str:
    return error.msg if isinstance(error, json.JSONDecodeError) else "nested too deeply"
