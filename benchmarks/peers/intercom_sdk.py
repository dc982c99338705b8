"""Intercom's own SDK, `python-intercom`: a loop, or its asynchronous client with so many calls at once.

`python intercom_sdk.py BASE_URL IDS_FILE DUCKDB_FILE WORKERS`

One worker is the loop. Retries are the SDK's own; a call that still fails raises and is lost, as its documentation
shows it (`except ApiError`).
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
from intercom import AsyncIntercom, Intercom
from intercom.calls.types.call import Call
from intercom.core.api_error import ApiError
from table import insert


def loop(base_url: str, call_ids: Iterator[str]) -> list[Call]:
    client = Intercom(token=os.environ["INTERCOM_ACCESS_TOKEN"], base_url=base_url)
    calls = []
    for call_id in call_ids:
        try:
            calls.append(client.calls.show_call(call_id))
        except (ApiError, httpx.HTTPError) as error:
            print(call_id, error, file=sys.stderr)
    return calls


async def at_once(base_url: str, call_ids: Iterator[str], workers: int) -> list[Call]:
    client = AsyncIntercom(token=os.environ["INTERCOM_ACCESS_TOKEN"], base_url=base_url)
    calls = []

    async def worker() -> None:
        for call_id in call_ids:
            try:
                calls.append(await client.calls.show_call(call_id))
            except (ApiError, httpx.HTTPError) as error:
                print(call_id, error, file=sys.stderr)

    await asyncio.gather(*(worker() for _ in range(workers)))
    return calls


def main(base_url: str, ids_file: str, database: str, workers: int) -> None:
    call_ids = iter(Path(ids_file).read_text().split())
    calls = loop(base_url, call_ids) if workers == 1 else asyncio.run(at_once(base_url, call_ids, workers))
    insert([call.dict() for call in calls], database)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
