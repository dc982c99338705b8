"""The ids that a sweep looks for, as Arrow columns: a million Python strings would take a gigabyte."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from functools import cached_property
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from .order import MOST_DIGITS, Key, text_key

_SLICE = 10_000


class WantedIds:
    """Distinct ids, indexed by position."""

    def __init__(self, ids: Iterable[str]) -> None:
        ids, slices = iter(ids), [pa.array([], pa.string())]
        while part := list(islice(ids, _SLICE)):
            slices.append(pa.array(part, pa.string()))
        self._ids = pa.concat_arrays(slices)
        self._sorted_indexes: dict[Key, pa.Array[Any]] = {}

    def __len__(self) -> int:
        return len(self._ids)

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self._ids), _SLICE):
            part: list[Any] = self._ids.slice(start, _SLICE).to_pylist()
            yield from part

    def __contains__(self, call_id: object) -> bool:
        return isinstance(call_id, str) and self.index(call_id) is not None

    def index(self, call_id: str) -> int | None:
        """The index of an id; None if it is not wanted."""
        hashes, indexes = self._by_hash
        wanted_hash = hash(call_id)
        place = bisect_left(hashes, wanted_hash)
        while place < len(hashes) and hashes[place] == wanted_hash:
            if self._ids[indexes[place]].as_py() == call_id:
                return indexes[place]
            place += 1
        return None

    def sorted_by(self, key: Key) -> Iterator[tuple[int, str]]:
        """Each index and id, sorted by `key`: `numeric_key` or `text_key`."""
        if key not in self._sorted_indexes:
            self._sorted_indexes[key] = self._sort(key)
        for start in range(0, len(self._ids), _SLICE):
            indexes: Any = self._sorted_indexes[key].slice(start, _SLICE)
            yield from zip(indexes.to_pylist(), self._ids.take(indexes).to_pylist(), strict=True)

    def _sort(self, key: Key) -> pa.Array[Any]:
        if key is text_key:
            return pc.sort_indices(self._ids)
        is_number = pc.match_substring_regex(self._ids, f"^[0-9]{{1,{MOST_DIGITS}}}$")
        numbers: pa.StringArray = pc.if_else(is_number, self._ids, pa.scalar("-1"))
        return pc.sort_indices(numbers.cast(pa.int64()))

    @cached_property
    def _by_hash(self) -> tuple[memoryview[int], memoryview[int]]:
        hashes = array("q", map(hash, self))
        column = pa.Array.from_buffers(pa.int64(), len(hashes), [None, pa.py_buffer(hashes)])
        indexes = pc.sort_indices(column)
        return _view(column.take(indexes), "q"), _view(indexes, "Q")


def _view(column: pa.Array[Any], format: str) -> memoryview[int]:  # noqa: A002  as memoryview calls it
    """A column of 64-bit numbers without nulls, as a sequence."""
    _, values = column.buffers()
    assert values is not None
    whole: memoryview[Any] = memoryview(values)[column.offset * 8 : (column.offset + len(column)) * 8]
    return whole.cast(format)  # type: ignore[call-overload, no-any-return]
