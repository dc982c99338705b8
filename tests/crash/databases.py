"""The databases as somebody else sees them: other connections, plain SQL, nothing of the code under test."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import duckdb

from tests import conftest

DATASET = "intercom"


class Database(Protocol):
    """What the checker asks.

    Attributes:
        name: the destination's.
        microseconds: makes an integer of a timestamp, by `format`.
    """

    name: str
    microseconds: str

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Every row that `sql` gives."""


class DuckDb:
    """A project's DuckDB file, opened read-only for each query, so that a killed load's traces stay as they are."""

    name = "duckdb"
    microseconds = "epoch_us({})"

    def __init__(self, folder: Path) -> None:
        self.file = folder / "intercom_calls.duckdb"

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Nothing where there is no file yet."""
        if not self.file.exists():
            return []
        with duckdb.connect(str(self.file), read_only=True) as connection:
            return connection.execute(sql).fetchall()


class Postgres(conftest.Postgres):
    """A database of its own on the harness's server."""

    name = "postgres"
    microseconds = "(extract(epoch FROM {}) * 1000000)::bigint"
