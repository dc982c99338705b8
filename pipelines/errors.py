"""What ends a run: the exit codes, the errors, and what a user reads of an error."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from enum import IntEnum

from .details import without_secrets

# Errors that follow from an earlier one and don't say why.
_CONSEQUENCES = (
    "already closed",
    "server closed the connection",
    "transaction is aborted",
    "no transaction is active",
    "because of a previous fatal error",
)
# What libraries and the system say instead of MemoryError; a new thread needs memory, too.
_OUT_OF_MEMORY = (
    "Out of Memory Error",
    "bad_alloc",
    "can't start new thread",
    "Cannot allocate memory",
    "Not enough memory",
    "failed to map segment",
)


class ExitCode(IntEnum):
    """The exit codes, for schedulers."""

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
        """As a shell does it: 128 and the signal's number."""
        return cls(128 + number)


class RunStopped(Exception):
    """A run that can't go on; the message says what is wrong, where, and the fix.

    Attributes:
        exit_code: how the command exits.
        goes_on: whether the same command goes on later, with nothing changed.
    """

    exit_code = ExitCode.FAILED
    goes_on = False


class UsageError(RunStopped):
    """A wrong option, configuration or driver; nothing was requested."""

    exit_code = ExitCode.USAGE


class DestinationFailed(RunStopped):
    """The destination can't be reached, refuses the login, or can't be loaded into."""

    def __init__(self, message: str, *, goes_on: bool = False) -> None:
        super().__init__(message)
        self.goes_on = goes_on


class Unexpected(RunStopped):
    """Most likely a bug of this program; the message names the error's type."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(without_secrets(f"{type(error).__name__}: {_cut(str(error))}").rstrip(": "))


class AnotherWorkspace(RunStopped):
    """The token belongs to another workspace than the dataset; nothing was written."""

    exit_code = ExitCode.TOKEN_REFUSED


class AnotherLoad(RunStopped):
    """Another load is running on this destination and dataset."""

    exit_code = ExitCode.ANOTHER_LOAD


class Interrupted(KeyboardInterrupt):
    """A signal before the run began or after it ended. No `except Exception` catches it."""

    def __init__(self, number: signal.Signals) -> None:
        super().__init__(f"stopped by {number.name}")
        self.exit_code = ExitCode.of_signal(number)


def exit_code_of(error: BaseException) -> ExitCode:
    """The exit code of a run that `error` ended."""
    if isinstance(error, (RunStopped, Interrupted)):
        return error.exit_code
    if is_out_of_memory(error):  # even while a list of ids was read, which is no usage error then
        return ExitCode.FAILED
    # imported here: `sources.intercom` imports dlt, and `--help` must be instant
    from sources.intercom.errors import BadIds, ConfigurationError, TokenRefused

    if isinstance(error, TokenRefused):
        return ExitCode.TOKEN_REFUSED
    return ExitCode.USAGE if isinstance(error, (BadIds, ConfigurationError)) else ExitCode.FAILED


def is_expected(error: BaseException) -> bool:
    """Whether the error has a message for the user."""
    return (_has_message(error) and not isinstance(error, Unexpected)) or is_out_of_memory(error)


def message_of(error: BaseException) -> str:
    """What a user reads of `error`: its own message; with its type where it is unexpected."""
    if not is_out_of_memory(error):
        return str(error if _has_message(error) else Unexpected(error))
    *_, cause = causes(error)
    words, _, _ = (str(cause).strip() or type(cause).__name__).partition("\n")
    return (
        f"out of memory ({words}); a load needs 512 MB, and 4 GB of addresses: raise the limit (the container's or "
        "machine's memory, its processes or threads, `ulimit -v`, DuckDB's memory_limit)"
    )


def _has_message(error: BaseException) -> bool:
    from sources.intercom.errors import IntercomError

    return isinstance(error, (RunStopped, Interrupted, IntercomError))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether this process ran out of memory; nothing is retried then."""
    return any(
        isinstance(cause, MemoryError) or any(words in str(cause) for words in _OUT_OF_MEMORY)
        for cause in causes(error)
    )


def causes(error: BaseException) -> Iterator[BaseException]:
    """The error, what it was raised from, and so on."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)


def root_cause_text(error: BaseException) -> str:
    """The root cause's message in one line."""
    return one_line(root_cause(error))


def root_cause(error: BaseException) -> BaseException:
    """The cause that says most: the outermost error of a driver or the system, else the innermost `__cause__`.

    Deeper errors may be what the driver made its own from (`[Errno 111]`), or were handled before.
    """
    outside = [cause for cause in causes(error) if _is_from_outside(cause)]
    for cause in outside:
        if not any(words in str(cause) for words in _CONSEQUENCES):
            return cause
    if outside:
        return outside[-1]
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _is_from_outside(error: BaseException) -> bool:
    """Whether it is an error of the system or of a database driver; PEP 249 names those."""
    return isinstance(error, OSError) or any(
        kind.__name__ in ("DatabaseError", "InterfaceError") for kind in type(error).__mro__
    )


def one_line(error: BaseException) -> str:
    """The error's message as one line, cut if very long."""
    return _cut(str(error)) or type(error).__name__


def _cut(text: str) -> str:
    return " ".join(text.split())[:600]


def printable(text: str) -> str:
    """The text without characters that control a terminal."""
    return "".join(character if character.isprintable() else " " for character in text)
