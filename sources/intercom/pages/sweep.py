"""Which pages of `GET /calls` to request, and which ids by `GET /calls/{id}`: the decisions, without a socket.

A page costs one request and can hold 25 of the wanted calls. The first page shows what a sweep might cost; three pages,
far apart, show whether pages are sorted by id; a few of their calls are compared with `GET /calls/{id}`. Then pages are
requested while they save requests: those that should hold wanted ids, or all of them if no order was found. Every id
that no page held is fetched by id, so a wrong guess costs requests but never loses a call. The loss is limited: the
sweep ends when it has lost `_PATIENCE` requests, and a share of the ids, since its best moment.
"""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from .order import Key, Order, PageMap, find_order, likely_key, requests_in_order
from .verification import Listed, Verdict, Verification
from .wanted_ids import WantedIds

# A sweep must save a tenth of the requests, at least.
_WORTH = 0.9
_PATIENCE = 10
_PATIENCE_SHARE = 0.006
_PATIENCE_SHARE_FORCED = 0.15
_MOST_FIRST_PAGES = 7
_MOST_LOST_PAGES = 3
# A page for one wanted id saves nothing and may be the wrong one. Without this rule 1,000 scattered ids use up the
# patience before the sweep reaches 2,000 ids in a row: 3,025 requests instead of 1,075.
_FEWEST_ON_PAGE = 2

_NO_VERSION = -(2**63)  # the version of a call without `updated_at`


class Compare(NamedTuple):
    """Fetch this call by id, and compare it with the page that listed it."""

    call_id: str


class Kept(NamedTuple):
    """A call of a page to keep; `is_newer` if it replaces an older version that was kept before."""

    place: int
    is_newer: bool


