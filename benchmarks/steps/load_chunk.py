"""Load a list's calls as one package through the library; print dlt's steps in seconds: `load_chunk.py FILE IDS_FILE`.

The step `extract` holds the fetching; `normalize` and `load` are what a chunk costs beside it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import dlt

from sources.intercom import intercom

if __name__ == "__main__":
    # the table was made by the command, whose rows carry the id of their load
    dlt.config["normalize.parquet_normalizer.add_dlt_load_id"] = True
    pipeline = dlt.pipeline("chunk", destination=dlt.destinations.duckdb(sys.argv[1]), dataset_name="intercom")
    pipeline.run(intercom(ids=Path(sys.argv[2]).read_text().split()))
    assert pipeline.last_trace is not None
    steps = {}
    for step in pipeline.last_trace.steps:
        assert step.finished_at is not None
        steps[step.step] = (step.finished_at - step.started_at).total_seconds()
    print(json.dumps(steps))
