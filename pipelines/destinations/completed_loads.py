"""dlt's table `_dlt_loads`: whether another load has written into a dataset since it was looked at.

A lock can be lost: a server is restarted, a connection cut. What was planned before is compared again then, since an
older answer must not replace a newer one. dlt notes every package there, whoever loads it, so that their number shows
that nobody came.
"""

from __future__ import annotations

import dlt
from dlt.common.destination.exceptions import DestinationUndefinedEntity, SqlClientNotAvailable
from sqlglot import exp


class Overtaken(Exception):
    """Another load has written into the dataset since it was looked at; nothing was written."""


def completed_loads(pipeline: dlt.Pipeline) -> int | None:
    """How many packages the dataset has had; None where the destination answers no SQL."""
    try:
        with pipeline.sql_client() as client:
            dialect = client.capabilities.sqlglot_dialect
            loads = pipeline.default_schema.loads_table_name if pipeline.schema_names else "_dlt_loads"
            table = exp.to_table(client.make_qualified_table_name(loads), dialect=dialect)
            with client.execute_query(exp.select(exp.Count(this=exp.Star())).from_(table).sql(dialect)) as cursor:
                [(count,)] = cursor.fetchall()
                return int(count)
    except DestinationUndefinedEntity:
        return 0
    except SqlClientNotAvailable:
        return None
