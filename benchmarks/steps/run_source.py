"""Load a list's calls through the source, as its README shows: `run_source.py FILE IDS_FILE`."""

from __future__ import annotations

import sys
from pathlib import Path

import dlt

from sources.intercom import intercom

if __name__ == "__main__":
    pipeline = dlt.pipeline("calls", destination=dlt.destinations.duckdb(sys.argv[1]), dataset_name="intercom")
    pipeline.run(intercom(ids=Path(sys.argv[2]).read_text().split(), strategy="by-id"))
