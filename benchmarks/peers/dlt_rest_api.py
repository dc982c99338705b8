"""dlt's rest_api source: a resource of ids and the calls that depend on it, as dlt's documentation has it.

`python dlt_rest_api.py BASE_URL IDS_FILE DUCKDB_FILE WORKERS`

One worker is the source as documented. More of them is its documented tuning: `parallelized` on the dependent
resource, so many threads, and so many calls in the making. 404 is ignored and 429 retried, both as documented.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import dlt
from dlt.sources.rest_api import rest_api_source
from dlt.sources.rest_api.typing import RESTAPIConfig


def main(base_url: str, ids_file: str, database: str, workers: int) -> None:
    os.environ["EXTRACT__WORKERS"] = str(max(workers, 5))  # 5 is dlt's default
    os.environ["EXTRACT__MAX_PARALLEL_ITEMS"] = str(max(workers, 20))  # 20 is dlt's default

    @dlt.resource(selected=False)
    def call_ids() -> Iterator[list[dict[str, str]]]:
        yield [{"id": call_id} for call_id in Path(ids_file).read_text().split()]

    config: RESTAPIConfig = {
        "client": {
            "base_url": base_url,
            "auth": {"type": "bearer", "token": os.environ["INTERCOM_ACCESS_TOKEN"]},
            "headers": {"Intercom-Version": "2.14"},
        },
        "resources": [
            call_ids(),
            {
                "name": "calls",
                "primary_key": "id",
                "write_disposition": "merge",
                "parallelized": workers > 1,
                "endpoint": {
                    "path": "calls/{resources.call_ids.id}",
                    "paginator": "single_page",
                    "response_actions": [{"status_code": 404, "action": "ignore"}],
                },
            },
        ],
    }
    pipeline = dlt.pipeline("calls", destination=dlt.destinations.duckdb(database), dataset_name="intercom")
    pipeline.run(rest_api_source(config))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
