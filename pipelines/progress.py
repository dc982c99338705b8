"""What a run shows while it goes on: a live bar on a terminal, a line now and then elsewhere. All on stderr."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Literal

from sources.intercom.fetch import Fetch

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


class Beside(threading.Thread):
    """A thread that calls `show` every so often, from entering to leaving."""

    def __init__(self, fetch: Fetch, total: int, every_seconds: float) -> None:
        super().__init__(name="progress", daemon=True)
        self.fetch = fetch
        self._total = total
        self._every_seconds = every_seconds
        self._done = threading.Event()

    def __enter__(self) -> None:
        self.start()

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self.join()

    def run(self) -> None:
        """Call `show` until the context manager is left."""
        while not self._done.wait(self._every_seconds):
            self.show()

    def show(self) -> None:
        """Show how things stand."""
        raise NotImplementedError

    def state(self) -> str:
        """What is missing, what failed, and what is waited for, in words; often empty."""
        counts = self.fetch.counts
        parts = [f"{counts.missing:,} missing"] if counts.missing else []
        parts += [f"{counts.failed:,} failed"] if counts.failed else []
        waiting = self.fetch.budget.waiting_seconds
        parts += [f"waiting {waiting:.0f} s for the API's rate limit"] if waiting else []
        return ", ".join(parts)


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
