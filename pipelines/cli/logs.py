"""How a run reports what happens, on stderr: dated lines for people, or one JSON object a line for machines."""

from __future__ import annotations

import json
import logging
import sys
from contextlib import suppress
from datetime import UTC, datetime
from typing import Literal

from ..outcome import ExitCode, Summary, printable
from .standard_streams import print_error

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
    """The local time and the message, as one line that can't steer a terminal."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  logging's name
        """One line of text."""
        return printable(super().formatMessage(record))


def set_up(loudness: int, log_format: LogFormat = "text") -> None:
    """Log to stderr; `loudness` is how often `-v` was given, less `-q`."""
    level = {-1: logging.WARNING, 0: logging.INFO}.get(loudness, logging.DEBUG if loudness > 0 else logging.ERROR)
    logging.getLogger("intercom_calls").setLevel(level)
    # other libraries' loggers take the root's level, so that -q and -q -q hold for them too
    logging.getLogger().setLevel(max(level, logging.WARNING))
    handler = logging.StreamHandler(_CurrentStderr())
    handler.setFormatter(JsonLines() if log_format == "json" else TextLines("%(asctime)s %(message)s", _TIME))
    logging.basicConfig(handlers=[handler])


def report_end(summary: Summary, log_format: LogFormat) -> None:
    """Say what ended the run, what is safe, and what to type; nothing where nothing went wrong."""
    if summary.error is None:
        return
    refused = summary.exit_code == ExitCode.TOKEN_REFUSED and summary.load_packages  # none: it is another workspace's
    goes_on = (summary.exit_code == ExitCode.FAILED or refused) and summary.requested
    safe = f" ({summary.loaded:,} calls were loaded and are safe; the same command goes on)" if goes_on else ""
    if log_format == "json":
        logging.getLogger("intercom_calls").error("%s%s", summary.error, safe, extra={_FIELDS: end_fields(summary)})
    else:
        print_error(f"error: {printable(summary.error)}{safe}")


def end_fields(summary: Summary) -> dict[str, object]:
    """What a run's last line carries: the run, how it ended, where to, and its counts."""
    return {"event": "end", **{name: value for name, value in summary.as_json().items() if name != "error"}}
