"""The retry policy, all of it: which answers are worth asking again, how often, and how long.

| what came | asked again |
|---|---|
| no answer: connection refused, reset or cut, time limit | yes, code `connection` or `timeout` |
| 200 that can't be read as a JSON object | yes, code `invalid_json` |
| 408, 425, and every 5xx but 501 and 505, those of CDNs and proxies (520 to 527, 530) too | yes |
| 429 | yes, when the rate budget's window turns; the wait is not the call's fault and not counted |
| 200 of another call, 400, 404, 410, 3xx, a 403 that is not Intercom's, any other status | no |
| 401, a 403 of Intercom's own | no: the whole run stops |

The waits between attempts grow by half, from a quarter of a second to half a minute, with jitter, until
`retry_seconds` of trouble are spent on one call. Where nothing at all is answered usably for so long, the run ends
(`asking`).
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
_NEVER_BETTER = frozenset({501, 505})  # not implemented, HTTP version not supported

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


def is_retryable(status: int) -> bool:
    """Whether an answer of this HTTP status may be better the next time."""
    return status in (408, 425, 429) or (500 <= status < 600 and status not in _NEVER_BETTER)


async def retry(
    fault: Fault,
    attempt: Callable[[], Awaitable[T]],
    *,
    retry_seconds: float,
    give_up_on_rate_limit: Callable[[], bool],
    sleep: Callable[[float], Awaitable[None]],
    before_sleep: Callable[[Fault, int, float], None],
) -> T:
    """Repeat `attempt`, whose first try ended in `fault`, by the policy above.

    The first try is the caller's: nearly every call is answered by it, and pays nothing for the policy.

    Args:
        fault: what the first try ended in.
        attempt: one more try.
        retry_seconds: the most trouble to have, as the policy counts it.
        give_up_on_rate_limit: asked after each 429.
        sleep: waits so many seconds.
        before_sleep: told of each wait: the fault, how many attempts have failed, the seconds to wait.

    Raises:
        Fault: the last one, when the policy gave up.
    """
    began_at = time.monotonic()
    waited_seconds = 0.0
    for failed in itertools.count(1):
        # what it was raised in and from: a dozen frames and an answer, kept for as long as the wait is
        fault.__traceback__ = fault.__context__ = None
        seconds = 0.0 if fault.rate_limited else _wait_seconds(failed)
        if fault.rate_limited:
            gives_up = give_up_on_rate_limit()
        else:
            gives_up = time.monotonic() - began_at - waited_seconds + seconds >= retry_seconds
        if gives_up:
            break
        before_sleep(fault, failed, seconds)
        await sleep(seconds)
        try:
            return await attempt()
        except Fault as another:
            fault = another
        waited_seconds += fault.waited_seconds
    raise fault


def _wait_seconds(failed: int) -> float:
    growing = _FIRST_WAIT_SECONDS * _GROWTH ** min(failed - 1, 100)
    return min(growing, _LONGEST_WAIT_SECONDS) + random.uniform(0, _JITTER_SECONDS)  # noqa: S311 (no secret)
