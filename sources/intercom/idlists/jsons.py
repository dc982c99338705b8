"""json and jsonl: bare ids, objects with the column, and Intercom's webhook notifications.

By the standard library's decoder, because it keeps every digit of an integer, tells `1` from `1.0` and shows a
name that is there twice.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from typing import Any

from ..errors import BadIds
from .cells import BATCH_ROWS, Cells, Fault, line_places, text_array
from .checks import shown
from .columns import position
from .streams import ListFile

# https://developers.intercom.com/docs/references/webhooks/webhook-models: `data.item` is the call.
CALL_TOPICS = (
    "call.started",
    "call.ended",
    "call.recording_available",
    "call.transcription_available",
)
JSON_BYTES = 512 << 20
_WHITE_SPACE = re.compile(r"[ \t\r\n]*")


class _Repeated(dict[str, Any]):
    """An object in which a name is there twice."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.names = [name for name, _ in pairs]


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    return found if len(found) == len(pairs) else _Repeated(pairs)


# The text of an integer is its digits.
_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=str, parse_float=Decimal
)


class _Unfit(Exception):
    """A value that holds no id; why."""


class _PassedOver(Exception):
    """A webhook notification of another topic."""


@dataclass
class _Picker:
    """Picks the id out of a value; the first plain object decides by which name."""

    list_name: str
    column: str | None
    decided: str | None = None

    def pick(self, value: Any, place: Callable[[], str]) -> str | None:
        """The id as text, or None for null; `place` names the value's place in the list."""
        if not isinstance(value, dict):
            return _id(value)
        if value.get("type") == "notification_event":
            return _id(_called(value))
        if self.decided is None:
            names = list(value)
            self.decided = names[
                position(names, self.column, f"{self.list_name} {place()}")
            ]
        if self.decided not in value:
            raise _Unfit(f"it has no {shown(self.decided)}")
        if isinstance(value, _Repeated) and value.names.count(self.decided) > 1:
            raise _Unfit(f"it has {shown(self.decided)} twice")
        return _id(value[self.decided])


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

    values: list[str | None] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    blank: int = 0
    passed_over: int = 0

    def add(
        self, picker: _Picker, value: Any, row: int, place: Callable[[], str]
    ) -> None:
        try:
            self.values.append(picker.pick(value, place))
            self.rows.append(row)
        except _PassedOver:
            self.passed_over += 1
        except _Unfit as unfit:
            self.faults.append(Fault(row, _spelled(value), str(unfit)))

    def cells(self, places: Callable[[Sequence[int]], list[str]]) -> Cells:
        return Cells(
            text_array(self.values),
            self.rows,
            places,
            self.faults,
            self.blank,
            self.passed_over,
        )


def _spelled(value: Any) -> str:
    """The value as JSON, near enough to be found in the list."""
    return json.dumps(value, ensure_ascii=False, default=str)


def lines(file: ListFile, *, column: str | None) -> Iterator[Cells]:
    """The ids of a jsonl, batch by batch: one string, integer, object or notification a line.

    Raises:
        BadIds: the first object has not the column.
    """
    picker = _Picker(file.name, column)
    for first, ended in file.blocks():
        batch = _Batch()
        for row, line in enumerate(ended, first):
            if not line.strip():
                batch.blank += 1
                continue
            try:
                value = _DECODER.decode(line.decode())
            except (ValueError, RecursionError) as error:
                batch.faults.append(
                    Fault(
                        row,
                        line.decode("utf-8", "backslashreplace").strip(),
                        _why(error),
                    )
                )
            else:
                batch.add(picker, value, row, partial("line {}".format, row))
        yield batch.cells(line_places)


def document(file: ListFile, *, column: str | None) -> Iterator[Cells]:
    """The ids of a json, batch by batch: an array, or values one after another.

    Raises:
        BadIds: it is not JSON, larger than 512 MiB, or its first object has not the column.
    """
    with file.open_text() as stream:
        content = stream.read(JSON_BYTES + 1)
    if len(content) > JSON_BYTES:
        raise BadIds(
            f"{file.name}: more than {JSON_BYTES >> 20} MiB, too large for json; write it as jsonl"
        )
    text = content.decode("utf-8", "surrogateescape")
    del content
    picker = _Picker(file.name, column)

    def places(rows: Sequence[int]) -> list[str]:
        return [_place(text, row) for row in rows]

    batch = _Batch()
    try:
        for start, value in _values(text):
            batch.add(picker, value, start, partial(_place, text, start))
            if len(batch.values) == BATCH_ROWS:
                yield batch.cells(places)
                batch = _Batch()
    except (json.JSONDecodeError, RecursionError) as error:
        what = (
            "was it cut off?"
            if getattr(error, "pos", 0) >= len(text.rstrip())
            else "correct it"
        )
        raise BadIds(f"{file.name} {_where(error)}; {what}") from error
    yield batch.cells(places)


def _values(text: str) -> Iterator[tuple[int, Any]]:
    """The values of a document with their places in it; those of an array one by one."""
    at = _next(text, 0)
    while at < len(text):
        if text[at] == "[":
            at = yield from _items(text, at)
        else:
            value, end = _DECODER.raw_decode(text, at)
            yield at, value
            at = end
        at = _next(text, at)


def _items(text: str, at: int) -> Generator[tuple[int, Any], None, int]:
    at = _next(text, at + 1)
    if text.startswith("]", at):
        return at + 1
    while True:
        value, end = _DECODER.raw_decode(text, at)
        yield at, value
        end = _next(text, end)
        if text.startswith("]", end):
            return end + 1
        if not text.startswith(",", end):
            raise json.JSONDecodeError("Expecting ',' or ']'", text, end)
        at = _next(text, end + 1)


def _next(text: str, at: int) -> int:
    """Where the white space that begins at `at` ends."""
    return _WHITE_SPACE.match(text, at).end()  # type: ignore[union-attr]


def _place(text: str, position: int) -> str:
    begin = text.rfind("\n", 0, position) + 1
    return f"line {text.count(chr(10), 0, position) + 1} column {position - begin + 1}"


def _where(error: json.JSONDecodeError | RecursionError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"line {error.lineno} column {error.colno}: not JSON ({error.msg})"
    return "nests too deeply"


def _why(error: ValueError | RecursionError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"not JSON: {error.msg} at column {error.colno}"
    return "not UTF-8" if isinstance(error, UnicodeDecodeError) else "nested too deeply"
