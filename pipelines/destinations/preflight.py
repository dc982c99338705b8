"""Before the first request: can this destination be loaded into? What is wrong is one line, with the fix: exit code 2.

`load`, `check`, `status` and a dry run share these checks, so that they agree.
"""

from __future__ import annotations

import os
import stat
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from dlt.common.destination import Destination
from dlt.common.destination.client import JobClientBase
from dlt.common.normalizers.naming.snake_case import NamingConvention
from dlt.destinations.impl.duckdb.exceptions import InvalidInMemoryDuckdbCredentials
from dlt.destinations.job_client_impl import SqlJobClientBase

from ..errors import UsageError
from .location import Location

# DuckDB's format begins with a checksum of 8 bytes, then this: https://duckdb.org/docs/stable/internals/storage
_DUCKDB_MAGIC = (8, b"DUCK")
_SQLITE_MAGIC = b"SQLite format 3\0"
# A first load that is at work may have made the file and not yet written its header.
_HEADER_ATTEMPTS = 5


def require_dataset_name(dataset: str) -> None:
    """Refuse what dlt would write otherwise: into another dataset, beside a load that holds the lock of that one.

    Raises:
        UsageError
    """
    name = NamingConvention().normalize_path(dataset) if dataset.strip() else ""
    if not name or name != dataset:
        fix = f"write it as {name}" if name else "give it a name (an empty one may come from an unset variable)"
        raise UsageError(f"--dataset {dataset!r} can't be a dataset's name; {fix}")


def require_loadable(destination: str, factory: Destination[Any, Any]) -> None:
    """Refuse destinations that this command can't load into, before their configuration is asked for.

    Raises:
        UsageError
    """
    if factory.destination_type == "dlt.destinations.filesystem":
        raise UsageError(
            f"--destination {destination}: this command can't load into files yet; name a database, such as duckdb or "
            "postgres, or load into files with the source in a pipeline of your own"
        )
    if factory.destination_type == "dlt.destinations.duckdb":
        _require_lasting(destination, factory)


def require_sql(destination: str, client: JobClientBase) -> SqlJobClientBase:
    """The client, where the destination is asked by SQL.

    Raises:
        UsageError: it is not.
    """
    if not isinstance(client, SqlJobClientBase):
        raise UsageError(f"--destination {destination} can't be asked by SQL; name a database")
    return client


def require_file(location: Location, dataset: str, *, to_write: bool) -> None:
    """Refuse a DuckDB file that is none, or that can't be used; nothing is made or opened by DuckDB.

    DuckDB itself would download an extension for a file of SQLite's.

    Args:
        location: where the data goes; nothing is asked where that is no DuckDB file.
        dataset: must differ from the file's name.
        to_write: whether the file is to be written.

    Raises:
        UsageError
    """
    file = location.file
    if file is None:
        return
    if file.stem.lower() == dataset.lower():
        raise UsageError(
            f"dataset {dataset} is also the name of {file}, and DuckDB can't tell the two apart; rename one of them"
        )
    another = f"name another file in DESTINATION__{location.destination.upper()}__CREDENTIALS"
    try:
        if to_write:  # DuckDB's log is made beside it
            with tempfile.TemporaryFile(dir=file.parent):
                pass
        mode = file.stat().st_mode
    except FileNotFoundError as error:
        if file.parent.is_dir():
            return  # the first load makes it
        raise UsageError(f"{file.parent} can't be written: {error.strerror}; make that folder, or {another}") from None
    except OSError as error:
        raise UsageError(
            f"{file.parent} can't be written: {error.strerror}; whoever runs this needs the right to read and write "
            f"there, or {another}"
        ) from None
    if stat.S_ISDIR(mode):
        raise UsageError(f"{file} is a folder, not a DuckDB file; {another}, such as {file / 'intercom_calls.duckdb'}")
    if not stat.S_ISREG(mode):
        raise UsageError(f"{file} is no regular file, so no DuckDB database; {another}")
    right, word = (os.R_OK | os.W_OK, "read and write") if to_write else (os.R_OK, "read")
    if not os.access(file, right, effective_ids=os.access in os.supports_effective_ids):
        raise UsageError(f"{file}: Permission denied; whoever runs this needs the right to {word} it, or {another}")
    _require_duckdb(file, another)


def _require_lasting(destination: str, factory: Destination[Any, Any]) -> None:
    try:
        credentials = factory.configuration(factory.spec(), accept_partial=True).credentials
        database = str(getattr(credentials, "database", None) or "")
    except InvalidInMemoryDuckdbCredentials:
        database = ":memory:"
    if database.startswith(":"):
        lost = "is a database in memory, gone when the command ends" if database == ":memory:" else "is no file"
        raise UsageError(
            f"--destination {destination}: {database} {lost}; name a file in "
            f"DESTINATION__{destination.upper()}__CREDENTIALS, such as intercom_calls.duckdb"
        )


def _require_duckdb(file: Path, another: str) -> None:
    if _is_open_here(file):
        return  # DuckDB has it, and closing it here would end DuckDB's lock on it
    offset, magic = _DUCKDB_MAGIC
    head = b""
    for _ in range(_HEADER_ATTEMPTS):
        with file.open("rb") as opened:
            head = opened.read(offset + len(_SQLITE_MAGIC))
        if head[offset : offset + len(magic)] == magic:
            return
        if head:
            break
        time.sleep(0.1)
    if not head:
        raise UsageError(f"{file} is empty (0 bytes), so it is no DuckDB database; remove it, or {another}")
    if head.startswith(_SQLITE_MAGIC):
        raise UsageError(f"{file} is a SQLite database, not DuckDB's; {another}")
    raise UsageError(f"{file} is not a valid DuckDB database file; {another}")


def _is_open_here(file: Path) -> bool:
    """Whether this process has the file open: whoever closes it, all locks of the process on it end (fcntl(2))."""
    there = file.stat()
    descriptors = os.listdir("/dev/fd") if os.path.isdir("/dev/fd") else ()
    for descriptor in descriptors:
        with suppress(OSError):
            if os.path.samestat(os.fstat(int(descriptor)), there):
                return True
    return False
