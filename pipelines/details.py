"""Tracebacks are saved in files beside the working files, without secrets; the screen never shows one."""

from __future__ import annotations

import os
import re
import tomllib
import traceback
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

_SECRET_NAMES = re.compile("TOKEN|SECRET|PASSW|KEY|CREDENTIALS|PROXY", re.IGNORECASE)
# Shorter ones are ordinary words.
_SHORTEST_SECRET = 4


def save_traceback(error: BaseException) -> str:
    """Write the traceback to a file; returns a sentence that names the file, or says why it can't be written."""
    now = datetime.now(UTC)
    file = Path(os.environ.get("DLT_DATA_DIR", ".dlt/data"), "errors", f"{now:%Y-%m-%d_%H%M%S_%f}.txt")
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(os.open(file, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="utf-8") as opened:
            opened.write(without_secrets("".join(traceback.format_exception(error))))
    except OSError as failure:
        return f"the details can't be written to {file}: {failure.strerror}"
    return f"the details are in {file}"


def without_secrets(text: str) -> str:
    """The text with `***` for each secret of the environment or secrets.toml."""
    # imported here: `sources.intercom` imports dlt, and `--help` must be instant
    from sources.intercom.api.redact import masked, without

    for secret in sorted({*_secrets()}, key=len, reverse=True):
        if len(secret) >= _SHORTEST_SECRET:
            text = masked(secret, without(secret, text.encode("utf-8", "replace")).decode())
    return text


def _secrets() -> Iterator[str]:
    values = [value for name, value in os.environ.items() if _SECRET_NAMES.search(name)]
    for folder in (os.environ.get("DLT_PROJECT_DIR", "."), Path.home()):
        with suppress(OSError, ValueError):
            values += _texts(tomllib.loads(Path(folder, ".dlt", "secrets.toml").read_text("utf-8-sig")))
    for value in values:
        yield value.strip(" '\"")
        with suppress(ValueError):
            if password := urlsplit(value).password:
                yield from (password, unquote(password))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, str):
        yield value
