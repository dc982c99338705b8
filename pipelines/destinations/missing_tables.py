"""Tables that were dropped, whole or a column, are made again before a load.

dlt takes a table for there once `_dlt_version` holds the hash of the schema, and never looks at the table again: after
`DROP TABLE` each later load would fail. So the tables are compared with the schema once a run.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

import dlt
from dlt.common.schema.typing import TColumnSchema, TTableSchemaColumns
from dlt.common.schema.utils import normalize_table_identifiers
from dlt.destinations.job_client_impl import SqlJobClientBase, SqlJobClientWithStagingDataset
from dlt.extract import DltResource

from ..errors import UsageError

logger = logging.getLogger("intercom_calls")

# A table that has one of these columns is ours.
_MARKS = ("_dlt_load_id", "_fetched_at", "_resolved", "run_id")


def restore_tables(pipeline: dlt.Pipeline, schema_name: str, resources: Sequence[DltResource]) -> None:
    """Make the tables and columns again that the schema has and the dataset, or its staging dataset, has not.

    A dataset that is not there is left to dlt, which makes it with all its tables. It takes one query on each dataset,
    and no more where nothing is missing. Destinations without SQL are left alone.

    Args:
        pipeline: where to.
        schema_name: the schema that they are loaded with; the pipeline need not have it yet.
        resources: the tables that are about to be loaded.

    Raises:
        UsageError: a table of that name is somebody else's, or its key was dropped.
    """
    client = pipeline.destination_client()
    if not isinstance(client, SqlJobClientBase):
        return
    client.schema = _expected_schema(pipeline, schema_name, resources)
    with client:
        tables = [*client.schema.tables]
        if client.is_storage_initialized():
            _restore(client, tables)
        if not isinstance(client, SqlJobClientWithStagingDataset):
            return
        staged = [name for name in client.schema.data_table_names() if client.should_load_data_to_staging_dataset(name)]
        with client.with_staging_dataset():
            if client.is_storage_initialized():
                _restore(client, [client.schema.version_table_name, *staged])


def _expected_schema(pipeline: dlt.Pipeline, schema_name: str, resources: Iterable[DltResource]) -> dlt.Schema:
    """What the pipeline has loaded so far, as its working folder has it, and what it is about to load."""
    schema = pipeline.schemas[schema_name].clone() if schema_name in pipeline.schemas else dlt.Schema(schema_name)
    if pipeline.schema_names:  # dlt keeps the pipeline's state with the default schema alone
        state = pipeline.default_schema.tables.get(pipeline.default_schema.state_table_name)
        if state is not None:
            schema.update_table(state)
    for resource in resources:
        schema.update_table(normalize_table_identifiers(resource.compute_table_schema(), schema.naming))
    return dlt.Schema.from_stored_schema(schema.to_dict())  # with its new hash: dlt refuses to store a changed schema


def _restore(client: SqlJobClientBase, tables: Sequence[str]) -> None:
    case_sensitive = client.capabilities.generates_case_sensitive_identifiers()
    missing: list[str] = []
    is_first = True
    for table, there in client.get_storage_tables(tables):
        columns = client.schema.get_new_table_columns(table, there, case_sensitive=case_sensitive)
        if there and columns:
            _refuse_foreign(client, table, there, columns)
        is_first = is_first and not (there and table in client.schema.data_table_names())
        if columns:
            missing.append(f"{table} ({', '.join(str(column['name']) for column in columns)})" if there else table)
    if not missing:
        return
    level = logging.DEBUG if is_first else logging.WARNING  # a dataset that was made for us, or is others' as well
    fields = {"event": "repair"}
    dataset = client.sql_client.dataset_name
    logger.log(level, "dataset %s: created what was missing: %s", dataset, "; ".join(missing), extra={"fields": fields})
    client.update_stored_schema(only_tables=tables, force=True)


def _refuse_foreign(
    client: SqlJobClientBase, table: str, there: TTableSchemaColumns, missing: Sequence[TColumnSchema]
) -> None:
    """Raise where a table is not dlt's, or can't be completed since a column without NULL is missing."""
    if table in client.schema.dlt_table_names():
        return
    dataset = client.sql_client.dataset_name
    if not any(client.capabilities.casefold_identifier(mark) in there for mark in _MARKS):
        raise UsageError(
            f"the table {table} in {dataset} was not made by this command, and is left as it is; "
            "name another dataset with --dataset"
        )
    for column in missing:
        if not column.get("nullable", True):
            raise UsageError(
                f"the table {table} in {dataset} has no column {column['name']}, without which its rows can't be "
                "told apart; drop or rename the table, then run the same command"
            )
