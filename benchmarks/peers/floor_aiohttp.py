"""The hand-written floor on aiohttp: one event loop, pyarrow, one INSERT into DuckDB. No dlt, no retries.

`python floor_aiohttp.py BASE_URL IDS_FILE DUCKDB_FILE WORKERS`
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
from table import insert


async def fetch_all(base_url: str, call_ids: Iterator[str], workers: int) -> list[dict[str, Any]]:
    headers = {"Authorization": f"Bearer {os.environ['INTERCOM_ACCESS_TOKEN']}", "Intercom-Version": "2.14"}
    calls: list[dict[str, Any]] = []
    connector = aiohttp.TCPConnector(limit=workers)
    async with aiohttp.ClientSession(headers=headers, connector=connector) as session:

        async def worker() -> None:
            for call_id in call_ids:
                async with session.get(f"{base_url}/calls/{call_id}") as response:
                    if response.status == 200:
                        calls.append(await response.json())

        await asyncio.gather(*(worker() for _ in range(workers)))
    return calls


if __name__ == "__main__":
    ids = iter(Path(sys.argv[2]).read_text().split())
    insert(asyncio.run(fetch_all(sys.argv[1], ids, int(sys.argv[4]))), sys.argv[3])
