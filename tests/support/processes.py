"""The command as a process that is watched, stopped and killed while it runs."""

from __future__ import annotations

import glob
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager

import psycopg2

from tests.conftest import Postgres, Project, Result
from tests.support import forked


class Running:
    """A command under way; `end` waits for it and gives what it left."""

    def __init__(
        self, project: Project, *arguments: str, env: Mapping[str, str] | None = None, plain: bool = False
    ) -> None:
        self._project = project
        self._stdout, self._stderr = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115  `end` reads them
        with open(os.devnull, "rb") as nothing:
            self.process = forked.start(
                project.command(*arguments),
                cwd=project.folder,
                env=project.environment(**(env or {})),
                stdin=nothing.fileno(),
                stdout=self._stdout.fileno(),
                stderr=self._stderr.fileno(),
                bound=forked.as_in_a_terminal,
                plain=plain,
            )

    def said(self) -> str:
        """What it has written to stderr so far."""
        return os.pread(self._stderr.fileno(), 1_000_000, 0).decode()

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, as `kill -9` or the kernel that is out of memory; it is gone when this returns."""
        self.process.kill()
        self.process.wait()
        self._project.keep(Result(137, os.pread(self._stdout.fileno(), 1_000_000, 0).decode(), self.said()))

    def end(self, *, seconds: float = 90) -> Result:
        """Wait for its end, so long at most; a process ended by a signal has the code a shell gives it."""
        code = self.process.wait(timeout=seconds)
        texts = []
        for file in (self._stdout, self._stderr):
            file.seek(0)
            texts.append(file.read().decode())
            file.close()
        return self._project.keep(Result(128 - code if code < 0 else code, *texts))

    def wait_until(self, condition: Callable[[], object], *, every_seconds: float = 0.01) -> None:
        """Wait until `condition` holds while the process runs; an error when it ended before."""
        deadline = time.monotonic() + 90
        while not condition():
            if self.process.poll() is not None:
                raise AssertionError(f"it ended before: {self.end()}")
            assert time.monotonic() < deadline, "it did not come to that"
            time.sleep(every_seconds)


@contextmanager
def running(
    project: Project, *arguments: str, env: Mapping[str, str] | None = None, plain: bool = False
) -> Iterator[Running]:
    """Run `intercom-calls load --json …` in the background; it ends with the test. Forked, unless `plain`."""
    run = Running(project, "load", "--json", *arguments, env=env, plain=plain)
    try:
        yield run
    finally:
        if run.process.poll() is None:
            run.kill()


def has_file(project: Project, pattern: str) -> Callable[[], bool]:
    """Whether a file of dlt's working folder matches, as `load/normalized/*/started_jobs/calls.*`."""
    whole = f"{glob.escape(str(project.folder))}/.dlt/data/pipelines/*/{pattern}"
    return lambda: bool(glob.glob(whole))


def write_ids(project: Project, first: int, count: int) -> str:
    """A list of the sandbox's ids in the project's folder; gives its name."""
    (project.folder / "ids.txt").write_text("".join(f"{first + n}\n" for n in range(count)))
    return "ids.txt"


def kill_with_a_package_waiting(project: Project, postgres: Postgres, load: Iterable[str]) -> None:
    """Kill a load while the database takes no row of its first package."""
    with closing(psycopg2.connect(host=postgres.socket_folder, user="postgres", dbname=postgres.database)) as holder:
        holder.cursor().execute("LOCK TABLE intercom.calls IN SHARE MODE")
        with running(project, *load) as first:
            first.wait_until(has_file(project, "load/normalized/*/started_jobs/calls.*"))
            first.kill()
