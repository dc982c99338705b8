"""The rate budget: every request waits here until it may be sent. It knows headers and clocks, nothing else.

Intercom allows a number of requests in each fixed window. Each answer gives the window's limit, what remains of it
for the whole app, and its end.

- A request is sent while `Remaining` covers it and all requests in flight, and while the load's own share lasts.
- If `Remaining` falls faster than our requests explain, others use the same window. Then each request in flight
  counts for more, and 1% of the window stays unused.
- When the window is used up, all wait for its end. Then one request probes the next window; the rest follow its answer.
- The end is computed on the monotonic clock from the answers' `Date`, which is never ahead of the server's clock. If a
  probe is still too early, the margin after the end grows.
- After a 429 all wait for the window's end or `Retry-After`; without either, for growing pauses with jitter.
- Headers that are missing or impossible delay requests by little more than a minute.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping
from math import inf
from typing import NamedTuple

from .rate_window import Permit, RateLimiter


class Clock(NamedTuple):
    """Two clocks, in seconds: one that only runs forward, and this machine's unix time."""

    monotonic: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time


class RateBudget:
    """The budget of one run; all in one asyncio loop.

    Each request waits in `acquire` first. For each permit exactly one of `answered` and `failed` must follow.

    Args:
        share: the part of each window's limit to use, above 0, at most 1.
        clock: the machine's clocks, except in tests.

    Attributes:
        on_wait: called once for each wait with the seconds and the reason.

    Raises:
        ValueError: share is out of range.
    """

    def __init__(self, *, share: float = 1.0, clock: Clock | None = None) -> None:
        self.on_wait: Callable[[float, str], None] | None = None
        self._clock = clock or Clock()
        self._limiter = RateLimiter(share)
        self._waiters: deque[asyncio.Future[Permit]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = inf
        self._waits_reported = 0

    @property
    def in_flight(self) -> int:
        """Requests with a permit and no outcome yet."""
        return self._limiter.in_flight

    @property
    def waiting_seconds(self) -> float:
        """How much longer requests wait; 0 when none waits."""
        if not self._waiters or self._limiter.probing:
            return 0.0
        return self._limiter.wait_seconds(self._clock.monotonic())

    def target_rate(self) -> float | None:
        """Requests a second that use the share of a window in 60% of its time; None when unknown."""
        return self._limiter.target_rate

    async def acquire(self) -> Permit:
        """Wait until a request may be sent, first come, first served; it then counts as in flight."""
        if not self._waiters and (permit := self._limiter.try_acquire(self._clock.monotonic())) is not None:
            return permit
        waiter: asyncio.Future[Permit] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        self._grant()
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self._limiter.give_back(waiter.result(), self._clock.monotonic())
            self._grant()
            raise

    def acquire_regardless(self) -> Permit:
        """A permit at once, ahead of all who wait: for a request that checks whether the API is alive."""
        return self._limiter.acquire_regardless()

    def answered(self, permit: Permit, status: int, headers: Mapping[str, str]) -> None:
        """Report an answer.

        Args:
            permit: the request's permit.
            status: its HTTP status.
            headers: its headers; names in any case, or as Intercom writes them.
        """
        self._limiter.answered(permit, status, headers, self._clock.monotonic(), self._clock.wall())
        if self._waiters:
            self._grant()

    def failed(self, permit: Permit) -> None:
        """Report that no answer arrived (connection fault, timeout)."""
        self._limiter.failed(permit, self._clock.monotonic())
        if self._waiters:
            self._grant()

    def _grant(self) -> None:
        """Wake the waiters whose turn it is; schedule the next wake-up."""
        now = self._clock.monotonic()
        waiters = self._waiters
        while waiters:
            if waiters[0].done():
                waiters.popleft()
                continue
            if (permit := self._limiter.try_acquire(now)) is None:
                break
            waiters.popleft().set_result(permit)
        if waiters:
            self._schedule(now)
        elif self._timer is not None:
            self._timer.cancel()
            self._timer, self._timer_at = None, inf

    def _schedule(self, now: float) -> None:
        seconds = self._limiter.wait_seconds(now)
        if self._waits_reported != self._limiter.waits and not self._limiter.probing and seconds > 0:
            self._waits_reported = self._limiter.waits
            if self.on_wait is not None:
                self.on_wait(seconds, self._limiter.reason)
        if abs(now + seconds - self._timer_at) < 0.001:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = now + seconds
        self._timer = asyncio.get_running_loop().call_later(seconds, self._on_timer)

    def _on_timer(self) -> None:
        self._timer, self._timer_at = None, inf
        self._grant()
