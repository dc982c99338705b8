"""The rate budget's decisions with the time given: answers as the API sends them, and how many may go."""

from __future__ import annotations

from collections import deque
from email.utils import formatdate

from sources.intercom.api.rate_window import Permit, RateLimiter

NOON = 1_790_000_000  # unix seconds at the monotonic time 0, where a window of ten seconds begins


def headers(remaining: object, *, limit: object = 100, reset: object = NOON + 10, at: float = 0) -> dict[str, str]:
    """What an answer sent at the monotonic time `at` carries."""
    return {
        "Date": formatdate(NOON + at, usegmt=True),
        "X-RateLimit-Limit": str(limit),
        "X-RateLimit-Remaining": str(remaining),
        "X-RateLimit-Reset": str(reset),
    }


class Limiter(RateLimiter):
    """A rate limiter that keeps the permits that are out.

    Attributes:
        out: those without an outcome yet, in the order of sending.
    """

    def __init__(self, share: float = 1.0) -> None:
        super().__init__(share)
        self.out: deque[Permit] = deque()

    def try_acquire(self, now: float) -> Permit | None:
        permit = super().try_acquire(now)
        if permit is not None:
            self.out.append(permit)
        return permit


def answer(limiter: Limiter, status: int, told: dict[str, str], now: float, *, newest: bool = False) -> None:
    """Answer the oldest request that is out, or the newest."""
    # The wall clock is a day off throughout: nothing may rest on it while there is a Date.
    permit = limiter.out.pop() if newest else limiter.out.popleft()
    limiter.answered(permit, status, told, now, NOON + now + 86_400)


def fail(limiter: Limiter, now: float) -> None:
    """The oldest request that is out gets no answer."""
    limiter.failed(limiter.out.popleft(), now)


def give_back(limiter: Limiter, now: float) -> None:
    """The oldest request that is out is never sent."""
    limiter.give_back(limiter.out.popleft(), now)


def opened(remaining: int, *, limit: int = 100, share: float = 1.0) -> Limiter:
    """A budget whose first answer came at the time 0."""
    limiter = Limiter(share)
    assert limiter.try_acquire(0)
    answer(limiter, 200, headers(remaining, limit=limit), 0)
    return limiter


def taken(limiter: Limiter, now: float) -> int:
    """How many requests may go now, all of which then do."""
    count = 0
    while count < 10_000 and limiter.try_acquire(now):
        count += 1
    return count
