"""The summary of a run."""

from __future__ import annotations

import time
import uuid
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from .errors import ExitCode, exit_code_of, message_of


@dataclass
class Summary:
    """What a run did; printed as JSON and kept as a row of `load_runs`.

    Counts are numbers of calls unless the name says otherwise.

    Attributes:
        goes_on: after a failure, whether the same command goes on with nothing changed.
    """

    destination: str
    dataset: str
    run_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    requested: int = 0
    duplicates: int = 0
    blank: int = 0
    already_loaded: int = 0
    fetched: int = 0
    loaded: int = 0
    missing: int = 0
    failed: int = 0
    skipped: int = 0
    not_reached: int = 0
    requests: int = 0
    rate_limited: int = 0
    retries: int = 0
    unreadable_values: int = 0
    load_packages: int = 0
    exit_code: int = ExitCode.DONE
    seconds: float = 0.0
    calls_per_second: float = 0.0
    workspace: str | None = None
    workspace_name: str | None = None
    workspace_timezone: str | None = None
    strategy: str = "none"
    error: str | None = None
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    goes_on: bool = False
    _started: float = field(default_factory=time.monotonic, repr=False)

    def as_json(self) -> dict[str, Any]:
        """The fields that `--json` prints, in its order."""
        values = asdict(self)
        for name in ("workspace_timezone", "started_at", "goes_on", "_started"):
            del values[name]
        return values

    def fail(self, error: BaseException) -> None:
        """Close the summary of a run that `error` ended."""
        self.exit_code, self.error = exit_code_of(error), message_of(error)
        self.goes_on = getattr(error, "goes_on", False)
        self.stop_the_clock()

    def stop_the_clock(self) -> None:
        """Set the figures that depend on the time, and `not_reached`: what no other count includes."""
        self.seconds = round(time.monotonic() - self._started, 3)
        self.calls_per_second = round((self.fetched + self.missing + self.failed) / max(self.seconds, 1e-3), 1)
        self.not_reached = self.requested - self.already_loaded - self.loaded - self.missing - self.failed


def counted(count: int, noun: str) -> str:
    """A count with its noun: `1 call`, `2,000 calls`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
