"""The tables of a dataset: which are needed, whether one is ours, and missing ones created before a load."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

import dlt
from dlt.common.schema.utils import normalize_table_identifiers
from dlt.destinations.job_client_impl import SqlJobClientBase, SqlJobClientWithStagingDataset
from dlt.extract import DltResource

from ..errors import UsageError

logger = logging.getLogger("intercom_calls")

# A table of ours has one of these columns.
_OUR_COLUMNS = {"_dlt_load_id", "_fetched_at", "_resolved", "run_id"}


def require_own(dataset: str, table: str, columns: Iterable[str], unlike: str | None = None) -> None:
    """Refuse a table that is not ours, by its columns or by `unlike`: what no table of ours has.

    Raises:
        UsageError
    """
    if unlike or not _OUR_COLUMNS & {column.lower() for column in columns}:
        raise UsageError(
            f"the table {table} in {dataset} was not made by this command{f' ({unlike})' if unlike else ''}, and is "
            "left as it is; name another dataset with --dataset"
        )


def add_tables(schema: dlt.Schema, resources: Iterable[DltResource]) -> None:
    """Add the tables of `resources` to a schema, named as in the destination."""
    for resource in resources:
        schema.update_table(normalize_table_identifiers(resource.compute_table_schema(), schema.naming))


def restore_tables(pipeline: dlt.Pipeline, schema_name: str, resources: Sequence[DltResource]) -> None:
    """Create the tables and columns that the schema has and the dataset, or its staging dataset, lacks.

    After `DROP TABLE` each later load would fail: dlt does not look at the tables once `_dlt_version` has the schema's
    hash. A missing dataset is left to dlt. It takes one query on each dataset if nothing is missing. Destinations
    without SQL are left alone.

    Args:
        pipeline: where to.
        schema_name: the schema that they are loaded with; the pipeline need not have it yet.
        resources: the tables that are about to be loaded.

    Raises:
        UsageError: a table of that name is not ours, or its key was dropped.
    """
    client = pipeline.destination_client()
    if not isinstance(client, SqlJobClientBase):
        return
    client.schema = _expected_schema(pipeline, schema_name, resources)
    with client:
        if client.is_storage_initialized():
            _restore(client, [*client.schema.tables])
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
    add_tables(schema, resources)
    return dlt.Schema.from_stored_schema(schema.to_dict())  # with its new hash: dlt refuses to store a changed schema


def _restore(client: SqlJobClientBase, tables: Sequence[str]) -> None:
    schema, dataset = client.schema, client.sql_client.dataset_name
    case_sensitive = client.capabilities.generates_case_sensitive_identifiers()
    missing: list[str] = []
    is_first = True
    for table, there in client.get_storage_tables(tables):
        columns = schema.get_new_table_columns(table, there, case_sensitive=case_sensitive)
        if there and columns and table not in schema.dlt_table_names():
            require_own(dataset, table, there)
            for column in columns:
                if not column.get("nullable", True):
                    raise UsageError(
                        f"the table {table} in {dataset} has no column {column['name']}, without which its rows can't "
                        "be told apart; drop or rename the table, then run the same command"
                    )
        is_first = is_first and not (there and table in schema.data_table_names())
        if columns:
            missing.append(f"{table} ({', '.join(str(column['name']) for column in columns)})" if there else table)
    if not missing:
        return
    level = logging.DEBUG if is_first else logging.WARNING  # a first load, or into a dataset that others use as well
    fields = {"event": "repair"}
    logger.log(level, "dataset %s: created what was missing: %s", dataset, "; ".join(missing), extra={"fields": fields})
    client.update_stored_schema(only_tables=tables, force=True)
