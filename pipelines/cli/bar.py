"""The live bar of a run on a terminal."""

from __future__ import annotations

from contextlib import suppress

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from sources.intercom.fetch import Fetch

from .beside import Beside

_REFRESH_SECONDS = 0.2


class _Terminal(Console):
    def on_broken_pipe(self) -> None:
        """Go on: rich would end the program, but a terminal that is gone must not end a load."""


class Bar(Beside):
    """Done, total, calls a second, time left, and what the run waits for. Log lines appear above the bar.

    A terminal that is closed or full costs the bar and nothing else.
    """

    def __init__(self, fetch: Fetch, total: int) -> None:
        super().__init__(fetch, total, _REFRESH_SECONDS)
        self._progress = Progress(
            TextColumn("calls"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[state]}"),
            console=_Terminal(stderr=True, highlight=False),
            auto_refresh=False,
            redirect_stdout=False,  # stdout is for data
        )
        self._task = self._progress.add_task("calls", total=total, rate="", state="")

    def __enter__(self) -> None:
        with suppress(OSError):
            self._progress.start()
        super().__enter__()

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        self.show()
        with suppress(OSError):
            self._progress.stop()

    def show(self) -> None:
        """Draw the bar."""
        speed = self._progress.tasks[0].speed
        with suppress(OSError):
            self._progress.update(
                self._task,
                completed=self.fetch.counts.answered,
                rate=f"{speed:,.0f}/s" if speed else "",
                state=self.state(),
                refresh=True,
            )
