"""The tables as dlt resources: write disposition, keys, types and contract.

Merge is `delete-insert` on the primary key, not `upsert`: a load killed between two commits runs its staging insert
again when it is resumed, and only `delete-insert` removes the duplicates. The contract freezes types. It allows new
columns, since a later version of this project may know more of them.
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
from .rows.calls import batch_of

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
        """Whether Intercom itself says that there is no such call."""
        return is_missing(self.http_status, self.code)

    @classmethod
    def resolve(cls, call_id: str) -> ErrorRow:
        """The row that removes an id from `call_errors`."""
        return cls(call_id, None, None, None, None, None, None, None, True)


def calls_resource(items: Sequence[Item]) -> DltResource:
    """The table `calls`, one row a call."""
    return merged(items, "calls", CALLS_COLUMNS, key="id", description=descriptions.CALLS_TABLE)


def call_errors_resource(items: Sequence[Item]) -> DltResource:
    """The table `call_errors`: ids that could not be loaded, and why; missing ones (404) too."""
    return merged(items, "call_errors", CALL_ERRORS_COLUMNS, key="call_id", description=descriptions.CALL_ERRORS_TABLE)


def calls_item(batches: Sequence[pa.RecordBatch]) -> pa.Table:
    """Batches of calls as one item: dlt computes a schema for each, which costs as much as 500 rows."""
    return pa.Table.from_batches(batches, CALLS)


def with_load_id(item: Item, load_id: str | None) -> pa.Table:
    """The item with its load package, so that its rows join dlt's `_dlt_loads`.

    dlt fills this column of Arrow data only if `[normalize.parquet_normalizer] add_dlt_load_id` is set.
    """
    table = pa.Table.from_batches([item]) if isinstance(item, pa.RecordBatch) else item
    return table.append_column(LOAD_ID, pa.repeat(pa.scalar(load_id, pa.string()), table.num_rows))


def current_load_id() -> str | None:
    """The load package that is being extracted; None outside a pipeline."""
    try:
        return dlt.current.load_package_state()["load_id"]
    except CurrentLoadPackageStateNotAvailable:
        return None


def errors_batch(rows: Sequence[ErrorRow]) -> pa.RecordBatch:
    """Rows as one Arrow batch of `CALL_ERRORS`."""
    return batch_of(CALL_ERRORS, rows)


def columns_of(
    schema: pa.Schema,
    hints: dict[str, TColumnSchema] | None = None,
    described: Mapping[str, str] | None = None,
) -> TTableSchemaColumns:
    """Arrow's columns as dlt's, and the column of the load package after them."""
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
    """The columns of dicts: dlt adds a `_dlt_id` to them, but not to Arrow data."""
    row_id: TColumnSchema = {"name": "_dlt_id", "data_type": "text", "nullable": True}
    return {**columns, "_dlt_id": {**row_id, "description": "dlt's id of the row."}}


def merged(
    items: Sequence[Item], name: str, columns: TTableSchemaColumns, *, key: str, description: str
) -> DltResource:
    """Arrow data as a resource that is merged on `key`; its rows name their load package."""

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
