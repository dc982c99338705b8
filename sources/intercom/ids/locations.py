"""Where a list is: a path, a URL or standard input; what its name says; a copy of it that can be read twice."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO
from urllib.parse import urlsplit, urlunsplit

from ..errors import BadIds, ConfigurationError
from .remote import download
from .signatures import MAGIC
from .streams import UNPACKED_BYTES, Compression, ListFile
from .validate import printable, shown

FORMATS = ("txt", "csv", "tsv", "json", "jsonl", "parquet")
STANDARD_INPUT = "-"

_SUFFIXES = {f".{name}": name for name in FORMATS} | {
    ".ndjson": "jsonl",
    ".pq": "parquet",
}
_COMPRESSIONS: dict[str, Compression] = {".gz": "gzip", ".zst": "zstd"}
_COPY_BYTES = 1 << 20


@contextmanager
def opened(location: str, format_name: str | None, stdin: BinaryIO | None) -> Iterator[ListFile]:
    """The list at a path, a URL or `-`, as a file of this machine for as long as the context lasts.

    `format_name` is the format of `-` and of names that don't tell (default txt).

    Raises:
        BadIds: nothing can be read there.
        ConfigurationError: the driver of such a URL is not installed.
    """
    if format_name is not None and format_name not in FORMATS:
        raise ConfigurationError(
            f"id lists of the format {shown(format_name)} are unknown; known: {', '.join(FORMATS)}"
        )
    name = _name(location)
    with tempfile.TemporaryDirectory(prefix="intercom-ids-") as folder:
        copy = Path(folder, "list")
        try:
            path = _fetched(location, copy, name, stdin)
            file = _identified(path, location, name, format_name or "txt")
        except OSError as error:
            raise BadIds(f"{name}: {error.strerror or error}; give a file that can be read") from error
        yield file


def _fetched(location: str, copy: Path, name: str, stdin: BinaryIO | None) -> Path:
    """The file itself, or a copy of what can be read only once."""
    if location == STANDARD_INPUT:
        if stdin is None and sys.stdin is None:
            raise BadIds(f"{name}: closed; give the list by its path")
        _spool(stdin or sys.stdin.buffer, copy, name)
        return copy
    if "://" in location:
        download(location, copy, name)
        return copy
    path = Path(location)
    if path.is_dir():
        raise BadIds(f"{name}: a folder; give the file in it")
    if path.is_file():
        return path
    with path.open("rb") as pipe:  # <(…), /dev/stdin, a named pipe
        _spool(pipe, copy, name)
    return copy


def _name(location: str) -> str:
    """What messages call the list: no user, password or query of a URL, for those may be secrets."""
    if location == STANDARD_INPUT:
        return "standard input"
    if "://" not in location:
        return printable(location)
    url = urlsplit(location)
    return printable(urlunsplit((url.scheme, url.netloc.rpartition("@")[2], url.path, "", "")))


def _identified(path: Path, location: str, name: str, untold: str) -> ListFile:
    told = urlsplit(location).path if "://" in location else location
    suffixes = [suffix.lower() for suffix in PurePosixPath(told).suffixes]
    compression = _COMPRESSIONS.get(suffixes[-1]) if suffixes else None
    if compression:
        suffixes.pop()
    format_name = _SUFFIXES.get(suffixes[-1]) if suffixes else None
    if format_name is None and compression is None:
        compression = _compression_of(path)
    return ListFile(path, name, format_name or untold, compression)


def _compression_of(path: Path) -> Compression | None:
    with path.open("rb") as file:
        head = file.read(4)
    return next((name for name in _COMPRESSIONS.values() if head.startswith(MAGIC[name])), None)


def _spool(stream: BinaryIO, copy: Path, name: str) -> None:
    left = UNPACKED_BYTES
    with copy.open("wb") as file:
        while block := stream.read(min(_COPY_BYTES, left + 1)):
            left -= len(block)
            if left < 0:
                raise BadIds(f"{name}: more than {UNPACKED_BYTES >> 30} GiB, which no list of ids is; split it")
            file.write(block)
