"""The progress of a run on stderr: a live bar on a terminal, elsewhere a log line every 30 seconds."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import Literal

from sources.intercom.fetch import Fetch

logger = logging.getLogger("intercom_calls")

Style = Literal["auto", "rich", "log", "none"]
LOG_SECONDS = 30.0
_BAR_SECONDS = 0.2


def show_progress(style: Style, fetch: Fetch, total: int) -> AbstractContextManager[None]:
    """Show the progress of a fetch of `total` ids while the context lasts."""
    if style == "none":
        return nullcontext()
    if style == "rich" or (style == "auto" and sys.stderr.isatty()):
        return _bar(fetch, total)
    return _lines(fetch, total)


@contextmanager
def _repeated(show: Callable[[], None], every_seconds: float) -> Iterator[None]:
    """Call `show` again and again in the background."""
    done = threading.Event()

    def repeat() -> None:
        while not done.wait(every_seconds):
            show()

    thread = threading.Thread(target=repeat, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _state(fetch: Fetch) -> str:
    counts, waiting = fetch.counts, fetch.budget.waiting_seconds
    parts = [f"{counts.missing:,} missing"] if counts.missing else []
    parts += [f"{counts.failed:,} failed"] if counts.failed else []
    parts += [f"waiting {waiting:.0f} s for the API's rate limit"] if waiting else []
    return ", ".join(parts)


def _lines(fetch: Fetch, total: int) -> AbstractContextManager[None]:
    before = 0

    def show() -> None:
        nonlocal before
        done = fetch.counts.answered
        rate, before = (done - before) / LOG_SECONDS, done
        left = f", {(total - done) / rate / 60:.0f} min left" if rate else ""
        state = _state(fetch)
        logger.info("%s of %s calls, %.0f/s%s%s", f"{done:,}", f"{total:,}", rate, left, state and f", {state}")

    return _repeated(show, LOG_SECONDS)


@contextmanager
def _bar(fetch: Fetch, total: int) -> Iterator[None]:
    """A bar with log lines above it. A terminal that is closed or full costs the bar and nothing else."""
    # imported here: rich is slow to import, and most runs have no terminal
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    class Terminal(Console):
        def on_broken_pipe(self) -> None:
            """Continue: rich would end the program."""

    progress = Progress(
        TextColumn("calls"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[state]}"),
        console=Terminal(stderr=True, highlight=False),
        auto_refresh=False,
        redirect_stdout=False,  # stdout is for data
    )
    task = progress.add_task("calls", total=total, rate="", state="")

    def show() -> None:
        speed = progress.tasks[0].speed
        rate = f"{speed:,.0f}/s" if speed else ""
        with suppress(OSError):
            progress.update(task, completed=fetch.counts.answered, rate=rate, state=_state(fetch), refresh=True)

    with suppress(OSError):
        progress.start()
    try:
        with _repeated(show, _BAR_SECONDS):
            yield
    finally:
        show()
        with suppress(OSError):
            progress.stop()