class Sweep:
    """One sweep for `wanted_ids`: `next` says what to request; the other methods take the answers.

    Args:
        wanted_ids: distinct ids, in the order in which to fetch those that no page holds.
        forced: sweep even if it may cost more than by id; it loses patience later.
        tell: called with each decision and its reason, as text.
    """

    def __init__(self, wanted_ids: Iterable[str], *, forced: bool = False, tell: Callable[[str], None]) -> None:
        self.wanted_ids = WantedIds(wanted_ids)
        self._forced = forced
        self._tell = tell
        self._steps = self._sweep()
        self._is_over = False
        self._is_fetched = bytearray(len(self.wanted_ids))
        self._versions = array("q", bytes(8 * len(self.wanted_ids)))  # of those that are fetched
        self._verification: Verification | None = None
        self._first_pages: dict[int, Sequence[Listed]] = {}
        self._page_map: PageMap | None = None
        self._in_flight: set[int] = set()
        self._done: set[int] = set()
        self._lost_pages = 0
        self._savings = 0  # requests saved so far, compared with fetching by id
        self._patience = _PATIENCE + int((_PATIENCE_SHARE_FORCED if forced else _PATIENCE_SHARE) * len(self.wanted_ids))
        self._last_page = 1
        self._page_size = 0
        self._extra_pages = 1  # pages to try past the reported end

    @property
    def is_verified(self) -> bool:
        """Whether the calls of pages may be used."""
        return self._verification is not None and self._verification.passed is True

    def next(self) -> int | Compare | None:
        """What to request now: a page, or a call to compare; None: nothing until the next answer.

        If it is None and nothing is in flight, the sweep is over.
        """
        step = None if self._is_over else next(self._steps, None)
        if isinstance(step, int):
            self._in_flight.add(step)
        return step

    def page_read(self, page: int, calls: Sequence[Listed], total_pages: int | None) -> None:
        """Take the answer to a page.

        Args:
            page: its number.
            calls: its calls, in its order.
            total_pages: how many pages there are, as the answer says; None if it does not.
        """
        self._end(page)
        self._find_last_page(page, len(calls), total_pages)
        if not self.is_verified:
            self._first_pages[page] = calls
        elif self._page_map is not None:
            self._page_map.add(page, _ids(calls))

    def page_lost(self, page: int) -> None:
        """Learn that a page can't be fetched. The first page, or three others, end the sweep."""
        self._end(page)
        self._lost_pages += 1
        if page == 1:
            self.stop("the first page of calls can't be fetched")
        elif self._lost_pages == _MOST_LOST_PAGES:
            self.stop(f"{self._lost_pages} pages can't be fetched")

    def keep(self, calls: Sequence[Listed]) -> list[Kept]:
        """Which calls of a page to keep, once pages are verified: wanted ones, in their newest version."""
        return [Kept(place, newer) for place, call in enumerate(calls) if (newer := self._is_newer(call)) is not None]

    def compared(self, call_id: str, verdict: Verdict, updated_at: int | None) -> None:
        """Take the result of comparing a call; a wanted one counts as fetched by id, whatever the result.

        Args:
            call_id: the call.
            verdict: whether its page said the same.
            updated_at: of the answer by id, in microseconds.
        """
        assert self._verification is not None
        index = self.wanted_ids.index(call_id)
        if index is None:
            self._savings -= 1
        else:
            self._set_fetched(index, updated_at)
        self._verification.record(call_id, verdict)

    def stop(self, why: str) -> None:
        """Request no more pages; answers in flight can still be taken."""
        if not self._is_over:
            self._is_over = True
            self._tell(f"{why}: {'the rest' if self.is_verified else 'all'} by id")

    def rest(self) -> Iterator[str]:
        """The wanted ids to fetch by id once the sweep is over, in their order."""
        fetched = zip(self.wanted_ids, self._is_fetched, strict=True)
        return (call_id for call_id, is_fetched in fetched if not is_fetched)

    def _end(self, page: int) -> None:
        self._in_flight.discard(page)
        self._done.add(page)
        self._savings -= 1

    def _set_fetched(self, index: int, updated_at: int | None) -> None:
        self._is_fetched[index] = True
        self._versions[index] = _NO_VERSION if updated_at is None else updated_at

    def _is_newer(self, call: Listed) -> bool | None:
        """False for a wanted call that is not fetched yet, True for a newer version of one that is, else None."""
        index = self.wanted_ids.index(call.call_id)
        if index is None:
            return None
        if not self._is_fetched[index]:
            self._set_fetched(index, call.updated_at)
            self._savings += 1
            return False
        if call.updated_at is None or not _NO_VERSION < self._versions[index] < call.updated_at:
            return None
        self._versions[index] = call.updated_at
        return True

    def _find_last_page(self, page: int, calls: int, total_pages: int | None) -> None:
        """Believe the reported total until pages show another one."""
        self._page_size = max(self._page_size, calls)
        if page == 1 and total_pages:
            self._last_page = total_pages
        elif not calls and page > 1:
            self._last_page = min(self._last_page, page - 1)
        elif page == self._last_page and calls == self._page_size:
            self._last_page += self._extra_pages
            self._extra_pages *= 2

    def _sweep(self) -> Iterator[int | Compare | None]:
        """The steps of a sweep; None: wait for an answer."""
        yield from self._read_first([1])
        first_ids = _ids(self._first_pages[1])
        if not self._is_cheaper(likely_key(first_ids), "sorted by id at best"):
            return
        yield from self._read_first([self._last_page, self._middle])
        while sum(map(bool, self._first_pages.values())) < 2 and len(self._first_pages) < _MOST_FIRST_PAGES:
            if self._middle in self._done:
                break
            yield from self._read_first([self._middle])  # the reported total was wrong
        order = find_order((page, _ids(calls)) for page, calls in self._first_pages.items())
        if not self._is_cheaper(order and order.key, str(order or "in no order that helps")):
            return
        yield from self._verify()
        if self.is_verified:
            yield from self._read_pages(order)

    @property
    def _middle(self) -> int:
        return (1 + self._last_page) // 2

    def _read_first(self, pages: Iterable[int]) -> Iterator[int | None]:
        for page in pages:
            if self._is_new(page):
                yield page
        while self._in_flight:
            yield None

    def _is_cheaper(self, key: Key | None, described: str) -> bool:
        """Whether pages sorted by `key` (None: not sorted) save enough requests; if not, the sweep ends."""
        by_id, requests = len(self.wanted_ids), self._last_page
        if key is not None:
            sorted_ids = (call_id for _, call_id in self.wanted_ids.sorted_by(key))
            requests = min(requests, requests_in_order(key, sorted_ids, map(_ids, self._first_pages.values())))
        estimate = f"{self._last_page:,} pages, {described}: about {requests:,} requests instead of {by_id:,}"
        if not self._forced and requests > _WORTH * by_id:
            self.stop(estimate)
            return False
        self._tell(f"{estimate}: pages first")
        return True

    def _verify(self) -> Iterator[Compare | None]:
        calls = itertools.chain.from_iterable(self._first_pages.values())
        self._verification = Verification(calls, self.wanted_ids)
        while self._verification.passed is None:
            call_id = self._verification.next()
            yield None if call_id is None else Compare(call_id)
        if not self._verification.passed:
            self.stop(self._verification.reason)

    def _read_pages(self, order: Order | None) -> Iterator[int | None]:
        """Pages, for as long as they save requests."""
        pages = self._all_pages() if order is None else self._pages_in_order(order)
        best = 0
        while 0 in self._is_fetched:
            best = max(best, self._savings)
            patience = self._patience - (best - self._savings)
            if patience <= 0:
                self.stop("pages hold fewer of the ids than expected")
                return
            if self._page_map is not None and self._page_map.is_broken:
                self._tell("the pages are in no order after all")
                self._page_map = None
                pages = self._all_pages()
            # Half of the patience at once: all pages in flight may be useless, and others have to follow them.
            yield next(pages, None) if len(self._in_flight) < max(1, patience // 2) else None

    def _pages_in_order(self, order: Order) -> Iterator[int | None]:
        """The pages that should hold the ids left, until none is left to try."""
        self._page_map = page_map = PageMap(order)
        for page, calls in self._first_pages.items():
            page_map.add(page, _ids(calls))
        is_trying = True
        while is_trying:
            is_trying = False
            left = (call_id for index, call_id in self.wanted_ids.sorted_by(order.key) if not self._is_fetched[index])
            for page, ids in itertools.groupby(left, lambda call_id: page_map.page_of(call_id, self._last_page)):
                if page and self._is_new(page) and sum(1 for _ in ids) >= _FEWEST_ON_PAGE:
                    is_trying = True
                    yield page
            while self._in_flight:
                yield None

    def _all_pages(self) -> Iterator[int | None]:
        """Every page; again where the last page turns out to be another one meanwhile."""
        last_page = 0
        while last_page != self._last_page:
            last_page = self._last_page
            for page in _spread(last_page):
                if self._last_page < last_page // 2:
                    break
                if page <= self._last_page and self._is_new(page):
                    yield page
            while self._in_flight:
                yield None

    def _is_new(self, page: int) -> bool:
        return page not in self._done and page not in self._in_flight


def _ids(calls: Iterable[Listed]) -> list[str]:
    return [call.call_id for call in calls]


def _spread(pages: int) -> Iterator[int]:
    """Every page once, spread evenly at any moment: pages of a part alone would not show what all hold."""
    bits = pages.bit_length()
    for number in range(1 << bits):
        page = int(f"{number:0{bits}b}"[::-1], 2) + 1
        if page <= pages:
            yield page
