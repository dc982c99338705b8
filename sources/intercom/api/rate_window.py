"""The decisions of the rate budget, given the headers and the time; what waits on them is in `budget`."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import NewType

from .rate_headers import LONGEST_WAIT_SECONDS, HeaderReader

DEFAULT_WINDOW_SECONDS = 10.0  # Intercom, "Rate limiting": a minute's budget comes in windows of ten seconds

_FIRST_MARGIN_SECONDS = 0.1
_LARGEST_MARGIN_SECONDS = 10.0
_FIRST_PAUSE_SECONDS = 1.0
_PROBE_PATIENCE_SECONDS = 2.0
_PART_OF_WINDOW_TO_SPEND_IN = 0.6
_CAUTION_BESIDE_OTHERS = 1.6
_SPARE_BESIDE_OTHERS = 0.01
_OTHERS_KEPT = 0.75
_MOST_OTHERS_EXPECTED = 4.0


# One request's leave to be sent: its number, from 1, in the order of sending.
Permit = NewType("Permit", int)


@dataclass(slots=True)
class _Window:
    """One window of the API's budget, as far as its answers have told."""

    limit: int
    own_limit: int
    reset: float | None  # as the server gave it: it tells windows apart; None when it can't be true
    turns_at: float  # monotonic
    remaining: int
    first_remaining: int
    expected_others: float  # requests of others for each of ours, by the windows before
    others_per_own: float
    own: int = 1
    others_per_trip: float = 0.0  # requests of others while one of ours is under way
    marked_own: int = 1
    marked_others: int = 0
    trip: int = 1

    def others(self) -> int:
        """Requests of others; when answers overtake each other, some of our own in flight are among them."""
        return self.first_remaining - self.remaining - (self.own - 1)

    def count(self, remaining: int, in_flight: int) -> None:
        """One more of ours was answered, `in_flight` are still out."""
        self.own += 1
        self.remaining = min(self.remaining, remaining)
        if self.own - self.marked_own >= self.trip:  # all that was in flight at the last mark has come
            self._watch_others(in_flight)

    def covers(self, in_flight: int) -> bool:
        """Whether one more may be sent beside those in flight."""
        ahead = in_flight + 1
        if self.own + ahead > self.own_limit:
            return False
        if not self.others_per_own:
            return ahead <= self.remaining
        # While all of what others seem to use may be our own in flight, nothing need be left over.
        spare = int(self.limit * _SPARE_BESIDE_OTHERS) if self.others() > in_flight else 0
        room = self.remaining - spare
        if not in_flight:
            return room > 0
        others = max(ahead * self.others_per_own, self.others_per_trip)
        return ahead + _CAUTION_BESIDE_OTHERS * others <= room

    def next_others_per_own(self, in_flight: int) -> float:
        """What to expect of others in the next window: less bit by bit, should they be going."""
        surely = max(0, self.others() - in_flight) / self.own
        expected = max(surely, self.others_per_own / 2)
        return min(expected, _MOST_OTHERS_EXPECTED) if expected > 0.01 else 0.0

    def _watch_others(self, in_flight: int) -> None:
        others = self.others()
        if others <= 0:  # surely none yet, and after a tenth of the window none are to be expected
            self.others_per_own = self.expected_others if self.own <= self.limit / 10 else 0.0
            self.others_per_trip = 0.0
        elif self.others_per_own or others > in_flight / 2:
            self.others_per_own = max(others / self.own, self.others_per_own / 2)
            # Much of what was before is kept: after a stop the others begin again, as we do.
            self.others_per_trip = max(others - self.marked_others, _OTHERS_KEPT * self.others_per_trip)
        self.marked_own, self.marked_others, self.trip = self.own, others, max(1, in_flight)


