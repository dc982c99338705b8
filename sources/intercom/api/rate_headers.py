"""Reads the rate headers of an answer, and the server's clock from its `Date`."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from math import inf

logger = logging.getLogger(__name__)

LONGEST_WAIT_SECONDS = 60.0

_LIMIT = "X-RateLimit-Limit"
_REMAINING = "X-RateLimit-Remaining"
_RESET = "X-RateLimit-Reset"

_CLOCK_MEMORY_SECONDS = 60.0
_LARGEST_NUMBER = 1e12


def _number(text: str | None) -> float | None:
    """The number in a header; None when it is missing, invalid or far too large."""
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if abs(value) <= _LARGEST_NUMBER else None


def _unix_seconds(text: str | None) -> float | None:
    """The time of an HTTP-date; None when it is missing or invalid."""
    try:
        return parsedate_to_datetime(text or "").timestamp()
    except (ValueError, TypeError, OverflowError):
        return None


class ServerClock:
    """The server's unix time, on the local monotonic clock.

    `Date` is cut to whole seconds and arrives late. So `Date - received_at` is never too large, and the largest of
    many is close to the truth. Only the last minute or two count, because clocks are adjusted now and then.
    """

    def __init__(self) -> None:
        self._ahead: float | None = None
        self._ahead_before: float | None = None
        self._forget_at = -inf
        self._wall_ahead = 0.0

    def saw(self, date: float | None, now: float, wall: float) -> None:
        """Learn from the `Date` of an answer received at `now`; without one, this machine's clock is used."""
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


class HeaderReader:
    """Reads the rate headers, one answer after another.

    Attributes:
        limit: of the last answer; None when missing or impossible.
        reset: of the last answer; None when missing or impossible.
        changed: whether the last answer differs from the one before in more than `Remaining`.
        server_clock: the server's time by the answers' `Date`.
    """

    def __init__(self) -> None:
        self.limit: int | None = None
        self.reset: float | None = None
        self.changed = False
        self.server_clock = ServerClock()
        self._texts: tuple[str | None, str | None, str | None] = ("", "", "")
        self._warned: set[str] = set()

    def remaining(self, headers: Mapping[str, str], now: float, wall: float) -> int | None:
        """Read one answer: its `Remaining`, from 0 to the limit; None without a limit or without `Remaining`."""
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
        """How long to wait by `Retry-After` (seconds or an HTTP-date), at most a minute; None without it."""
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
        # The answer's own Date fits best: the answer may have been under way for long.
        server_now = answered_at if answered_at is not None else self.server_clock.unix(now)
        if reset_number is not None and -1 <= reset_number - server_now <= LONGEST_WAIT_SECONDS + 1:
            self.reset = reset_number
        elif reset is not None:
            self._warn(_RESET, reset, "going by the length of a window")

    def _warn(self, name: str, text: str, instead: str) -> None:
        if name not in self._warned:
            self._warned.add(name)
            logger.warning("the header %s: %.40s can't be true; %s", name, text, instead)
