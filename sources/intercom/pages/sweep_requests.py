"""Makes the requests that `Sweep` decides on, and hands on the calls of pages once they are verified."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Coroutine, Iterable, Iterator
from functools import partial
from typing import Any, Protocol

from ..api.client import CallsApi
from ..api.requester import Requester
from ..api.retry import Fault
from ..call_requests import CallError, request_call
from ..rows.calls import CallRow
from .page import Page, PagesRefused, compare, read_page, updated_at
from .sweep import Compare, Sweep
from .verification import Verdict

logger = logging.getLogger("intercom_calls")

# Skip a page that fails for this long: its calls can be requested by id.
_PAGE_SECONDS = 20.0


class Collect(Protocol):
    """Takes an outcome; `is_newer` if it replaces an older row of the same call."""

    def __call__(self, outcome: CallRow | CallError, *, is_newer: bool = False) -> None:
        """Take it."""


class SweepRequests:
    """Runs one sweep: start each step that `next_step` returns, any number at once.

    Attributes:
        used: how many calls came from pages.
    """

    def __init__(
        self, wanted_ids: Iterable[str], requester: Requester, api: CallsApi, collect: Collect, *, forced: bool
    ) -> None:
        self.used = 0
        self._sweep = Sweep(wanted_ids, forced=forced, tell=logger.info)
        self._requester = requester
        self._api = api
        self._collect = collect
        self._first_pages: dict[int, Page] = {}  # until they are verified
        self._read_again = False

    def next_step(self) -> Coroutine[Any, Any, None] | None:
        """What to do now; None: nothing until a running step ends, or nothing at all if none is running."""
        step = self._sweep.next()
        if step is None:
            return None
        if isinstance(step, Compare):
            return self._compare(step.call_id)
        return self._read(step)

    def rest(self) -> Iterator[str]:
        """The ids to fetch one by one when no step is left, in their order."""
        self._first_pages.clear()
        return self._sweep.rest()

    def _request_page(self, number: int) -> Awaitable[Page | PagesRefused]:
        return self._requester.ask(partial(self._api.get_calls, number), read_page, retry_seconds=_PAGE_SECONDS)

    async def _read(self, number: int) -> None:
        try:
            page = await self._request_page(number)
        except Fault as fault:
            logger.debug("page %d can't be fetched: %s", number, fault.message)
            self._sweep.page_lost(number)
            return
        if isinstance(page, PagesRefused):
            self._sweep.stop(page.reason)
            self._sweep.page_lost(number)
            return
        self._sweep.page_read(number, page.listed, page.total_pages)
        if self._sweep.is_verified:
            self._keep(page)
        else:
            self._first_pages[number] = page

    def _keep(self, page: Page) -> None:
        for place, is_newer in self._sweep.keep(page.listed):
            self.used += not is_newer
            self._collect(page.row(place), is_newer=is_newer)

    async def _compare(self, call_id: str) -> None:
        number, row = next(
            (number, row) for number, page in self._first_pages.items() if (row := page.row_of(call_id)) is not None
        )
        by_id = await request_call(self._requester, self._api, call_id)
        verdict = compare(row, by_id)
        if verdict is Verdict.DIFFERENT and not self._read_again:
            self._read_again = True
            verdict = await self._compare_again(number, call_id, by_id)
        if call_id in self._sweep.wanted_ids:
            self._collect(by_id)
        self._sweep.compared(call_id, verdict, updated_at(by_id) if isinstance(by_id, CallRow) else None)
        if self._sweep.is_verified:
            for page in self._first_pages.values():
                self._keep(page)
            self._first_pages.clear()

    async def _compare_again(self, number: int, call_id: str, by_id: CallRow | CallError) -> Verdict:
        """Read the page again: if it now says the same, the call changed in between."""
        try:
            page = await self._request_page(number)
        except Fault:
            return Verdict.DIFFERENT
        row = page.row_of(call_id) if isinstance(page, Page) else None
        return Verdict.UNKNOWN if row is not None and compare(row, by_id) is Verdict.SAME else Verdict.DIFFERENT
