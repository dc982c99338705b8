"""Lists behind a URL, read through fsspec: https://, s3://, gs://, az:// and all else it has drivers for."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ..errors import BadIds, ConfigurationError

DOWNLOAD_BYTES = 2 << 30
SILENCE_SECONDS = 30.0
# As curl's --speed-limit and --speed-time: a very slow download would block a scheduled run for ever.
_SLOWEST_BYTES_PER_SECOND = 1024
_SLOWEST_AFTER_SECONDS = 30.0
_LONGEST_SECONDS = 900.0

# The user and password, and the query, of any URL in a driver's message.
_SECRETS = re.compile(r"(?<=//)[^/\s@]+@|\?\S+")

_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs", **dict.fromkeys(("az", "abfs", "abfss", "adl"), "az")}


def download(url: str, copy: Path, name: str) -> None:
    """Download a URL into the file `copy`.

    Raises:
        BadIds: it is not there, access is denied, it is too large, too slow or never ends. The message holds only
            `name`: the query of a signed URL is a secret.
        ConfigurationError: fsspec has no driver for the URL, or it is not installed.
    """
    from fsspec.core import url_to_fs  # type: ignore[import-untyped]

    scheme = urlsplit(url).scheme.lower()
    try:
        filesystem, path = url_to_fs(url, **_options(scheme, url))
    except ImportError as error:
        raise ConfigurationError(f"{name}: {_install(scheme, error)}") from error
    except ValueError as error:
        raise ConfigurationError(f"{name}: no driver reads {scheme}:// ({error}); download the list first") from error
    try:
        filesystem.get_file(path, str(copy), callback=_limits(name))
    except BadIds:
        raise
    except Exception as error:  # each driver raises its own kinds
        raise BadIds(f"{name}: {_cause(error)}") from error
    if not copy.exists():
        raise BadIds(f"{name}: a folder; give the file in it")


def _options(scheme: str, url: str) -> dict[str, Any]:
    if scheme not in ("http", "https"):
        return {}
    from aiohttp import ClientTimeout

    timeout = ClientTimeout(total=_LONGEST_SECONDS, sock_connect=SILENCE_SECONDS, sock_read=SILENCE_SECONDS)
    # A signed URL is valid only as it was signed, so do not encode it twice.
    return {"client_kwargs": {"timeout": timeout, "trust_env": True}, "encoded": "%" in url}


def _install(scheme: str, error: ImportError) -> str:
    if extra := _EXTRAS.get(scheme):
        return f"reading {scheme}:// needs a driver; pip install 'intercom-calls[{extra}]'"
    return f"reading {scheme}:// needs a driver ({error})"


def _limits(name: str) -> Any:
    from fsspec.callbacks import Callback  # type: ignore[import-untyped]

    started = time.monotonic()

    def check(_size: int | None, received: int) -> None:
        seconds = time.monotonic() - started
        if received > DOWNLOAD_BYTES:
            raise BadIds(f"{name}: more than {DOWNLOAD_BYTES >> 20} MiB; download it and split it")
        if seconds > _SLOWEST_AFTER_SECONDS and received < seconds * _SLOWEST_BYTES_PER_SECOND:
            raise BadIds(f"{name}: {received} bytes in {seconds:.0f} s is too slow; download the list first")

    return Callback(hooks={"limits": check})


def _cause(error: Exception) -> str:
    status = getattr(error, "status", None)
    if isinstance(error, FileNotFoundError):
        return "there is nothing (404); correct the URL"
    if isinstance(error, TimeoutError):
        return f"no answer within {SILENCE_SECONDS:.0f} s; try again, or download the list first"
    if isinstance(status, int):
        return f"the server answered {status}; check the URL and whether it needs a login"
    text = _SECRETS.sub("", " ".join(str(error).split()))
    return f"{type(error).__name__}: {text[:300]}; check the URL and the credentials of its storage"
