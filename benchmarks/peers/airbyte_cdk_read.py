"""Airbyte's low-code CDK: its command reads a manifest; the records go into DuckDB.

`python airbyte_cdk_read.py BASE_URL IDS_FILE DUCKDB_FILE WORKERS`

Airbyte's destinations are containers of their own, so the records are inserted as the hand-written floors do it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from table import insert

STREAM = {"name": "calls", "json_schema": {}, "supported_sync_modes": ["full_refresh"]}
CATALOG = {
    "streams": [{"stream": STREAM, "sync_mode": "full_refresh", "destination_sync_mode": "append_dedup"}],
}


def main(base_url: str, ids_file: str, database: str, workers: int) -> None:
    config = {
        "base_url": base_url,
        "access_token": os.environ["INTERCOM_ACCESS_TOKEN"],
        "call_ids": Path(ids_file).read_text().split(),
        "workers": workers,
    }
    Path("config.json").write_text(json.dumps(config))
    Path("catalog.json").write_text(json.dumps(CATALOG))
    command = [str(Path(sys.executable).with_name("source-declarative-manifest")), "read"]
    options = {
        "--manifest-path": str(Path(__file__).with_name("airbyte_manifest.yaml")),
        "--config": "config.json",
        "--catalog": "catalog.json",
    }
    for name, value in options.items():
        command += [name, value]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as source:
        assert source.stdout is not None
        calls = [record for line in source.stdout if (record := _record(line)) is not None]
    insert(calls, database)
    if source.returncode:
        sys.exit(f"the source ended with exit code {source.returncode}")


def _record(line: bytes) -> dict[str, Any] | None:
    message = json.loads(line)
    if message["type"] == "RECORD":
        call: dict[str, Any] = message["record"]["data"]
        return call
    if message.get("trace", {}).get("type") == "ERROR" or message.get("log", {}).get("level") in ("ERROR", "FATAL"):
        print(line.decode().rstrip()[:2000], file=sys.stderr)
    return None


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
