"""Ids in, answers out, many in flight: a background thread that fetches while the caller loads.

One asyncio loop asks the rate budget before each request and follows the measured latency with the number of
requests in flight. What has come is collected until the caller takes it; what is being loaded, collected and asked
for is together never more than two chunks, which is the most that a crash can cost.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

import pyarrow as pa
from tenacity import RetryCallState

from .answers import CallError, read_call
from .api import Answer, BodyTooLarge, CallsApi, NoAnswer
from .budget import RateBudget
from .calls import CallRow, to_batch
from .concurrency import Concurrency
from .errors import ApiUnreachable
from .retry import Fault, retry
from .settings import Settings

logger = logging.getLogger("intercom_calls")

# Without a chunk size of the user's, a chunk is what came in this time: long beside the half second that dlt needs
# for a package, short beside what one would like to fetch again after a crash.
CHUNK_SECONDS = 15.0
LARGEST_CHUNK = 20_000
_BATCH_ROWS = 1_000
# However short `retry_seconds` is, a window or two used up by other apps is no reason to give up.
_REFUSALS_BEFORE_GIVING_UP = 3
# Calls that wait between attempts hold no place among those in flight, up to this many.
_MOST_SLEEPING = 1_000
# While nothing but faults comes no further call is dragged into it; but so many calls that fail for good, at the head
# of a list, must not keep the rest from being asked for.
_FEWEST_FAULTS_IN_A_ROW = 16
# How often a call that was answered before is asked for, to tell whether the API is alive, and the pause between.
_SIGNS_OF_LIFE = 2
_SIGN_OF_LIFE_PAUSE_SECONDS = 1.0


@dataclass
class Counts:
    """What was asked and what came, for the summary."""

    requests: int = 0
    retries: int = 0
    rate_limited: int = 0
    fetched: int = 0
    missing: int = 0
    failed: int = 0
    unreadable_values: int = 0

    @property
    def answered(self) -> int:
        """Calls that are done with, one way or another."""
        return self.fetched + self.missing + self.failed


@dataclass
class Chunk:
    """What came since the last chunk; `is_last` when nothing more will come."""

    calls: list[pa.RecordBatch] = field(default_factory=list)
    errors: list[CallError] = field(default_factory=list)
    is_last: bool = False


class Fetch:
    """Fetch calls in the background: `with Fetch(ids, settings) as fetch: … fetch.take()`.

    Args:
        call_ids: text ids, each asked once; drawn from as requests are made.
        workers: the most requests in flight; None lets the measured latency decide.
        share: how much of each of the API's rate windows to use, 0 < share <= 1.
        chunk_size: calls a chunk; None closes a chunk by time.

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
    ) -> None:
        self.counts = Counts()
        self.failure: BaseException | None = None
        self.budget = RateBudget(share=share)
        self._call_ids = call_ids
        self._settings = settings
        self._api = CallsApi(settings)
        self._concurrency = Concurrency(cap=workers)
        self._chunk_seconds = CHUNK_SECONDS if chunk_size is None else float("inf")
        self._chunk_size = chunk_size or LARGEST_CHUNK

        self._collected = threading.Condition()  # guards what follows, up to _finished
        self._batches: list[pa.RecordBatch] = []
        self._rows: list[CallRow] = []
        self._errors: list[CallError] = []
        self._size = 0
        self._taken = 0  # the size of the chunk that the caller is loading
        self._taken_at = time.monotonic()
        self._finished = False

        self._open = 0
        self._sleeping = 0
        self._faults_in_a_row = 0
        self._refusals_in_a_row = 0  # answers of 429, each to a request made after the one before
        self._refused_at = 0.0
        self._last_usable_at = time.monotonic()
        self._usable_id: str | None = None
        self._stopping = False
        self._loop = asyncio.new_event_loop()
        self._changed = asyncio.Event()
        self._probing = asyncio.Lock()
        self._thread = threading.Thread(target=self._run, name="fetch", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()
        self._thread.join()
        self._loop.close()

    def stop(self) -> None:
        """Stop asking, at once; what has come can still be taken. Safe in a signal handler."""
        self._stopping = True
        self._wake()

    def take(self, timeout_seconds: float | None = None) -> Chunk | None:
        """Wait for a full chunk, or the last one, and take it; None when the time is over before."""
        deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        with self._collected:
            self._taken = 0  # asking for more says that the last chunk is loaded
            self._wake()
            chunk_at = self._taken_at + self._chunk_seconds
            while not (self._finished or self._size >= self._chunk_size):
                now = time.monotonic()
                if now >= chunk_at and self._size:
                    break
                if deadline is not None and now >= deadline:
                    return None
                waits = [t - now for t in (deadline, chunk_at) if t is not None and t > now]
                self._collected.wait(min(*waits, 1.0) if waits else 1.0)
            self._close_batch()
            chunk = Chunk(self._batches, self._errors, self._finished)
            self._taken, self._taken_at = self._size, time.monotonic()
            self._batches, self._errors, self._size = [], [], 0
        return chunk

    def _wake(self) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._changed.set)

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._fetch_all())
        except BaseException as error:  # noqa: BLE001  carried to the caller's thread, which raises it
            self.failure = error
        finally:
            with self._collected:
                self._finished = True
                self._collected.notify()

    async def _fetch_all(self) -> None:
        tasks: set[asyncio.Task[None]] = set()
        async with self._api:
            try:
                for call_id in self._call_ids:
                    while not (self._may_open() or self._over):
                        self._changed.clear()
                        await self._changed.wait()
                    if self._over:
                        break
                    self._open += 1
                    task = self._loop.create_task(self._fetch_one(call_id))
                    tasks.add(task)
                    task.add_done_callback(tasks.discard)
                while self._open and not self._over:
                    self._changed.clear()
                    await self._changed.wait()
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def _over(self) -> bool:
        return self._stopping or self.failure is not None

    def _may_open(self) -> bool:
        in_flight = self._open - self._sleeping
        return (
            self._open + self._size + self._taken < 2 * self._chunk_size
            and in_flight < self._concurrency.limit
            and self._sleeping < _MOST_SLEEPING
            and (self._faults_in_a_row < max(self._concurrency.limit, _FEWEST_FAULTS_IN_A_ROW) or not self._open)
        )

    async def _fetch_one(self, call_id: str) -> None:
        try:
            outcome = await self._outcome(call_id)
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001  carried like that of the run
            self.failure = self.failure or error
        else:
            self._collect(outcome)
        finally:
            self._open -= 1
            self._changed.set()

    def _collect(self, outcome: CallRow | CallError) -> None:
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

    async def _outcome(self, call_id: str) -> CallRow | CallError:
        """One call, by the retry policy; what can't be had becomes a `CallError`.

        Raises:
            TokenRefused, ApiUnreachable: the run can't go on.
        """
        attempts = 0
        asked_at = 0.0

        async def attempt() -> CallRow | CallError:
            nonlocal attempts, asked_at
            attempts += 1
            asked_at = time.monotonic()
            return await self._attempt(call_id, attempts)

        async def sleep(seconds: float) -> None:
            self._sleeping += 1
            self._changed.set()
            try:
                await asyncio.sleep(seconds)
            finally:
                self._sleeping -= 1

        try:
            try:
                return await attempt()
            except Fault as first:
                return await retry(
                    first,
                    attempt,
                    retry_seconds=self._settings.retry_seconds,
                    give_up_on_rate_limit=self._nothing_usable,
                    sleep=sleep,
                    before_sleep=self._count_retry,
                )
        except Fault as fault:
            if not await self._api_is_alive(asked_at):
                raise ApiUnreachable(
                    f"nothing answered usably for {self._settings.retry_seconds:g} seconds; the last: "
                    f"{_describe(fault)}"
                ) from fault
            return CallError(call_id, fault.http_status, fault.code, fault.message, fault.request_id, attempts, _now())

    async def _attempt(self, call_id: str, attempts: int) -> CallRow | CallError:
        asked_at = time.monotonic()
        await self.budget.acquire()
        sent_at = time.monotonic()
        self.counts.requests += 1
        try:
            answer = await self._send(call_id)
            self.counts.rate_limited += answer.status == 429
            outcome = read_call(call_id, answer, attempts=attempts, at=_now())
        except BodyTooLarge as error:
            request_id = error.headers.get("X-Request-Id")
            outcome = CallError(call_id, error.status, "invalid_json", str(error), request_id, attempts, _now())
        except Fault as fault:
            self._faults_in_a_row += 1
            fault.waited_seconds = sent_at - asked_at
            if fault.rate_limited and sent_at >= self._refused_at:
                self._refusals_in_a_row += 1
                self._refused_at = time.monotonic()
            raise
        self._faults_in_a_row = self._refusals_in_a_row = 0
        self._last_usable_at = time.monotonic()
        self._usable_id = call_id
        return outcome

    async def _send(self, call_id: str) -> Answer:
        """One request, told to the budget and the concurrency however it ends."""
        sent_at = time.monotonic()
        status = None
        try:
            answer = await self._api.get_call(call_id)
            status, headers = answer.status, answer.headers
            return answer
        except BodyTooLarge as error:
            status, headers = error.status, error.headers
            raise
        except NoAnswer as error:
            raise Fault(error.code, str(error)) from None
        finally:
            if status is None:
                self.budget.failed()
            else:
                self.budget.answered(status, headers)
            self._concurrency.observe(time.monotonic() - sent_at, status=status, target_rate=self.budget.target_rate())

    def _count_retry(self, state: RetryCallState) -> None:
        self.counts.retries += 1
        fault = state.outcome.exception() if state.outcome else None
        if isinstance(fault, Fault) and not fault.rate_limited:
            logger.debug("retry in %.1f s: %s", state.upcoming_sleep, _describe(fault))

    def _nothing_usable(self) -> bool:
        return (
            self._refusals_in_a_row >= _REFUSALS_BEFORE_GIVING_UP
            and time.monotonic() - self._last_usable_at > self._settings.retry_seconds
        )

    async def _api_is_alive(self, since: float) -> bool:
        """Whether a call is at fault rather than the API: another was answered since, or is when asked again."""
        async with self._probing:
            for sign in range(_SIGNS_OF_LIFE):
                if self._last_usable_at > since:
                    return True
                if self._usable_id is None:
                    return False
                if sign:
                    await asyncio.sleep(_SIGN_OF_LIFE_PAUSE_SECONDS)
                try:
                    await self._attempt(self._usable_id, 1)
                except Fault as fault:
                    logger.debug("no sign of life: %s", _describe(fault))
            return self._last_usable_at > since


def _now() -> datetime:
    return datetime.now(UTC)


def _describe(fault: Fault) -> str:
    status = f"HTTP {fault.http_status}" if fault.http_status else fault.code
    request_id = f" (request id {fault.request_id})" if fault.request_id else ""
    return f"{status}: {fault.message}{request_id}"
