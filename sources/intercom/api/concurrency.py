"""How many requests to keep in flight: by Little's law, the measured latency times the target rate.

At 300 ms and 1,666 requests in six seconds that is 85. Without a known rate it is 48. When most requests are rejected
(429, 5xx, no answer) the number is halved, then raised again one by one. Fewer rejections are usually bad luck, and
fewer requests in flight would only take longer.
"""

from __future__ import annotations

import math

SMALLEST = 8
START = 16
WITHOUT_RATE = 48
LARGEST = 128

_HEADROOM = 1.15
_SMOOTHING = 1 / 16
_OUTLIER = 3.0
_REJECTED_SHARE = 1 / 2


class Concurrency:
    """The number of requests to keep in flight, learned from their outcomes.

    Args:
        cap: the most, from `--workers`; None means 128.

    Attributes:
        limit: the number now, from 1 to the cap.
    """

    def __init__(self, *, cap: int | None = None) -> None:
        if cap is not None and cap < 1:
            raise ValueError(f"workers is {cap}: at least one request must be in flight; give 1 or more")
        self._cap = min(LARGEST, cap or LARGEST)
        self._ceiling = self._cap
        self._latency_seconds: float | None = None
        self._outcomes = 0
        self._rejected = 0
        self.limit = min(START, self._cap)

    def observe(self, latency_seconds: float, *, status: int | None, target_rate: float | None) -> None:
        """Learn from the outcome of one request.

        Args:
            latency_seconds: from sending to the whole answer or the fault.
            status: the HTTP status; None without an answer.
            target_rate: of `RateBudget`, in requests a second; None when unknown.
        """
        self._outcomes += 1
        # With a known rate limit the budget handles a 429; it says nothing about the number in flight.
        if status is None or status >= 500 or (status == 429 and target_rate is None):
            self._rejected += 1
        elif status != 429:
            self._learn_latency(latency_seconds)
        if self._outcomes >= max(SMALLEST, self.limit):
            self._judge_round()
        wanted = self._wanted(target_rate)
        # At most one more per answer: this doubles it each round trip, and one slow first answer does no harm.
        self.limit = min(self._cap, self._ceiling, max(SMALLEST, min(wanted, self.limit + 1)))

    def _wanted(self, target_rate: float | None) -> int:
        if target_rate is None or self._latency_seconds is None:
            return WITHOUT_RATE
        return math.ceil(min(LARGEST, self._latency_seconds * target_rate * _HEADROOM))

    def _learn_latency(self, latency_seconds: float) -> None:
        known = self._latency_seconds
        if known is None:
            self._latency_seconds = max(0.0, latency_seconds)
            return
        # Follow a lasting change, but not a few hung requests: each counts up to three times the known latency.
        believed = min(max(0.0, latency_seconds), _OUTLIER * known + 0.001)
        self._latency_seconds = known + _SMOOTHING * (believed - known)

    def _judge_round(self) -> None:
        """After a round of outcomes: halve if most were rejected, else allow one more."""
        if self._rejected > _REJECTED_SHARE * self._outcomes:
            self._ceiling = max(1, self.limit // 2)
        else:
            self._ceiling = min(self._cap, self._ceiling + 1)
        self._outcomes = self._rejected = 0