class Pace:
    """The decisions of the budget, given the time; it never waits itself.

    For each permit exactly one of `answered`, `failed` and `give_back` must follow.

    Attributes:
        in_flight: requests taken and not yet answered.
        waits: how many waits there were, so that each can be told once.
        window_seconds: the length of a window, learned from successive ends.
    """

    def __init__(self, share: float) -> None:
        if not 0 < share <= 1:
            raise ValueError(f"share is {share}: it must be above 0 and at most 1")
        self.in_flight = 0
        self.waits = 0
        self.window_seconds = DEFAULT_WINDOW_SECONDS
        self._share = share
        self._permits = 0
        self._reader = HeaderReader()
        self._window: _Window | None = None
        self._window_is_assumed = False
        self._lengths: deque[float] = deque(maxlen=3)
        self._margin_seconds = _FIRST_MARGIN_SECONDS
        self._must_probe = True
        self._probing = False
        self._first_probe = self._newest_probe = 0  # while probing, each permit from the first on is a probe's
        self._probe_not_before = -inf
        self._probed_at = -inf
        self._probes_unanswered = 0
        self._early_probes = 0
        self._pauses = 0
        self._is_paused = False

    @property
    def limit(self) -> int | None:
        """The newest window's limit; None when it isn't known."""
        return self._window.limit if self._window else None

    @property
    def reason(self) -> str:
        """Why the wait that is on came about, for a log line."""
        window = self._window
        if self._is_paused or window is None:
            return "the API answered 429 (rate limit exceeded)"
        used = f"the window's budget of {window.limit:,} requests is used"
        if window.own >= window.own_limit < window.limit:
            return f"this load's share of the window ({window.own_limit:,} of {window.limit:,} requests) is used"
        if window.own >= window.limit / 2:
            return used
        before, others = window.limit - 1 - window.first_remaining, window.others() - self.in_flight
        if max(before, others) <= window.own:
            return used
        return f"{used}, most of it {'by others' if others > before else 'before this load began'}"

    @property
    def target_rate(self) -> float | None:
        """Requests a second that spend the share of a window in comfortably less than it; None when unknown."""
        if self._window is None:
            return None
        return self._window.limit * self._share / (_PART_OF_WINDOW_TO_SPEND_IN * self.window_seconds)

    # -- before a request --------------------------------------------------------------------------------

    def take(self, now: float) -> Permit | None:
        """A permit if a request may be sent now, which then counts as in flight; else None."""
        if not self._must_probe:
            window, in_flight = self._window, self.in_flight
            # What a window had left says nothing about the next one, unless answers are about to tell.
            if window is None or (
                (now < window.turns_at or (in_flight and now < window.turns_at + self.window_seconds / 2))
                and window.covers(in_flight)
            ):
                return self.take_regardless()
            not_before = window.turns_at + self._margin_seconds
            if now < not_before:
                return None
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

    def take_regardless(self) -> Permit:
        """A permit for a request that is to be sent whatever the budget says; it counts as in flight."""
        self.in_flight += 1
        self._permits += 1
        return Permit(self._permits)

    def _take_probe(self, now: float) -> Permit | None:
        if now < self._probe_not_before:
            return None
        # One that hangs must not hold up the rest: after a while another is sent.
        patience = min(LONGEST_WAIT_SECONDS, _PROBE_PATIENCE_SECONDS * 2**self._probes_unanswered)
        self._probes_unanswered = min(self._probes_unanswered + 1, 5)
        permit = self.take_regardless()
        if not self._probing:
            self._probing, self._first_probe = True, permit
        self._newest_probe = permit
        self._probed_at, self._probe_not_before = now, now + patience
        return permit

    # -- after a request ---------------------------------------------------------------------------------

    def answered(self, permit: Permit, status: int, headers: Mapping[str, str], now: float, wall: float) -> None:
        """The answer to the permit's request came: learn from it."""
        self.in_flight -= 1
        is_probe = self._is_probe(permit)
        if is_probe:
            self._probes_unanswered = 0
        remaining = self._reader.remaining(headers, now, wall)
        if remaining is None:
            is_current = True
            if status != 429:
                self._count_untold(status, is_probe, now)
        else:
            is_current = self._count(0 if status == 429 else remaining, is_probe, now)
        if status == 429 and is_current:
            self._refused(headers, is_told=remaining is not None, is_probe=is_probe, now=now)

    def failed(self, permit: Permit, now: float) -> None:
        """No answer came: the server may have counted the request, so it counts."""
        self.in_flight -= 1
        self._count_blindly()
        self._probe_is_lost(permit, now)

    def give_back(self, permit: Permit, now: float) -> None:
        """The request was never sent."""
        self.in_flight -= 1
        self._probe_is_lost(permit, now)

    def _is_probe(self, permit: Permit) -> bool:
        """Whether the permit is one of those that are waited for; an earlier request's answer is not."""
        return self._probing and permit >= self._first_probe

    def _probe_is_lost(self, permit: Permit, now: float) -> None:
        """Send another, unless a newer one is under way."""
        if self._probing and permit == self._newest_probe:
            self._probe_again(now)

    def _probe_again(self, not_before: float) -> None:
        self._must_probe, self._probing, self._probe_not_before = True, False, not_before

    def _let_follow(self) -> None:
        self._must_probe = self._probing = self._is_paused = False
        self._probes_unanswered = self._early_probes = self._pauses = 0

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
        expected_others = 0.0 if old is None else old.next_others_per_own(self.in_flight)
        self._window = _Window(
            limit=limit,
            own_limit=self._own_limit(limit),
            reset=reset,
            turns_at=now + self.window_seconds if reset is None else self._turns_at(reset, now),
            remaining=remaining,
            # What was used before the first answer of all may be long ago.
            first_remaining=remaining if old is None else limit - 1,
            expected_others=expected_others,
            others_per_own=expected_others,
        )
        self._let_follow()
        self.waits += 1

    def _learn_from_turn(self, old: _Window, length: float) -> None:
        if self._early_probes:
            needed = self._probed_at - old.turns_at
            self._margin_seconds = min(_LARGEST_MARGIN_SECONDS, max(self._margin_seconds, needed))
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
            not_before = now + pause * random.uniform(0.75, 1.0)  # noqa: S311 (apart from other loads, no secret)
        self._probe_again(not_before)
        self._is_paused = True
        self.waits += 1
