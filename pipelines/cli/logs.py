"""How a run reports what happens, on stderr: dated lines for people, or one JSON object a line for machines."""

from __future__ import annotations

import json
import logging
import sys
import threading
from contextlib import suppress
from datetime import UTC, datetime
from typing import Literal

from ..details import keep
from ..errors import ExitCode, is_expected, message_of, printable
from ..summary import Summary
from .standard_streams import print_error

logger = logging.getLogger("intercom_calls")

LogFormat = Literal["text", "json"]

# What a log record carries beside its message: `logger.info(…, extra={"fields": {"event": "retry", …}})`.
_FIELDS = "fields"
_TIME = "%Y-%m-%d %H:%M:%S"


class _CurrentStderr:
    """`sys.stderr` as it is now: while a live bar is drawn, rich puts a writer there that prints above the bar."""

    def write(self, text: str) -> None:
        """Write, if there is a stderr at all; a terminal that is gone must not end a load."""
        with suppress(OSError, ValueError):
            if sys.stderr is not None:
                sys.stderr.write(text)

    def flush(self) -> None:
        """Flush, in the same way."""
        with suppress(OSError, ValueError):
            if sys.stderr is not None:
                sys.stderr.flush()


class JsonLines(logging.Formatter):
    """The fields `at`, `level` and `message`, and what an event has of its own: `event`, `request_id`, and so on."""

    def format(self, record: logging.LogRecord) -> str:
        """One line of JSON."""
        line = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "message": printable(record.getMessage()),
            **getattr(record, _FIELDS, {}),
        }
        return json.dumps(line)


class TextLines(logging.Formatter):
    """The local time and the message, as one line that can't steer a terminal; no traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """One line of text."""
        record.message, record.asctime = record.getMessage(), self.formatTime(record, self.datefmt)
        return printable(self.formatMessage(record))


def set_up(loudness: int, log_format: LogFormat = "text") -> None:
    """Log to stderr; `loudness` is how often `-v` was given, less `-q`."""
    level = {-1: logging.WARNING, 0: logging.INFO}.get(loudness, logging.DEBUG if loudness > 0 else logging.ERROR)
    logger.setLevel(level)
    # other libraries' loggers take the root's level
    logging.getLogger().setLevel(max(level, logging.WARNING))
    handler = logging.StreamHandler(_CurrentStderr())
    handler.setLevel(level)  # a logger may have a level of its own
    handler.setFormatter(JsonLines() if log_format == "json" else TextLines("%(asctime)s %(message)s", _TIME))
    logging.basicConfig(handlers=[handler])


def with_details(error: BaseException) -> str:
    """What an error says in one line; where nobody foresaw it, or with `-v`, its traceback is kept in a file."""
    told = message_of(error)
    if not is_expected(error):
        return f"{told} (unexpected: please report it; {keep(error)})"
    if logger.isEnabledFor(logging.DEBUG):
        logger.debug("%s", keep(error))
    return told


def report_ends_of_threads() -> None:
    """Report in one line, too, where an error ends a thread."""

    def report(ended: threading.ExceptHookArgs) -> None:
        if ended.exc_value is not None:
            logger.error("%s", with_details(ended.exc_value))

    threading.excepthook = report


def report_end(summary: Summary, log_format: LogFormat) -> None:
    """Say what ended the run, what is safe, and what to type; nothing where nothing went wrong."""
    if summary.error is None:
        return
    safe = ""
    if summary.goes_on and summary.requested:
        safe = f" ({summary.loaded:,} calls were loaded and are safe; the same command goes on)"
    elif summary.loaded and summary.exit_code != ExitCode.INCOMPLETE:
        safe = f" ({summary.loaded:,} calls were loaded and are safe)"
    if log_format == "json":
        logger.error("%s%s", summary.error, safe, extra={_FIELDS: end_fields(summary)})
    else:
        print_error(f"error: {printable(summary.error)}{safe}")


def end_fields(summary: Summary) -> dict[str, object]:
    """What a run's last line carries: the run, how it ended, where to, and its counts."""
    return {"event": "end", **{name: value for name, value in summary.as_json().items() if name != "error"}}
