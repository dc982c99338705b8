"""What runs beside a fetch and shows how things stand."""

from __future__ import annotations

import threading

from sources.intercom.fetch import Fetch


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
