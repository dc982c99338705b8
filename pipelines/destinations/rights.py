"""Whether a dataset can be loaded into: its tables are ours, and the user of PostgreSQL has the rights.

PostgreSQL's rights are read from its catalog: `information_schema` shows only what the user may see.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import dlt
from dlt.destinations.sql_client import SqlClientBase

from sources.intercom.tables import call_errors_resource, calls_resource

from ..errors import UsageError
from ..load_runs import load_runs_resource
from ..summary import Summary
from .location import Location
from .postgres import require_utf8
from .tables import add_tables, require_own

_SERVER = """
SELECT quote_ident(current_user), quote_ident(current_database()), pg_is_in_recovery(),
    current_setting('transaction_read_only') = 'on',
    (SELECT source FROM pg_settings WHERE name = 'default_transaction_read_only'),
    has_database_privilege(current_database(), 'CREATE')
"""
_TABLES = """
SELECT s.nspname, quote_ident(s.nspname), has_schema_privilege(s.oid, 'USAGE'), has_schema_privilege(s.oid, 'CREATE'),
    c.relname, quote_ident(c.relname), c.relkind IN ('r', 'p'), pg_has_role(c.relowner, 'USAGE'),
    ARRAY(SELECT ARRAY[attname::text, format_type(atttypid, NULL)] FROM pg_attribute
        WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped),
    ARRAY(SELECT name FROM unnest(ARRAY['SELECT', 'INSERT', 'DELETE', 'TRUNCATE']) AS rights(name)
        WHERE has_table_privilege(c.oid, name))
FROM pg_namespace s
LEFT JOIN pg_class c ON c.relnamespace = s.oid AND c.relname = ANY(%s) AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
WHERE s.nspname = ANY(%s)
ORDER BY s.nspname, c.relname
"""
_DUCKDB_TABLES = """
SELECT c.table_name, v.view_name IS NULL, list([c.column_name, c.data_type])
FROM duckdb_columns() c LEFT JOIN duckdb_views() v
    ON v.database_name = c.database_name AND v.schema_name = c.schema_name AND v.view_name = c.table_name
