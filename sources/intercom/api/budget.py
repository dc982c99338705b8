"""The rate budget that every request asks first; it knows headers and clocks, nothing else.

The rule. Intercom hands out requests in fixed windows, and each answer tells the window's limit, what remains
of it for the whole app, and when it ends. A request may be sent while the smallest `Remaining` seen of the
newest window covers it and all in flight (the server may not have counted them yet), and while this
budget's own requests of the window stay within its share of the limit. Where others use the same window, which
shows when `Remaining` falls faster than our requests explain, each request in flight is taken to cost what
that fall says, and a few are left over. When the window is spent, everyone waits for its end; then one request
probes, and its answer lets the rest follow. The end is reckoned on the monotonic clock by the answers' `Date`,
which never runs ahead of the server's clock, so that no probe is early; if one is all the same, the margin
grows by what it taught. A 429 stops everyone until the window's end or `Retry-After`, or for growing, jittered
pauses when it tells neither; then, again, one request probes. Headers that are missing or can't be true hold
nothing up for much more than a minute.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping
from math import inf
from typing import NamedTuple

from .rate_window import Pace, Permit


class Clock(NamedTuple):
    """The two clocks, in seconds: one that only runs forward, and the machine's idea of unix time."""

    monotonic: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time


class RateBudget:
    """The budget of one run: every request waits in `acquire` first, every outcome is told to it.

    All in one asyncio loop. For each permit exactly one of `answered` and `failed` must follow.

    Args:
        share: the part of each window's limit to use, above 0, at most 1.
        clock: the clocks; others than the machine's only in tests.

    Attributes:
        on_wait: told once for each wait: how many seconds, and why.

    Raises:
        ValueError: share is out of its range.
    """

    def __init__(self, *, share: float = 1.0, clock: Clock | None = None) -> None:
        self.on_wait: Callable[[float, str], None] | None = None
        self._clock = clock or Clock()
        self._pace = Pace(share)
        self._waiters: deque[asyncio.Future[Permit]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = inf
        self._waits_told = 0

    @property
    def limit(self) -> int | None:
        """The limit of the newest window seen; None when no answer has told."""
        return self._pace.limit

    @property
    def in_flight(self) -> int:
        """Requests acquired and neither answered nor failed."""
        return self._pace.in_flight

    @property
    def waiting_seconds(self) -> float:
        """How long until the wait that is on ends; 0 when none is."""
        if not self._waiters or self._pace.probing:
            return 0.0
        return self._pace.wait_seconds(self._clock.monotonic())

    def target_rate(self) -> float | None:
        """Requests a second that spend the window's share in comfortably less than it; None when unknown."""
        return self._pace.target_rate

    async def acquire(self) -> Permit:
        """Wait until a request may be sent, in the order of asking; it then counts as in flight."""
        if not self._waiters and (permit := self._pace.take(self._clock.monotonic())) is not None:
            return permit
        waiter: asyncio.Future[Permit] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        self._grant()
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self._pace.give_back(waiter.result(), self._clock.monotonic())
            self._grant()
            raise

    def acquire_regardless(self) -> Permit:
        """Send a request whatever the budget says, past everyone who waits: for one that tells if the API is alive."""
        return self._pace.take_regardless()

    def answered(self, permit: Permit, status: int, headers: Mapping[str, str]) -> None:
        """An answer came.

        Args:
            permit: what `acquire` gave for the request.
            status: its HTTP status.
            headers: its headers, whose names are found in whatever case (or in Intercom's spelling).
        """
        self._pace.answered(permit, status, headers, self._clock.monotonic(), self._clock.wall())
        if self._waiters:
            self._grant()

    def failed(self, permit: Permit) -> None:
        """No answer came (a connection fault, a timeout)."""
        self._pace.failed(permit, self._clock.monotonic())
        if self._waiters:
            self._grant()

    def _grant(self) -> None:
        """Let go whoever may, in order, and see to being called again when the next may."""
        now = self._clock.monotonic()
        waiters = self._waiters
        while waiters:
            if waiters[0].done():
                waiters.popleft()
                continue
            if (permit := self._pace.take(now)) is None:
                break
            waiters.popleft().set_result(permit)
        if waiters:
            self._call_again(now)
        elif self._timer is not None:
            self._timer.cancel()
            self._timer, self._timer_at = None, inf

    def _call_again(self, now: float) -> None:
        seconds = self._pace.wait_seconds(now)
        if self._waits_told != self._pace.waits and not self._pace.probing and seconds > 0:
            self._waits_told = self._pace.waits
            if self.on_wait is not None:
                self.on_wait(seconds, self._pace.reason)
        if abs(now + seconds - self._timer_at) < 0.001:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = now + seconds
        self._timer = asyncio.get_running_loop().call_later(seconds, self._on_timer)

    def _on_timer(self) -> None:
        self._timer, self._timer_at = None, inf
        self._grant()
