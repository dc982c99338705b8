"""Processes of the command and of Python scripts, at the price of a fork where a fork is the same."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import pickle
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

from tests.support import bounds
from tests.support.fork_server import LENGTH

ROOT = Path(__file__).resolve().parents[2]
COMMAND = str(Path(sys.executable).with_name("intercom-calls"))

# What Python, a library in C or a module reads as it starts or is imported. A run in whose environment one of these
# is another than in the fork server's is a process of its own. (`DLT_`: but those that dlt reads when it is used.)
_READ_AT_START = ("PYTHON", "LC_", "LANG", "TZ", "LD_", "SSL", "COV", "FSSPEC_", "PENDULUM_", "PYARROW_", "DLT_")
_READ_WHEN_USED = ("DLT_PROJECT_DIR", "DLT_LOCAL_DIR", "DLT_DATA_DIR")
# A process that is forked must have no thread of Arrow's allocator, nor of numpy's, which pyarrow imports where it is.
_NO_THREADS = {"JE_ARROW_MALLOC_CONF": "background_thread:false", "OPENBLAS_NUM_THREADS": "1"}
# Modules that a fork may import before it begins: they import nothing that the command does not.
_CALLED_IN_FORKS = (__name__, bounds.__name__, "tests.crash.points")


class ForkedProcess:
    """A run that was forked; what `subprocess.Popen` has of a process.

    Attributes:
        peak_rss_kb: the most memory it used, once it has ended.
    """

    def __init__(self, args: Sequence[str], report: IO[bytes]) -> None:
        self.args = args
        self.returncode: int | None = None
        self.peak_rss_kb = 0
        self._report = report
        self._lock = threading.Lock()
        (self.pid,) = self._reported()

    def poll(self) -> int | None:
        """Its return code; None while it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Its return code, once it has ended.

        Raises:
            subprocess.TimeoutExpired: it has not after `timeout` seconds.
        """
        with self._lock:
            if self.returncode is None:
                ended, _, _ = select.select([self._report], [], [], timeout)
                if not ended:
                    assert timeout is not None
                    raise subprocess.TimeoutExpired(list(self.args), timeout)
                self.returncode, self.peak_rss_kb = self._reported()
                self._report.close()
            return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it, unless the process is gone."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def _reported(self) -> list[int]:
        line = self._report.readline()
        assert line, "the fork server is gone; it said why on stderr"
        return [int(number) for number in line.split()]


Process = ForkedProcess | subprocess.Popen[bytes]


def inherited_environment() -> dict[str, str]:
    """What runs get of the environment of the tests: nothing of dlt's or Intercom's."""
    foreign = ("DLT_", "SOURCES__", "DESTINATION__", "RUNTIME__", "INTERCOM_")
    return {name: value for name, value in os.environ.items() if not name.startswith(foreign)}


class ForkServer:
    """The process that forks, started with the environment that tests inherit."""

    def __init__(self) -> None:
        self._env = inherited_environment()
        self._lock = threading.Lock()
        self._control, theirs = socket.socketpair()
        with theirs:
            program = f"from tests.support.fork_server import serve; serve({theirs.fileno()}, {COMMAND!r})"
            self._process = subprocess.Popen(
                [sys.executable, "-c", program],
                cwd=ROOT,
                env=self._env | _NO_THREADS,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C ends the tests, and by that the server
            )

    def suits(self, env: Mapping[str, str]) -> bool:
        """Whether a fork sees nothing of this environment later than a process of its own would."""
        names = {name for name in (*env, *self._env) if name.startswith(_READ_AT_START)} - {*_READ_WHEN_USED}
        return all(env.get(name) == self._env.get(name) for name in names)

    def start(
        self,
        argv: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        streams: Sequence[int],
        script: str | None,
        bound: bytes | None,
    ) -> ForkedProcess:
        """Fork a run with the descriptors `streams` as its stdin, stdout and stderr."""
        request = {"argv": [*argv], "cwd": str(cwd), "env": {**env}, "script": script, "bound": (bound or b"").hex()}
        content = json.dumps(request).encode()
        ours, theirs = os.pipe()
        try:
            with self._lock:
                socket.send_fds(self._control, [len(content).to_bytes(LENGTH, "big")], [*streams, theirs])
                self._control.sendall(content)
        finally:
            os.close(theirs)
        return ForkedProcess(argv, os.fdopen(ours, "rb", buffering=0))

    def close(self) -> None:
        """End it, and the runs that have not ended."""
        self._control.close()
        self._process.wait(timeout=30)


_servers: list[ForkServer] = []
_starting = threading.Lock()


def fork_server() -> ForkServer:
    """The one of this process; `close_fork_server` ends it."""
    with _starting:
        if not _servers:
            _servers.append(ForkServer())
            atexit.register(close_fork_server)
        return _servers[0]


def close_fork_server() -> None:
    """End it where there is one."""
    while _servers:
        _servers.pop().close()
        atexit.unregister(close_fork_server)


def as_in_a_terminal() -> None:
    """React to Ctrl-C: the tests may be a background job of a shell, which ignores it, and so would what they start."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def start(
    argv: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    stdin: int,
    stdout: int,
    stderr: int,
    bound: Callable[[], object] | None = None,
    plain: bool = False,
) -> Process:
    """Start `intercom-calls …` or `python -c …`: forked, unless it is something else, `plain`, or not the same.

    With NO_FORKS in the environment of the tests nothing is forked: there the source is tested without the command.
    `bound` is called in the process before it begins; for a fork it must be from one of `_CALLED_IN_FORKS`.
    """
    script = argv[2] if [*argv[:2]] == [sys.executable, "-c"] else None
    plain = plain or "NO_FORKS" in os.environ
    can_fork = bound is None or bounds.function_of(bound).__module__ in _CALLED_IN_FORKS
    if not plain and can_fork and (script is not None or argv[0] == COMMAND) and fork_server().suits(env):
        pickled = pickle.dumps(bound) if bound else None
        shown = ["-c", *argv[3:]] if script is not None else argv
        streams = [stdin, stdout, stderr]
        return fork_server().start(shown, cwd=cwd, env=env, streams=streams, script=script, bound=pickled)
    assert bound is None or bounds.function_of(bound) not in bounds.PATCHES, "it would change nothing in a new program"
    return subprocess.Popen(argv, cwd=cwd, env=env, stdin=stdin, stdout=stdout, stderr=stderr, preexec_fn=bound)  # noqa: PLW1509


