"""The first column of a query, from DuckDB or any database that SQLAlchemy has a driver for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

import duckdb
import pyarrow as pa

from ..errors import BadIds, ConfigurationError
from .cells import text_array
from .exact import value_text
from .validate import shown

if TYPE_CHECKING:
    from sqlalchemy import Connection

_BATCH_ROWS = 10_000
_Text = pa.StringArray | pa.BinaryArray


def query_ids(url: str, query: str) -> Iterator[_Text]:
    """The first column of a query's rows as text, batch by batch.

    `url` is SQLAlchemy's (`postgresql://user:password@host/db`), or DuckDB's (`duckdb:///path`, options of DuckDB
    after `?`), which needs no SQLAlchemy. The connection is read-only in DuckDB, PostgreSQL and SQLite.

    Raises:
        BadIds: the query fails, or its first column is neither text nor whole numbers.
        ConfigurationError: SQLAlchemy or the database's driver is not installed, or the URL is invalid.
    """
    scheme, _, place = url.strip().partition("://")
    if scheme.split("+")[0].lower() == "duckdb":
        yield from _of_duckdb(place, query)
    else:
        yield from _by_sqlalchemy(url, query)


def _of_duckdb(place: str, query: str) -> Iterator[_Text]:
    path, _, options = place.partition("?")
    if path and not path.startswith("/"):
        raise ConfigurationError("--ids-db: a DuckDB file comes after three slashes, as in duckdb:///crm.duckdb")
    file = path.removeprefix("/") or ":memory:"
    name = f"--ids-sql on duckdb:///{file}"
    try:
        # Read-only, else DuckDB would create a database at a mistyped path; one in memory can't be read-only.
        with duckdb.connect(file, read_only=file != ":memory:", config=dict(parse_qsl(options))) as connection:
            connection.execute(query)
            columns = [column[0] for column in connection.description or []]
            yield from _first_column(columns, iter(lambda: connection.fetchmany(_BATCH_ROWS), []), name)
    except duckdb.Error as error:
        raise _failed(name, error) from error


def _by_sqlalchemy(url: str, query: str) -> Iterator[_Text]:
    try:
        import sqlalchemy
        from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError
    except ImportError as error:
        raise ConfigurationError("--ids-db needs SQLAlchemy; pip install 'intercom-calls[sql]'") from error
    try:
        address = sqlalchemy.make_url(url)
    except ArgumentError as error:
        raise ConfigurationError("--ids-db is no URL of a database, such as postgresql://user@host/db") from error
    if address.drivername in ("postgres", "postgresql"):
        # The driver of the extra; SQLAlchemy's own default changed between 2.0 and 2.1.
        address = address.set(drivername="postgresql+psycopg2")
    name = f"--ids-sql on {address.set(query={}).render_as_string(hide_password=True)}"
    if address.get_backend_name() == "sqlite":
        _refuse_absent_file(address.database, name)
    try:
        engine = sqlalchemy.create_engine(address)
    except (NoSuchModuleError, ImportError) as error:
        fix = "pip install 'intercom-calls[sql]' for PostgreSQL, else SQLAlchemy's dialect for it"
        raise ConfigurationError(f"{name}: no driver for {address.drivername}; {fix}") from error
    try:
        with engine.connect() as connection:
            yield from _selected(connection, query, name)
    except SQLAlchemyError as error:
        raise _failed(name, getattr(error, "orig", None) or error) from error
    finally:
        engine.dispose()


def _refuse_absent_file(database: str | None, name: str) -> None:
    """SQLite would create a database at a mistyped path."""
    database = database or ":memory:"
    uri = urlsplit(database) if database.startswith("file:") else None
    if uri is not None and (dict(parse_qsl(uri.query)).get("mode") == "memory" or uri.path in ("", ":memory:")):
        return
    file = Path(unquote(uri.path) if uri is not None else database)
    if database != ":memory:" and not file.exists():
        raise BadIds(
            f"{name}: there is no file {file.absolute()}; correct the URL (sqlite:///name is below the current folder, "
            "sqlite:////name is not)"
        )


def _selected(connection: Connection, query: str, name: str) -> Iterator[_Text]:
    options: dict[str, object] = {"stream_results": True, "no_parameters": True, "max_row_buffer": _BATCH_ROWS}
    if connection.dialect.name == "postgresql":
        options["postgresql_readonly"] = True
    elif connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA query_only = ON")
    result = connection.execution_options(**options).exec_driver_sql(query)
    columns = list(result.keys()) if result.returns_rows else []
    yield from _first_column(columns, result.partitions(_BATCH_ROWS) if columns else [], name)


def _first_column(columns: Sequence[str], batches: Iterable[Sequence[Sequence[Any]]], name: str) -> Iterator[_Text]:
    if not columns:
        raise BadIds(f"{name}: it returns no rows; give a SELECT whose first column is the ids")
    origin = f"{name}: its first column {shown(columns[0])}"
    for rows in batches:
        yield text_array([_text(row[0], origin) for row in rows])


def _failed(name: str, error: BaseException) -> BadIds:
    return BadIds(f"{name}: {' '.join(str(error).split())[:400]}; correct the query or the URL")


def _text(value: object, origin: str) -> str | None:
    try:
        return value_text(value)
    except ValueError as error:
        kind = type(value).__name__
        raise BadIds(f"{origin} holds {kind} ({shown(value)}), {error}; cast it to text") from None
