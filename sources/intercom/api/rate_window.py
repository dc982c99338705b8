"""Decides when the next request may be sent, from the rate headers and the time; `budget` does the waiting."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import NewType

from .rate_headers import LONGEST_WAIT_SECONDS, HeaderReader

DEFAULT_WINDOW_SECONDS = 10.0  # Intercom, "Rate limiting": a minute's budget is split into windows of ten seconds

_FIRST_MARGIN_SECONDS = 0.1
_LARGEST_MARGIN_SECONDS = 10.0
_FIRST_PAUSE_SECONDS = 1.0
_PROBE_PATIENCE_SECONDS = 2.0
_PART_OF_WINDOW_TO_SPEND_IN = 0.6
# What to allow for each request of others seen so far: they send on while our last requests are being answered.
# Measured with two loads of unequal latency: 1 draws up to 21 answers of 429 in a window, 2 at most one.
_CAUTION_BESIDE_OTHERS = 2.0
# The part of a window left unused beside others. Without it each load gets a 429 in each window, for its last request.
_SPARE_BESIDE_OTHERS = 0.01


# Allows one request: its number, from 1, in the order of sending.
Permit = NewType("Permit", int)


@dataclass(slots=True)
class _Window:
    """One window of the rate limit, as the answers describe it.

    Attributes:
        reset: its end as the server writes it, which tells windows apart; None when it can't be true.
        ends_at: its end on the local monotonic clock.
        remaining: the smallest `Remaining` seen.
        first_remaining: what remained after our first request.
        own_requests: our requests that have been answered.
        unanswered: our requests without an answer just before its first one; the server may have counted them in it.
    """

    limit: int
    share: float
    reset: float | None
    ends_at: float
    remaining: int
    first_remaining: int
    own_requests: int = 1
    unanswered: int = 0

    def count(self, remaining: int) -> None:
        self.own_requests += 1
        self.remaining = min(self.remaining, remaining)

    @property
    def own_limit(self) -> int:
        """How many of our requests the share allows."""
        return max(1, int(self.limit * self.share))

    def has_room(self, in_flight: int) -> bool:
        """Whether one more request fits beside those in flight."""
        needed = in_flight + 1
        if self.own_requests + needed > self.own_limit:
            return False
        # The server may have counted those in flight already.
        others = self.first_remaining - self.remaining - (self.own_requests - 1) - in_flight
        if others <= 0:
            return needed <= self.remaining
        room = self.remaining - int(self.limit * _SPARE_BESIDE_OTHERS)
        if not in_flight:
            return room > 0
        return needed * (1 + _CAUTION_BESIDE_OTHERS * others / self.own_requests) <= room


class RateLimiter:
    """Decides at a given time whether a request may be sent; it never waits itself.

    For each permit exactly one of `answered`, `failed` and `give_back` must follow.

    Attributes:
        in_flight: requests with a permit and no outcome yet.
        probing: whether requests wait for nothing but a probe's answer.
        waits: how many waits there were, so that each is reported once.
        window_seconds: the length of a window, learned from the ends of successive windows.
    """

    def __init__(self, share: float) -> None:
        if not 0 < share <= 1:
            raise ValueError(f"share is {share}: it must be above 0 and at most 1")
        self.in_flight = 0
        self.waits = 0
        self.window_seconds = DEFAULT_WINDOW_SECONDS
        self._share = share
        self._permits = 0
        self._unanswered = 0  # since the last answer with rate headers
        self._reader = HeaderReader()
        self._window: _Window | None = None
        self._lengths: deque[float] = deque(maxlen=3)
        self._margin_seconds = _FIRST_MARGIN_SECONDS
        self._must_probe = True
        self.probing = False
        self._first_probe = self._newest_probe = 0  # while probing, every permit from the first on is a probe
        self._probe_not_before = -inf
        self._probed_at = -inf
        self._probes_unanswered = 0
        self._pauses = 0
        self._is_paused = False

    @property
    def reason(self) -> str:
        """Why requests wait now, for a log line."""
        window = self._window
        if self._is_paused or window is None:
            return "the API answered 429 (rate limit exceeded)"
        own = window.own_requests
        if own >= window.own_limit < window.limit:
            return f"this load's share of the window ({window.own_limit:,} of {window.limit:,} requests) is used"
        others = window.limit - window.remaining - own - self.in_flight - window.unanswered
        by_whom = ", most of it by other apps or an earlier load" if others > own else ""
        return f"the window's budget of {window.limit:,} requests is used{by_whom}"

    @property
    def target_rate(self) -> float | None:
        """Requests a second that use the share of a window in 60% of its time; None when unknown."""
        if self._window is None:
            return None
        return self._window.limit * self._share / (_PART_OF_WINDOW_TO_SPEND_IN * self.window_seconds)

    def try_acquire(self, now: float) -> Permit | None:
        """A permit if a request may be sent now, which then counts as in flight; else None."""
        if not self._must_probe:
            window = self._window
            # The old window says nothing about the next one, unless answers in flight will soon do so.
            if window is None or (
                (now < window.ends_at or (self.in_flight and now < window.ends_at + self.window_seconds / 2))
                and window.has_room(self.in_flight)
            ):
                return self.acquire_regardless()
            not_before = window.ends_at + self._margin_seconds
            if now < not_before:
                return None
            self._probe_again(not_before)
        return self._try_probe(now)

    def wait_seconds(self, now: float) -> float:
        """How long until it is worth trying again, if no answer arrives before."""
        if self._must_probe:
            return max(0.0, self._probe_not_before - now)
        if self._window is None:
            return 0.0
        return max(0.0, self._window.ends_at + self._margin_seconds - now)

    def acquire_regardless(self) -> Permit:
        """A permit for a request that is sent whatever the limit; it counts as in flight."""
        self.in_flight += 1
        self._permits += 1
        return Permit(self._permits)

    def _try_probe(self, now: float) -> Permit | None:
        if now < self._probe_not_before:
            return None
        # A probe that hangs must not block the rest: after a while another one is sent.
        patience = min(LONGEST_WAIT_SECONDS, _PROBE_PATIENCE_SECONDS * 2**self._probes_unanswered)
        self._probes_unanswered = min(self._probes_unanswered + 1, 5)
        permit = self.acquire_regardless()
        if not self.probing:
            self.probing, self._first_probe = True, permit
        self._newest_probe = permit
        self._probed_at, self._probe_not_before = now, now + patience
        return permit

    def answered(self, permit: Permit, status: int, headers: Mapping[str, str], now: float, wall: float) -> None:
        """Learn from the answer to the permit's request."""
        self.in_flight -= 1
        # the answer to an older request says nothing about the probe
        is_probe = self.probing and permit >= self._first_probe
        if is_probe:
            self._probes_unanswered = 0
        remaining = self._reader.remaining(headers, now, wall)
        if remaining is not None:
            is_current = self._count(0 if status == 429 else remaining, is_probe, now)
            self._unanswered = 0
            if not is_current:
                return
        elif status != 429:
            self._count_without_headers(status, is_probe, now)
        if status == 429:
            self._refused(headers, has_rate_headers=remaining is not None, is_probe=is_probe, now=now)

    def failed(self, permit: Permit, now: float) -> None:
        """No answer arrived: the server may have counted the request, so it counts."""
        self.in_flight -= 1
        self._unanswered += 1
        self._count_one()
        self._replace_probe(permit, now)

    def give_back(self, permit: Permit, now: float) -> None:
        """The request was never sent."""
        self.in_flight -= 1
        self._replace_probe(permit, now)

    def _replace_probe(self, permit: Permit, now: float) -> None:
        """Send another probe if this was the newest one."""
        if self.probing and permit == self._newest_probe:
            self._probe_again(now)

    def _probe_again(self, not_before: float) -> None:
        self._must_probe, self.probing, self._probe_not_before = True, False, not_before

    def _end_probing(self) -> None:
        self._must_probe = self.probing = self._is_paused = False
        self._probes_unanswered = self._pauses = 0

    def _count(self, remaining: int, is_probe: bool, now: float) -> bool:
        """Count the answer last read; False when it belongs to a past window."""
        window, limit, reset = self._window, self._reader.limit or 1, self._reader.reset
        if window is None or self._is_newer(window, remaining, now):
            self._open_window(limit, remaining, reset, now)
            return True
        if reset is not None and window.reset is not None:
            if window.reset - reset >= self.window_seconds / 2:
                return False
            window.reset = max(window.reset, reset)
            if self._reader.changed:  # its Date may say more about the server's clock
                window.ends_at = self._ends_at(window.reset, now)
        window.limit = limit
        window.count(remaining)
        if is_probe:
            self._probe_found_no_new_window(window, now)
        return True

    def _is_newer(self, window: _Window, remaining: int, now: float) -> bool:
        reset = self._reader.reset
        if reset is None or window.reset is None:
            return now >= window.ends_at
        if abs(reset - window.reset) >= self.window_seconds / 2:
            return reset > window.reset
        # A Reset that moved a little may be the same window's, rounded differently: then less remains, not more.
        return reset > window.reset and (self.probing or remaining > window.remaining + self.in_flight)

    def _open_window(self, limit: int, remaining: int, reset: float | None, now: float) -> None:
        old = self._window
        if old is not None and old.reset is not None and reset is not None:
            self._learn_length(reset - old.reset)
        self._window = _Window(
            limit=limit,
            share=self._share,
            reset=reset,
            ends_at=now + self.window_seconds if reset is None else self._ends_at(reset, now),
            remaining=remaining,
            first_remaining=remaining,
            unanswered=self._unanswered,
        )
        self._end_probing()
        self.waits += 1

    def _learn_length(self, seconds: float) -> None:
        if seconds <= LONGEST_WAIT_SECONDS:
            self._lengths.append(max(1.0, seconds))
            # Windows without a request of ours make the distance longer, never shorter.
            self.window_seconds = min(self._lengths)

    def _probe_found_no_new_window(self, window: _Window, now: float) -> None:
        if window.has_room(self.in_flight):
            self._end_probing()
        elif self._probed_at < window.ends_at:
            self._probe_again(window.ends_at + self._margin_seconds)
        else:  # too early: the end is rounded, or a clock is wrong
            self._probe_again(now + self._margin_seconds)
            self._margin_seconds = min(_LARGEST_MARGIN_SECONDS, 2 * self._margin_seconds)

    def _ends_at(self, reset: float, now: float) -> float:
        return now + min(reset - self._reader.server_clock.unix(now), LONGEST_WAIT_SECONDS)

    def _count_one(self) -> None:
        if self._window is not None:
            self._window.count(max(0, self._window.remaining - 1))

    def _count_without_headers(self, status: int, is_probe: bool, now: float) -> None:
        self._count_one()
        if not is_probe:
            return
        if status >= 500:
            self._probe_again(now)
            return
        if self._window is not None and self._probed_at >= self._window.ends_at:
            self._window = None  # unknown until an answer has headers again
        self._end_probing()

    def _refused(self, headers: Mapping[str, str], *, has_rate_headers: bool, is_probe: bool, now: float) -> None:
        """A 429: decide when to try again."""
        if self._must_probe and not is_probe:
            return  # one of many that were in flight when the first was refused
        retry_after = self._reader.retry_after_seconds(headers, now)
        window = self._window
        if has_rate_headers and window is not None:
            turn = window.ends_at + self._margin_seconds
            if retry_after is None and now < turn:
                return  # the window is used up: `try_acquire` waits for its end
            not_before = max(turn, now + (retry_after or 0), self._probe_not_before if is_probe else now)
        elif retry_after is not None:
            not_before = now + retry_after
        else:
            pause = min(LONGEST_WAIT_SECONDS, _FIRST_PAUSE_SECONDS * 2**self._pauses)
            self._pauses = min(self._pauses + 1, 6)
            not_before = now + pause * random.uniform(0.75, 1.0)  # noqa: S311 (spreads loads out, no secret)
        self._probe_again(not_before)
        self._is_paused = True
        self.waits += 1