def run(
    argv: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    stdin: bytes = b"",
    bound: Callable[[], object] | None = None,
    plain: bool = False,
) -> subprocess.CompletedProcess[bytes]:
    """`start` it, over pipes, and wait for its end."""
    pipes = [os.pipe() for _ in range(3)]
    (theirs_in, ours_in), (ours_out, theirs_out), (ours_err, theirs_err) = pipes
    try:
        process = start(
            argv, cwd=cwd, env=env, stdin=theirs_in, stdout=theirs_out, stderr=theirs_err, bound=bound, plain=plain
        )
    finally:
        for descriptor in (theirs_in, theirs_out, theirs_err):
            os.close(descriptor)
    with ThreadPoolExecutor(3) as pool:
        pool.submit(_write, ours_in, stdin)
        stdout, stderr = pool.submit(_read, ours_out), pool.submit(_read, ours_err)
        try:
            code = process.wait(timeout=120)
        except BaseException:
            process.kill()
            process.wait()
            raise
        return subprocess.CompletedProcess(argv, code, stdout.result(), stderr.result())


def _write(descriptor: int, content: bytes) -> None:
    with contextlib.suppress(BrokenPipeError), open(descriptor, "wb") as stream:
        stream.write(content)


def _read(descriptor: int) -> bytes:
    with open(descriptor, "rb") as stream:
        return stream.read()
