"""Run a contender as a whole process against the sandbox, and what it took."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox import Sandbox

from .contenders import DATABASE, OWN_PYTHON, Contender

STEPS = Path(__file__).resolve().parent / "steps"
FIRST_ID = 1_000_001
# No limit in effect, but answers carry the headers that the real API's carry.
NO_LIMIT = 1_000_000
LONGEST_RUN_SECONDS = 4 * 3600

Run = dict[str, Any]


@dataclass(frozen=True)
class Started:
    """A contender at work in a folder."""

    process: subprocess.Popen[bytes]
    folder: Path
    result_file: Path

    def finish(self) -> Run:
        """Wait for its end; gives exit code, wall and CPU seconds, peak memory, and why it failed if it did."""
        try:
            self.process.wait(LONGEST_RUN_SECONDS)
        except BaseException:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            raise
        run: Run = json.loads(self.result_file.read_text())
        if run["exit_code"]:
            told = (self.folder / "stderr.txt").read_text(errors="replace").strip().splitlines()
            run["error"] = " ".join(told[-5:])[:400]
        return run


@contextmanager
def api(calls: int, **settings: Any) -> Iterator[Sandbox]:
    """A sandbox in a process of its own, without missing calls, whose ids begin at `FIRST_ID`."""
    given = {"calls": calls, "first_id": FIRST_ID, "missing_share": 0, "limit": NO_LIMIT} | settings
    with Sandbox(**given) as sandbox:
        yield sandbox


@contextmanager
def scratch() -> Iterator[Path]:
    """An empty folder, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="benchmark") as folder:
        yield Path(folder)


def list_of_ids(folder: Path, count: int, *, skip: int = 0) -> Path:
    """A file with so many of the sandbox's ids, one a line."""
    file = folder / f"ids_{skip}_{count}.txt"
    with file.open("w") as lines:
        lines.writelines(f"{FIRST_ID + skip + n}\n" for n in range(count))
    return file


def start(contender: Contender, sandbox: Sandbox, ids_file: Path, folder: Path) -> Started:
    """Start a contender in `folder`, with nothing of dlt's or Intercom's from outside."""
    result_file = folder / "taken.json"
    timed = [str(OWN_PYTHON), "-I", "-S", str(STEPS / "timed.py"), str(result_file)]
    with (folder / "stdout.txt").open("wb") as stdout, (folder / "stderr.txt").open("wb") as stderr:
        process = subprocess.Popen(
            timed + contender.command(sandbox.url, ids_file),
            cwd=folder,
            env=environment(sandbox, folder),
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )
    return Started(process, folder, result_file)


def run(contender: Contender, sandbox: Sandbox, ids: int, folder: Path | None = None, *, skip: int = 0) -> Run:
    """Load `ids` calls of the sandbox, from the one after `skip`; gives what it took and what the API saw.

    A folder that is given is left as it is afterwards, for another run over it.
    """
    sandbox.reset()
    load = os.getloadavg()[0]
    with scratch() as own:
        place = folder or own
        taken = start(contender, sandbox, list_of_ids(place, ids, skip=skip), place).finish()
        taken |= {"rows": rows_in(place), "stdout": (place / "stdout.txt").read_text(errors="replace")[-2_000:]}
    return {"contender": contender.name, "ids": ids, "load_average": round(load, 2)} | taken | seen(sandbox)


def rows_in(folder: Path) -> int:
    """How many calls the database in `folder` holds; 0 where there is none."""
    if not (folder / DATABASE).exists():
        return 0
    return int(step("count_calls.py", str(folder / DATABASE)) or 0)


def step(script: str, *arguments: str) -> str:
    """Run one of `steps/` and give what it printed. Duckdb and dlt stay out of this process, which must be small.

    Raises:
        subprocess.CalledProcessError: it failed; the cause is on stderr.
    """
    command = [str(OWN_PYTHON), str(STEPS / script), *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def seen(sandbox: Sandbox) -> Run:
    """What the API saw since its reset: requests, answers of 429, and the windows."""
    stats = sandbox.stats()
    return {
        "requests": stats["requests"],
        "rate_limited": stats["by_status"].get("429", 0),
        "max_in_flight": stats["max_in_flight"],
        "first_request_at": stats["first_request_at"],
        "last_request_at": stats["last_request_at"],
        "windows": stats["windows"],
    }


def environment(sandbox: Sandbox, folder: Path) -> dict[str, str]:
    """The environment of a contender: the sandbox's URL and token, dlt's files in the folder, no telemetry."""
    foreign = ("DLT_", "SOURCES__", "DESTINATION__", "RUNTIME__", "INTERCOM_", "EXTRACT__", "NORMALIZE__", "LOAD__")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return inherited | {
        "INTERCOM_ACCESS_TOKEN": sandbox.token,
        "SOURCES__INTERCOM__BASE_URL": sandbox.url,
        "SOURCES__INTERCOM__ACCESS_TOKEN": sandbox.token,
        "RUNTIME__DLTHUB_TELEMETRY": "false",
        "DLT_DATA_DIR": str(folder / "dlt"),
        "NO_COLOR": "1",
    }
