"""The DuckDB file: whether it can be used, and a smaller copy in its place when most of it is free."""

from __future__ import annotations

import logging
import os
import shutil
import stat
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import duckdb

from ..errors import UsageError
from .location import Location

logger = logging.getLogger("intercom_calls")

# DuckDB's format begins with a checksum of 8 bytes, then this: https://duckdb.org/docs/stable/internals/storage
_DUCKDB_MAGIC = (8, b"DUCK")
_SQLITE_MAGIC = b"SQLite format 3\0"
# Another first load may have made the file a moment ago, still without its header.
_HEADER_ATTEMPTS = 5
# Smaller files are left as they are.
_LARGE_BYTES = 16_000_000
# More free blocks than this for each used block are too many.
_FREE_BLOCKS = 3

_CONTENTS = (
    "SELECT schema_name, table_name, column_count, index_count FROM duckdb_tables() {} ORDER BY ALL",
    "SELECT schema_name, view_name, sql FROM duckdb_views() {} AND NOT internal ORDER BY ALL",
    "SELECT schema_name, index_name, sql FROM duckdb_indexes() {} ORDER BY ALL",
    "SELECT schema_name, sequence_name FROM duckdb_sequences() {} ORDER BY ALL",
    "SELECT schema_name, function_name, macro_definition FROM duckdb_functions() {} AND NOT internal ORDER BY ALL",
    "SELECT schema_name, type_name FROM duckdb_types() {} AND NOT internal ORDER BY ALL",
)


def require_file(location: Location, dataset: str, *, to_write: bool) -> None:
    """Refuse a file that is not DuckDB's or can't be used; nothing is written, and DuckDB does not open it.

    DuckDB itself would download an extension for a SQLite file.

    Args:
        location: nothing is checked if it is not a DuckDB file.
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
        if to_write:  # DuckDB makes its log beside the file
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


def _require_duckdb(file: Path, another: str) -> None:
    if _is_open_here(file):
        return  # closing it here would release DuckDB's lock on it
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
    """Whether this process has the file open. Closing any descriptor of it releases the process's locks (fcntl(2))."""
    there = file.stat()
    descriptors = os.listdir("/dev/fd") if os.path.isdir("/dev/fd") else ()
    for descriptor in descriptors:
        with suppress(OSError):
            if os.path.samestat(os.fstat(int(descriptor)), there):
                return True
    return False


def compact(file: Path) -> None:
    """Replace the file by a smaller copy if most of it is free; if that fails, leave it as it is.

    DuckDB gives back to the disk only free blocks at the end of the file:
    https://duckdb.org/docs/stable/operations_manual/footprint_of_duckdb/reclaiming_space
    Nobody else can have the file open: the connection holds DuckDB's lock on it until the copy is in place.
    """
    if not file.exists() or file.stat().st_size < _LARGE_BYTES:
        return
    rewritten = file.with_name(f".{file.name}.compact")
    try:
        with duckdb.connect(str(file)) as connection:
            sizes = connection.execute(
                "SELECT used_blocks, free_blocks FROM pragma_database_size() WHERE database_name = current_database()"
            ).fetchone()
            if sizes is None or sizes[1] < _FREE_BLOCKS * sizes[0]:
                return
            rewritten.unlink(missing_ok=True)
            if _copied(connection, rewritten):
                shutil.copystat(file, rewritten)
                os.chown(rewritten, file.stat().st_uid, file.stat().st_gid)
                before = file.stat().st_size
                os.replace(rewritten, file)
                logger.info("%s: %d MB made %d MB", file, before // 10**6, file.stat().st_size // 10**6)
    except (duckdb.Error, OSError) as error:
        logger.debug("%s can't be made smaller: %s", file, error)
    finally:
        rewritten.unlink(missing_ok=True)
        Path(f"{rewritten}.wal").unlink(missing_ok=True)


def _copied(connection: duckdb.DuckDBPyConnection, rewritten: Path) -> bool:
    """Copy the connection's database; return whether the copy has the same contents."""
    [name] = connection.execute("SELECT current_database()").fetchone() or ("",)
    source = '"' + name.replace('"', '""') + '"'
    connection.execute("CHECKPOINT")
    connection.execute(f"ATTACH '{str(rewritten).replace(chr(39), chr(39) * 2)}' AS compacted")
    connection.execute(f"COPY FROM DATABASE {source} TO compacted")
    there = _contents(connection, name)
    is_whole = there == _contents(connection, "compacted")
    connection.execute("DETACH compacted")
    return is_whole


def _contents(connection: duckdb.DuckDBPyConnection, database: str) -> list[object]:
    contents: list[object] = [
        connection.execute(query.format("WHERE database_name = ?"), [database]).fetchall() for query in _CONTENTS
    ]
    tables = connection.execute(
        "SELECT schema_name, table_name FROM duckdb_tables() WHERE database_name = ? ORDER BY ALL", [database]
    ).fetchall()
    for path in tables:
        quoted = ".".join('"' + part.replace('"', '""') + '"' for part in (database, *path))
        contents.append((path, connection.table(quoted).count("*").fetchone()))
    return contents
