"""Where a list is: a path, a URL or standard input; its format by its name; a copy that can be read twice."""

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

_SUFFIXES = {f".{name}": name for name in FORMATS} | {".ndjson": "jsonl", ".pq": "parquet"}
_COMPRESSIONS: dict[str, Compression] = {".gz": "gzip", ".zst": "zstd"}
_COPY_BYTES = 1 << 20


@contextmanager
def opened(location: str, format_name: str | None, stdin: BinaryIO | None) -> Iterator[ListFile]:
    """The list at a path, a URL or `-`, as a local file while the context lasts.

    `format_name` is the format of `-` and of names without a known suffix (default txt).

    Raises:
        BadIds: nothing can be read there.
        ConfigurationError: the driver for the URL is not installed.
    """
    if format_name is not None and format_name not in FORMATS:
        raise ConfigurationError(
            f"id lists of the format {shown(format_name)} are unknown; known: {', '.join(FORMATS)}"
        )
    name = _name(location)
    with tempfile.TemporaryDirectory(prefix="intercom-ids-") as folder:
        copy = Path(folder, "list")
        try:
            path = _local_path(location, copy, name, stdin)
            file = _identified(path, location, name, format_name or "txt")
        except OSError as error:
            raise BadIds(f"{name}: {error.strerror or error}; give a file that can be read") from error
        yield file


def _local_path(location: str, copy: Path, name: str, stdin: BinaryIO | None) -> Path:
    """The file itself, or a copy of a stream that can be read only once."""
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
    """The name of the list in messages: without user, password and query of a URL, which may be secrets."""
    if location == STANDARD_INPUT:
        return "standard input"
    if "://" not in location:
        return printable(location)
    url = urlsplit(location)
    return printable(urlunsplit((url.scheme, url.netloc.rpartition("@")[2], url.path, "", "")))


def _identified(path: Path, location: str, name: str, default_format: str) -> ListFile:
    file_name = urlsplit(location).path if "://" in location else location
    suffixes = [suffix.lower() for suffix in PurePosixPath(file_name).suffixes]
    compression = _COMPRESSIONS.get(suffixes[-1]) if suffixes else None
    if compression:
        suffixes.pop()
    format_name = _SUFFIXES.get(suffixes[-1]) if suffixes else None
    if format_name is None and compression is None:
        with path.open("rb") as file:
            head = file.read(4)
        compression = next((known for known in _COMPRESSIONS.values() if head.startswith(MAGIC[known])), None)
    return ListFile(path, name, format_name or default_format, compression)


def _spool(stream: BinaryIO, copy: Path, name: str) -> None:
    left = UNPACKED_BYTES
    with copy.open("wb") as file:
        while block := stream.read(min(_COPY_BYTES, left + 1)):
            left -= len(block)
            if left < 0:
                raise BadIds(f"{name}: more than {UNPACKED_BYTES >> 30} GiB, which no list of ids is; split it")
            file.write(block)
