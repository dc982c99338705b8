"""The tables as dlt resources: write disposition, keys, types and contract in plain sight.

Merge is `delete-insert` on the primary key, not `upsert`: a load killed between two commits runs its staging insert
again when it is resumed, and only `delete-insert` removes the doubles. The contract freezes types; what
a batch holds is declared here column by column, and every field the connector does not know is kept in `extra`. Columns
may come, since a later version of this project knows more of them than the one that made a user's tables.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, TypeAlias

import dlt
import pyarrow as pa
from dlt.common.schema.typing import TColumnSchema, TSchemaContract, TTableSchemaColumns, TWriteDispositionConfig
from dlt.common.storages.exceptions import CurrentLoadPackageStateNotAvailable
from dlt.extract import DltResource

from . import descriptions
from .call_requests import is_missing
from .rows.calls import SCHEMA as CALLS

LOAD_ID = "_dlt_load_id"

_TIMESTAMP = pa.timestamp("us", tz="UTC")

_ERROR_TYPES: dict[str, pa.DataType] = {
    "call_id": pa.string(),
    "http_status": pa.int64(),
    "code": pa.string(),
    "message": pa.string(),
    "request_id": pa.string(),
    "attempts": pa.int64(),
    "first_failed_at": _TIMESTAMP,
    "last_failed_at": _TIMESTAMP,
    # dlt's hard_delete hint: a row with true takes the id out of the table; rows that stay hold false
    "_resolved": pa.bool_(),
}
CALL_ERRORS = pa.schema([pa.field(name, kind, nullable=name != "call_id") for name, kind in _ERROR_TYPES.items()])

MERGE: TWriteDispositionConfig = {"disposition": "merge", "strategy": "delete-insert"}
CONTRACT: TSchemaContract = {"tables": "evolve", "columns": "evolve", "data_type": "freeze"}

Item: TypeAlias = pa.Table | pa.RecordBatch
_DLT_TYPES: dict[pa.DataType, Any] = {
    pa.string(): "text",
    pa.int64(): "bigint",
    pa.float64(): "double",
    pa.bool_(): "bool",
    _TIMESTAMP: "timestamp",
}


class ErrorRow(NamedTuple):
    """A row of `call_errors`; times are UTC."""

    call_id: str
    http_status: int | None
    code: str | None
    message: str | None
    request_id: str | None
    attempts: int | None
    first_failed_at: datetime | None
    last_failed_at: datetime | None
    resolved: bool = False

    @property
    def is_missing(self) -> bool:
        """Whether Intercom itself said that there is no such call; other 404s have no code."""
        return is_missing(self.http_status, self.code)

    @classmethod
    def resolve(cls, call_id: str) -> ErrorRow:
        """The row that takes an id out of `call_errors`."""
        return cls(call_id, None, None, None, None, None, None, None, True)


def calls_resource(items: Sequence[Item]) -> DltResource:
    """The table `calls`, one row a call."""
    return merged(items, "calls", CALLS_COLUMNS, key="id", description=descriptions.CALLS_TABLE)


def call_errors_resource(items: Sequence[Item]) -> DltResource:
    """The table `call_errors`: ids that could not be loaded, and why; missing ones (404) too."""
    return merged(items, "call_errors", CALL_ERRORS_COLUMNS, key="call_id", description=descriptions.CALL_ERRORS_TABLE)


def calls_item(batches: Sequence[pa.RecordBatch]) -> pa.Table:
    """Batches of calls as one item: dlt works out the table's schema anew for each, at half a thousand rows' cost."""
    return pa.Table.from_batches(batches, CALLS)


def with_load_id(item: Item, load_id: str | None) -> pa.Table:
    """The item with the load package that it goes in, so that its rows join dlt's `_dlt_loads`.

    dlt fills the column in Arrow data only where `[normalize.parquet_normalizer] add_dlt_load_id` is set; then it
    replaces this one.
    """
    table = pa.Table.from_batches([item]) if isinstance(item, pa.RecordBatch) else item
    load_ids = pa.repeat(pa.scalar(load_id, pa.string()), table.num_rows)
    return table.append_column(pa.field(LOAD_ID, pa.string()), load_ids)


def current_load_id() -> str | None:
    """The load package that is being extracted; None where rows are only iterated."""
    try:
        return dlt.current.load_package_state()["load_id"]
    except CurrentLoadPackageStateNotAvailable:
        return None


def errors_batch(rows: Sequence[ErrorRow]) -> pa.RecordBatch:
    """Rows as one Arrow batch of `CALL_ERRORS`."""
    columns = zip(*rows, strict=True) if rows else [()] * len(CALL_ERRORS)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, CALL_ERRORS, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=CALL_ERRORS)


def columns_of(
    schema: pa.Schema,
    hints: dict[str, TColumnSchema] | None = None,
    described: Mapping[str, str] | None = None,
) -> TTableSchemaColumns:
    """Arrow's columns as dlt's, each with its type, and the load package's after them."""
    columns: TTableSchemaColumns = {
        field.name: {
            "name": field.name,
            "data_type": _DLT_TYPES[field.type],
            "nullable": field.nullable,
            **(hints or {}).get(field.name, {}),
        }
        for field in schema
    }
    columns[LOAD_ID] = {"name": LOAD_ID, "data_type": "text", "nullable": True}
    for name, description in (described or {}).items():
        columns[name]["description"] = description
    return columns


def with_row_ids(columns: TTableSchemaColumns) -> TTableSchemaColumns:
    """The columns of dicts: dlt gives each a `_dlt_id`, which rows loaded as Arrow do not have."""
    row_id: TColumnSchema = {
        "name": "_dlt_id",
        "data_type": "text",
        "nullable": True,
        "description": "dlt's id of the row.",
    }
    return {**columns, "_dlt_id": row_id}


def merged(
    items: Sequence[Item], name: str, columns: TTableSchemaColumns, *, key: str, description: str
) -> DltResource:
    """Arrow data as a resource that is merged on `key`; its rows hold the load package that they go in."""

    def rows() -> Iterator[Item]:
        load_id = current_load_id()
        for item in items:
            yield with_load_id(item, load_id)

    resource = dlt.resource(
        rows, name=name, primary_key=key, write_disposition=MERGE, columns=columns, schema_contract=CONTRACT
    )
    return resource.apply_hints(additional_table_hints={"description": description})


CALLS_COLUMNS = columns_of(CALLS, {"extra": {"data_type": "json"}}, descriptions.CALLS)
CALL_ERRORS_COLUMNS = columns_of(CALL_ERRORS, {"_resolved": {"hard_delete": True}}, descriptions.CALL_ERRORS)
