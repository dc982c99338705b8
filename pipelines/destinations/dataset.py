"""A dataset looked at from outside: no pipeline, no working folder, nothing is made by looking."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import dlt
import duckdb
import pyarrow as pa
import sqlglot
from dlt.common.destination import Destination
from dlt.destinations.exceptions import DatabaseException, DatabaseUndefinedRelation
from dlt.destinations.impl.duckdb.configuration import DuckDbBaseCredentials
from dlt.destinations.sql_client import SqlClientBase
from sqlglot import exp

from sources.intercom.errors import BadIds
from sources.intercom.rows.calls import SCHEMA as CALLS
from sources.intercom.tables import CALL_ERRORS, LOAD_ID

from ..load_runs import LOAD_RUNS
from .faults import explained, is_locked_file, persevere
from .location import location_of
from .postgres import limit_waits
from .preflight import require_dataset_name, require_file, require_loadable, require_sql

Rows = list[tuple[Any, ...]]
T = TypeVar("T")

_BATCH_ROWS = 100_000


class Dataset:
    """A destination and dataset, asked by SQL.

    Attributes:
        file: the DuckDB file, where that is the destination.
        location: where the data is, to be shown; holds no password.
        is_postgres: whether it is PostgreSQL.

    Raises:
        UsageError: no such destination, its driver or configuration is missing, it is not asked by SQL, or `load` would
            refuse it by its name.
    """

    def __init__(self, destination: str, dataset: str, lock_wait_seconds: float, *, to_write: bool = False) -> None:
        require_dataset_name(dataset)
        self.destination = destination
        self._lock_wait_seconds = lock_wait_seconds
        with explained(destination):
            factory = Destination.from_reference(destination)
            assert factory is not None
            require_loadable(destination, factory)
            if factory.destination_type == "dlt.destinations.postgres":
                limit_waits(factory)
            named = dlt.dataset(factory, dataset, schema=dlt.Schema("intercom_calls"))
            self._client = require_sql(destination, named.destination_client)
            location = location_of(self._client.config, factory.destination_name)
        require_file(location, dataset, to_write=to_write)
        self.file, self.location = location.file, location.shown
        self.is_postgres = self._client.config.destination_type == "postgres"

    @property
    def is_new(self) -> bool:
        """Whether there is no database yet, so that asking it would only make an empty one."""
        return self.file is not None and not self.file.exists()

    def ask(self, action: Callable[[SqlClientBase[Any]], T], *, read_only: bool = True) -> T:
        """Do `action` with an open connection; a DuckDB file that another program holds is waited for.

        Raises:
            DestinationFailed: the destination can't be reached, refuses the login, or refuses what is asked.
        """
        credentials = self._client.config.credentials
        if isinstance(credentials, DuckDbBaseCredentials):
            credentials.read_only = read_only

        def connected() -> T:
            with self._client.sql_client as client:
                if read_only and self.is_postgres:
                    client.native_connection.set_session(readonly=True)
                return action(client)

        with explained(self.destination, before_load=True):
            return persevere(connected, seconds=self._lock_wait_seconds, when=is_locked_file)

    def first_column(self, query: str) -> list[pa.ChunkedArray[Any]]:
        """The first column of `query`, in the destination's own SQL; DuckDB and PostgreSQL let it change nothing.

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
    """The same of a DuckDB file that is not there yet: our own tables are empty, all others absent.

    Raises:
        BadIds: the query fails, a table that nobody makes among the causes, or returns no rows.
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
            # `sql`, not `execute`: its relations give Arrow tables by one name from DuckDB 1.4 on
            found = connection.sql(query)
            if found is not None:
                return [found.to_arrow_table().column(0)]
        except duckdb.Error as error:
            raise BadIds(f"--ids-sql: {' '.join(str(error).split())}") from error
    raise BadIds("--ids-sql: it returns no rows; give a SELECT whose first column is the ids")


def select(client: SqlClientBase[Any], table: str, query: str) -> Rows | None:
    """Ask `query`, a SELECT without FROM in DuckDB's dialect, of `table`; None where there is no such table."""
    dialect = client.capabilities.sqlglot_dialect
    select = sqlglot.parse_one(query, read="duckdb", into=exp.Select)
    select = select.from_(exp.to_table(client.make_qualified_table_name(table), dialect=dialect))
    try:
        with client.execute_query(select.sql(dialect)) as cursor:
            return cursor.fetchall()
    except DatabaseUndefinedRelation:
        return None


def column_names(client: SqlClientBase[Any], table: str) -> frozenset[str]:
    """The columns that a table has, in lower case; none where there is no such table.

    A table that an earlier version of this project made lacks the newer ones.
    """
    dialect = client.capabilities.sqlglot_dialect
    select = exp.select("*").from_(exp.to_table(client.make_qualified_table_name(table), dialect=dialect)).limit(1)
    try:
        with client.execute_query(select.sql(dialect)) as cursor:
            description = cursor.native_cursor.description
            cursor.fetchall()
    except DatabaseUndefinedRelation:
        return frozenset()
    return frozenset(str(column[0]).lower() for column in description)
