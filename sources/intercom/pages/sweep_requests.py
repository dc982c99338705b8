"""A sweep over the wire: asks what `Sweep` decides, and hands on the rows of pages once they are trusted."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator
from functools import partial
from typing import Protocol

from ..api.answers import CallError
from ..api.retry import Fault
from ..rows.calls import CallRow
from .page import Page, PagesRefused, compare, updated_at
from .sweep import Compare, Sweep
from .verification import Verdict

logger = logging.getLogger("intercom_calls")


class Asking(Protocol):
    """What asks the API, by its budget and the retry policy."""

    async def page(self, number: int) -> Page:
        """A page of calls; raises `PagesRefused`, or `Fault` where it can't be had."""

    async def call(self, call_id: str) -> CallRow | CallError:
        """A call by its id."""


class Collect(Protocol):
    """What takes an outcome; `is_newer` where it replaces a row of the same call that was handed on before."""

    def __call__(self, outcome: CallRow | CallError, *, is_newer: bool = False) -> None:
        """Take it."""


class Sweeper:
    """Drives one sweep: start each step that `next_step` gives, as many at once as you like.

    Attributes:
        used: how many calls' rows pages gave.
    """

    def __init__(self, wanted: Iterable[str], asking: Asking, collect: Collect, *, forced: bool) -> None:
        self.used = 0
        self._sweep = Sweep(wanted, forced=forced, tell=logger.info)
        self._asking = asking
        self._collect = collect
        # Until trust is decided: the rows to hand on then, and where to find the calls to compare.
        self._held: dict[str, tuple[CallRow, bool]] = {}
        self._first_pages: dict[int, Page] = {}
        self._asked_again = False

    def next_step(self) -> Callable[[], Awaitable[None]] | None:
        """What to do now; None: nothing until a step that is under way ends, or at all if there is none."""
        asked = self._sweep.next()
        if asked is None:
            return None
        if isinstance(asked, Compare):
            return partial(self._compare, asked.call_id)
        return partial(self._read, asked)

    def rest(self) -> Iterator[str]:
        """The ids to ask for one by one once no step is left, in their order."""
        self._held.clear()
        self._first_pages.clear()
        return self._sweep.rest()

    async def _read(self, number: int) -> None:
        try:
            page = await self._asking.page(number)
        except PagesRefused as refusal:
            self._sweep.stop(str(refusal))
            self._sweep.page_lost(number)
            return
        except Fault as fault:
            logger.debug("page %d can't be had: %s", number, fault.message)
            self._sweep.page_lost(number)
            return
        kept = self._sweep.page_read(number, page.listed, page.total_pages)
        if not self._sweep.is_trusted:
            self._first_pages[number] = page
        for place, is_newer in kept:
            self._keep(page.listed[place].call_id, page.row(place), is_newer)

    def _keep(self, call_id: str, row: CallRow, is_newer: bool) -> None:
        if self._sweep.is_trusted:
            self.used += not is_newer
            self._collect(row, is_newer=is_newer)
        else:
            replaces_held = call_id in self._held
            self._held[call_id] = (row, is_newer and not replaces_held)

    async def _compare(self, call_id: str) -> None:
        number, place = next(
            (number, place)
            for number, page in self._first_pages.items()
            for place, listed in enumerate(page.listed)
            if listed.call_id == call_id
        )
        by_id = await self._asking.call(call_id)
        verdict = compare(self._first_pages[number].row(place), by_id)
        if verdict is Verdict.DIFFERENT and not self._asked_again:
            self._asked_again = True
            verdict = await self._again(number, call_id, by_id)
        if call_id in self._sweep.wanted:
            self._held.pop(call_id, None)
            self._collect(by_id)
        self._sweep.compared(call_id, verdict, updated_at(by_id) if isinstance(by_id, CallRow) else None)
        if self._sweep.is_trusted:
            self._hand_on()

    async def _again(self, number: int, call_id: str, by_id: CallRow | CallError) -> Verdict:
        """Whether the page, asked again, tells what the call does: then it changed in between, if untold when."""
        try:
            page = await self._asking.page(number)
        except (PagesRefused, Fault):
            return Verdict.DIFFERENT
        for place, listed in enumerate(page.listed):
            if listed.call_id == call_id and compare(page.row(place), by_id) is Verdict.SAME:
                return Verdict.UNTOLD
        return Verdict.DIFFERENT

    def _hand_on(self) -> None:
        for call_id, (row, is_newer) in self._held.items():
            self._keep(call_id, row, is_newer)
        self._held.clear()
        self._first_pages.clear()
