"""Ids in, answers out, many in flight: a background thread that fetches while the caller loads.

One asyncio loop asks the rate budget before each request and follows the measured latency with the number of
requests in flight. Calls being loaded, collected and requested are together never more than two chunks, which is the
most that a crash can cost.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import threading
from collections.abc import Coroutine, Iterator
from functools import partial
from math import inf
from types import TracebackType
from typing import Any, Literal, Self

from .api.budget import RateBudget
from .api.client import CALLS_A_PAGE, CallsApi
from .api.concurrency import Concurrency
from .api.requester import Requester
from .call_requests import request_call
from .chunks import LARGEST_CHUNK, Chunk, Collector, Counts
from .pages.sweep_requests import SweepRequests
from .settings import Settings

Strategy = Literal["auto", "by-id", "sweep"]

# By id so many take three seconds at Intercom's 10,000 requests a minute, and less than a third of one of its windows;
# a sweep could save no more than that, for eight requests of looking whether it may.
SWEEP_FROM = 500
# By pages that many calls need two seconds, of which a package would take a fifth.
LARGEST_SWEPT_CHUNK = 40_000
# Calls that wait for a retry are not counted as in flight, up to this many.
_MOST_SLEEPING = 1_000
# While every request fails, start no new ones. Allow 16, so that bad ids at the head of a list do not block the rest.
_FEWEST_FAULTS_IN_A_ROW = 16
# Requests in flight cause a full garbage collection every 1,600 calls. Each one walks over everything imported, dlt
# included, which took a tenth of the CPU. So this is added to Python's third threshold while a fetch runs.
_FEWER_COLLECTIONS = 100


def will_sweep(strategy: Strategy, calls: int) -> bool:
    """Whether a sweep would be tried for so many calls."""
    return strategy != "by-id" and calls >= (SWEEP_FROM if strategy == "auto" else 1)


class Fetch:
    """Fetch calls in the background: `with Fetch(ids, settings) as fetch: … fetch.chunks()`.

    Args:
        call_ids: distinct text ids; drawn from as requests are made.
        workers: the most requests in flight; None lets the measured latency decide.
        share: how much of each of the API's rate windows to use, 0 < share <= 1.
        chunk_size: calls a chunk; None closes a chunk by time.
        strategy: `by-id`; `sweep`: pages of calls first; `auto`: as is cheaper.

    Attributes:
        failure: what ended the fetching early, to be raised once everything taken is safe.
    """

    def __init__(
        self,
        call_ids: Iterator[str],
        settings: Settings,
        *,
        workers: int | None = None,
        share: float = 1.0,
        chunk_size: int | None = None,
        strategy: Strategy = "by-id",
    ) -> None:
        self.counts = Counts()
        self.failure: BaseException | None = None
        self.budget = RateBudget(share=share)
        self._call_ids = call_ids
        self._strategy = strategy
        self._chunk_size = chunk_size
        self._sweep: SweepRequests | None = None
        self._api = CallsApi(settings)
        self._concurrency = Concurrency(cap=workers)
        self._requester = Requester(settings, self.budget, self._concurrency, self.counts, self._notify)
        self._collector = Collector(self.counts, chunk_size, on_loaded=self._wake)
        self._tasks: set[asyncio.Task[None]] = set()
        self._calls_in_flight = 0  # the most calls that the running tasks can bring
        self._is_stopped = False
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(self._handle_loop_error)
        self._changed = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="fetch", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()
        if threading.current_thread() is not self._thread:  # whose garbage collection may close an iterator of rows
            self._thread.join()

    @property
    def swept(self) -> bool:
        """Whether calls were read from pages."""
        return self._sweep is not None and self._sweep.used > 0

    def stop(self) -> None:
        """Stop requesting, at once; what is collected can still be taken. Safe in a signal handler."""
        self._is_stopped = True
        self._wake()

    def chunks(self) -> Iterator[Chunk]:
        """Each chunk, to the last."""
        chunk = self.take()
        while not chunk.is_last:
            yield chunk
            chunk = self.take()
        yield chunk

    def take(self) -> Chunk:
        """Wait for a full chunk, or the last one, and take it; the first is closed in time even if it is empty."""
        return self._collector.take()

    def is_ready(self, within_seconds: float = inf) -> bool:
        """Wait until `take` need not wait, at most so long; the chunk taken last counts as loaded from now on."""
        return self._collector.is_ready(within_seconds)

    def _wake(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._notify)

    def _notify(self) -> None:
        self._changed.set()

    async def _wait_for_change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    def _fail(self, error: BaseException) -> None:
        """End the fetch; the caller's thread raises the first error."""
        self.failure = self.failure or error
        self._notify()

    def _run(self) -> None:
        try:
            with _fewer_full_collections():
                self._loop.run_until_complete(self._fetch_all())
        except BaseException as error:  # noqa: BLE001  carried to the caller's thread, which raises it
            self.failure = error
        finally:
            self._collector.finish()
            self._loop.close()

    def _handle_loop_error(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """End the fetch when memory runs out in a read: asyncio would close the connection and log a traceback."""
        error = context.get("exception")
        if isinstance(error, MemoryError):
            self._fail(error)
        else:
            loop.default_exception_handler(context)

    async def _fetch_all(self) -> None:
        async with self._api:
            watch = self._loop.create_task(self._watch())
            try:
                for call_id in await self._sweep_first():
                    while not (self._has_room(1) or self._is_ending):
                        await self._wait_for_change()
                    if self._is_ending:
                        break
                    self._start(self._fetch_one(call_id), calls=1)
                while self._tasks and not self._is_ending:
                    await self._wait_for_change()
            finally:
                tasks = [watch, *self._tasks]
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _watch(self) -> None:
        try:
            await self._requester.watch()
        except Exception as error:  # noqa: BLE001  carried to the caller's thread, which raises it
            self._fail(error)

    async def _sweep_first(self) -> Iterator[str]:
        """Sweep, if the strategy says so; returns the ids that are left to fetch one by one."""
        if self._strategy == "by-id":
            return self._call_ids
        first = list(itertools.islice(self._call_ids, SWEEP_FROM))
        if not will_sweep(self._strategy, len(first)):
            return iter(first)
        wanted_ids, is_forced = itertools.chain(first, self._call_ids), self._strategy == "sweep"
        self._sweep = SweepRequests(wanted_ids, self._requester, self._api, self._collector.add, forced=is_forced)
        self._collector.chunk_size = self._chunk_size or LARGEST_SWEPT_CHUNK
        while not self._is_ending:
            if self._has_room(CALLS_A_PAGE):
                step = self._sweep.next_step()
                if step is not None:
                    self._start(step, calls=CALLS_A_PAGE)
                    continue
                if not self._tasks:
                    break
            await self._wait_for_change()
        self._collector.chunk_size = self._chunk_size or LARGEST_CHUNK
        return self._sweep.rest()

    async def _fetch_one(self, call_id: str) -> None:
        self._collector.add(await request_call(self._requester, self._api, call_id))

    def _start(self, step: Coroutine[Any, Any, None], *, calls: int) -> None:
        self._calls_in_flight += calls
        task = self._loop.create_task(step)
        self._tasks.add(task)
        task.add_done_callback(partial(self._end, calls))

    def _end(self, calls: int, task: asyncio.Task[None]) -> None:
        self._calls_in_flight -= calls
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._fail(error)
        self._notify()

    @property
    def _is_ending(self) -> bool:
        return self._is_stopped or self.failure is not None

    def _has_room(self, calls: int) -> bool:
        """Whether a request that can bring so many calls may be started now."""
        room = self._collector.room - self._calls_in_flight
        return (
            (room >= calls or (room > 0 and not self._tasks))
            and len(self._tasks) - self._requester.sleeping < self._concurrency.limit
            and self._requester.sleeping < _MOST_SLEEPING
            and (
                self._requester.faults_in_a_row < max(self._concurrency.limit, _FEWEST_FAULTS_IN_A_ROW)
                or not self._tasks
            )
        )


@contextlib.contextmanager
def _fewer_full_collections() -> Iterator[None]:
    """Raise the threshold, and lower it by the same at the end: fetches may overlap."""
    young, middle, full = gc.get_threshold()
    gc.set_threshold(young, middle, full + _FEWER_COLLECTIONS)
    try:
        yield
    finally:
        young, middle, full = gc.get_threshold()
        if full >= _FEWER_COLLECTIONS:  # the caller may have set another one meanwhile
            gc.set_threshold(young, middle, full - _FEWER_COLLECTIONS)
