"""Which ids to request: `refresh` and what the destination holds decide; it is queried once a run.

The join of the two runs in DuckDB in memory: a million ids cost neither a query each nor a Python object each.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NamedTuple, get_args

import dlt
import duckdb
import pyarrow as pa
import sqlglot
from dlt.common.destination.exceptions import SqlClientNotAvailable
from dlt.common.normalizers.naming import NamingConvention
from dlt.destinations.exceptions import DatabaseUndefinedRelation
from dlt.destinations.sql_client import SqlClientBase
from dlt.pipeline.exceptions import PipelineConfigMissing
from sqlglot import exp

from .call_requests import IS_MISSING_SQL
from .errors import ConfigurationError
from .private_parts import named_as_in_run

Refresh = Literal["open", "new", "all"]

# A call without an end counts as settled after this time. One without any time counts as settled at once: its age is
# unknown, and it would be requested every night for ever.
ABANDONED_DAYS = 30
# Some destinations limit a query's text (ClickHouse 256 kB, BigQuery 1 MB) or its list of values (Snowflake 16,384).
_IDS_A_QUERY = 5_000
# For more ids than this the whole table is read once: each query for some ids may read all of it anyway.
_MANY_IDS = 100_000
_ROWS = 100_000


class Known(NamedTuple):
    """What the destination holds of one id.

    Attributes:
        state: `open`, `settled`, `deleted`, or None without a row in `calls`.
        is_missing: whether its error is Intercom's own 404; None without a row in `call_errors`.
    """

    state: str | None
    updated_at: datetime | None
    fetched_at: datetime | None
    is_missing: bool | None
    attempts: int | None
    first_failed_at: datetime | None


class Plan:
    """What a run is to do: counts, and the ids to fetch in the list's order.

    Attributes:
        requested: distinct ids.
        already_loaded, missing: ids that are not fetched: loaded, or known as missing.
        to_fetch: ids to fetch.
        ever_loaded: ids with a row in `calls`, deleted ones too.
        knows_any: whether the destination holds anything about an id to fetch.
    """

    def __init__(self, ids: pa.Array[Any] | pa.ChunkedArray[Any], refresh: Refresh, settle_hours: float) -> None:
        if refresh not in get_args(Refresh):
            raise ConfigurationError(f"refresh = {refresh!r} is not one of {', '.join(get_args(Refresh))}", "refresh")
        self.requested = len(ids)
        self._ids = ids
        self._refresh = refresh
        self._settle_seconds = int(settle_hours * 3600)
        self._planned: duckdb.DuckDBPyConnection | None = None
        self.knows_any = False
        self.already_loaded = self.missing = self.ever_loaded = 0
        self.to_fetch = self.requested

    def ask(
        self,
        pipeline: dlt.Pipeline,
        schema: dlt.Schema | None = None,
        *,
        dataset: str | None = None,
        calls: str | None = "calls",
        call_errors: str | None = "call_errors",
    ) -> None:
        """Query the destination of `pipeline`; if it has neither table, every id is to be fetched.

        Schema and dataset are the pipeline's by default. `calls` and `call_errors` are the tables' names; None for a
        table that is emptied before rows are written.

        Raises:
            ConfigurationError: `refresh` needs to know what is loaded, and the destination answers no SQL.
        """
        if not self.requested:
            return
        try:
            connection = _sql_client(pipeline, schema, dataset)
        except (SqlClientNotAvailable, PipelineConfigMissing):
            if self._refresh == "all":
                return
            raise ConfigurationError(
                f'refresh = "{self._refresh}" asks the destination what is loaded, but it answers no SQL; use "all"',
                "refresh",
            ) from None
        with connection as client:
            self.ask_client(client, schema.naming if schema else None, calls=calls, call_errors=call_errors)

    def ask_client(
        self,
        client: SqlClientBase[Any],
        naming: NamingConvention | None = None,
        *,
        calls: str | None = "calls",
        call_errors: str | None = "call_errors",
    ) -> None:
        """As `ask`, by an open connection to the dataset."""
        with ExitStack() as stack:
            plan = stack.enter_context(duckdb.connect(config={"threads": 2}))
            plan.execute("SET TimeZone = 'UTC'")
            plan.register("ids", pa.table({"id": self._ids}))
            plan.execute("CREATE TABLE list AS SELECT id, row_number() OVER () AS position FROM ids")
            plan.execute(_KNOWN_TABLES)
            destination = _Destination(client, naming, plan, self._ids)
            has_calls = destination.copy(calls, self._calls_query(), into="loaded", key="id")
            has_errors = destination.copy(call_errors, _ERRORS_QUERY, into="failed", key="call_id")
            if has_calls or has_errors:
                self._join(plan)
                stack.pop_all()  # until `close`

    def close(self) -> None:
        """Close the DuckDB of the plan; what has been counted stays."""
        if self._planned is not None:
            self._planned.close()

    def call_ids(self) -> Iterator[str]:
        """The ids to fetch, in order."""
        ids = self._ids
        if self._planned is not None:
            # a cursor of its own: this runs in the fetching thread, `known` in the loading one
            with self._planned.cursor() as cursor:
                # `sql`, not `execute`: only its relations have `to_arrow_table` in every DuckDB from 1.4 on
                ids = cursor.sql("SELECT id FROM plan WHERE wanted ORDER BY position").to_arrow_table()["id"]
        for start in range(0, len(ids), _ROWS):
            call_ids: list[Any] = ids.slice(start, _ROWS).to_pylist()
            yield from call_ids

    def known(self, call_ids: Sequence[str]) -> dict[str, Known]:
        """What the destination held of these ids when it was queried; ids without anything are left out."""
        if self._planned is None or not self.knows_any:
            return {}
        self._planned.register("asked", pa.table({"id": pa.array(call_ids, pa.string())}))
        rows = self._planned.execute(
            "SELECT id, state, updated_at, fetched_at, is_missing, attempts, first_failed_at FROM known "
            "WHERE id IN (SELECT id FROM asked)"
        ).fetchall()
        self._planned.unregister("asked")
        return {row[0]: Known(*row[1:]) for row in rows}

    def _join(self, plan: duckdb.DuckDBPyConnection) -> None:
        counts = "SELECT (SELECT count(*) - count(DISTINCT id) FROM loaded) + "
        if plan.execute(counts + "(SELECT count(*) - count(DISTINCT call_id) FROM failed)").fetchall() != [(0,)]:
            plan.execute(_NEWEST)
        plan.execute(
            "CREATE TABLE known AS SELECT coalesce(id, call_id) AS id, * EXCLUDE (id, call_id, is_resolved, load_id) "
            "FROM loaded FULL JOIN (FROM failed WHERE is_resolved IS NOT TRUE) AS failed ON id = call_id"
        )
        settled_at = datetime.now(UTC) - timedelta(seconds=self._settle_seconds)
        plan.execute(
            f"CREATE TABLE plan AS SELECT id, position, {_FETCH[self._refresh]} AS wanted, "
            "coalesce(state = 'deleted' OR (state IS NULL AND is_missing), false) AS missing, "
            "state IS NOT NULL AS was_loaded "
            "FROM list LEFT JOIN known USING (id)",
            {"settled_at": settled_at} if self._refresh == "open" else None,
        )
        (counted,) = plan.execute(
            "SELECT count(*) FILTER (WHERE wanted), count(*) FILTER (WHERE NOT wanted AND missing), "
            "count(*) FILTER (WHERE NOT wanted AND NOT missing), count(*) FILTER (WHERE was_loaded) FROM plan"
        ).fetchall()
        self.to_fetch, self.missing, self.already_loaded, self.ever_loaded = counted
        plan.execute("DROP TABLE list; DROP TABLE loaded; DROP TABLE failed")
        plan.execute("DELETE FROM known WHERE id IN (SELECT id FROM plan WHERE NOT wanted)")
        self.knows_any = plan.execute("SELECT 1 FROM known LIMIT 1").fetchall() != []
        self._planned = plan

    def _calls_query(self) -> str:
        return (
            "SELECT id, CASE WHEN _deleted_at IS NOT NULL THEN 'deleted' "
            "WHEN coalesce(ended_at, created_at, initiated_at, updated_at) IS NULL THEN 'settled' "
            f"WHEN _fetched_at - INTERVAL '{self._settle_seconds} seconds' >= ended_at THEN 'settled' "
            f"WHEN ended_at IS NULL AND _fetched_at - INTERVAL '{ABANDONED_DAYS} days' "
            ">= coalesce(created_at, initiated_at, updated_at) THEN 'settled' "
            # in a session's own time zone the last hours of 9999 are in the year 10000, which no driver can read
            "ELSE 'open' END AS state, updated_at AT TIME ZONE 'UTC' AS updated_at, _fetched_at"
        )


@dataclass(frozen=True)
class _Destination:
    """A destination that is queried for the rows of the listed ids."""

    client: SqlClientBase[Any]
    naming: NamingConvention | None
    plan: duckdb.DuckDBPyConnection
    ids: pa.Array[Any] | pa.ChunkedArray[Any]

    def copy(self, table: str | None, query: str, *, into: str, key: str) -> bool:
        """Copy the result of `query` for the listed ids into the plan; False if the destination has no such table."""
        if table is None:
            return False
        dialect = self.client.capabilities.sqlglot_dialect
        if self.naming is not None:
            table = self.naming.normalize_table_identifier(table)
        select = sqlglot.parse_one(query, read="duckdb", into=exp.Select)
        select = select.from_(exp.to_table(self.client.make_qualified_table_name(table), dialect=dialect))
        try:
            for some in self._slices():
                listed = select if some is None else select.where(exp.column(key).isin(*some))
                with self.client.execute_query(listed.transform(self._named).sql(dialect)) as cursor:
                    for rows in cursor.iter_arrow(_ROWS):
                        self.plan.register("rows", rows)
                        insert = f"INSERT INTO {into} SELECT * FROM rows SEMI JOIN list ON rows.{key} = list.id"
                        self.plan.execute(insert)
        except DatabaseUndefinedRelation:
            return False
        return True

    def _slices(self) -> Iterator[list[Any] | None]:
        """The listed ids, some at a time; None stands for the whole table."""
        if len(self.ids) > _MANY_IDS:
            yield None
            return
        for start in range(0, len(self.ids), _IDS_A_QUERY):
            yield self.ids.slice(start, _IDS_A_QUERY).to_pylist()

    def _named(self, node: exp.Expression) -> exp.Expression:
        """A column by the name that the schema's naming convention gives it."""
        if self.naming is None or not isinstance(node, exp.Column):
            return node
        name = self.client.capabilities.casefold_identifier(self.naming.normalize_identifier(node.name))
        return exp.column(exp.to_identifier(name, quoted=True))


