"""The process that is killed: the real command, forked from a process that has imported what it needs.

Importing dlt takes longer than most loads here. So this process, started for one project with that project's
environment, imports the command's modules as the command does, configures nothing, and forks one process for each
request: a JSON line on standard input, answered by one on standard output when that process is gone.

Request: `args`, `stdout`, `stderr` (paths), `point` and `passage` to be killed at, `after_seconds` to be killed
after, `most_seconds` after which it counts as stuck, `passages` (a path, to count points instead of dying there).
"""

from __future__ import annotations

import atexit
import faulthandler
import importlib
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from .points import SQL_CLIENTS, Tripwire

_POLL_SECONDS = 0.005
_DUMP_SECONDS = 1.0
_PRELOADED = {
    "duckdb": ("dlt.destinations.impl.duckdb.factory", "dlt.destinations.impl.duckdb.duck"),
    "postgres": ("dlt.destinations.impl.postgres.factory", "dlt.destinations.impl.postgres.postgres", "psycopg2"),
}


def main(destinations: list[str]) -> None:
    """Serve until standard input ends; in each fork, run the command to its end."""
    from pipelines.cli import project

    project.enter(None)  # as the command does, before dlt is imported
    importlib.import_module("pipelines.commands.load")
    importlib.import_module("dlt.pipeline.pipeline")
    for destination in destinations:
        for module in (*_PRELOADED[destination], SQL_CLIENTS[destination].partition(":")[0]):
            importlib.import_module(module)
    # What is forked must have one thread: DuckDB keeps others for a database in memory that it makes on import.
    importlib.import_module("duckdb").execute("SET threads = 1")
    assert (tasks := _threads()) == 1, f"{tasks} threads can't be forked"
    request = _serve()
    if request is None:
        return
    _become_the_victim(request)
    from pipelines.intercom_calls import main as command

    command()


def _threads() -> int:
    """Those of libraries included, where the system tells."""
    tasks = Path("/proc/self/task")
    return len(list(tasks.iterdir())) if tasks.exists() else 1


def _serve() -> dict[str, Any] | None:
    """Answer requests; returns a request in the process forked for it, None when there are no more."""
    print(json.dumps({"ready": os.getpid()}), flush=True)
    for line in sys.stdin:
        request: dict[str, Any] = json.loads(line)
        pid = os.fork()
        if not pid:
            return request
        print(json.dumps(_watch(pid, request)), flush=True)
    return None


def _watch(pid: int, request: dict[str, Any]) -> dict[str, Any]:
    began = time.monotonic()
    kill_at, stuck_at = request["after_seconds"], request["most_seconds"]
    stuck = False
    while True:
        gone, status, usage = os.wait4(pid, os.WNOHANG)
        seconds = time.monotonic() - began
        if gone:
            code = os.waitstatus_to_exitcode(status)
            return {"exit_code": code, "seconds": seconds, "peak_rss_kb": usage.ru_maxrss, "stuck": stuck}
        if kill_at is not None and seconds >= kill_at:
            os.kill(pid, signal.SIGKILL)
        elif seconds >= stuck_at:
            if not stuck:
                os.kill(pid, signal.SIGUSR1)  # it says where it is
            elif seconds >= stuck_at + _DUMP_SECONDS:
                os.kill(pid, signal.SIGKILL)
            stuck = True
        time.sleep(_POLL_SECONDS)


def _become_the_victim(request: dict[str, Any]) -> None:
    os.setsid()
    for descriptor, path, flags in (
        (0, os.devnull, os.O_RDONLY),
        (1, request["stdout"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
        (2, request["stderr"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
    ):
        opened = os.open(path, flags, 0o600)
        os.dup2(opened, descriptor)
        os.close(opened)
    faulthandler.register(signal.SIGUSR1)
    if request["point"] or request["passages"]:
        tripwire = Tripwire(request["point"], request["passage"])
        tripwire.lay(request["destination"])
        if request["passages"]:
            atexit.register(lambda: Path(request["passages"]).write_text(json.dumps(tripwire.passages)))
    sys.argv = ["intercom-calls", *request["args"]]


if __name__ == "__main__":
    main(sys.argv[1:])
