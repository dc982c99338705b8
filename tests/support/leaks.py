"""Looking for the token in whatever a run leaves: files, what was printed, databases."""

from __future__ import annotations

import bz2
import gzip
import os
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import duckdb

# The sandbox of all tests accepts this one: long enough to be looked for.
TOKEN = "dG9rOjRmYzE5N2QwX3NlY3JldF9vZl90aGVfdGVzdHNfbmV2ZXJfdG9fYmVfc2Vlbl8xOjA="
# what a look for the token must find however it was cut or wrapped
_NEEDLES = (TOKEN.encode(), TOKEN[:24].encode(), TOKEN[20:60].encode(), TOKEN.encode("utf-16-le"))
# where users put it
_ITS_PLACE = "secrets.toml"


def holds_token(content: bytes) -> bool:
    """Whether the token, or a good part of it, is there: plain or packed."""
    return any(needle in plain for plain in _unpacked(content) for needle in _NEEDLES)


def leaks(folder: Path, printed: Iterable[str]) -> list[str]:
    """Where the token is found: files below the folder, `printed`, tables of DuckDB files."""
    files = [file for file in files_below(folder) if file.name != _ITS_PLACE]
    found = [str(file) for file in files if holds_token(file.read_bytes())]
    found += [f"printed: {text}" for text in printed if holds_token(text.encode())]
    found += [f"tables of {file}" for file in files if file.suffix == ".duckdb" and holds_token(_dumped(file))]
    return found


def files_below(folder: Path) -> Iterator[Path]:
    """Every file below the folder that can be read to an end: no pipes, no sockets."""
    for parent, _, names in os.walk(folder):
        yield from (file for name in names if (file := Path(parent, name)).is_file())


def dump(query: Callable[[str], list[tuple[Any, ...]]], tables: str) -> bytes:
    """Every row of the tables that the query `tables` names, as text."""
    return "\n".join(
        str(row) for (table,) in query(tables) for (row,) in query(f"SELECT CAST(t AS text) FROM {table} t")
    ).encode()


def _dumped(file: Path) -> bytes:
    try:
        with duckdb.connect(str(file), read_only=True) as database:
            return dump(
                lambda sql: database.execute(sql).fetchall(),
                """SELECT format('"{}"."{}"', schema_name, table_name) FROM duckdb_tables()""",
            )
    except duckdb.IOException:  # no database, or damaged: a test's own
        return b""


def _unpacked(content: bytes) -> Iterator[bytes]:
    yield content
    for unpack in (gzip.decompress, zlib.decompress, bz2.decompress, lambda packed: zlib.decompress(packed, -15)):
        try:
            yield unpack(content)
        except (OSError, ValueError, EOFError, zlib.error):
            continue