def _sql_client(pipeline: dlt.Pipeline, schema: dlt.Schema | None, dataset: str | None) -> SqlClientBase[Any]:
    with named_as_in_run(pipeline, dataset):
        if schema is None:
            return pipeline.sql_client()
        if schema.name in pipeline.schemas:
            return pipeline.sql_client(schema.name)
        return pipeline.dataset(schema).sql_client  # a pipeline that has not loaded anything from this machine


_KNOWN_TABLES = """
    CREATE TABLE loaded (id VARCHAR, state VARCHAR, updated_at TIMESTAMPTZ, fetched_at TIMESTAMPTZ);
    CREATE TABLE failed (call_id VARCHAR, is_missing BOOLEAN, attempts BIGINT, first_failed_at TIMESTAMPTZ,
        is_resolved BOOLEAN, load_id VARCHAR);
"""
_ERRORS_QUERY = (
    f"SELECT call_id, {IS_MISSING_SQL} AS is_missing, attempts, first_failed_at, "
    "_resolved AS is_resolved, _dlt_load_id AS load_id"
)
# If rows are appended instead of merged, the newest one of an id counts.
_NEWEST = """
    CREATE OR REPLACE TABLE loaded AS
        SELECT * FROM loaded QUALIFY row_number() OVER (PARTITION BY id ORDER BY fetched_at DESC NULLS LAST) = 1;
    CREATE OR REPLACE TABLE failed AS
        SELECT * FROM failed QUALIFY row_number() OVER (PARTITION BY call_id ORDER BY load_id DESC NULLS LAST) = 1;
"""
_FETCH = {
    "all": "true",
    "new": "state IS NULL",
    # A live row beside a 404 is open, whatever its age: the run that was to decide about it did not finish.
    "open": """CASE
        WHEN state = 'deleted' THEN false
        WHEN state IS NULL AND is_missing THEN first_failed_at > $settled_at
        ELSE state IS NULL OR state = 'open' OR is_missing IS NOT NULL
    END""",
}
