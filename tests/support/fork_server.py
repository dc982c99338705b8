"""The forking process: it has imported what the command imports, and each run is a fork of it.

Importing dlt and the drivers takes most of a second, longer than most loads of the tests. What is imported here reads
nothing of a run's environment (`forked.py` names the exceptions) and has done nothing yet, so a fork with the run's own
arguments, environment, folder and streams behaves as a process that has just been started. The server has no more
than one thread when it forks.
"""

from __future__ import annotations

import array
import atexit
import contextlib
import gc
import importlib
import json
import os
import pickle
import pkgutil
import select
import signal
import socket
import sys
import threading
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

# How the length of a request is sent, in bytes; with it go the descriptors: stdin, stdout, stderr, where to report.
LENGTH = 8
_DESCRIPTORS = 4

_IMPORTED = (
    "dlt.pipeline.pipeline",
    "dlt.sources.helpers.requests",
    "dlt.common.libs.pyarrow",
    "dlt.common.libs.sql_alchemy_compat",
    "dlt._workspace._plugins",
    *(f"dlt.destinations.impl.{name}.factory" for name in ("duckdb", "postgres")),
    "dlt.destinations.impl.duckdb.duck",
    "dlt.destinations.impl.postgres.postgres",
    "sqlglot.dialects.duckdb",
    "sqlglot.dialects.postgres",
    "pyarrow.dataset",
    "pyarrow.parquet",
    "pendulum.locales.en.locale",
    "encodings.idna",
)


def serve(control: int, argv_0: str) -> None:
    """Fork a run for each request on the socket `control`, until it is closed; returns in none but this process.

    A request is JSON: `argv`, `env`, `cwd`, `script` (code to run instead of the command) and `bound` (pickled, in
    hex: called before the run). To the descriptor that came with it go two lines: the run's process id, and
    at its end its return code as `subprocess` has it and the most memory it used, in KiB.
    """
    sys.path[0] = str(Path(argv_0).parent)  # as in the command itself
    ours = pkgutil.walk_packages(importlib.import_module("pipelines").__path__, "pipelines.")
    for name in (*(module.name for module in ours), *_IMPORTED):
        importlib.import_module(name)
    # DuckDB keeps threads for the database in memory that it makes as it is imported; a run gets them back.
    importlib.import_module("duckdb").execute("SET threads = 1")
    assert (threads := _threads()) == 1, f"{threads} threads can't be forked"
    contexts = importlib.import_module("dlt.common.configuration.container").Container().thread_contexts
    assert not any(context for context, _ in contexts.values()), "dlt read its configuration as it was imported"
    gc.collect()
    gc.freeze()
    run = _forked(socket.socket(fileno=control))
    if run is not None:
        _become(run)


def _threads() -> int:
    """Also those of libraries, where the system lists them."""
    tasks = Path("/proc/self/task")
    return len(list(tasks.iterdir())) if tasks.exists() else 1


class _Run:
    def __init__(self, request: dict[str, Any], descriptors: list[int]) -> None:
        self.request = request
        *self.streams, self.report = descriptors


def _forked(control: socket.socket) -> _Run | None:
    """Serve; gives the run in the process forked for it, and None when there are no more."""
    reports: dict[int, int] = {}
    woken, wakes = os.pipe()
    os.set_blocking(wakes, False)
    signal.set_wakeup_fd(wakes)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    while True:
        ready, _, _ = select.select([control.fileno(), woken], [], [])
        if woken in ready:
            os.read(woken, 4096)
            _report_the_ended(reports)
        if control.fileno() not in ready:
            continue
        run = _received(control)
        if run is None:
            for pid in reports:
                os.kill(pid, signal.SIGKILL)
            return None
        if (pid := os.fork()) == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            control.close()
            for descriptor in (woken, wakes, run.report, *reports.values()):
                os.close(descriptor)
            return run
        os.write(run.report, f"{pid}\n".encode())
        reports[pid] = run.report
        for descriptor in run.streams:
            os.close(descriptor)


def _report_the_ended(reports: dict[int, int]) -> None:
    while reports:
        pid, status, usage = os.wait4(-1, os.WNOHANG)
        if not pid:
            return
        report = reports.pop(pid)
        with contextlib.suppress(BrokenPipeError):  # the test has ended without waiting for it
            os.write(report, f"{os.waitstatus_to_exitcode(status)} {usage.ru_maxrss}\n".encode())
        os.close(report)


def _received(control: socket.socket) -> _Run | None:
    size = array.array("i").itemsize * _DESCRIPTORS
    length, ancillary, _, _ = control.recvmsg(LENGTH, socket.CMSG_SPACE(size), socket.MSG_WAITALL)
    if not length:
        return None
    descriptors = array.array("i", b"".join(data[:size] for _, _, data in ancillary))
    content = bytearray()
    while missing := int.from_bytes(length, "big") - len(content):
        content += control.recv(missing)  # no more: the next request may follow
    return _Run(json.loads(content), list(descriptors))


def _become(run: _Run) -> None:
    """Run it in this process, which ends with it."""
    for number, descriptor in enumerate(run.streams):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(run.request["env"])
    os.chdir(run.request["cwd"])
    sys.argv = run.request["argv"]
    importlib.import_module("duckdb").execute("RESET threads")
    if run.request["bound"]:
        bound: Callable[[], object] = pickle.loads(bytes.fromhex(run.request["bound"]))  # noqa: S301  the test's own
        bound()
    script = run.request["script"]
    if script is None:
        try:
            sys.exit(importlib.import_module("pipelines.intercom_calls").main())
        except SystemExit as ended:
            if isinstance(ended.code, int):
                _end(ended.code)
            raise
    sys.path[0] = ""  # as in `python -c`
    main = sys.modules["__main__"] = types.ModuleType("__main__")
    exec(compile(script, "<string>", "exec"), main.__dict__)  # noqa: S102


def _end(code: int) -> None:
    """End as the interpreter does, but without taking apart all that was imported: that costs a tenth of a second."""
    threading._shutdown()  # type: ignore[attr-defined]  # waits for threads
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):
        return  # the interpreter has a way to say so
    os._exit(code)
