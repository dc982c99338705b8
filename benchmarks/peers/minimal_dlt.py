"""The least that dlt does: ten rows that are there already, merged into DuckDB.

`python minimal_dlt.py BASE_URL IDS_FILE DUCKDB_FILE WORKERS`: only the ids and the file are used; nothing is fetched.
"""

from __future__ import annotations

import sys
from pathlib import Path

import dlt

if __name__ == "__main__":
    rows = [{"id": call_id, "type": "call", "state": "completed"} for call_id in Path(sys.argv[2]).read_text().split()]
    pipeline = dlt.pipeline("minimal", destination=dlt.destinations.duckdb(sys.argv[3]), dataset_name="intercom")
    pipeline.run(rows, table_name="calls", write_disposition="merge", primary_key="id")
