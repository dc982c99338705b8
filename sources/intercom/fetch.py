"""Ids in, answers out, many in flight: a background thread that fetches while the caller loads.

One asyncio loop asks the rate budget before each request and follows the measured latency with the number of
requests in flight. What has come is collected until the caller takes it; what is being loaded, collected and asked
for is together never more than two chunks, which is the most that a crash can cost.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Any, Literal, Self

import pyarrow as pa
import pyarrow.compute as pc

from .api.budget import RateBudget
from .api.client import CALLS_A_PAGE, CallsApi
from .api.concurrency import Concurrency
from .api.requester import RequestCounts, Requester
from .call_requests import CallError, request_call
from .pages.sweep_requests import SweepRequests
from .rows.calls import CallRow, to_batch
from .settings import Settings

__all__ = ["CHUNK_SECONDS", "LARGEST_CHUNK", "SWEEP_FROM", "Chunk", "Counts", "Fetch", "Strategy", "will_sweep"]

Strategy = Literal["auto", "by-id", "sweep"]

# By id so many take three seconds at Intercom's 10,000 requests a minute, and less than a third of one of its windows;
# a sweep could save no more than that, for eight requests of looking whether it may.
SWEEP_FROM = 500


def will_sweep(strategy: Strategy, calls: int) -> bool:
    """Whether a sweep would be tried for so many calls."""
    return strategy != "by-id" and calls >= (SWEEP_FROM if strategy == "auto" else 1)


# Without a chunk size of the user's, a chunk is what came in this time: long beside the half second that dlt needs
# for a package, short beside what one would like to fetch again after a crash.
CHUNK_SECONDS = 15.0
LARGEST_CHUNK = 20_000
# Fewer calls than this wait longer for others: when the API is slow, or the last ones of a list are asked for again
# and again, dlt's packages would cost more than all else, and a crash little.
_FEW = 1_000
FEW_SECONDS = 300.0
# By pages that many come in two seconds, of which a package would take a fifth.
LARGEST_SWEPT_CHUNK = 40_000
_BATCH_ROWS = 1_000
# Calls that wait between attempts hold no place among those in flight, up to this many.
_MOST_SLEEPING = 1_000
# While nothing but faults comes no further call is dragged into it; but so many calls that fail for good, at the head
# of a list, must not keep the rest from being asked for.
_FEWEST_FAULTS_IN_A_ROW = 16
# Requests in flight cause a full garbage collection every 1,600 calls. Each one walks over everything imported, dlt
# included, which took a tenth of the CPU. So this is added to Python's third threshold while a fetch runs.
_FEWER_COLLECTIONS = 100


@dataclass
class Counts(RequestCounts):
    """Numbers of requests, and of calls by result, for the summary."""

    fetched: int = 0
    missing: int = 0
    failed: int = 0
    unreadable_values: int = 0

    @property
    def answered(self) -> int:
        """Calls with a final result."""
        return self.fetched + self.missing + self.failed


@dataclass
class Chunk:
    """What came since the last chunk; `is_last` when nothing more will come.

    `newer` are newer versions of calls that were in a chunk before.
    """

    calls: list[pa.RecordBatch] = field(default_factory=list)
    errors: list[CallError] = field(default_factory=list)
    is_last: bool = False
    newer: list[pa.RecordBatch] = field(default_factory=list)

    def update(self, newer: Mapping[str, CallRow]) -> None:
        """Take over newer versions of calls, by their ids."""
        ids = pa.array(newer, pa.string())
        for place, batch in enumerate(tuple(self.calls)):
            replaced = pc.is_in(batch["id"], ids)
            here = {str(call_id) for call_id in batch.filter(replaced)["id"].to_pylist()}
            if here:
                self.calls[place] = batch.filter(pc.invert(replaced))
                self.calls.append(to_batch([newer[call_id] for call_id in here]))
                newer = {call_id: row for call_id, row in newer.items() if call_id not in here}
        if newer:
            self.newer.append(to_batch(list(newer.values())))


class Fetch:
    """Fetch calls in the background: `with Fetch(ids, settings) as fetch: … fetch.chunks()`.

    Args:
        call_ids: text ids, each asked once; drawn from as requests are made.
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
        self._sweep: SweepRequests | None = None
        self._api = CallsApi(settings)
        self._concurrency = Concurrency(cap=workers)
        self._asking = Requester(settings, self.budget, self._concurrency, self.counts, self._notice)
        self._is_timed = chunk_size is None
        self._is_first = True
        self._chunk_size = chunk_size or LARGEST_CHUNK
        self._swept_chunk_size = chunk_size or LARGEST_SWEPT_CHUNK

        self._collected = threading.Condition()  # guards what follows, up to _finished
        self._batches: list[pa.RecordBatch] = []
        self._rows: list[CallRow] = []
        self._newer: dict[str, CallRow] = {}
        self._errors: list[CallError] = []
        self._size = 0
        self._taken = 0  # the size of the chunk that the caller is loading
        self._taken_at = time.monotonic()
        self._finished = False

        self._open = 0  # calls that may come of what is being asked
        self._running = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(self._heed)
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
        """Whether calls came by pages."""
        return self._sweep is not None and self._sweep.used > 0

    def stop(self) -> None:
        """Stop asking, at once; what has come can still be taken. Safe in a signal handler."""
        self._stopping = True
        self._wake()

    def chunks(self) -> Iterator[Chunk]:
        """Each chunk, to the last."""
        chunk = self.take()
        while not chunk.is_last:
            yield chunk
            chunk = self.take()
        yield chunk

    def take(self) -> Chunk:
        """Wait for a full chunk, or the last one, and take it; the first is closed in time even if nothing came."""
        with self._collected:
            self.is_ready()
            self._close_batch()
            chunk, newer = Chunk(self._batches, self._errors, self._finished), self._newer
            self._taken, self._taken_at, self._is_first = self._size, time.monotonic(), False
            self._batches, self._newer, self._errors, self._size = [], {}, [], 0
        if newer:
            chunk.update(newer)
        return chunk

    def is_ready(self, within_seconds: float = float("inf")) -> bool:
        """Wait until `take` need not wait, at most so long; asking for more says that the last chunk is loaded."""
        ends_at = time.monotonic() + within_seconds
        with self._collected:
            self._taken = 0
            self._wake()
            while not (self._finished or self._size >= self._chunk_size):
                now = time.monotonic()
                wait_seconds = self._taken_at + self._due_seconds - now
                if wait_seconds <= 0:
                    break
                if now >= ends_at:
                    return False
                self._collected.wait(min(wait_seconds, ends_at - now, 1.0))
        return True

    @property
    def _due_seconds(self) -> float:
        """How long after the last chunk the next one is closed, with what has come so far."""
        if self._is_first:
            return CHUNK_SECONDS
        if not (self._is_timed and self._size):
            return float("inf")
        return CHUNK_SECONDS if self._size >= _FEW else FEW_SECONDS

    def _wake(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: there is nobody to wake
            self._loop.call_soon_threadsafe(self._notice)

    def _notice(self) -> None:
        self._changed.set()

    def _run(self) -> None:
        try:
            with _fewer_full_collections():
                self._loop.run_until_complete(self._fetch_all())
        except BaseException as error:  # noqa: BLE001  carried to the caller's thread, which raises it
            self.failure = error
        finally:
            with self._collected:
                self._finished = True
                self._collected.notify()
            self._loop.close()

    def _heed(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """End the fetch where there is no memory to read with: asyncio would close a connection and log a traceback."""
        error = context.get("exception")
        if isinstance(error, MemoryError):
            self.failure = self.failure or error
            self._notice()
        else:
            loop.default_exception_handler(context)

    async def _fetch_all(self) -> None:
        async with self._api:
            watch = self._loop.create_task(self._watch())
            try:
                for call_id in await self._left_by_pages():
                    while not (self._may_open(1) or self._over):
                        await self._change()
                    if self._over:
                        break
                    self._start(partial(self._fetch_one, call_id), size=1)
                while self._running and not self._over:
                    await self._change()
            finally:
                tasks = [watch, *self._tasks]
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _watch(self) -> None:
        """End the fetch where nothing usable comes for too long, whatever waits."""
        try:
            await self._asking.watch()
        except Exception as error:  # noqa: BLE001  carried to the caller's thread, which raises it
            self.failure = self.failure or error
            self._notice()

    async def _left_by_pages(self) -> Iterator[str]:
        """Sweep, where that is the strategy; the ids that are left to be asked for one by one."""
        if self._strategy == "by-id":
            return self._call_ids
        first = list(itertools.islice(self._call_ids, SWEEP_FROM))
        if not will_sweep(self._strategy, len(first)):
            return iter(first)
        wanted_ids = itertools.chain(first, self._call_ids)
        is_forced = self._strategy == "sweep"
        self._sweep = SweepRequests(wanted_ids, self._asking, self._api, self._collect, forced=is_forced)
        by_id, self._chunk_size = self._chunk_size, self._swept_chunk_size
        while not self._over:
            if self._may_open(CALLS_A_PAGE):
                step = self._sweep.next_step()
                if step is not None:
                    self._start(step, size=CALLS_A_PAGE)
                    continue
                if not self._running:
                    break
            await self._change()
        self._chunk_size = by_id
        return self._sweep.rest()

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    def _start(self, step: Callable[[], Awaitable[None]], *, size: int) -> None:
        self._open += size
        self._running += 1
        task = self._loop.create_task(self._end(step, size))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _end(self, step: Callable[[], Awaitable[None]], size: int) -> None:
        try:
            await step()
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001  carried to the caller's thread, which raises it
            self.failure = self.failure or error
        finally:
            self._open -= size
            self._running -= 1
            self._notice()

    async def _fetch_one(self, call_id: str) -> None:
        self._collect(await request_call(self._asking, self._api, call_id))

    @property
    def _over(self) -> bool:
        return self._stopping or self.failure is not None

    def _may_open(self, size: int) -> bool:
        in_flight = self._running - self._asking.sleeping
        room = 2 * self._chunk_size - self._open - self._size - self._taken
        return (
            (room >= size or (room > 0 and not self._open))
            and in_flight < self._concurrency.limit
            and self._asking.sleeping < _MOST_SLEEPING
            and (self._asking.faults_in_a_row < max(self._concurrency.limit, _FEWEST_FAULTS_IN_A_ROW) or not self._open)
        )

    def _collect(self, outcome: CallRow | CallError, *, is_newer: bool = False) -> None:
        if is_newer and isinstance(outcome, CallRow):
            with self._collected:
                self._newer[outcome.call_id] = outcome
            return
        with self._collected:
            self._size += 1
            if isinstance(outcome, CallError):
                self._errors.append(outcome)
            else:
                self._rows.append(outcome)
                if len(self._rows) >= _BATCH_ROWS:
                    self._close_batch()
            if self._size >= self._chunk_size:
                self._collected.notify()
        if isinstance(outcome, CallRow):
            self.counts.fetched += 1
            self.counts.unreadable_values += outcome.unreadable
        elif outcome.is_missing:
            self.counts.missing += 1
        else:
            self.counts.failed += 1

    def _close_batch(self) -> None:
        if self._rows:
            self._batches.append(to_batch(self._rows))
            self._rows = []


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
