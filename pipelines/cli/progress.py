"""What a run shows while it goes on: a live bar on a terminal, a line now and then elsewhere. All on stderr."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Literal

from sources.intercom.fetch import Fetch

from .beside import Beside

logger = logging.getLogger("intercom_calls")

Style = Literal["auto", "rich", "log", "none"]
LOG_SECONDS = 30.0


def watcher(style: Style, total: int) -> Callable[[Fetch], AbstractContextManager[object]]:
    """What to run beside the fetch: a context manager made from it."""
    if style == "rich" or (style == "auto" and sys.stderr.isatty()):
        from .bar import Bar  # rich takes a while to import, and most runs have no terminal

        return lambda fetch: Bar(fetch, total)
    if style == "none":
        return lambda fetch: nullcontext()
    return lambda fetch: Lines(fetch, total)


class Lines(Beside):
    """A log line now and then."""

    def __init__(self, fetch: Fetch, total: int) -> None:
        super().__init__(fetch, total, LOG_SECONDS)
        self._before = 0

    def show(self) -> None:
        """Log done, total, calls a second and time left."""
        done = self.fetch.counts.answered
        rate = (done - self._before) / LOG_SECONDS
        self._before = done
        left = f", {(self._total - done) / rate / 60:.0f} min left" if rate else ""
        state = self.state()
        logger.info("%s of %s calls, %.0f/s%s%s", f"{done:,}", f"{self._total:,}", rate, left, state and f", {state}")
