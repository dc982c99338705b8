"""The command many times over at the price of one import: each run is a process forked off one that has dlt."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .conftest import Project, Result

_IMPORTED = "import dlt, pipelines.load_command; from tests.forked import serve; serve()"


@dataclass(frozen=True)
class Forked:
    """How a run ended, and the paths in the project folder that were not there before it."""

    result: Result
    left: tuple[str, ...]


@dataclass(frozen=True)
class Asked:
    """A run to be: the command line, and what is different in its environment (None: not set)."""

    arguments: Sequence[str]
    env: Mapping[str, str | None] = field(default_factory=dict)


def run_each(project: Project, asked: Sequence[Asked]) -> list[Forked]:
    """Run the command in the project folder for each, one after the other, with an empty standard input."""
    done = subprocess.run(
        [sys.executable, "-c", _IMPORTED],
        cwd=project.folder,
        env=project.environment(
            DLT_PROJECT_DIR=str(project.folder),
            RUNTIME__LOG_LEVEL="CRITICAL",
            PYTHONPATH=str(Path(__file__).parent.parent),
        ),
        input=json.dumps([(list(each.arguments), dict(each.env)) for each in asked]),
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return [Forked(Result(code, out, err), tuple(left)) for code, out, err, left in json.loads(done.stdout)]


def serve() -> None:
    """The forking process: runs from standard input, how they ended on standard output."""
    outcomes = []
    for arguments, env in json.load(sys.stdin):
        before = _paths()
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            if (child := os.fork()) == 0:
                _become(arguments, env, out.fileno(), err.fileno())
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            texts = []
            for stream in (out, err):
                stream.seek(0)
                texts.append(stream.read().decode())
        outcomes.append((code, *texts, sorted(_paths() - before)))
    json.dump(outcomes, sys.stdout)


def _become(arguments: list[str], env: dict[str, str | None], out: int, err: int) -> None:
    from pipelines.intercom_calls import main

    for number, descriptor in enumerate((os.open(os.devnull, os.O_RDONLY), out, err)):
        os.dup2(descriptor, number)
    for name, value in env.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value
    code: int | str | None = 1
    try:
        main(arguments, prog_name="intercom-calls")
    except SystemExit as ended:
        code = ended.code
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 0)


def _paths() -> set[str]:
    return {str(path) for path in Path().rglob("*")}
