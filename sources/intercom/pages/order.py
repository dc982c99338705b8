"""Where on the pages an id must be, by the pages read so far; an order is observed, never assumed.

Intercom does not document the order of `GET /calls`. Pages that are far apart and hold ids of disjoint ranges prove
that they follow the ids, whatever they are ordered by: where ids are given in the order of time, pages in the order
of `created_at` follow them too, if only roughly.
"""

from __future__ import annotations

import itertools
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from statistics import median_low
from typing import NamedTuple, Protocol, Self, TypeAlias

Key: TypeAlias = Callable[[str], int]


class Keys(Protocol):
    """Ids' keys, ascending."""

    def __len__(self) -> int: ...

    def __getitem__(self, place: int, /) -> int: ...


_TEXT_BYTES = 32
# The least ids of a page whose range proves anything: two such ranges are apart by chance once in 126 times.
_FEWEST_IDS = 5
# After so many pages that did not hold what was looked for, interpolation is not believed for a turn.
_INTERPOLATIONS = 2
# What a page costs where it has to be found: itself, and often a neighbour.
_DEAREST_PAGE = 2
# No call's id has more digits; Python's `int` refuses thousands.
_MOST_DIGITS = 64
_VIOLATIONS = 3
_VIOLATIONS_SHARE = 0.05


def numeric_key(call_id: str) -> int:
    """An id's place among numbers; what is no number comes first."""
    return int(call_id) if call_id.isascii() and call_id.isdecimal() and len(call_id) <= _MOST_DIGITS else -1


def text_key(call_id: str) -> int:
    """An id's place among texts, by code points, as a number to interpolate between."""
    return int.from_bytes(call_id.encode("utf-8", "surrogatepass")[:_TEXT_BYTES].ljust(_TEXT_BYTES, b"\0"))


class Order(NamedTuple):
    """What pages follow: numbers or texts, and the smallest or the largest first."""

    key: Key
    descending: bool

    def __str__(self) -> str:
        kind = "number" if self.key is numeric_key else "text"
        return f"order of ids as {kind}, {'largest' if self.descending else 'smallest'} first"


def keys_of(call_ids: Iterable[str]) -> Key:
    """The key these ids are told by."""
    return numeric_key if all(numeric_key(call_id) >= 0 for call_id in call_ids) else text_key


class _Range(NamedTuple):
    """The ids of a page: one at either end may be astray where there are many."""

    low: int
    middle: int
    high: int

    @classmethod
    def of(cls, keys: Sequence[int]) -> Self:
        ordered = sorted(keys)
        astray = len(ordered) > 2 * _FEWEST_IDS
        return cls(ordered[astray], median_low(ordered), ordered[-1 - astray])


def find_order(pages: Sequence[tuple[int, Sequence[str]]]) -> Order | None:
    """The order that pages (number, ids) prove, or None; three pages far apart are plenty."""
    telling = sorted((number, ids) for number, ids in pages if len(ids) >= _FEWEST_IDS)
    if len(telling) < 2:
        return None
    for key in (numeric_key, text_key):
        ranges = [_Range.of([key(call_id) for call_id in ids]) for _, ids in telling]
        for descending in (False, True):
            ahead = ranges[::-1] if descending else ranges
            if all(before.high < after.low for before, after in itertools.pairwise(ahead)):
                return Order(key, descending)
    return None


def requests_in_order(key: Key, wanted: Keys, pages: Sequence[Sequence[str]]) -> int:
    """About how many requests wanted ids (their keys) cost where those near each other share a page, as on `pages`."""
    widths = sorted(max(keys) - min(keys) for ids in pages if (keys := [key(call_id) for call_id in ids]))
    width = widths[len(widths) // 2] if widths else 0
    requests = place = 0
    while place < len(wanted):
        end = bisect_right(wanted, wanted[place] + width, place)
        requests += min(end - place, _DEAREST_PAGE)
        place = end
    return requests


class Chart:
    """The pages read so far, in their order: where other ids must be.

    Attributes:
        last_page: no page after it is believed to be there.
    """

    def __init__(self, order: Order, last_page: int) -> None:
        self.order = order
        self.last_page = last_page
        self._sign = -1 if order.descending else 1
        self._places: list[int] = []  # page numbers, negative where the largest ids come first
        self._ranges: list[_Range] = []
        self._middles: list[int] = []
        self._misses: dict[int | None, int] = {}  # by the place on the left: pages read in vain between it and the next
        self._violations = 0

    @property
    def is_broken(self) -> bool:
        """Whether too many pages were out of the order to believe in it."""
        return self._violations > _VIOLATIONS + _VIOLATIONS_SHARE * len(self._places)

    def add(self, page: int, call_ids: Sequence[str], *, in_vain: bool) -> None:
        """Enter a page that was read; `in_vain` where it held nothing that was looked for."""
        if not call_ids:
            return
        place = page * self._sign
        here = _Range.of([self.order.key(call_id) for call_id in call_ids])
        index = bisect_left(self._places, place)
        self._give_way(index, here)
        index = bisect_left(self._places, place)
        left = self._places[index - 1] if index else None
        misses = (self._misses.pop(left, 0) + 1) % (_INTERPOLATIONS + 1) if in_vain else 0
        self._misses[left] = self._misses[place] = misses
        self._places.insert(index, place)
        self._ranges.insert(index, here)
        self._middles.insert(index, here.middle)

    def _give_way(self, index: int, here: _Range) -> None:
        """Forget neighbours that contradict the newest page: calls come and go, and it knows best."""
        first, end = index, index
        while first and self._middles[first - 1] > here.middle:
            first -= 1
        while end < len(self._places) and self._middles[end] < here.middle:
            end += 1
        if first < end:
            self._violations += 1
            del self._places[first:end], self._ranges[first:end], self._middles[first:end]

    def where(self, key: int) -> int | None:
        """The page an id must be on; None where that page has been read, or there is none."""
        right = bisect_right(self._middles, key)
        first, last = sorted((self._sign, self.last_page * self._sign))
        before = self._ranges[right - 1] if right else None
        after = self._ranges[right] if right < len(self._ranges) else None
        if (before and key <= before.high) or (after and key >= after.low):
            return None
        first = self._places[right - 1] + 1 if before else first
        last = self._places[right] - 1 if after else last
        if first > last:
            return None
        if before and after:
            if self._misses.get(self._places[right - 1], 0) == _INTERPOLATIONS:
                return abs((first + last) // 2)
            place = first + (key - before.high) * (last - first + 1) // (after.low - before.high)
        elif before:
            place = first + (key - before.high) // self.width(key)
        elif after:
            place = last - (after.low - key) // self.width(key)
        else:
            place = (first + last) // 2
        return abs(min(max(place, first), last))

    def width(self, key: int) -> int:
        """How far ids reach that share a page, about there."""
        if not self._ranges:
            return 1
        nearest = self._ranges[max(0, bisect_right(self._middles, key) - 1)]
        return nearest.high - nearest.low + 1
