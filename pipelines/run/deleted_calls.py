"""Reads rows of `calls` from the destination, to write them again with another `_deleted_at`."""

from __future__ import annotations

import random
from collections.abc import Container, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import dlt
import pyarrow as pa
from sqlglot import exp

from sources.intercom.rows.calls import SCHEMA

from ..destinations.dataset import qualified, select

_IDS_A_QUERY = 500


def rows_back(pipeline: dlt.Pipeline, deleted_at: Mapping[str, datetime | None]) -> Iterator[pa.RecordBatch]:
    """The rows of these calls as they are loaded, with `_deleted_at` replaced; it is given by id."""
    call_ids = list(deleted_at)
    if not call_ids:
        return
    with pipeline.sql_client() as client:
        calls = exp.select(*(_readable(field) for field in SCHEMA)).from_(qualified(client, "calls"))
        for start in range(0, len(call_ids), _IDS_A_QUERY):
            some = call_ids[start : start + _IDS_A_QUERY]
            query = calls.where(exp.column("id").isin(*some))
            with client.execute_query(query.sql(client.capabilities.sqlglot_dialect)) as cursor:
                rows = cursor.fetchall()
            if rows:
                yield _batch(rows, deleted_at)


def other_call_ids(pipeline: dlt.Pipeline, but: Container[str], count: int) -> list[str]:
    """Up to `count` random ids of loaded calls that are not deleted, without those in `but`."""
    with pipeline.sql_client() as client:
        rows = select(client, "calls", "SELECT id WHERE _deleted_at IS NULL") or ()
    others = [call_id for (call_id,) in rows if call_id not in but]
    return random.sample(others, min(count, len(others)))


def _readable(field: pa.Field[Any]) -> exp.Expression:
    """The column in a form that drivers return without loss."""
    column = exp.column(field.name)
    if field.name == "extra":  # a driver would parse JSON, and a parsed number need not keep its digits
        return exp.cast(column, "text")
    if pa.types.is_timestamp(field.type):  # in a session's own time zone 9999 may be the year 10000
        return exp.AtTimeZone(this=column, zone=exp.Literal.string("UTC"))
    return column


def _batch(rows: Sequence[Sequence[object]], deleted_at: Mapping[str, datetime | None]) -> pa.RecordBatch:
    values = dict(zip(SCHEMA.names, zip(*rows, strict=True), strict=True))
    values["_deleted_at"] = tuple(deleted_at[str(call_id)] for call_id in values["id"])
    return pa.RecordBatch.from_arrays([pa.array(values[field.name], field.type) for field in SCHEMA], schema=SCHEMA)


def fetched_before(batch: pa.RecordBatch, moments: Mapping[str, datetime | None]) -> pa.BooleanArray:
    """Which of these rows were fetched before a moment, given by id; unknown times count as before."""
    rows = ((row["_fetched_at"], moments[row["id"]]) for row in batch.select(["id", "_fetched_at"]).to_pylist())
    earlier = [fetched_at is None or moment is None or fetched_at < moment for fetched_at, moment in rows]
    return pa.array(earlier, pa.bool_())
