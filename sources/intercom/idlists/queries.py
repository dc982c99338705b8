"""A query's first column, from any database that SQLAlchemy has a driver for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pyarrow as pa

from ..errors import BadIds, ConfigurationError
from .cells import text_array
from .checks import shown
from .exact import value_text

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection

_BATCH_ROWS = 10_000


def query_ids(url: str, query: str) -> Iterator[pa.StringArray | pa.BinaryArray]:
    """The first column of a query's rows as text, batch by batch.

    `url` is SQLAlchemy's (`postgresql://user:password@host/db`, `duckdb:///path`); the query can't change anything
    there where the database allows it to be told so (DuckDB, PostgreSQL).

    Raises:
        BadIds: the query fails, or its first column is neither text nor whole numbers.
        ConfigurationError: SQLAlchemy or the database's driver is not installed, or the URL is none.
    """
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
    try:
        engine = sqlalchemy.create_engine(address, connect_args=_connect_args(address))
    except (NoSuchModuleError, ImportError) as error:
        mend = "pip install 'intercom-calls[sql]' for DuckDB and PostgreSQL, else SQLAlchemy's dialect for it"
        raise ConfigurationError(f"{name}: no driver for {address.drivername}; {mend}") from error
    try:
        with engine.connect() as connection:
            yield from _first_column(connection, query, name)
    except SQLAlchemyError as error:
        cause = str(getattr(error, "orig", None) or error).strip()
        raise BadIds(f"{name}: {' '.join(cause.split())[:400]}; correct the query or the URL") from error
    finally:
        engine.dispose()


def _connect_args(address: URL) -> dict[str, object]:
    # Without it DuckDB would make an empty database of a mistyped path.
    in_memory = address.database in (None, "", ":memory:")
    return {"read_only": True} if address.get_backend_name() == "duckdb" and not in_memory else {}


def _first_column(connection: Connection, query: str, name: str) -> Iterator[pa.StringArray | pa.BinaryArray]:
    options: dict[str, object] = {
        "stream_results": True,
        "no_parameters": True,
        "max_row_buffer": _BATCH_ROWS,
    }
    if connection.dialect.name == "postgresql":
        options["postgresql_readonly"] = True
    result = connection.execution_options(**options).exec_driver_sql(query)
    if not result.returns_rows:
        raise BadIds(f"{name}: it returns no rows; give a SELECT whose first column is the ids")
    column = shown(next(iter(result.keys())))
    for rows in result.partitions(_BATCH_ROWS):
        yield text_array([_text(row[0], f"{name}: its first column {column}") for row in rows])


def _text(value: object, origin: str) -> str | None:
    try:
        return value_text(value)
    except ValueError as error:
        kind = type(value).__name__
        raise BadIds(f"{origin} holds {kind} ({shown(value)}), {error}; cast it to text") from None
