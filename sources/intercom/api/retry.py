"""The retry policy: which answers are requested again, how often, and after how long.

| answer | retried |
|---|---|
| none: connection refused, reset or cut, time limit | yes, code `connection` or `timeout` |
| 200 that is no JSON object | yes, code `invalid_json` |
| 408, 425, every 5xx except 501 and 505; so also those of CDNs and proxies (520 to 527, 530) | yes |
| 429 | yes, in the next window of the rate budget; the wait does not count |
| 200 of another call, 400, 404, 410, 3xx, a 403 that is not Intercom's, any other status | no |
| 401, a 403 of Intercom's own | no: the whole run stops |

Waits grow by half, from a quarter of a second to half a minute, with jitter. A call is given up after `retry_seconds`
of failures. A run ends when no request at all succeeds for that long (`requester`).
"""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

_FIRST_WAIT_SECONDS = 0.25
_GROWTH = 1.5
_LONGEST_WAIT_SECONDS = 30.0
_JITTER_SECONDS = 0.25
_PERMANENT_5XX = frozenset({501, 505})  # not implemented, HTTP version not supported

T = TypeVar("T")


class Fault(Exception):
    """A failed attempt that a retry may fix.

    Attributes:
        code: Intercom's error code, or one of ours (`connection`, `timeout`, `invalid_json`).
        http_status: None when there was no answer.
        began_at: when the attempt began to wait for the rate budget, on the monotonic clock.
        waited_seconds: how long it waited before it was sent.
    """

    def __init__(
        self, code: str | None, message: str, *, http_status: int | None = None, request_id: str | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.http_status = http_status
        self.request_id = request_id
        self.began_at = self.waited_seconds = 0.0

    @property
    def rate_limited(self) -> bool:
        """Whether the answer was a 429."""
        return self.http_status == 429


def is_retryable(status: int) -> bool:
    """Whether a later answer may be better than one of this HTTP status."""
    return status in (408, 425, 429) or (500 <= status < 600 and status not in _PERMANENT_5XX)


async def retry(
    attempt: Callable[[], Awaitable[T]],
    *,
    retry_seconds: float,
    give_up_on_rate_limit: Callable[[], bool],
    sleep: Callable[[Fault, float], Awaitable[None]],
) -> T:
    """Repeat `attempt` by the policy above until it succeeds.

    Args:
        attempt: one attempt; only a `Fault` is retried.
        retry_seconds: how long to go on after the first fault, waits for the rate budget not counted.
        give_up_on_rate_limit: called after each 429.
        sleep: waits some seconds after a fault.

    Raises:
        Fault: the last one, when the policy gave up.
    """
    failing_since = 0.0
    for failed in itertools.count(1):
        try:
            return await attempt()
        except Fault as error:
            fault = error
        # Otherwise a dozen frames and an answer stay in memory during the wait.
        fault.__traceback__ = fault.__context__ = None
        failing_since = time.monotonic() if failed == 1 else failing_since + fault.waited_seconds
        if fault.rate_limited:
            seconds, gives_up = 0.0, give_up_on_rate_limit()
        else:
            seconds = _wait_seconds(failed)
            gives_up = time.monotonic() - failing_since + seconds >= retry_seconds
        if gives_up:
            break
        await sleep(fault, seconds)
    raise fault


def _wait_seconds(failed: int) -> float:
    growing = _FIRST_WAIT_SECONDS * _GROWTH ** min(failed - 1, 100)
    return min(growing, _LONGEST_WAIT_SECONDS) + random.uniform(0, _JITTER_SECONDS)  # noqa: S311 (no secret)
