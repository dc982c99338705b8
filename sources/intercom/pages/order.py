"""The order of pages: found by comparing pages, and used to predict the page of an id.

Intercom does not document the order of `GET /calls`. If far-apart pages cover disjoint id ranges, pages are sorted by
id, or by something correlated such as `created_at`.
"""

from __future__ import annotations

import itertools
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from statistics import median_low
from typing import NamedTuple, TypeAlias

Key: TypeAlias = Callable[[str], int]

# As many digits as fit in 64 bits. Call ids have fewer; longer numbers are compared as text.
MOST_DIGITS = 18
_TEXT_BYTES = 32
# With fewer ids a range proves nothing: two ranges of five are disjoint by chance once in 126 times.
_FEWEST_IDS = 5
# The most requests for the ids of one page: the page, and often its neighbour.
_REQUESTS_A_PAGE = 2
_MOST_CONTRADICTIONS = 3
_MOST_CONTRADICTIONS_SHARE = 0.05


def numeric_key(call_id: str) -> int:
    """The id as a number; -1 if it is not one."""
    return int(call_id) if call_id.isascii() and call_id.isdecimal() and len(call_id) <= MOST_DIGITS else -1


def text_key(call_id: str) -> int:
    """A number that sorts as the text does, by code points."""
    return int.from_bytes(call_id.encode("utf-8", "surrogatepass")[:_TEXT_BYTES].ljust(_TEXT_BYTES, b"\0"))


class Order(NamedTuple):
    """The order of pages: by number or by text, ascending or descending."""

    key: Key
    descending: bool

    def __str__(self) -> str:
        kind = "number" if self.key is numeric_key else "text"
        return f"sorted by id as {kind}, {'largest' if self.descending else 'smallest'} first"

    def position(self, call_id: str) -> int:
        """A number that grows from page to page."""
        return -self.key(call_id) if self.descending else self.key(call_id)


def likely_key(call_ids: Iterable[str]) -> Key:
    """The key that ids like these are probably sorted by."""
    return numeric_key if all(numeric_key(call_id) >= 0 for call_id in call_ids) else text_key


class _PageRange(NamedTuple):
    """The positions of a page's ids, ignoring one outlier at each end of a long page."""

    page: int
    low: int
    middle: int
    high: int

    @property
    def width(self) -> int:
        return self.high - self.low + 1


def _page_range(page: int, call_ids: Iterable[str], order: Order) -> _PageRange:
    positions = sorted(map(order.position, call_ids))
    ignored = int(len(positions) > 2 * _FEWEST_IDS)
    return _PageRange(page, positions[ignored], median_low(positions), positions[-1 - ignored])


def find_order(pages: Iterable[tuple[int, Sequence[str]]]) -> Order | None:
    """The order that these pages (number, ids) prove, or None; three pages far apart are enough."""
    usable = sorted((page, ids) for page, ids in pages if len(ids) >= _FEWEST_IDS)
    if len(usable) < 2:
        return None
    for order in itertools.starmap(Order, itertools.product((numeric_key, text_key), (False, True))):
        ranges = [_page_range(page, ids, order) for page, ids in usable]
        if all(before.high < after.low for before, after in itertools.pairwise(ranges)):
            return order
    return None


def requests_in_order(key: Key, sorted_ids: Iterable[str], pages: Iterable[Sequence[str]]) -> int:
    """About how many requests these ids cost if pages are sorted by `key` and have id ranges as wide as `pages`."""
    widths = sorted(max(keys) - min(keys) for ids in pages if (keys := [key(call_id) for call_id in ids]))
    width = widths[len(widths) // 2] if widths else 0
    requests = on_page = 0
    page_end = -1
    for id_key in map(key, sorted_ids):
        if id_key > page_end:
            page_end = id_key + width
            on_page = 0
        on_page += 1
        requests += on_page <= _REQUESTS_A_PAGE
    return requests


class PageMap:
    """The id ranges of the pages read so far; predicts the page of any other id."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._pages: list[_PageRange] = []
        self._contradictions = 0

    @property
    def is_broken(self) -> bool:
        """Whether too many pages contradicted the order."""
        return self._contradictions > _MOST_CONTRADICTIONS + _MOST_CONTRADICTIONS_SHARE * len(self._pages)

    def add(self, page: int, call_ids: Sequence[str]) -> None:
        """Add a page that was read. It replaces neighbours that contradict it: pages shift, and it is the newest."""
        if not call_ids:
            return
        added = _page_range(page, call_ids, self._order)
        first = end = bisect_left(self._pages, page, key=attrgetter("page"))
        while first and self._pages[first - 1].middle > added.middle:
            first -= 1
        while end < len(self._pages) and self._pages[end].middle < added.middle:
            end += 1
        self._contradictions += first < end
        self._pages[first:end] = [added]

    def page_of(self, call_id: str, last_page: int) -> int:
        """The page, from 1 to `last_page`, that should hold an id; 0 if no unread page can hold it."""
        position = self._order.position(call_id)
        right = bisect_right(self._pages, position, key=attrgetter("middle"))
        before = self._pages[right - 1] if right else None
        after = self._pages[right] if right < len(self._pages) else None
        first = before.page + 1 if before else 1
        last = after.page - 1 if after else last_page
        if first > last or (before and position <= before.high) or (after and position >= after.low):
            return 0
        if before and after:
            page = first + (position - before.high) * (last - first + 1) // (after.low - before.high)
        elif before:
            page = first + (position - before.high) // before.width
        elif after:
            page = last - (after.low - position) // after.width
        else:
            page = (first + last) // 2
        return min(max(page, first), last)
