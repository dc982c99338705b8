"""Which pages of `GET /calls` to ask for, and which ids by `GET /calls/{id}`: the decisions, without a socket.

A page costs a request and may hold 25 of the wanted calls. The first page tells what a sweep might cost; three pages,
far apart, tell whether the ids are in an order; a few of their calls, compared with `GET /calls/{id}`, tell whether
pages are to be believed. Then pages are asked for as long as they pay: where the wanted ids must be, or all of them
where no order shows. Whatever no page held is asked for by id, so a wrong guess costs requests and never a call; and
what it may cost is bounded: no more pages than `patience` beyond what the best moment of the sweep had saved.
"""

from __future__ import annotations

import itertools
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import Enum, auto
from typing import NamedTuple

from .order import Chart, Keys, Order, find_order, keys_of, requests_in_order
from .verification import Listed, Trust, Verdict
from .wanted_ids import Along, Wanted

# A sweep that saves less than a tenth of the requests is not worth what may go wrong with it.
_WORTH = 0.9
_PATIENCE = 10
_PATIENCE_SHARE = 0.006
_PATIENCE_SHARE_FORCED = 0.15
_MOST_PROBES = 6
_MOST_LOST = 3
# Fewer wanted ids near each other than this are as cheap by id: the page may cut through between them.
_FEWEST_TOGETHER = 3

_OPEN, _CLAIMED, _DONE = 0, 1, 2
_UNTOLD = -(2**63)  # the version of a call that does not tell when it was updated


class Compare(NamedTuple):
    """Ask for this call by id, and hold it against the page that listed it."""

    call_id: str


class Kept(NamedTuple):
    """A call of a page, by its place there, to be kept; `is_newer` where an older version of it was kept before."""

    place: int
    is_newer: bool


class _Phase(Enum):
    LOOK = auto()
    PROBE = auto()
    COMPARE = auto()
    PAGES = auto()
    OVER = auto()


