"""A DuckDB file that has grown far beyond what it holds is written anew.

DuckDB uses free blocks again but gives back to the disk only those at the end of the file:
https://duckdb.org/docs/stable/operations_manual/footprint_of_duckdb/reclaiming_space
"""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path

import duckdb

logger = logging.getLogger("intercom_calls")

# Below this a file is not worth looking into.
_LARGE_BYTES = 16_000_000
# How many free blocks for each used one are too many.
_FREE_BLOCKS = 3

_CONTENTS = (
    "SELECT schema_name, table_name, column_count, index_count FROM duckdb_tables() {} ORDER BY ALL",
    "SELECT schema_name, view_name, sql FROM duckdb_views() {} AND NOT internal ORDER BY ALL",
    "SELECT schema_name, index_name, sql FROM duckdb_indexes() {} ORDER BY ALL",
    "SELECT schema_name, sequence_name FROM duckdb_sequences() {} ORDER BY ALL",
    "SELECT schema_name, function_name, macro_definition FROM duckdb_functions() {} AND NOT internal ORDER BY ALL",
    "SELECT schema_name, type_name FROM duckdb_types() {} AND NOT internal ORDER BY ALL",
)


def compact(file: Path) -> None:
    """Write the file anew where most of it is free; otherwise, and where that can't be done, leave it as it is.

    Nobody else has the file open meanwhile: the connection holds DuckDB's own lock on it until the new one is in place.
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
    """Copy the connection's database there; whether the copy has all there is."""
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
