"""How many requests to have in flight: by Little's law, the measured latency times the rate wanted.

At 300 ms and 1,666 requests wanted in six seconds that is 85. Without a known rate a middling number is
kept. Either is halved when most requests are pushed back (429, 5xx, no answer) and raised again one by one; a
smaller share is more often bad luck than too much asked, and asking for less at once would only take longer.
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
_MOST = 1 / 2


class Concurrency:
    """The number of requests to have in flight, from the outcomes of the requests so far.

    Args:
        cap: the user's `--workers`: never more than this; None leaves the bound at 128.

    Attributes:
        limit: how many requests to have in flight now, from 1 to the cap.
    """

    def __init__(self, *, cap: int | None = None) -> None:
        if cap is not None and cap < 1:
            raise ValueError(f"workers is {cap}: at least one request must be in flight; give 1 or more")
        self._cap = min(LARGEST, cap or LARGEST)
        self._ceiling = self._cap
        self._latency_seconds: float | None = None
        self._outcomes = 0
        self._pushed_back = 0
        self.limit = min(START, self._cap)

    def observe(self, latency_seconds: float, *, status: int | None, target_rate: float | None) -> None:
        """Learn from the outcome of one request.

        Args:
            latency_seconds: from sending to the whole answer, or to the fault.
            status: the HTTP status; None when no answer came.
            target_rate: requests a second wanted (`RateBudget.target_rate()`); None when unknown.
        """
        self._outcomes += 1
        # With a known budget a 429 says nothing about the number in flight: the budget itself obeys it.
        if status is None or status >= 500 or (status == 429 and target_rate is None):
            self._pushed_back += 1
        elif status != 429:
            self._learn_latency(latency_seconds)
        if self._outcomes >= max(SMALLEST, self.limit):
            self._judge_round()
        wanted = self._wanted(target_rate)
        # One more for each answer at most: doubles each round trip, so a first slow answer does no harm.
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
        # A few hung requests must not move it, a lasting change must: each counts, up to thrice the known.
        believed = min(max(0.0, latency_seconds), _OUTLIER * known + 0.001)
        self._latency_seconds = known + _SMOOTHING * (believed - known)

    def _judge_round(self) -> None:
        """After as many outcomes as were in flight: fewer if most were pushed back, else one more."""
        if self._pushed_back > _MOST * self._outcomes:
            self._ceiling = max(1, self.limit // 2)
        else:
            self._ceiling = min(self._cap, self._ceiling + 1)
        self._outcomes = self._pushed_back = 0
