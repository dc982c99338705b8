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
nothing up for more than a minute.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from math import inf
from typing import NamedTuple

logger = logging.getLogger(__name__)

DEFAULT_WINDOW_SECONDS = 10.0  # Intercom, "Rate limiting": a minute's budget comes in windows of ten seconds
LONGEST_WAIT_SECONDS = 60.0

_LIMIT = "X-RateLimit-Limit"
_REMAINING = "X-RateLimit-Remaining"
_RESET = "X-RateLimit-Reset"

_FIRST_MARGIN_SECONDS = 0.1
_FIRST_PAUSE_SECONDS = 1.0
_PROBE_PATIENCE_SECONDS = 2.0
_PART_OF_WINDOW_TO_SPEND_IN = 0.6
_CLOCK_MEMORY_SECONDS = 60.0
_CAUTION_BESIDE_OTHERS = 1.3
_LARGEST_NUMBER = 1e12


class Clock(NamedTuple):
    """The two clocks, in seconds: one that only runs forward, and the machine's idea of unix time."""

    monotonic: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time


def _number(text: str | None) -> float | None:
    """The number a header gives; None when it is absent, none, or beyond reason."""
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if abs(value) <= _LARGEST_NUMBER else None


def _unix_seconds(text: str | None) -> float | None:
    """The time an HTTP-date gives; None when it is absent or none."""
    try:
        return parsedate_to_datetime(text or "").timestamp()
    except (ValueError, TypeError, OverflowError):
        return None


class _ServerClock:
    """The server's unix time, on the local monotonic clock.

    `Date` is cut to whole seconds and arrives late, so `Date - received_at` never exceeds the truth and the
    largest of many is close to it. Only the last minute or two count: clocks are set now and then.
    """

    def __init__(self) -> None:
        self._ahead: float | None = None
        self._ahead_before: float | None = None
        self._forget_at = -inf
        self._wall_ahead = 0.0

    def saw(self, date: float | None, now: float, wall: float) -> None:
        """An answer came at `now` with this `Date`; without any, the machine's own clock must do."""
        self._wall_ahead = wall - now
        if date is None:
            return
        if now >= self._forget_at:
            self._ahead_before, self._ahead = self._ahead, None
            self._forget_at = now + _CLOCK_MEMORY_SECONDS
        self._ahead = date - now if self._ahead is None else max(self._ahead, date - now)

    def unix(self, now: float) -> float:
        """The server's time at the monotonic time `now`."""
        known = [ahead for ahead in (self._ahead, self._ahead_before) if ahead is not None]
        return now + max(known, default=self._wall_ahead)


class _Reader:
    """Reads the headers of the answers.

    Attributes:
        limit: of the answer last read; None when it told none that can be true.
        reset: of the answer last read; None when it told none that can be true.
        changed: whether the answer last read differs from the one before in more than `Remaining`.
        server_clock: the server's time by the answers' `Date`.
    """

    def __init__(self) -> None:
        self.limit: int | None = None
        self.reset: float | None = None
        self.changed = False
        self.server_clock = _ServerClock()
        self._texts: tuple[str | None, str | None, str | None] = ("", "", "")
        self._warned: set[str] = set()

    def remaining(self, headers: Mapping[str, str], now: float, wall: float) -> int | None:
        """Read one answer: its `Remaining`, from 0 to the limit; None when it doesn't tell limit and rest."""
        get = headers.get
        texts = (get("Date"), get(_LIMIT), get(_RESET))
        self.changed = texts != self._texts
        if self.changed:
            self._texts = texts
            self._read(*texts, now, wall)
        remaining = _number(get(_REMAINING))
        if remaining is None or self.limit is None:
            return None
        return int(min(max(0, remaining), self.limit))

    def retry_after_seconds(self, headers: Mapping[str, str], now: float) -> float | None:
        """How long `Retry-After` (seconds or an HTTP-date) asks to wait, at most a minute; None without it."""
        text = headers.get("Retry-After")
        seconds = _number(text)
        if seconds is None:
            until = _unix_seconds(text)
            if until is None:
                return None
            seconds = until - self.server_clock.unix(now)
        return min(max(0.0, seconds), LONGEST_WAIT_SECONDS)

    def _read(self, date: str | None, limit: str | None, reset: str | None, now: float, wall: float) -> None:
        answered_at = _unix_seconds(date)
        self.server_clock.saw(answered_at, now, wall)
        self.limit = self.reset = None
        limit_number, reset_number = _number(limit), _number(reset)
        if limit_number is not None and limit_number >= 1:
            self.limit = int(limit_number)
        elif limit is not None:
            self._warn(_LIMIT, limit, "going by answers of 429 alone")
        # The answer's own Date tells best: the answer may have been long under way.
        server_now = answered_at if answered_at is not None else self.server_clock.unix(now)
        if reset_number is not None and -1 <= reset_number - server_now <= LONGEST_WAIT_SECONDS + 1:
            self.reset = reset_number
        elif reset is not None:
            self._warn(_RESET, reset, "going by the length of a window")

    def _warn(self, name: str, text: str, mend: str) -> None:
        if name not in self._warned:
            self._warned.add(name)
            logger.warning("the header %s: %.40s can't be true; %s", name, text, mend)


