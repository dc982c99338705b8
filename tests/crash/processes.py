"""Runs of the command that are killed: forked, or a plain process; to the end or to the death."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

from tests.conftest import Project, Result
from tests.support import forked

from . import points

# Many times what the longest load here takes on a busy machine.
MOST_SECONDS = 120.0
_DUMP_SECONDS = 1.0


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
class Ended(Result):
    """How a run ended: `exit_code` is that of the process, minus the signal where one ended it."""

    seconds: float
    peak_rss_kb: int
    stuck: bool

    @property
    def was_killed(self) -> bool:
        """Whether SIGKILL ended it, in time."""
        return self.exit_code == -signal.SIGKILL and not self.stuck


def run(
    project: Project,
    args: list[str],
    kill: Kill | None = None,
    *,
    destination: str,
    passages: Path | None = None,
    plain: bool = False,
) -> Ended:
    """Run the command with `args` to its end, or to its death by `kill`; `passages` is where points are counted.

    It is forked, unless `plain`: that runs the installed command itself, which passes no points.
    """
    kill = kill or Kill()
    prepare = functools.partial(points.prepare, destination, kill.point, kill.passage, passages)
    began = time.monotonic()
    with TemporaryFile() as stdout, TemporaryFile() as stderr, open(os.devnull, "rb") as nothing:
        process = forked.start(
            [forked.COMMAND, *args],
            cwd=project.folder,
            env=project.environment(),
            stdin=nothing.fileno(),
            stdout=stdout.fileno(),
            stderr=stderr.fileno(),
            bound=None if plain else prepare,
            plain=plain,
        )
        assert plain or isinstance(process, forked.ForkedProcess)  # else each run would import dlt
        stuck = False
        try:
            process.wait(MOST_SECONDS if kill.after_seconds is None else kill.after_seconds)
        except subprocess.TimeoutExpired:
            stuck = kill.after_seconds is None
            if stuck and not plain:
                process.send_signal(signal.SIGUSR1)  # it says where it is
                time.sleep(_DUMP_SECONDS)
            process.kill()
        code = process.wait()
        seconds = time.monotonic() - began
        peak_rss_kb = process.peak_rss_kb if isinstance(process, forked.ForkedProcess) else 0
        printed = []
        for file in (stdout, stderr):
            file.seek(0)
            printed.append(file.read().decode("utf-8", "replace"))
    return Ended(code, printed[0], printed[1], seconds, peak_rss_kb, stuck)
