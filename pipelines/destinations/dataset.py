"""A destination and dataset by name: refused if it can't be loaded into; read without a pipeline or folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import dlt
import duckdb
import pyarrow as pa
import sqlglot
from dlt.common.destination import Destination
from dlt.common.destination.exceptions import DestinationUndefinedEntity
from dlt.common.normalizers.naming.snake_case import NamingConvention
from dlt.destinations.exceptions import DatabaseException
from dlt.destinations.impl.duckdb.configuration import DuckDbBaseCredentials
from dlt.destinations.impl.duckdb.exceptions import InvalidInMemoryDuckdbCredentials
from dlt.destinations.job_client_impl import SqlJobClientBase
from dlt.destinations.sql_client import SqlClientBase
from sqlglot import exp

from sources.intercom.errors import BadIds
from sources.intercom.rows.calls import SCHEMA as CALLS
from sources.intercom.tables import CALL_ERRORS, LOAD_ID

from ..errors import UsageError
from ..load_runs import LOAD_RUNS
from .duckdb_file import require_file
from .faults import is_locked_file, readable_errors, retry_while
from .location import Location, location_of
from .postgres import limit_waits

Rows = list[tuple[Any, ...]]
T = TypeVar("T")

_BATCH_ROWS = 100_000


def require_dataset_name(dataset: str) -> None:
    """Refuse a name that dlt would change: it would load into another dataset than the one that is locked.

    Raises:
        UsageError
    """
    name = NamingConvention().normalize_path(dataset) if dataset.strip() else ""
    if not name or name != dataset:
        fix = f"write it as {name}" if name else "give it a name (an empty one may come from an unset variable)"
        raise UsageError(f"--dataset {dataset!r} can't be a dataset's name; {fix}")


def resolve(
    destination: str, dataset: str, *, to_write: bool
) -> tuple[Destination[Any, Any], SqlJobClientBase, Location]:
    """Find a destination by its name; `load`, `check`, `status` and a dry run refuse the same ones.

    Raises:
        UsageError: no such destination, its driver or configuration is missing, or it can't be loaded into.
    """
    require_dataset_name(dataset)
    with readable_errors(destination):
        factory = Destination.from_reference(destination)
        assert factory is not None
        _require_database(destination, factory)
        if factory.destination_type == "dlt.destinations.postgres":
            limit_waits(factory)
        # dlt says here what is missing, driver or configuration
        client = dlt.dataset(factory, dataset, schema=dlt.Schema("intercom_calls")).destination_client
        if not isinstance(client, SqlJobClientBase):
            raise UsageError(f"--destination {destination} can't be asked by SQL; name a database")
        location = location_of(client.config, factory.destination_name)
    require_file(location, dataset, to_write=to_write)
    return factory, client, location


def _require_database(destination: str, factory: Destination[Any, Any]) -> None:
    """Refuse files and databases in memory, before their configuration is complete."""
    if factory.destination_type == "dlt.destinations.filesystem":
        raise UsageError(
            f"--destination {destination}: this command can't load into files yet; name a database, such as duckdb or "
            "postgres, or load into files with the source in a pipeline of your own"
        )
    if factory.destination_type != "dlt.destinations.duckdb":
        return
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


class Dataset:
    """A destination and dataset, read by SQL.

    Attributes:
        location: where the data is.

    Raises:
        UsageError: see `resolve`.
    """

    def __init__(self, destination: str, dataset: str, lock_wait_seconds: float, *, to_write: bool = False) -> None:
        self.destination = destination
        self._lock_wait_seconds = lock_wait_seconds
        _, self._client, self.location = resolve(destination, dataset, to_write=to_write)

    def ask(self, action: Callable[[SqlClientBase[Any]], T], *, read_only: bool = True) -> T:
        """Run `action` with an open connection; wait for a DuckDB file that another program has open.

        Raises:
            DestinationFailed: the destination can't be reached, or refuses the login or the query.
        """
        credentials = self._client.config.credentials
        if isinstance(credentials, DuckDbBaseCredentials):
            credentials.read_only = read_only

        def connected() -> T:
            with self._client.sql_client as client:
                if read_only and self.location.is_postgres:
                    client.native_connection.set_session(readonly=True)
                return action(client)

        with readable_errors(self.destination, before_load=True):
            return retry_while(connected, seconds=self._lock_wait_seconds, when=is_locked_file)

    def first_column(self, query: str) -> list[pa.ChunkedArray[Any]]:
        """The first column of `query`, in the destination's own SQL; read-only on DuckDB and PostgreSQL.

        Raises:
            BadIds: the query fails or returns no rows.
            DestinationFailed: as `ask`.
        """

        def asked(client: SqlClientBase[Any]) -> list[pa.ChunkedArray[Any]]:
            try:
                with client.execute_query(query) as cursor:
                    if cursor.native_cursor.description is None:
                        raise BadIds("--ids-sql: it returns no rows; give a SELECT whose first column is the ids")
                    return [table.column(0) for table in cursor.iter_arrow(_BATCH_ROWS)]
            except DatabaseException as error:
                raise BadIds(f"--ids-sql: {' '.join(str(error).split())}") from error

        return self.ask(asked)


def first_column_of_new(file: Path, dataset: str, query: str) -> list[pa.ChunkedArray[Any]]:
    """The same for a DuckDB file that does not exist yet: it has our own tables, empty.

    Raises:
        BadIds: the query fails, for instance on another table, or returns no rows.
    """
    ours = {"calls": CALLS, "call_errors": CALL_ERRORS, "load_runs": LOAD_RUNS}
    catalog, schema = (exp.to_identifier(name, quoted=True).sql("duckdb") for name in (file.stem, dataset))
    with duckdb.connect() as connection:
        if file.stem.lower() not in ("memory", "system", "temp"):
            connection.execute(f"ATTACH ':memory:' AS {catalog}; USE {catalog}")
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}; USE {schema}")
        for table, columns in ours.items():
            connection.register("empty", columns.append(pa.field(LOAD_ID, pa.string())).empty_table())
            connection.execute(f"CREATE TABLE {table} AS SELECT * FROM empty")  # noqa: S608  a name of our own
            connection.unregister("empty")
        try:
            # not `execute`: only relations have `to_arrow_table` in DuckDB 1.4 and later
            found = connection.sql(query)
            if found is not None:
                return [found.to_arrow_table().column(0)]
        except duckdb.Error as error:
            raise BadIds(f"--ids-sql: {' '.join(str(error).split())}") from error
    raise BadIds("--ids-sql: it returns no rows; give a SELECT whose first column is the ids")


def select(client: SqlClientBase[Any], table: str, query: str) -> Rows | None:
    """Run `query`, a SELECT without FROM in DuckDB's dialect, on `table`; None if there is no such table."""
    try:
        with client.execute_query(_query(client, table, query)) as cursor:
            return cursor.fetchall()
    except DestinationUndefinedEntity:
        return None


def column_names(client: SqlClientBase[Any], table: str) -> frozenset[str]:
    """The columns of a table, in lower case; none if there is no such table.

    A table that an earlier version of this project made lacks the newer ones.
    """
    try:
        with client.execute_query(_query(client, table, "SELECT * LIMIT 1")) as cursor:
            return frozenset(name.lower() for name in cursor.columns_schema)
    except DestinationUndefinedEntity:
        return frozenset()


def _query(client: SqlClientBase[Any], table: str, query: str) -> str:
    parsed = sqlglot.parse_one(query, read="duckdb", into=exp.Select)
    return parsed.from_(qualified(client, table)).sql(client.capabilities.sqlglot_dialect)


def qualified(client: SqlClientBase[Any], table: str) -> exp.Table:
    """A table of the dataset, to select from."""
    return exp.to_table(client.make_qualified_table_name(table), dialect=client.capabilities.sqlglot_dialect)