@dataclass(slots=True)
class _Window:
    """One window of the API's budget, as far as its answers have told."""

    limit: int
    own_limit: int
    reset: float | None  # as the server gave it: it tells windows apart; None when it can't be true
    turns_at: float  # monotonic
    remaining: int
    first_remaining: int
    others_per_own: float  # requests of others for each of ours
    own: int = 1
    marked_own: int = 1
    marked_others: int = 0

    def others(self) -> int:
        """Requests of others since the first answer; up to the number in flight may be our own."""
        return self.first_remaining - self.remaining - (self.own - 1)

    def count(self, remaining: int, in_flight: int) -> None:
        """One more of ours was answered, `in_flight` are still out."""
        self.own += 1
        self.remaining = min(self.remaining, remaining)
        others = self.others()
        since_mark = self.own - self.marked_own
        if others <= in_flight or since_mark < min(max(16, in_flight), 1 + self.limit // 20):
            return
        recent = (others - self.marked_others) / since_mark
        self.others_per_own = max(recent, others / self.own)
        self.marked_own, self.marked_others = self.own, others

    def covers(self, in_flight: int) -> bool:
        """Whether one more may be sent beside those in flight."""
        ahead = in_flight + 1
        if self.own + ahead > self.own_limit:
            return False
        if not self.others_per_own:
            return ahead <= self.remaining
        spare = self.limit // 500
        if not in_flight:
            return self.remaining > spare
        return ahead * (1 + _CAUTION_BESIDE_OTHERS * self.others_per_own) + spare <= self.remaining


class Pace:
    """The decisions of the budget, given the time; it never waits itself.

    For each `take` that said yes exactly one of `answered`, `failed` and `give_back` must follow.

    Attributes:
        in_flight: requests taken and not yet answered.
        reason: why the newest wait came about.
        waits: how many waits there were, so that each can be told once.
        window_seconds: the length of a window, learned from successive ends.
    """

    def __init__(self, share: float) -> None:
        if not 0 < share <= 1:
            raise ValueError(f"share is {share}: it must be above 0 and at most 1")
        self.in_flight = 0
        self.reason = ""
        self.waits = 0
        self.window_seconds = DEFAULT_WINDOW_SECONDS
        self._share = share
        self._reader = _Reader()
        self._window: _Window | None = None
        self._window_is_assumed = False
        self._lengths: deque[float] = deque(maxlen=3)
        self._margin_seconds = _FIRST_MARGIN_SECONDS
        self._must_probe = True
        self._probing = False
        self._probe_not_before = -inf
        self._probed_at = -inf
        self._probes_unanswered = 0
        self._stragglers = 0  # answers still out from before the probe
        self._early_probes = 0
        self._pauses = 0

    @property
    def limit(self) -> int | None:
        """The newest window's limit; None when it isn't known."""
        return self._window.limit if self._window else None

    # -- before a request --------------------------------------------------------------------------------

    def take(self, now: float) -> bool:
        """Whether a request may be sent now; if so it counts as in flight."""
        if not self._must_probe:
            window, in_flight = self._window, self.in_flight
            # What a window had left says nothing about the next one, unless answers are about to tell.
            if window is None or ((in_flight or now < window.turns_at) and window.covers(in_flight)):
                self.in_flight = in_flight + 1
                return True
            not_before = window.turns_at + self._margin_seconds
            if now < not_before:
                return False
            self._probe_again(not_before)
        return self._take_probe(now)

    def wait_seconds(self, now: float) -> float:
        """How long until it is worth asking again, if no answer comes before."""
        if self._must_probe:
            return max(0.0, self._probe_not_before - now)
        if self._window is None:
            return 0.0
        return max(0.0, self._window.turns_at + self._margin_seconds - now)

    @property
    def probing(self) -> bool:
        """Whether a probe's answer is all that is waited for."""
        return self._probing

    def _take_probe(self, now: float) -> bool:
        if now < self._probe_not_before:
            return False
        # One that hangs must not hold up the rest: after a while another is sent.
        patience = min(LONGEST_WAIT_SECONDS, _PROBE_PATIENCE_SECONDS * 2**self._probes_unanswered)
        self._probes_unanswered = min(self._probes_unanswered + 1, 5)
        self._probing, self._probed_at, self._probe_not_before = True, now, now + patience
        self._stragglers = self.in_flight
        self.in_flight += 1
        return True

    # -- after a request ---------------------------------------------------------------------------------

    def answered(self, status: int, headers: Mapping[str, str], now: float, wall: float) -> None:
        """An answer came: learn from it."""
        self.in_flight -= 1
        is_probe = self._was_the_probe()
        remaining = self._reader.remaining(headers, now, wall)
        if remaining is None:
            is_current = True
            if status != 429:
                self._count_untold(status, is_probe, now)
        else:
            is_current = self._count(0 if status == 429 else remaining, is_probe, now)
        if status == 429 and is_current:
            self._refused(headers, is_told=remaining is not None, is_probe=is_probe, now=now)

    def failed(self, now: float) -> None:
        """No answer came: the server may have counted the request, so it counts."""
        self.in_flight -= 1
        self._count_blindly()
        if self._was_the_probe():
            self._probe_again(now)

    def give_back(self, now: float) -> None:
        """The request was never sent."""
        self.in_flight -= 1
        if self._was_the_probe():
            self._probe_again(now)

    def _was_the_probe(self) -> bool:
        if not self._probing:
            return False
        if self._stragglers:
            self._stragglers -= 1
            return False
        return True

    def _probe_again(self, not_before: float) -> None:
        self._must_probe, self._probing, self._probe_not_before = True, False, not_before

    def _let_follow(self) -> None:
        self._must_probe = self._probing = False
        self._probes_unanswered = self._early_probes = 0

    def _wait_anew(self, reason: str) -> None:
        self.waits += 1
        self.reason = reason

    # -- answers that tell the state of the window -------------------------------------------------------

    def _count(self, remaining: int, is_probe: bool, now: float) -> bool:
        """Count the answer last read; False when it is of a window that is past."""
        window, limit, reset = self._window, self._reader.limit or 1, self._reader.reset
        if window is None or self._is_newer(window, remaining, now):
            self._open_window(limit, remaining, reset, now)
            return True
        if reset is not None and window.reset is not None:
            if window.reset - reset >= self.window_seconds / 2:
                return False
            window.reset = max(window.reset, reset)
            if self._reader.changed:  # its Date may have told more about the server's clock
                window.turns_at = self._turns_at(window.reset, now)
        if limit != window.limit:
            window.limit, window.own_limit = limit, self._own_limit(limit)
        window.count(remaining, self.in_flight)
        if is_probe:
            self._probe_met_no_new_window(window, now)
        return True

    def _is_newer(self, window: _Window, remaining: int, now: float) -> bool:
        reset = self._reader.reset
        if self._window_is_assumed:
            return True
        if reset is None or window.reset is None:
            return now >= window.turns_at
        if abs(reset - window.reset) >= self.window_seconds / 2:
            return reset > window.reset
        # A Reset that moved a little may be the same window's, rounded anew: then less remains, not more.
        return reset > window.reset and (self._probing or remaining > window.remaining + self.in_flight)

    def _open_window(self, limit: int, remaining: int, reset: float | None, now: float) -> None:
        old = self._window
        if old is not None and old.reset is not None and reset is not None:
            self._learn_from_turn(old, reset - old.reset)
        self._window_is_assumed = False
        self._window = _Window(
            limit=limit,
            own_limit=self._own_limit(limit),
            reset=reset,
            turns_at=now + self.window_seconds if reset is None else self._turns_at(reset, now),
            remaining=remaining,
            first_remaining=remaining,
            others_per_own=0.0 if old is None else max(0, old.others() - self.in_flight) / old.own,
        )
        self._let_follow()
        self._wait_anew(f"the window's {limit:,} requests are used")
        self._pauses = 0

    def _learn_from_turn(self, old: _Window, length: float) -> None:
        if self._early_probes:
            needed = self._probed_at - old.turns_at
            self._margin_seconds = min(self.window_seconds, max(self._margin_seconds, needed))
        if length <= LONGEST_WAIT_SECONDS:
            self._lengths.append(max(1.0, length))
            # Windows in which nothing was asked make the distance longer, never shorter.
            self.window_seconds = min(self._lengths)

    def _probe_met_no_new_window(self, window: _Window, now: float) -> None:
        if window.covers(self.in_flight):
            self._let_follow()
        elif self._probed_at < window.turns_at:
            self._probe_again(window.turns_at + self._margin_seconds)
        else:
            step = _FIRST_MARGIN_SECONDS * 2**self._early_probes
            self._early_probes = min(self._early_probes + 1, 7)
            self._probe_again(now + min(step, self.window_seconds))

    def _turns_at(self, reset: float, now: float) -> float:
        return now + min(reset - self._reader.server_clock.unix(now), LONGEST_WAIT_SECONDS)

    def _own_limit(self, limit: int) -> int:
        return max(1, int(limit * self._share))

    # -- answers that don't ------------------------------------------------------------------------------

    def _count_blindly(self) -> None:
        if self._window is not None:
            self._window.count(max(0, self._window.remaining - 1), self.in_flight)

    def _count_untold(self, status: int, is_probe: bool, now: float) -> None:
        self._count_blindly()
        if not is_probe:
            return
        if status >= 500:
            self._probe_again(now)
            return
        self._pauses = 0
        window = self._window
        if window is not None and self._probed_at >= window.turns_at:
            self._assume_next_window(window, now)
        self._let_follow()

    def _assume_next_window(self, old: _Window, now: float) -> None:
        """Some answers carry no headers: take the next window to be like the last, but only once."""
        if self._window_is_assumed:
            self._window = None
            return
        self._open_window(old.limit, old.limit - 1, None, now)
        self._window_is_assumed = True

    def _refused(self, headers: Mapping[str, str], *, is_told: bool, is_probe: bool, now: float) -> None:
        """A 429: when it may be tried again."""
        if self._must_probe and not is_probe:
            return  # one of many that were under way when the first was refused
        asked = self._reader.retry_after_seconds(headers, now)
        window = self._window
        if is_told and window is not None:
            turn = window.turns_at + self._margin_seconds
            if asked is None and now < turn:
                return  # spent: `take` waits for the turn
            not_before = max(turn, now + (asked or 0), self._probe_not_before if is_probe else now)
        elif asked is not None:
            not_before = now + asked
        else:
            pause = min(LONGEST_WAIT_SECONDS, _FIRST_PAUSE_SECONDS * 2**self._pauses)
            self._pauses = min(self._pauses + 1, 6)
            not_before = now + pause * random.uniform(0.75, 1.0)
        self._probe_again(not_before)
        self._wait_anew("the API answered 429 (rate limit exceeded)")


class RateBudget:
    """The budget of one run: every request waits in `acquire` first, every outcome is told to it.

    All in one asyncio loop. For each `acquire` exactly one of `answered` and `failed` must follow.

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
        self._share = share
        self._pace = Pace(share)
        self._waiters: deque[asyncio.Future[None]] = deque()
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
        limit = self._pace.limit
        if limit is None:
            return None
        return limit * self._share / (_PART_OF_WINDOW_TO_SPEND_IN * self._pace.window_seconds)

    async def acquire(self) -> None:
        """Wait until a request may be sent, in the order of asking; it then counts as in flight."""
        if not self._waiters and self._pace.take(self._clock.monotonic()):
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        self._grant()
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self._pace.give_back(self._clock.monotonic())
            waiter.cancel()
            self._grant()
            raise

    def answered(self, status: int, headers: Mapping[str, str]) -> None:
        """An answer came.

        Args:
            status: its HTTP status.
            headers: its headers, whose names are found in whatever case (or in Intercom's spelling).
        """
        self._pace.answered(status, headers, self._clock.monotonic(), self._clock.wall())
        if self._waiters:
            self._grant()

    def failed(self) -> None:
        """No answer came (a connection fault, a timeout)."""
        self._pace.failed(self._clock.monotonic())
        if self._waiters:
            self._grant()

    def _grant(self) -> None:
        """Let go whoever may, in order, and see to being called again when the next may."""
        now = self._clock.monotonic()
        waiters = self._waiters
        while waiters and (waiters[0].done() or self._pace.take(now)):
            waiter = waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
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
