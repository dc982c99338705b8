"""Running the command: forked from a server that has imported it, or as a plain process; to its end or to its death."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

COMMAND = str(Path(sys.executable).with_name("intercom-calls"))
# A process that is forked must have no thread of Arrow's allocator.
_NO_THREADS = {"JE_ARROW_MALLOC_CONF": "background_thread:false", "OPENBLAS_NUM_THREADS": "1"}
ROOT = Path(__file__).resolve().parents[2]
# Many times what the longest load here takes on a busy machine.
MOST_SECONDS = 120.0


@dataclass(frozen=True)
class Kill:
    """When a run dies by SIGKILL: at the n-th passage of a point, or after some seconds."""

    point: str | None = None
    passage: int = 1
    after_seconds: float | None = None

    def __str__(self) -> str:
        if self.point:
            return f"{self.point}, passage {self.passage}"
        return f"after {self.after_seconds:.2f} s"


@dataclass(frozen=True)
class Ended:
    """How a run ended: `exit_code` is that of the process, minus the signal where one ended it."""

    exit_code: int
    seconds: float
    peak_rss_kb: int
    stuck: bool
    stdout: str
    stderr: str

    @property
    def was_killed(self) -> bool:
        """Whether SIGKILL ended it, in time."""
        return self.exit_code == -signal.SIGKILL and not self.stuck

    @property
    def summary(self) -> dict[str, Any]:
        """The JSON object on stdout."""
        parsed: dict[str, Any] = json.loads(self.stdout)
        return parsed


@dataclass
class Project:
    """A project folder and the environment in which the command runs there."""

    folder: Path
    env: dict[str, str] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        """Nothing of dlt's or Intercom's from outside."""
        foreign = ("DLT_", "SOURCES__", "DESTINATION__", "RUNTIME__", "INTERCOM_")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        return {**inherited, "NO_COLOR": "1", "PYTHONPATH": str(ROOT), **self.env}

    def plain(self, args: list[str], kill: Kill | None = None) -> Ended:
        """Run the installed command itself."""
        began = time.monotonic()
        process = subprocess.Popen(
            [COMMAND, *args],
            cwd=self.folder,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        stuck = False
        limit = kill.after_seconds if kill and kill.after_seconds is not None else MOST_SECONDS
        try:
            stdout, stderr = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            stuck = kill is None
            process.kill()
            stdout, stderr = process.communicate()
        seconds = time.monotonic() - began
        return Ended(process.returncode, seconds, 0, stuck, stdout.decode(), stderr.decode("utf-8", "replace"))


class Launcher:
    """A fork server for one project: `run` is a fresh process of the command each time.

    Args:
        destinations: those whose drivers it has imported.
    """

    def __init__(self, project: Project, *destinations: str) -> None:
        self._project = project
        self._log = open(project.folder / "launcher.log", "ab")  # noqa: SIM115  as long as the server lives
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.victim", *destinations],
            cwd=project.folder,
            env=project.environment() | _NO_THREADS,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        assert "ready" in self._answer()

    def run(
        self, args: list[str], kill: Kill | None = None, *, destination: str = "duckdb", passages: Path | None = None
    ) -> Ended:
        """Run the command with `args` to its end, or to its death by `kill`."""
        stdout, stderr = (self._project.folder / f"{name}-{id(self):x}" for name in ("stdout", "stderr"))
        request = {
            "args": args,
            "stdout": str(stdout),
            "stderr": str(stderr),
            "destination": destination,
            "point": kill.point if kill else None,
            "passage": kill.passage if kill else 0,
            "after_seconds": kill.after_seconds if kill else None,
            "most_seconds": MOST_SECONDS,
            "passages": str(passages) if passages else None,
        }
        assert self._server.stdin is not None
        self._server.stdin.write(json.dumps(request) + "\n")
        self._server.stdin.flush()
        ended = self._answer()
        return Ended(**ended, stdout=stdout.read_text(), stderr=stderr.read_text(errors="replace"))

    def close(self) -> None:
        """End the server."""
        assert self._server.stdin is not None
        self._server.stdin.close()
        self._server.wait(timeout=10)
        if self._server.stdout is not None:
            self._server.stdout.close()
        self._log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _answer(self) -> dict[str, Any]:
        assert self._server.stdout is not None
        line = self._server.stdout.readline()
        if not line:
            raise RuntimeError(f"the launcher ended; {self._project.folder / 'launcher.log'} says why")
        answer: dict[str, Any] = json.loads(line)
        return answer
