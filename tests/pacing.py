"""The rate budget's decisions with the time given: answers as the API sends them, and how many may go."""

from __future__ import annotations

from email.utils import formatdate

from sources.intercom.pace import Pace

NOON = 1_790_000_000  # unix seconds at the monotonic time 0, where a window of ten seconds begins


def headers(remaining: object, *, limit: object = 100, reset: object = NOON + 10, at: float = 0) -> dict[str, str]:
    """What an answer sent at the monotonic time `at` carries."""
    return {
        "Date": formatdate(NOON + at, usegmt=True),
        "X-RateLimit-Limit": str(limit),
        "X-RateLimit-Remaining": str(remaining),
        "X-RateLimit-Reset": str(reset),
    }


def answer(pace: Pace, status: int, told: dict[str, str], now: float) -> None:
    # The wall clock is a day off throughout: nothing may rest on it while there is a Date.
    pace.answered(status, told, now, NOON + now + 86_400)


def opened(remaining: int, *, limit: int = 100, share: float = 1.0) -> Pace:
    """A budget whose first answer came at the time 0."""
    pace = Pace(share)
    assert pace.take(0)
    answer(pace, 200, headers(remaining, limit=limit), 0)
    return pace


def taken(pace: Pace, now: float) -> int:
    """How many requests may go now, all of which then do."""
    count = 0
    while count < 10_000 and pace.take(now):
        count += 1
    return count
