"""The rate budget's decisions with the time given: answers as the API sends them, and how many may go."""

from __future__ import annotations

from collections import deque
from email.utils import formatdate

from sources.intercom.api.rate_window import Pace, Permit

NOON = 1_790_000_000  # unix seconds at the monotonic time 0, where a window of ten seconds begins


def headers(remaining: object, *, limit: object = 100, reset: object = NOON + 10, at: float = 0) -> dict[str, str]:
    """What an answer sent at the monotonic time `at` carries."""
    return {
        "Date": formatdate(NOON + at, usegmt=True),
        "X-RateLimit-Limit": str(limit),
        "X-RateLimit-Remaining": str(remaining),
        "X-RateLimit-Reset": str(reset),
    }


class Paced(Pace):
    """A pace that keeps the permits that are out.

    Attributes:
        out: those without an outcome yet, in the order of sending.
    """

    def __init__(self, share: float = 1.0) -> None:
        super().__init__(share)
        self.out: deque[Permit] = deque()

    def take(self, now: float) -> Permit | None:
        permit = super().take(now)
        if permit is not None:
            self.out.append(permit)
        return permit


def answer(pace: Paced, status: int, told: dict[str, str], now: float, *, newest: bool = False) -> None:
    """Answer the oldest request that is out, or the newest."""
    # The wall clock is a day off throughout: nothing may rest on it while there is a Date.
    permit = pace.out.pop() if newest else pace.out.popleft()
    pace.answered(permit, status, told, now, NOON + now + 86_400)


def fail(pace: Paced, now: float) -> None:
    """The oldest request that is out gets no answer."""
    pace.failed(pace.out.popleft(), now)


def give_back(pace: Paced, now: float) -> None:
    """The oldest request that is out is never sent."""
    pace.give_back(pace.out.popleft(), now)


def opened(remaining: int, *, limit: int = 100, share: float = 1.0) -> Paced:
    """A budget whose first answer came at the time 0."""
    pace = Paced(share)
    assert pace.take(0)
    answer(pace, 200, headers(remaining, limit=limit), 0)
    return pace


def taken(pace: Paced, now: float) -> int:
    """How many requests may go now, all of which then do."""
    count = 0
    while count < 10_000 and pace.take(now):
        count += 1
    return count
