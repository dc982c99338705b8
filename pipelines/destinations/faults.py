"""Errors of a destination: which ones are retried, and the one line that a user reads."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from dlt.common.configuration.exceptions import (
    ConfigFieldMissingException,
    ConfigurationException,
    ValueNotSecretException,
)
from dlt.common.destination.exceptions import DestinationTransientException, UnknownDestinationModule
from dlt.common.exceptions import MissingDependencyException
from dlt.destinations.exceptions import DestinationConnectionError
from dlt.load.exceptions import LoadClientJobRetry
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_before_delay, wait_random_exponential

from sources.intercom.errors import IntercomError
from sources.intercom.settings import misplaced

from ..errors import (
    DestinationFailed,
    RunStopped,
    Unexpected,
    UsageError,
    causes,
    is_out_of_memory,
    one_line,
    root_cause,
    root_cause_text,
)

logger = logging.getLogger("intercom_calls")

# DuckDB's words where another program has the file open.
_FILE_IS_LOCKED = "Could not set lock on file"
# The fix for an error, by words of DuckDB, PostgreSQL or the system. Such an error does not pass by itself.
_FIXES = {
    "Permission denied": "whoever runs this needs the right to read and write there",
    "Read-only file system": "name a place that can be written",
    "No space left on device": "make room",
    "authentication failed": "see the user and the password",
    "no password supplied": "add the password",
    'FATAL: role "': "see the user, or make it (CREATE ROLE … LOGIN)",
    "no pg_hba.conf entry": "have an administrator allow this machine and user in pg_hba.conf",
    "could not translate host name": "see the host, or this machine's DNS",
    "in a read-only transaction": "the server is likely a standby now (after a failover): name the primary's host, or "
    "see default_transaction_read_only",
    "database file with version number": "the database was written by another version of DuckDB: install that "
    "(pip install --upgrade duckdb), or name another file in DESTINATION__DUCKDB__CREDENTIALS",
    'FATAL: database "': "make it (CREATE DATABASE … ENCODING 'UTF8'), or name another database",
    "User does not have CONNECT": "have an administrator run: GRANT CONNECT ON DATABASE … TO …",
}
# Words of a destination that can be reached but can't be loaded into.
_UNUSABLE = (
    "database file with version number",
    "not a valid DuckDB database file",
    'FATAL: database "',
    "User does not have CONNECT",
    "permission denied for ",
)

T = TypeVar("T")


class Overtaken(Exception):
    """Another load has written into the dataset since this run read it; nothing was written."""


class Outage:
    """A time in which the destination can't be used: logged once when it begins and once when it is over."""

    def __init__(self) -> None:
        self._began_at: float | None = None

    def begin(self, message: str) -> None:
        """Log the message, unless the outage has begun already."""
        if self._began_at is None:
            self._began_at = time.monotonic()
            logger.warning("%s", message, extra={"fields": {"event": "wait", "for": "destination"}})

    def end(self) -> None:
        """Log that the destination can be used again, if an outage had begun."""
        if self._began_at is not None:
            seconds, self._began_at = time.monotonic() - self._began_at, None
            fields = {"event": "back", "for": "destination", "seconds": round(seconds, 1)}
            logger.warning("the destination can be used again, after %.0f s", seconds, extra={"fields": fields})


def retry_while(
    action: Callable[[], T], *, seconds: float, when: Callable[[BaseException], bool], outage: Outage | None = None
) -> T:
    """Run `action`; retry it while it fails with an error for which `when` is true, for at most `seconds`."""
    outage = outage or Outage()

    def begin(state: RetryCallState) -> None:
        if state.outcome and (error := state.outcome.exception()) is not None:
            outage.begin(f"{with_fix(error)}; trying again for up to {seconds:g} s")

    result = Retrying(
        retry=retry_if_exception(when),
        wait=wait_random_exponential(multiplier=0.1, max=5),
        stop=stop_before_delay(seconds),
        before_sleep=begin,
        reraise=True,
    )(action)
    outage.end()
    return result


def is_locked_file(error: BaseException) -> bool:
    """Whether another program holds the DuckDB file."""
    return any(_FILE_IS_LOCKED in str(cause) for cause in causes(error))


def is_transient(error: BaseException) -> bool:
    """Whether a retry may succeed; a missing right or missing memory is not waited for."""
    if _lacks_memory_or_right(error):
        return False
    # a driver's own error if no connection can be opened; PEP 249 gives it its name
    return any(
        isinstance(cause, DestinationTransientException) or type(cause).__name__ == "OperationalError"
        for cause in causes(error)
    )


def is_permanent(error: BaseException) -> bool:
    """Whether the same package will always fail.

    Not so if a right can be given, disk space freed, or a connection was cut. dlt takes most errors of a database for
    transient, and raises `LoadClientJobRetry` after some attempts.
    """
    if _lacks_memory_or_right(error):
        return False
    chain = [*causes(error)]
    for cause in chain:
        is_systems = isinstance(cause, (OSError, KeyboardInterrupt, DestinationConnectionError))
        is_connections = any(kind.__name__ == "OperationalError" for kind in type(cause).__mro__)
        if (is_systems and not isinstance(cause, FileNotFoundError)) or is_connections:
            return False
    return any(isinstance(cause, LoadClientJobRetry) for cause in chain) or not is_transient(error)


def _lacks_memory_or_right(error: BaseException) -> bool:
    return is_out_of_memory(error) or any("permission denied" in str(cause).lower() for cause in causes(error))


@contextmanager
def readable_errors(destination: str, *, before_load: bool = False) -> Iterator[None]:
    """Turn dlt's exceptions into one line each: what is wrong, where, the fix.

    Args:
        destination: its name.
        before_load: whether nothing has been requested yet. Then a destination that can't be used is a usage error.
    """
    try:
        yield
    except UnknownDestinationModule:
        raise UsageError(
            f"--destination {destination} is no destination of dlt; try duckdb, postgres, snowflake, bigquery, "
            "clickhouse, redshift or databricks"
        ) from None
    except MissingDependencyException as error:
        raise UsageError(
            f"--destination {destination} needs a driver that is not installed ({', '.join(error.dependencies)}); "
            f"pip install 'dlt[{destination}]'"
        ) from None
    except ModuleNotFoundError as error:  # dlt's SQL Server destination imports its driver without a check
        raise UsageError(f"--destination {destination} needs {error.name}, which is not installed") from None
    except ConfigFieldMissingException as error:
        variable = f"DESTINATION__{destination}__{error.fields[0]}".upper()
        raise UsageError(
            f"--destination {destination} is not configured: {', '.join(error.fields)} missing; set "
            f"[destination.{destination}] in .dlt/secrets.toml, or {variable}"
        ) from None
    except ValueNotSecretException as error:
        raise UsageError(misplaced(error)) from None
    except ConfigurationException as error:
        raise UsageError(f"--destination {destination} is not configured right: {one_line(error)}") from None
    except (RunStopped, Overtaken, IntercomError):
        raise
    except Exception as error:
        cause = root_cause(error)
        if type(cause).__module__ == "builtins" and not isinstance(cause, OSError):
            raise Unexpected(cause) from error
        message = f"{destination}: {with_fix(error)}"
        if before_load and any(words in message for words in _UNUSABLE):
            raise UsageError(message) from error
        passes = is_transient(error) and with_fix(error) == root_cause_text(error)
        raise DestinationFailed(message, goes_on=passes) from error


def with_fix(error: BaseException) -> str:
    """What went wrong, and the fix if it is known."""
    text = root_cause_text(error)
    return "; ".join((text, *(fix for words, fix in _FIXES.items() if words in text)))
