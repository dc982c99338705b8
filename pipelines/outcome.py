"""How a run ends: the exit codes, what stops a run, and the summary of what it did."""

from __future__ import annotations

import signal
import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from enum import IntEnum
from typing import Any

from .details import without_secrets


class ExitCode(IntEnum):
    """What a scheduler can tell apart."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    INCOMPLETE = 3
    TOKEN_REFUSED = 4
    ANOTHER_LOAD = 5
    HUNG_UP = 129
    INTERRUPTED = 130
    TERMINATED = 143

    @classmethod
    def of_signal(cls, number: int) -> ExitCode:
        """A shell's convention: 128 and the signal's number."""
        return cls(128 + number)


class RunStopped(Exception):
    """A run that can't go on, with the code to exit with; its message says what, where and the fix.

    Attributes:
        goes_on: whether the same command goes on later, with nothing changed.
    """

    exit_code = ExitCode.FAILED
    goes_on = False


class UsageError(RunStopped):
    """A usage, configuration or driver fault; nothing was requested."""

    exit_code = ExitCode.USAGE


class DestinationFailed(RunStopped):
    """The destination can't be reached, refuses the login, or can't be loaded into."""

    def __init__(self, message: str, *, goes_on: bool = False) -> None:
        super().__init__(message)
        self.goes_on = goes_on


class Unforeseen(RunStopped):
    """What nobody foresaw, with its type: most likely a fault of this program."""

    def __init__(self, error: BaseException) -> None:
        text = f"{type(error).__name__}: {' '.join(str(error).split())[:600]}"
        super().__init__(without_secrets(text).rstrip(": "))


class AnotherWorkspace(RunStopped):
    """The token is another workspace's than the dataset's; nothing was written."""

    exit_code = ExitCode.TOKEN_REFUSED


class AnotherLoad(RunStopped):
    """Another load is at work on this destination and dataset."""

    exit_code = ExitCode.ANOTHER_LOAD


# What only follows from an error before it, and does not say why.
_CONSEQUENCES = (
    "already closed",
    "server closed the connection",
    "transaction is aborted",
    "no transaction is active",
    "because of a previous fatal error",
)
# How libraries and the system say that they got no memory, where it is no MemoryError; a thread needs some, too.
_OUT_OF_MEMORY = (
    "Out of Memory Error",
    "bad_alloc",
    "can't start new thread",
    "Cannot allocate memory",
    "Not enough memory",
    "failed to map segment",
)


class Interrupted(KeyboardInterrupt):
    """A signal came before the run began or after it ended; no `except Exception` on the way takes it for a fault."""

    def __init__(self, number: signal.Signals) -> None:
        super().__init__(f"stopped by {number.name}")
        self.exit_code = ExitCode.of_signal(number)


def exit_code_of(error: BaseException) -> ExitCode:
    """The code to exit with where `error` ended the run."""
    if isinstance(error, (RunStopped, Interrupted)):
        return error.exit_code
    if is_out_of_memory(error):  # though it was a list of ids that was being read
        return ExitCode.FAILED
    # not above: `sources.intercom` imports dlt, and `--help` is to be instant
    from sources.intercom.errors import BadIds, ConfigurationError, TokenRefused

    if isinstance(error, TokenRefused):
        return ExitCode.TOKEN_REFUSED
    if isinstance(error, (BadIds, ConfigurationError)):
        return ExitCode.USAGE
    return ExitCode.FAILED


def is_foreseen(error: BaseException) -> bool:
    """Whether it has a message for the user."""
    from sources.intercom.errors import IntercomError

    foreseen = isinstance(error, (RunStopped, Interrupted, IntercomError)) and not isinstance(error, Unforeseen)
    return foreseen or is_out_of_memory(error)


def message_of(error: BaseException) -> str:
    """What a user is to read of `error`: its own message; with its type where nobody foresaw it."""
    if not is_out_of_memory(error):
        return str(error if is_foreseen(error) or isinstance(error, Unforeseen) else Unforeseen(error))
    *_, cause = causes(error)
    words, _, _ = (str(cause).strip() or type(cause).__name__).partition("\n")
    return (
        f"out of memory ({words}); a load needs 512 MB, and 4 GB of addresses: raise the limit (the container's or "
        "machine's memory, its processes or threads, `ulimit -v`, DuckDB's memory_limit)"
    )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the memory that this process can have ran out; nothing is tried again in it."""
    return any(
        isinstance(cause, MemoryError) or any(words in str(cause) for words in _OUT_OF_MEMORY)
        for cause in causes(error)
    )


def causes(error: BaseException) -> Iterator[BaseException]:
    """The error, what it was raised from, and so on."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)


def innermost(error: BaseException) -> str:
    """What went wrong in the first place, in one line."""
    return one_line(telling(error))


def telling(error: BaseException) -> BaseException:
    """Of all causes the one that says most: the last that a driver or the system said, else the first of all.

    Below it may be what the driver made it from (`[Errno 111]`), or an error that was dealt with before this one.
    """
    said = [cause for cause in causes(error) if _is_from_outside(cause)]
    for cause in said:
        if not any(words in str(cause) for words in _CONSEQUENCES):
            return cause
    if said:
        return said[-1]
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _is_from_outside(error: BaseException) -> bool:
    """Whether a driver said it (PEP 249 gives its errors their names), or the system."""
    return isinstance(error, OSError) or any(
        kind.__name__ in ("DatabaseError", "InterfaceError") for kind in type(error).__mro__
    )


def one_line(error: BaseException) -> str:
    """The error's text without line breaks, cut where it is very long."""
    return " ".join(str(error).split())[:600] or type(error).__name__


@dataclass
class Summary:
    """What a run did; printed as JSON and kept as a row of `load_runs`. Counts are of calls, but where they say.

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
        """The fields of the contract, in its order."""
        values = asdict(self)
        for name in ("workspace_timezone", "started_at", "goes_on", "_started"):
            del values[name]
        return values

    def take(self, other: Summary) -> None:
        """Become `other`."""
        for each in fields(self):
            setattr(self, each.name, getattr(other, each.name))

    def fail(self, error: BaseException) -> None:
        """Close the summary of a run that `error` ended."""
        self.exit_code, self.error = exit_code_of(error), message_of(error)
        self.goes_on = getattr(error, "goes_on", False)
        self.stop_the_clock()

    def stop_the_clock(self) -> None:
        """Set the figures that depend on the time; `not_reached` is what no other count has."""
        self.seconds = round(time.monotonic() - self._started, 3)
        self.calls_per_second = round((self.fetched + self.missing + self.failed) / max(self.seconds, 1e-3), 1)
        self.not_reached = self.requested - self.already_loaded - self.loaded - self.missing - self.failed


def printable(text: str) -> str:
    """One line that can't steer a terminal, whatever the API or a file put into it."""
    return "".join(character if character.isprintable() else " " for character in text)


def counted(count: int, noun: str) -> str:
    """A count with its noun: `1 call`, `2,000 calls`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
