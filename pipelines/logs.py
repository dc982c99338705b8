"""How a run tells what happens, on stderr: lines for people, or a JSON object a line for machines."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Literal

import click

from .outcome import ExitCode, Summary, printable

LogFormat = Literal["text", "json"]

# What a log record carries beside its message: `logger.info(…, extra={"fields": {"event": "retry", …}})`.
_FIELDS = "fields"


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


def set_up(loudness: int, log_format: LogFormat = "text") -> None:
    """Log to stderr; `loudness` is how often `-v` was given, less `-q`."""
    level = {-1: logging.WARNING, 0: logging.INFO}.get(loudness, logging.DEBUG if loudness > 0 else logging.ERROR)
    logging.getLogger("intercom_calls").setLevel(level)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if log_format == "json" else logging.Formatter("%(message)s"))
    logging.basicConfig(handlers=[handler])


def tell_error(summary: Summary, log_format: LogFormat) -> None:
    """Say what ended the run, what is safe, and what to type; nothing where nothing went wrong."""
    if summary.error is None:
        return
    goes_on = summary.exit_code in (ExitCode.FAILED, ExitCode.TOKEN_REFUSED) and summary.requested
    safe = f" ({summary.loaded:,} calls were loaded and are safe; the same command goes on)" if goes_on else ""
    if log_format == "json":
        fields = {"event": "end", "run_id": summary.run_id, "exit_code": int(summary.exit_code)}
        logging.getLogger("intercom_calls").error("%s%s", summary.error, safe, extra={_FIELDS: fields})
    else:
        click.echo(f"error: {printable(summary.error)}{safe}", err=True)
