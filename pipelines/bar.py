"""The live bar of a run on a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from sources.intercom.fetch import Fetch

from .beside import Beside

_REFRESH_SECONDS = 0.2


class Bar(Beside):
    """Done, total, calls a second, time left, and what holds things up."""

    def __init__(self, fetch: Fetch, total: int) -> None:
        super().__init__(fetch, total, _REFRESH_SECONDS)
        self._progress = Progress(
            TextColumn("calls"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[state]}"),
            console=Console(stderr=True, highlight=False),
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
        """Draw the bar anew."""
        speed = self._progress.tasks[0].speed
        self._progress.update(
            self._task,
            completed=self.fetch.counts.answered,
            rate=f"{speed:,.0f}/s" if speed else "",
            state=self.state(),
            refresh=True,
        )
