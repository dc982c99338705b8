"""Who is compared: the command line of each, and what its name in a table is."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
PEERS = HERE / "peers"
OWN_PYTHON = Path(sys.executable)
# What needs more than this project brings has an environment of its own; the others run on the very same versions.
PEERS_PYTHON = HERE / ".venv" / "bin" / "python"
DATABASE = "intercom_calls.duckdb"


@dataclass(frozen=True)
class Contender:
    """One way to load a list of calls.

    Attributes:
        name: what tables and charts show.
        command: the command line, given the API's URL and the file of ids; it runs in an empty folder and leaves
            the calls in `DATABASE` there.
        needs: a file that must be there, else it is left out and the results say so.
    """

    name: str
    command: Callable[[str, Path], list[str]]
    needs: Path = OWN_PYTHON


def _peer(name: str, script: str, workers: int, python: Path = OWN_PYTHON) -> Contender:
    def command(url: str, ids_file: Path) -> list[str]:
        return [str(python), str(PEERS / script), url, str(ids_file), DATABASE, str(workers)]

    return Contender(name, command, needs=python)


def ours(*options: str, name: str) -> Contender:
    """The real command, as a user types it."""
    program = OWN_PYTHON.with_name("intercom-calls")

    def command(url: str, ids_file: Path) -> list[str]:
        return [str(program), "load", "--ids", str(ids_file), "--json", *options]

    return Contender(name, command, needs=program)


OURS = ours("--strategy", "by-id", name="intercom-calls, by id")
FAULTY = ours("--strategy", "by-id", name="intercom-calls, a quarter of the answers faulty")
PAGES = ours(name="intercom-calls, pages where cheaper")
WHOLE_CHUNK = ours("--strategy", "by-id", name="the command, plan and all")
ONE_CHUNK = Contender(
    "the library, one package",
    lambda _url, ids_file: [str(OWN_PYTHON), str(HERE / "steps" / "load_chunk.py"), DATABASE, str(ids_file)],
)
LIBRARY = Contender(
    "the source in a pipeline, by id",
    lambda _url, ids_file: [str(OWN_PYTHON), str(HERE / "steps" / "run_source.py"), DATABASE, str(ids_file)],
)
FLOOR_THREADS_16 = _peer("floor: requests, 16 threads", "floor_threads.py", 16)
FLOOR_THREADS_64 = _peer("floor: requests, 64 threads", "floor_threads.py", 64)
FLOOR_AIOHTTP = _peer("floor: aiohttp, 64 at once", "floor_aiohttp.py", 64)
REST_API = _peer("dlt rest_api, as documented", "dlt_rest_api.py", 1)
REST_API_64 = _peer("dlt rest_api, 64 workers", "dlt_rest_api.py", 64)
SDK_LOOP = _peer("python-intercom, loop", "intercom_sdk.py", 1, PEERS_PYTHON)
SDK_64 = _peer("python-intercom, async, 64", "intercom_sdk.py", 64, PEERS_PYTHON)
AIRBYTE_64 = _peer("airbyte-cdk low-code, 64 workers", "airbyte_cdk_read.py", 64, PEERS_PYTHON)
MINIMAL_DLT = _peer("dlt, ten rows merged, nothing fetched", "minimal_dlt.py", 1)