class Sweep:
    """One sweep for `wanted` ids: `next` says what to ask, `page_read` and the others are told what came.

    Args:
        wanted: distinct ids, in the order in which to ask for what the pages don't hold.
        forced: sweep though it may not pay; its patience is longer, and bounded too.
        tell: told in words what is decided, and why.

    Attributes:
        is_trusted: whether calls of pages may be used. Those kept until then are to be dropped if it is never true.
        saved: wanted calls that pages held.
        wanted: the ids.
    """

    def __init__(self, wanted: Iterable[str], *, forced: bool = False, tell: Callable[[str], None]) -> None:
        self.is_trusted = False
        self.saved = 0
        self.wanted = Wanted(wanted)
        self._forced = forced
        self._tell = tell
        self._phase = _Phase.LOOK
        self._is_had = bytearray(len(self.wanted))  # by an id's number
        self._versions = array("q", bytes(8 * len(self.wanted)))  # likewise, of those that are had
        self._first_pages: dict[int, Sequence[Listed]] = {}
        self._probes: list[int] = []
        self._trust: Trust | None = None
        self._read: set[int] = set()
        self._in_flight: dict[int, tuple[int, int]] = {}  # by page: the part of the sorted ids claimed for it
        self._lost = self._spent = self._best = 0
        self._patience = _PATIENCE + int((_PATIENCE_SHARE_FORCED if forced else _PATIENCE_SHARE) * len(self.wanted))
        self._last_page = 1
        self._page_size = 0
        self._beyond = 1  # how many pages to believe in after one that was full and should have been the last
        self._strewn: Iterator[int] = iter(())
        self._strewn_over = 0
        self._chart: Chart | None = None
        self._from_below = False
        self._along: Along | None = None  # the wanted ids along the chart's order
        self._keys: Keys = ()  # by place there
        self._states = bytearray()  # likewise

    def next(self) -> int | Compare | None:
        """What to ask for now: a page, or a call to compare; None: nothing more until an answer comes.

        None with nothing in flight: the sweep is over.
        """
        match self._phase:
            case _Phase.LOOK if not self._in_flight:
                return self._ask(1)
            case _Phase.PROBE if self._probes:
                return self._ask(self._probes.pop())
            case _Phase.COMPARE:
                return self._next_compared()
            case _Phase.PAGES:
                return self._next_page()
        return None

    def page_read(self, page: int, calls: Sequence[Listed], told_pages: int | None) -> list[Kept]:
        """Learn what a page held; returns which of its calls are to be kept.

        Args:
            page: its number, as `next` gave it.
            calls: its calls, in its order.
            told_pages: how many pages there are, as the answer says; None where it does not.
        """
        claimed = self._in_flight.pop(page)
        self._read.add(page)
        kept = [
            Kept(place, is_newer) for place, call in enumerate(calls) if (is_newer := self._is_newer(call)) is not None
        ]
        new = sum(not each.is_newer for each in kept)
        self.saved += new
        self._best = max(self._best, self._savings)
        self._learn_end(page, len(calls), told_pages)
        if self._chart is not None:
            self._chart.add(page, [call.call_id for call in calls], in_vain=not new)
            self._release(claimed)
        if self._phase in (_Phase.LOOK, _Phase.PROBE):
            self._first_pages[page] = calls
            self._look_on()
        return kept

    def page_lost(self, page: int) -> None:
        """Learn that a page could not be had; after a few of them the pages are left alone."""
        self._release(self._in_flight.pop(page))
        self._read.add(page)
        self._lost += 1
        if self._phase is _Phase.LOOK:
            self.stop("the first page of calls can't be had")
        elif self._lost >= _MOST_LOST:
            self.stop(f"{self._lost} pages could not be had")
        elif self._phase is _Phase.PROBE:
            self._look_on()

    def compared(self, call_id: str, verdict: Verdict, updated_at: int | None) -> None:
        """Learn what `GET /calls/{id}` said of a call to compare; with that a wanted one has been had, whatever it was.

        Args:
            call_id: the call.
            verdict: whether its page had told the same.
            updated_at: of the answer, in microseconds.
        """
        assert self._trust is not None
        if (number := self.wanted.number(call_id)) is not None:
            self.saved -= 1  # it was the page's
            self._versions[number] = _UNTOLD if updated_at is None else updated_at
        self._trust.told(call_id, verdict)
        if self._phase is not _Phase.COMPARE:
            return
        if self._trust.is_earned:
            self.is_trusted = True
            self._phase = _Phase.PAGES
            self._best = max(0, self._savings)
        elif self._trust.is_earned is False:
            self.stop(self._trust.doubt)

    def stop(self, why: str) -> None:
        """Ask for no more pages; what is in flight may still be told."""
        if self._phase is not _Phase.OVER:
            self._phase = _Phase.OVER
            self._tell(f"{why}: {'the rest' if self.is_trusted else 'all'} by id")

    def rest(self) -> Iterator[str]:
        """The wanted ids to ask for by id once the sweep is over, in their order."""
        by_id = self._trust.by_id if self._trust is not None else ()
        for call_id, is_had in zip(self.wanted, self._is_had, strict=True):
            if not is_had or not (self.is_trusted or call_id in by_id):
                yield call_id

    @property
    def _savings(self) -> int:
        """Requests that by id would have cost so far, less what the pages did that have come."""
        return self.saved - self._spent + len(self._in_flight)

    def _ask(self, page: int, claimed: tuple[int, int] = (0, 0)) -> int:
        self._in_flight[page] = claimed
        self._spent += 1
        return page

    def _is_newer(self, call: Listed) -> bool | None:
        """Whether a listed call is news: False for a wanted one not had before, True for a newer version."""
        call_id, updated_at, _ = call
        number = self.wanted.number(call_id)
        if number is None:
            return None
        if not self._is_had[number]:
            self._is_had[number] = True
            self._versions[number] = _UNTOLD if updated_at is None else updated_at
            if self._along is not None:
                self._states[self._along.places[number]] = _DONE
            return False
        if updated_at is None or not _UNTOLD < self._versions[number] < updated_at:
            return None
        self._versions[number] = updated_at
        return True

    def _learn_end(self, page: int, calls: int, told_pages: int | None) -> None:
        """Where the pages end: as told, as long as they don't show otherwise."""
        self._page_size = max(self._page_size, calls)
        if page == 1 and told_pages:
            self._last_page = told_pages
        if not calls and page > 1:
            self._last_page = min(self._last_page, page - 1)
        elif page == self._last_page and calls == self._page_size and (page > 1 or not told_pages):
            self._last_page += self._beyond
            self._beyond *= 2
        if self._chart is not None:
            self._chart.last_page = self._last_page

    # The first pages

    def _look_on(self) -> None:
        if self._phase is _Phase.LOOK:
            if not (self._forced or self._pays(None, proven=False)):
                return
            self._phase = _Phase.PROBE
            self._probes = sorted({(1 + self._last_page) // 2, self._last_page} - self._read)
        if self._probes or self._in_flight:
            return
        middle = (1 + self._last_page) // 2
        told = sum(bool(calls) for calls in self._first_pages.values())
        if told < 2 and middle not in self._read and len(self._first_pages) <= _MOST_PROBES:
            self._probes = [middle]  # the total was a lie
            return
        self._decide()

    def _decide(self) -> None:
        order = find_order([(page, [call.call_id for call in calls]) for page, calls in self._first_pages.items()])
        if not (self._pays(order, proven=True) or self._forced):
            return
        self._phase = _Phase.COMPARE
        if order is None:
            self._sweep_all()
        else:
            self._sweep_along(order)
        self._trust = Trust((call for calls in self._first_pages.values() for call in calls), self.wanted)
        if self._trust.is_earned is False:
            self.stop(self._trust.doubt)

    def _pays(self, order: Order | None, *, proven: bool) -> bool:
        """Whether a sweep costs clearly less than by id, in an order that is proven, or may be; tells why."""
        by_id, by_pages = len(self.wanted), self._last_page
        pages = [[call.call_id for call in calls] for calls in self._first_pages.values()]
        if order is not None or not proven:
            key = order.key if order is not None else keys_of(pages[0])
            by_pages = min(by_pages, requests_in_order(key, self.wanted.along(key).keys, pages))
        pays = by_pages <= _WORTH * by_id
        if proven or not pays:
            found = order or ("no order that helps" if proven else "an order at best")
            about = f"{self._last_page:,} pages, in {found}: about {by_pages:,} requests beside {by_id:,} by id"
            if pays or self._forced:
                self._tell(f"{about}: pages first")
            else:
                self.stop(about)
        return pays

    def _next_compared(self) -> Compare | None:
        assert self._trust is not None
        call_id = self._trust.next()
        if call_id is None:
            return None
        self._spent += call_id not in self.wanted
        return Compare(call_id)

    # Page by page

    def _next_page(self) -> int | None:
        left = self._patience - (self._best - self._savings)
        if left <= 0:
            self.stop("pages hold fewer of the ids than was thought")
            return None
        # Half of the patience at once: what is in flight may all be in vain, and others are to come after it.
        if len(self._in_flight) >= max(1, left // 2) or self.saved >= len(self.wanted):
            return None
        if self._chart is not None and self._chart.is_broken:
            self._tell("the pages are in no order after all")
            self._sweep_all()
        return self._next_strewn() if self._chart is None else self._next_along(self._chart)

    def _sweep_all(self) -> None:
        self._chart = self._along = None
        self._strewn, self._strewn_over = _strewn(self._last_page), self._last_page

    def _next_strewn(self) -> int | None:
        if self._last_page < self._strewn_over // 2:  # the total was a lie; don't step over all that is not there
            self._sweep_all()
        for page in itertools.chain(self._strewn, range(1, self._last_page + 1)):
            if page <= self._last_page and page not in self._read and page not in self._in_flight:
                return self._ask(page)
        return None

    def _sweep_along(self, order: Order) -> None:
        self._chart = Chart(order, self._last_page)
        self._along = self.wanted.along(order.key)
        self._keys = self._along.keys
        self._states = bytearray(_DONE if self._is_had[number] else _OPEN for number in self._along.numbers())
        for page, calls in self._first_pages.items():
            self._chart.add(page, [call.call_id for call in calls], in_vain=False)

    def _next_along(self, chart: Chart) -> int | None:
        """The page of the first or the last id, in turn, that may be on a page with others."""
        self._from_below = not self._from_below
        find = self._states.find if self._from_below else self._states.rfind
        while (place := find(_OPEN)) >= 0:
            page = chart.where(self._keys[place])
            if page in self._in_flight:
                self._states[place] = _CLAIMED
                first, end = self._in_flight[page]
                self._in_flight[page] = (min(first, place), max(end, place + 1)) if end else (place, place + 1)
            elif page is None or page in self._read or not self._is_dense(chart, place):
                self._states[place] = _DONE
            else:
                return self._ask(page, self._claim(chart, page, place))
        return None

    def _is_dense(self, chart: Chart, place: int) -> bool:
        key = self._keys[place]
        width = chart.width(key)
        if self._from_below:
            first, end = place, bisect_right(self._keys, key + width)
        else:
            first, end = bisect_left(self._keys, key - width), place + 1
        return self._states.count(_OPEN, first, end) >= _FEWEST_TOGETHER

    def _claim(self, chart: Chart, page: int, place: int) -> tuple[int, int]:
        """Take the ids beside `place` that must be on the same page; meanwhile no other is asked for them."""
        here = self._keys[place]

        def side(key: int) -> int:
            return 0 if chart.where(key) == page else key - here

        first, end = place, place + 1
        if self._from_below:
            end = bisect_right(self._keys, 0, place, key=side)
        else:
            first = bisect_left(self._keys, 0, 0, place + 1, key=side)
        part = self._states[first:end]
        self._states[first:end] = part.replace(bytes([_OPEN]), bytes([_CLAIMED]))
        return first, end

    def _release(self, claimed: tuple[int, int]) -> None:
        first, end = claimed
        self._states[first:end] = self._states[first:end].replace(bytes([_CLAIMED]), bytes([_OPEN]))


def _strewn(pages: int) -> Iterator[int]:
    """Every page once, strewn evenly at any moment, so that what the first ones hold tells of the others."""
    bits = pages.bit_length()
    for number in range(1 << bits):
        page = int(f"{number:0{bits}b}"[::-1], 2) + 1
        if page <= pages:
            yield page
