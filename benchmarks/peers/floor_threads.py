"""The hand-written floor on requests: a thread pool, pyarrow, one INSERT into DuckDB. No dlt, no retries.

`python floor_threads.py BASE_URL IDS_FILE DUCKDB_FILE WORKERS`
"""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import requests
from table import insert
from urllib3.util import parse_url


def main(base_url: str, ids_file: str, database: str, workers: int) -> None:
    session = requests.Session()
    session.headers.update(
        {"Authorization": f"Bearer {os.environ['INTERCOM_ACCESS_TOKEN']}", "Intercom-Version": "2.14"}
    )
    session.mount(f"{parse_url(base_url).scheme}://", requests.adapters.HTTPAdapter(pool_maxsize=workers))
    session.trust_env = False

    def fetch(call_id: str) -> dict[str, Any] | None:
        response = session.get(f"{base_url}/calls/{call_id}", timeout=30)
        return response.json() if response.status_code == 200 else None

    with ThreadPoolExecutor(workers) as pool:
        calls = [call for call in pool.map(fetch, Path(ids_file).read_text().split()) if call]
    insert(calls, database)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