WHERE c.database_name = current_database() AND c.schema_name = ?
GROUP BY ALL
"""
# What dlt needs for its own tables, for tables of data, and for their staging tables, which it empties and fills.
_NEEDED_OF_DLT = ("SELECT", "INSERT")
_NEEDED = ("SELECT", "INSERT", "DELETE")
_NEEDED_OF_STAGING = ("SELECT", "INSERT", "TRUNCATE")
# How the database's name of a type begins, by dlt's.
_TYPES = {
    "text": ("varchar", "character varying", "text"),
    "timestamp": ("timestamp",),
    "bigint": ("bigint",),
    "double": ("double",),
    "bool": ("bool",),
    "json": ("json",),
}

# Columns and their types, by table.
Tables = Mapping[str, Mapping[str, str]]


class _Table(NamedTuple):
    name: str
    quoted: str
    is_table: bool
    is_owned: bool
    columns: Sequence[tuple[str, str]]
    rights: Sequence[str]


class _Schema(NamedTuple):
    quoted: str
    may_use: bool
    may_create: bool
    tables: dict[str, _Table]


def require_usable(client: SqlClientBase[Any], location: Location) -> None:
    """Refuse a DuckDB file or PostgreSQL database whose tables can't be loaded into; missing tables are no obstacle.

    It takes one query on DuckDB, two on PostgreSQL.

    Args:
        client: connected to it.
        location: which of the two it is.

    Raises:
        UsageError: a table is not ours; PostgreSQL is not UTF-8, is read-only, or the user lacks a right, with the
            statements that would give it.
    """
    needed = _needed_tables()
    if not location.is_postgres:
        for name, is_table, columns in client.execute_sql(_DUCKDB_TABLES, client.dataset_name) or ():
            if name in needed:
                _require_own(client.dataset_name, name, is_table, columns, needed[name])
        return
    _require_rights(client, location.shown, needed)


def _require_rights(client: SqlClientBase[Any], location: str, needed: Tables) -> None:
    require_utf8(client.native_connection, location)
    [server] = client.execute_sql(_SERVER) or [()]
    user, database, is_standby, is_read_only, source, may_create = server
    if is_standby:
        raise UsageError(f"{location} is read-only: it is a standby (a replica); name the primary server")
    if is_read_only:
        raise UsageError(
            f"{location} is read-only: default_transaction_read_only is on (set by: {source}); name a user or database "
            f"that may write, or run: ALTER ROLE {user} SET default_transaction_read_only = off"
        )
    dataset, staging = client.dataset_name, client.staging_dataset_name
    of_dlt: dict[str, Mapping[str, str]] = {"_dlt_version": {}, "_dlt_loads": {}}
    by_schema: dict[str, Tables] = {dataset: {**needed, **of_dlt}, staging: {**needed, "_dlt_version": {}}}
    there = _schemas(client, by_schema)
    for table in there[dataset].tables.values() if dataset in there else ():
        if not table.name.startswith("_dlt"):
            _require_own(dataset, table.name, table.is_table, table.columns, needed[table.name])
    statements = []
    if not may_create and by_schema.keys() - there.keys():
        statements.append(f"GRANT CREATE ON DATABASE {database} TO {user}")
    for name, schema in there.items():
        statements += _grants(schema, by_schema[name], user, is_staging=name == staging)
    if statements:
        raise UsageError(
            f"{location}: {user} lacks rights that a load needs (permission denied); have an administrator run: "
            + "; ".join(statements)
        )


def _needed_tables() -> Tables:
    schema = dlt.Schema("intercom_calls")
    runs = load_runs_resource(Summary(destination="", dataset=""), None)
    add_tables(schema, (calls_resource([]), call_errors_resource([]), runs))
    return {
        name: {column: str(hints.get("data_type")) for column, hints in schema.get_table_columns(name).items()}
        for name in schema.data_table_names()
    }


def _require_own(
    dataset: str, name: str, is_table: bool, columns: Iterable[Sequence[str]], expected: Mapping[str, str]
) -> None:
    there = {column.lower(): kind.lower() for column, kind in columns}
    unlike = None if is_table else "it is no table, but a view or the like"
    for column, kind in there.items():
        if column in expected and not kind.startswith(_TYPES.get(expected[column], ("",))):
            unlike = unlike or f"column {column} is {kind}"
    require_own(dataset, name, there, unlike)


def _schemas(client: SqlClientBase[Any], needed: Mapping[str, Tables]) -> dict[str, _Schema]:
    names = sorted({table for tables in needed.values() for table in tables})
    there: dict[str, _Schema] = {}
    for row in client.execute_sql(_TABLES, names, [*needed]) or ():
        schema = there.setdefault(row[0], _Schema(row[1], row[2], row[3], {}))
        if row[4] in needed[row[0]]:
            schema.tables[row[4]] = _Table(*row[4:])
    return there


def _grants(schema: _Schema, needed: Tables, user: str, *, is_staging: bool) -> list[str]:
    """The statements that give the rights that lack in a schema."""
    lacking = [] if schema.may_use else ["USAGE"]
    if not schema.may_create and needed.keys() - schema.tables.keys():
        lacking.append("CREATE")
    statements = [f"GRANT {', '.join(lacking)} ON SCHEMA {schema.quoted} TO {user}"] if lacking else []
    for name, table in schema.tables.items():
        place = f"{schema.quoted}.{table.quoted}"
        rights = _NEEDED_OF_DLT if name.startswith("_dlt") else _NEEDED_OF_STAGING if is_staging else _NEEDED
        if missing := [right for right in rights if right not in table.rights]:
            statements.append(f"GRANT {', '.join(missing)} ON {place} TO {user}")
        # none but the owner can add columns
        if needed[name].keys() - {column for column, _ in table.columns} and not table.is_owned:
            statements.append(f"ALTER TABLE {place} OWNER TO {user}")
    return statements
