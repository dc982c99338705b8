"""What a run shows while it goes on: a live bar on a terminal, a line now and then elsewhere. All on stderr."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Literal

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from sources.intercom.fetch import Fetch

logger = logging.getLogger("intercom_calls")

Style = Literal["auto", "rich", "log", "none"]
LOG_SECONDS = 30.0
_REFRESH_SECONDS = 0.2


def watcher(style: Style, total: int, console: Console) -> Callable[[Fetch], AbstractContextManager[object]]:
    """What to run beside the fetch: a context manager made from it."""
    if style == "auto":
        style = "rich" if console.is_terminal else "log"
    if style == "rich":
        return lambda fetch: _Bar(fetch, total, console)
    if style == "log":
        return lambda fetch: _Lines(fetch, total)
    return lambda fetch: nullcontext()


class _Beside(threading.Thread):
    """A thread that calls `show` every so often, from entering to leaving."""

    def __init__(self, fetch: Fetch, total: int, every_seconds: float) -> None:
        super().__init__(name="progress", daemon=True)
        self._fetch = fetch
        self._total = total
        self._every_seconds = every_seconds
        self._done = threading.Event()

    def __enter__(self) -> None:
        self.start()

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self.join()

    def run(self) -> None:
        while not self._done.wait(self._every_seconds):
            self.show()

    def show(self) -> None:
        raise NotImplementedError

    def _state(self) -> str:
        counts = self._fetch.counts
        parts = [f"{counts.missing:,} missing"] if counts.missing else []
        parts += [f"{counts.failed:,} failed"] if counts.failed else []
        waiting = self._fetch.budget.waiting_seconds
        parts += [f"waiting {waiting:.0f} s for the API's rate limit"] if waiting else []
        return ", ".join(parts)


class _Bar(_Beside):
    def __init__(self, fetch: Fetch, total: int, console: Console) -> None:
        super().__init__(fetch, total, _REFRESH_SECONDS)
        self._progress = Progress(
            TextColumn("calls"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[state]}"),
            console=console,
            auto_refresh=False,
        )
        self._task = self._progress.add_task("calls", total=total, rate="", state="")

    def __enter__(self) -> None:
        self._progress.start()
        super().__enter__()

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        self.show()
        self._progress.stop()

    def show(self) -> None:
        speed = self._progress.tasks[0].speed
        self._progress.update(
            self._task,
            completed=self._fetch.counts.answered,
            rate=f"{speed:,.0f}/s" if speed else "",
            state=self._state(),
            refresh=True,
        )


class _Lines(_Beside):
    def __init__(self, fetch: Fetch, total: int) -> None:
        super().__init__(fetch, total, LOG_SECONDS)
        self._before = 0

    def show(self) -> None:
        done = self._fetch.counts.answered
        rate = (done - self._before) / LOG_SECONDS
        self._before = done
        left = f", {(self._total - done) / rate / 60:.0f} min left" if rate else ""
        state = self._state()
        logger.info("%s of %s calls, %.0f/s%s%s", f"{done:,}", f"{self._total:,}", rate, left, state and f", {state}")
