"""The ids that a sweep looks for: Arrow's columns, since a million of Python's objects would take a gigabyte."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from functools import cached_property
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from .order import Key, Keys, numeric_key, text_key

_SLICE = 10_000


class Wanted:
    """Distinct ids; each has a number, its place among them, by which a sweep notes what it knows of it."""

    def __init__(self, ids: Iterable[str]) -> None:
        ids, slices = iter(ids), [pa.array([], pa.string())]
        while part := list(islice(ids, _SLICE)):
            slices.append(pa.array(part, pa.string()))
        self._ids = pa.concat_arrays(slices)
        self._sorted: tuple[Key, Along] | None = None

    def __len__(self) -> int:
        return len(self._ids)

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self._ids), _SLICE):
            part: list[Any] = self._ids.slice(start, _SLICE).to_pylist()
            yield from part

    def __contains__(self, call_id: object) -> bool:
        return isinstance(call_id, str) and self.number(call_id) is not None

    def number(self, call_id: str) -> int | None:
        """The id's number; None where it is not wanted."""
        hashes, numbers = self._by_hash
        sought = hash(call_id)
        place = bisect_left(hashes, sought)
        while place < len(hashes) and hashes[place] == sought:
            if self._ids[numbers[place]].as_py() == call_id:
                return numbers[place]
            place += 1
        return None

    def along(self, key: Key) -> Along:
        """The ids sorted by their keys; the last such order is kept."""
        if self._sorted is None or self._sorted[0] is not key:
            self._sorted = key, self._sort(key)
        return self._sorted[1]

    def _sort(self, key: Key) -> Along:
        if key is text_key:  # sorted as texts they are sorted by the beginnings that are their keys
            order = pc.sort_indices(self._ids)
        elif key is numeric_key and not pc.any(pc.match_substring_regex(self._ids, "^[0-9]{19,}$")).as_py():
            is_number = pc.match_substring_regex(self._ids, "^[0-9]+$")
            numbers: pa.StringArray = pc.if_else(is_number, self._ids, pa.scalar("-1"))
            keys = numbers.cast(pa.int64())
            order = pc.sort_indices(keys)
            return Along(_view(keys.take(order), "q"), order)
        else:
            order = pa.array(sorted(range(len(self)), key=_KeyOf(self._ids, key).__getitem__), pa.uint64())
        return Along(_KeyOf(self._ids, key, _view(order, "Q")), order)

    @cached_property
    def _by_hash(self) -> tuple[memoryview[int], memoryview[int]]:
        hashes = array("q", map(hash, self))
        column = pa.Array.from_buffers(pa.int64(), len(hashes), [None, pa.py_buffer(hashes)])
        order = pc.sort_indices(column)
        return _view(column.take(order), "q"), _view(order, "Q")


class Along:
    """The wanted ids along an order, by their places in it.

    Attributes:
        keys: by place, ascending.
    """

    def __init__(self, keys: Keys, order: pa.Array[Any]) -> None:
        self.keys = keys
        self._order = order

    def numbers(self) -> memoryview[int]:
        """By place: the id's number."""
        return _view(self._order, "Q")

    @cached_property
    def places(self) -> memoryview[int]:
        """By number: the id's place."""
        return _view(pc.sort_indices(self._order), "Q")


class _KeyOf:
    """Keys that are too large to be kept, made when they are looked at."""

    def __init__(self, ids: pa.StringArray, key: Key, numbers: memoryview[int] | None = None) -> None:
        self._ids, self._key, self._numbers = ids, key, numbers

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, place: int) -> int:
        number = place if self._numbers is None else self._numbers[place]
        return self._key(str(self._ids[number].as_py()))


def _view(column: pa.Array[Any], format: str) -> memoryview[int]:  # noqa: A002  as memoryview calls it
    """What a column of 64-bit numbers without nulls holds, as a sequence."""
    _, values = column.buffers()
    assert values is not None
    whole: memoryview[Any] = memoryview(values)[column.offset * 8 : (column.offset + len(column)) * 8]
    return whole.cast(format)  # type: ignore[call-overload, no-any-return]
