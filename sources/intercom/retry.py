"""The retry policy, all of it: which answers are worth asking again, how often, and how long.

| what came | asked again |
|---|---|
| no answer: connection refused, reset or cut, time limit | yes, code `connection` or `timeout` |
| 200 that can't be read as a JSON object | yes, code `invalid_json` |
| 408, 500, 502, 503, 504 | yes |
| 429 | yes, when the rate budget's window turns; the wait is not the call's fault and not counted |
| 200 of another call, 400, 404, 410, 3xx, any other status | no |
| 401, 403 | no: the whole run stops |

The waits between attempts grow by half, from a quarter of a second to half a minute, with jitter, until
`retry_seconds` of trouble are spent on one call.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from tenacity import RetryCallState, Retrying, wait_exponential, wait_random
from tenacity.stop import stop_base
from tenacity.wait import wait_base

RETRYABLE_STATUSES = frozenset({408, 429, 500, 502, 503, 504})

T = TypeVar("T")


class Fault(Exception):
    """An attempt that is worth repeating.

    Attributes:
        code: Intercom's code of the error, or one of our own (`connection`, `timeout`, `invalid_json`).
        http_status: None when there was no answer.
        waited_seconds: how long the attempt had waited for the rate budget before it was made.
    """

    def __init__(
        self, code: str | None, message: str, *, http_status: int | None = None, request_id: str | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.http_status = http_status
        self.request_id = request_id
        self.waited_seconds = 0.0

    @property
    def rate_limited(self) -> bool:
        """Whether the API asked us to wait (429)."""
        return self.http_status == 429


class _WaitUnlessRateLimited(wait_base):
    """Growing, jittered waits; none after a 429, since the rate budget holds the next attempt back."""

    def __init__(self) -> None:
        self._growing = wait_exponential(multiplier=0.25, exp_base=1.5, max=30) + wait_random(0, 0.25)

    def __call__(self, retry_state: RetryCallState) -> float:
        return 0.0 if _fault(retry_state).rate_limited else self._growing(retry_state)


class _StopWhenSpent(stop_base):
    """Stops where the next wait would pass `retry_seconds`; waits for the rate budget are left out."""

    def __init__(self, retry_seconds: float, give_up_on_rate_limit: Callable[[], bool]) -> None:
        self._retry_seconds = retry_seconds
        self._give_up_on_rate_limit = give_up_on_rate_limit
        self._waited_seconds = 0.0

    def __call__(self, retry_state: RetryCallState) -> bool:
        fault = _fault(retry_state)
        self._waited_seconds += fault.waited_seconds
        if fault.rate_limited:
            return self._give_up_on_rate_limit()
        trouble_seconds = (retry_state.seconds_since_start or 0.0) - self._waited_seconds
        return trouble_seconds + retry_state.upcoming_sleep >= self._retry_seconds


async def retry(
    fault: Fault,
    attempt: Callable[[], Awaitable[T]],
    *,
    retry_seconds: float,
    give_up_on_rate_limit: Callable[[], bool],
    sleep: Callable[[float], Awaitable[None]],
    before_sleep: Callable[[RetryCallState], None],
) -> T:
    """Repeat `attempt`, whose first try ended in `fault`, by the policy above.

    The first try is the caller's: nearly every call is answered by it, and pays nothing for the policy.

    Raises:
        Fault: the last one, when the policy gave up.
    """
    # tenacity decides; its own asynchronous loop would ask of each of its steps whether it is a coroutine, at the cost
    # of a request
    policy = Retrying(
        wait=_WaitUnlessRateLimited(),
        stop=_StopWhenSpent(retry_seconds, give_up_on_rate_limit),
        before_sleep=before_sleep,
        reraise=True,
    )
    policy.begin()
    state = RetryCallState(policy, None, (), {})
    while True:
        # what it was raised in and from: a dozen frames and an answer, kept for as long as the wait is
        fault.__traceback__ = fault.__context__ = None
        state.set_exception((Fault, fault, None))
        policy.iter(state)  # raises the last fault when it gives up
        state.prepare_for_next_attempt()
        await sleep(state.upcoming_sleep)
        try:
            return await attempt()
        except Fault as another:
            fault = another


def _fault(retry_state: RetryCallState) -> Fault:
    assert retry_state.outcome is not None
    fault = retry_state.outcome.exception()
    assert isinstance(fault, Fault)
    return fault
