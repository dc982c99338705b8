"""A forked run of the command is what the process itself would have been, and knows nothing of the runs before it."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import duckdb
import pytest

from sandbox import Sandbox
from tests.conftest import COMMAND, Project, Result
from tests.support import forked
from tests.support.processes import running

# What Python and the libraries have been given and have noted, before a script or a load changes it.
STATE = """
import json, os, resource, signal, sys, threading, warnings, logging, decimal, locale
from dlt.common.configuration.container import Container
from dlt.common.configuration.specs.pluggable_run_context import PluggableRunContext
from dlt.common import logger
import dlt, duckdb
before = [str(context) for context, _ in Container().thread_contexts.values()], str(logger.LOGGER)
pipeline = dlt.pipeline("p", destination="duckdb")
context = Container()[PluggableRunContext].context
print(json.dumps({
    "argv": sys.argv, "path": sys.path, "flags": str(sys.flags), "name": __name__,
    "main": sys.modules["__main__"].__name__,
    "cwd": os.getcwd(), "env": dict(os.environ), "umask": os.umask(0o22), "descriptors": sorted(os.listdir("/dev/fd")),
    "signals": {int(n): str(signal.getsignal(n)) for n in signal.valid_signals() if n not in (signal.SIGTERM,)},
    "blocked": [int(n) for n in signal.pthread_sigmask(signal.SIG_BLOCK, [])],
    "streams": [[s.encoding, s.errors, s.isatty(), s.line_buffering] for s in (sys.stdin, sys.stdout, sys.stderr)],
    "stdin": sys.stdin.read(), "threads": threading.active_count(), "excepthook": sys.excepthook is sys.__excepthook__,
    "limits": [resource.getrlimit(n) for n in (resource.RLIMIT_NOFILE, resource.RLIMIT_FSIZE)],
    # numpy's are of a module that a process of its own imports later, or never
    "warnings": [str(f[:1] + f[2:]) for f in warnings.filters if "numpy" not in str(f)],
    "root": str(logging.getLogger().handlers),
    "locale": locale.getlocale(),
    "decimal": str(decimal.getcontext()), "duckdb": duckdb.execute("SELECT current_setting('threads')").fetchone(),
    "before": before, "dlt": [context.name, context.run_dir, context.data_dir, context.local_dir, context.settings_dir],
    "providers": [p.name for p in Container()[PluggableRunContext].providers.providers],
    "runtime": {k: str(v) for k, v in dict(context.runtime_config).items()},
    "level": dlt.common.logger.LOGGER.level, "pipeline": pipeline.pipelines_dir,
}))
"""


def both(argv: list[str], project: Project, stdin: bytes = b"", **env: str) -> list[Result]:
    """How it ended, forked and as a process of its own."""
    environment = project.environment(**env)
    assert forked.fork_server().suits(environment)
    runs = [forked.run(argv, cwd=project.folder, env=environment, stdin=stdin, plain=plain) for plain in (False, True)]
    return [project.keep(Result(run.returncode, run.stdout.decode(), run.stderr.decode())) for run in runs]


def test_a_forked_process_begins_as_one_of_its_own(project: Project) -> None:
    project.env.clear()  # it shows its environment
    (project.folder / ".dlt").mkdir()
    (project.folder / ".dlt" / "config.toml").write_text("[runtime]\nlog_level = 'INFO'\n")
    env = {"DLT_DATA_DIR": str(project.folder / "data"), "RUNTIME__DLTHUB_TELEMETRY": "false", "SOME": "thing"}
    fork, own = both([sys.executable, "-c", STATE], project, b"1\n2\n", **env)
    assert (fork.exit_code, fork.stderr) == (own.exit_code, own.stderr) == (0, "")
    assert fork.summary == own.summary
    assert own.summary["stdin"] == "1\n2\n"
    assert own.summary["level"] == 20
    assert own.summary["dlt"][2] == env["DLT_DATA_DIR"]


def told(result: Result) -> tuple[int, dict[str, Any], list[str]]:
    """What a load printed, without what differs from run to run."""
    varying = {"run_id", "seconds", "calls_per_second"}
    summary = {name: value for name, value in result.summary.items() if name not in varying}
    return result.exit_code, summary, re.findall("[a-z][a-z ]{6,}", result.stderr)


@pytest.mark.long
def test_a_forked_load_leaves_what_one_of_its_own_leaves(tmp_path: Path, project: Project, api: Sandbox) -> None:
    """Its tables, its working files, what it says; a list on standard input, calls that fail, settings in a file."""
    folders = [project.folder, tmp_path / "own" / project.folder.name]
    ends = []
    for folder, plain in zip(folders, (False, True), strict=True):
        (folder / ".dlt").mkdir(parents=True)
        (folder / ".dlt" / "secrets.toml").write_text('[destination.duckdb]\ncredentials = "here.duckdb"\n')
        one = Project(folder, project.env, project.results)
        api.reset(limit=None)
        api.configure(missing_share=0, statuses={"1000003": 410})
        ids = "".join(f"{1_000_000 + n}\n" for n in range(1, 61))
        for again in range(2):
            result = one.load("--ids", "-", "--progress", "none", "--project", str(folder), stdin=ids, plain=plain)
            exit_code, summary, lines = told(result)
            with duckdb.connect(str(folder / "here.duckdb"), read_only=True) as database:
                rows = [
                    database.execute(query).fetchall()
                    for query in (
                        "SELECT * EXCLUDE (_fetched_at, _dlt_load_id) FROM intercom.calls ORDER BY id",
                        "SELECT call_id, http_status, attempts FROM intercom.call_errors",
                        "SELECT table_name, column_name, data_type FROM duckdb_columns() ORDER BY ALL",
                    )
                ]
            kinds = sorted({path.suffix for path in folder.rglob("*") if path.is_file()})
            ends.append((again, exit_code, str(summary), str(lines), rows, kinds))
    assert ends[:2] == ends[2:]
    assert ends[0][1] == 3


@pytest.mark.long
def test_other_commands_say_the_same(project: Project) -> None:
    for arguments in (["--version"], ["load", "--help"], ["load", "--nonsense"], ["status"], ["check"], []):
        fork, own = both([COMMAND, *arguments], project)
        assert fork == own


def test_no_run_knows_of_the_one_before(project: Project, api: Sandbox) -> None:
    plain = project.environment()
    ask = (
        "import json, os, dlt; "
        "print(json.dumps([dict(os.environ), os.getcwd(), os.umask(0o22), dlt.config.get('a.b')]))"
    )
    spoil = (
        "import os, dlt, sys; os.environ['A__B'] = '1'; os.chdir('/'); os.umask(0); dlt.config['a.b'] = 1; "
        "sys.modules['json'] = None; os._exit(int(dlt.config['a.b']))"
    )
    spoilt = forked.run([sys.executable, "-c", spoil], cwd=project.folder, env=plain | {"A__B": "2"})
    assert spoilt.returncode == 1, spoilt.stderr
    asked = forked.run([sys.executable, "-c", ask], cwd=project.folder, env=plain)
    assert json.loads(asked.stdout) == [plain, str(project.folder), 0o22, None]


@pytest.mark.long
def test_a_forked_run_ends_by_signals_and_codes_as_a_process_does(project: Project, api: Sandbox) -> None:
    scripts = [
        "raise SystemExit(7)",
        "raise KeyError('x')",
        "import sys; sys.exit('said')",
        "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
        "raise KeyboardInterrupt",
        "import atexit; atexit.register(print, 'at exit'); import threading; threading.Timer(0.1, print, 'x').start()",
    ]
    for script in scripts:
        fork, own = both([sys.executable, "-c", script], project)
        assert (fork.exit_code, fork.stdout) == (own.exit_code, own.stdout), script
        assert fork.stderr.splitlines()[-1:] == own.stderr.splitlines()[-1:], script
    api.configure(latency_seconds=30)
    for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, 137)):
        with running(project, "1000001") as run:
            run.wait_until(lambda: api.stats()["requests"])
            run.send(number)
            assert run.end().exit_code == code


def test_what_is_read_at_start_gives_a_process_of_its_own(project: Project) -> None:
    server = forked.fork_server()
    env = project.environment()
    assert server.suits(
        env | {"DLT_DATA_DIR": "x", "SOURCES__INTERCOM__REGION": "eu", "HTTPS_PROXY": "http://127.0.0.1"}
    )
    for name in ("PYTHONPATH", "TZ", "LC_ALL", "SSL_CERT_FILE", "LD_PRELOAD", "DLT_USE_JSON", "COVERAGE_PROCESS_START"):
        assert not server.suits(env | {name: os.environ.get(name, "") + "/other"}), name


def test_runs_that_are_started_at_once_from_several_threads_keep_apart(project: Project) -> None:
    def run(number: int) -> bytes:
        argv = [sys.executable, "-c", "import os; print(os.environ['N'])"]
        environment = project.environment(N=f"{number} " + "é" * 3000 * number)
        return forked.run(argv, cwd=project.folder, env=environment).stdout.split()[0]

    with ThreadPoolExecutor(8) as pool:
        assert [*pool.map(run, range(24))] == [b"%d" % number for number in range(24)]
