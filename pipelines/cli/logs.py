"""What a run reports on stderr: dated lines for people, or one JSON object a line for machines."""

from __future__ import annotations

import json
import logging
import sys
import threading
from contextlib import suppress
from datetime import UTC, datetime
from typing import Literal

from ..details import save_traceback
from ..errors import ExitCode, is_expected, message_of, printable
from ..summary import Summary, counted
from .standard_streams import print_error

logger = logging.getLogger("intercom_calls")

LogFormat = Literal["text", "json"]


class _CurrentStderr:
    """`sys.stderr` as it is now: rich replaces it while a bar is drawn, to print above the bar.

    A terminal that is gone must not end a load.
    """

    def write(self, text: str) -> None:
        with suppress(OSError, ValueError):
            if sys.stderr is not None:
                sys.stderr.write(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            if sys.stderr is not None:
                sys.stderr.flush()


class JsonLines(logging.Formatter):
    """`at`, `level`, `message`, and the event's own: `logger.info(…, extra={"fields": {"event": "retry", …}})`."""

    def format(self, record: logging.LogRecord) -> str:
        """One line of JSON."""
        line = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "message": printable(record.getMessage()),
            **getattr(record, "fields", {}),
        }
        return json.dumps(line)


class TextLines(logging.Formatter):
    """The local time and the message, as one line that can't control a terminal; no traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """One line of text."""
        record.message, record.asctime = record.getMessage(), self.formatTime(record, "%Y-%m-%d %H:%M:%S")
        return printable(f"{record.asctime} {record.message}")


def set_up(loudness: int, log_format: LogFormat = "text") -> None:
    """Log to stderr; `loudness` is the number of `-v` less that of `-q`."""
    level = {-1: logging.WARNING, 0: logging.INFO}.get(loudness, logging.DEBUG if loudness > 0 else logging.ERROR)
    logger.setLevel(level)
    # other libraries' loggers take the root's level
    logging.getLogger().setLevel(max(level, logging.WARNING))
    handler = logging.StreamHandler(_CurrentStderr())
    handler.setLevel(level)  # a logger may have a level of its own
    handler.setFormatter(JsonLines() if log_format == "json" else TextLines())
    logging.basicConfig(handlers=[handler])


def with_details(error: BaseException) -> str:
    """An error's message in one line; if it is unexpected, or with `-v`, its traceback is saved in a file."""
    message = message_of(error)
    if not is_expected(error):
        return f"{message} (unexpected: please report it; {save_traceback(error)})"
    if logger.isEnabledFor(logging.DEBUG):
        logger.debug("%s", save_traceback(error))
    return message


def report_errors_of_threads() -> None:
    """Report an error that ends a thread in one line, too."""

    def report(ended: threading.ExceptHookArgs) -> None:
        if ended.exc_value is not None:
            logger.error("%s", with_details(ended.exc_value))

    threading.excepthook = report


def report_loaded(summary: Summary, location: str) -> None:
    """Log the end of a run with its counts; `report_error` follows where it ended with an error."""
    names = ("missing", "failed", "skipped", "already_loaded", "not_reached")
    counts = {name.replace("_", " "): getattr(summary, name) for name in names}
    parts = [f"{count:,} {name}" for name, count in counts.items() if count]
    if summary.exit_code != ExitCode.DONE:
        parts.append(f"exit code {summary.exit_code}")
    hint = ""
    if summary.failed:
        hint = "; why calls failed is in the table call_errors, and the same command retries them"
    if summary.exit_code in (ExitCode.INTERRUPTED, ExitCode.TERMINATED, ExitCode.HUNG_UP):
        hint = "; stopped; the same command goes on from here"
    logger.log(
        logging.INFO if summary.exit_code == ExitCode.DONE else logging.WARNING,
        "loaded %s into %s, dataset %s, in %.1f s%s%s",
        counted(summary.loaded, "call"),
        location,
        summary.dataset,
        summary.seconds,
        f" ({', '.join(parts)})" if parts else "",
        hint,
        extra={} if summary.error else _end_fields(summary),
    )


def report_error(summary: Summary, log_format: LogFormat) -> None:
    """Say what ended the run, and what is safe; nothing if there was no error."""
    if summary.error is None:
        return
    safe = ""
    if summary.goes_on and summary.requested:
        safe = f" ({summary.loaded:,} calls were loaded and are safe; the same command goes on)"
    elif summary.loaded and summary.exit_code != ExitCode.INCOMPLETE:
        safe = f" ({summary.loaded:,} calls were loaded and are safe)"
    if log_format == "json":
        logger.error("%s%s", summary.error, safe, extra=_end_fields(summary))
    else:
        print_error(f"error: {printable(summary.error)}{safe}")


def _end_fields(summary: Summary) -> dict[str, object]:
    fields = {name: value for name, value in summary.as_json().items() if name != "error"}
    return {"fields": {"event": "end", **fields}}
