"""The table `load_runs`: a row for each run that reached the destination."""

from __future__ import annotations

from dataclasses import fields
from datetime import datetime

import pyarrow as pa
from dlt.extract import DltResource

from sources.intercom.tables import columns_of, merged

from .summary import Summary

RUNS_TABLE = "load_runs"
_TIMESTAMP = pa.timestamp("us", tz="UTC")
_ARROW_TYPES = {"str": pa.string(), "str | None": pa.string(), "int": pa.int64(), "float": pa.float64()}

LOAD_RUNS = pa.schema(
    [
        pa.field("run_id", pa.string(), nullable=False),
        pa.field("started_at", _TIMESTAMP),
        pa.field("finished_at", _TIMESTAMP),
        *(
            pa.field(field.name, _ARROW_TYPES[str(field.type)])
            for field in fields(Summary)
            if field.name != "run_id" and str(field.type) in _ARROW_TYPES and not field.name.startswith("_")
        ),
    ]
)


def load_runs_resource(summary: Summary, finished_at: datetime | None) -> DltResource:
    """The run's row as it stands; `finished_at` is None while the run goes on, and with it `exit_code`."""
    row = {
        **summary.as_json(),
        "workspace_timezone": summary.workspace_timezone,
        "started_at": summary.started_at,
        "finished_at": finished_at,
        "exit_code": None if finished_at is None else summary.exit_code,
    }
    batch = pa.RecordBatch.from_pylist([row], schema=LOAD_RUNS)
    return merged([batch], RUNS_TABLE, columns_of(LOAD_RUNS), key="run_id", description="One row a run of the command.")
