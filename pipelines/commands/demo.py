"""The command `demo`: a load from a bundled stand-in of the Calls API, and questions answered from its calls."""

from __future__ import annotations

import json
import logging
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
from rich.console import Console

from ..cli import project
from ..cli.progress import Style
from ..errors import DestinationFailed, ExitCode, UsageError
from ..run.request import LoadRequest
from ..summary import Summary
from .load import run as run_load
from .questions import show_answers

logger = logging.getLogger("intercom_calls")

TOKEN = "demo-token"  # noqa: S105  the stand-in's, no secret
# The newest calls of a workspace, about a month of them, and fewer than a rate-limit window allows.
WORKSPACE_CALLS = 20_000
CALLS = 1_500
LATENCY_SECONDS = 0.05
IDS_FILE = "sample_ids.csv"
# -P: a folder `sandbox` in the current folder is not ours
_SANDBOX = [sys.executable, "-P", "-m", "sandbox", "--calls", str(WORKSPACE_CALLS)]

QUERY = "SELECT ended_reason, count(*) AS calls FROM intercom.calls GROUP BY 1 ORDER BY 2 DESC"


def run(folder: Path, progress: Style) -> int:
    """Load the stand-in's newest calls into the demo's own project, and answer questions from them.

    Args:
        folder: the demo's project; made if missing. What an earlier demo loaded is not requested again.
        progress: as of `load`.

    Returns:
        The exit code, as of `load`.

    Raises:
        UsageError: the folder holds a database that no demo made.
        DestinationFailed: the folder can't be made or written to, or the stand-in does not start.
        IntercomError, RunStopped: as in `load`.
    """
    command = _as_typed(sys.argv[0])
    if (folder / project.DUCKDB_FILE).exists() and not (folder / IDS_FILE).exists():
        raise UsageError(f"{folder / project.DUCKDB_FILE} is not the demo's; pass --project with another folder")
    with _stand_in() as url:
        _write_ids(folder / IDS_FILE)
        _replace_configuration(folder, url)
        shown = os.path.relpath(folder)
        load = f"load --ids {shlex.quote(os.path.join(shown, IDS_FILE))} --project {shlex.quote(shown)}"
        logger.info(
            "A demo: the calls come from a local stand-in of Intercom's Calls API, with Intercom's\n"
            "rate limit and %.0f ms a request. No token is needed, no real data is read. It runs:\n\n  %s %s\n",
            LATENCY_SECONDS * 1000,
            command,
            load,
        )
        project.enter(str(folder))
        summary = Summary(destination="duckdb", dataset="intercom")
        request = LoadRequest(locations=(str(folder / IDS_FILE),), project=str(folder), progress=progress)
        run_load(request, folder, summary)
    if summary.exit_code != ExitCode.DONE:
        return summary.exit_code
    console = Console(highlight=False)
    if not summary.loaded:
        console.print(
            f"\nNothing new: {summary.already_loaded:,} calls were there already and were not asked for again "
            f"({summary.requests} requests: GET /me, and ids that were missing less than a day ago)."
        )
    _answer(folder, console)
    _what_next(shown, command, console)
    return summary.exit_code


@contextmanager
def _stand_in() -> Iterator[str]:
    """Runs the stand-in; yields its address. It ends when its standard input closes, so it can't outlive the demo."""
    process = subprocess.Popen(  # noqa: S603  our own program
        [*_SANDBOX, "--latency", str(LATENCY_SECONDS), "--token", TOKEN, "--config", "-"],
        env=_sandbox_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C is for the load, which ends in order only while the API answers
    )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("{}\n")
        process.stdin.flush()
        ready = process.stdout.readline()
        if not ready:
            raise DestinationFailed(f"the stand-in ended with exit code {process.wait()} before it served; see above")
        try:
            yield str(json.loads(ready)["url"])
        finally:
            process.terminate()


def _sandbox_environment() -> dict[str, str]:
    """The environment of the sandbox's process, in which our folder of that name is found first."""
    ours = str(Path(__file__).resolve().parents[2])
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, (ours, os.environ.get("PYTHONPATH"))))}


def _write_ids(file: Path) -> None:
    listed = subprocess.run(  # noqa: S603  our own program
        [*_SANDBOX, "ids"], env=_sandbox_environment(), stdout=subprocess.PIPE, text=True, check=True
    )
    newest = listed.stdout.split()[-CALLS:]
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("call_id\n" + "\n".join(newest) + "\n")
    except OSError as error:
        raise DestinationFailed(
            f"{file} can't be written: {error.strerror}; pass --project with another folder"
        ) from None


def _replace_configuration(folder: Path, url: str) -> None:
    """Keep the user's own configuration from leading the demo to a real API or database."""
    for name in list(os.environ):
        if name.startswith(("SOURCES__", "DESTINATION__", "DLT_", "INTERCOM_")):
            del os.environ[name]
    os.environ["SOURCES__INTERCOM__ACCESS_TOKEN"] = TOKEN
    os.environ["SOURCES__INTERCOM__BASE_URL"] = url
    os.environ["DESTINATION__DUCKDB__CREDENTIALS"] = str(folder / project.DUCKDB_FILE)


def _answer(folder: Path, console: Console) -> None:
    with duckdb.connect(str(folder / project.DUCKDB_FILE), read_only=True) as database:
        database.execute("SET TimeZone = 'UTC'")
        total = database.execute("SELECT count(*) FROM intercom.calls").fetchone()
        missing = database.execute("SELECT count(*) FROM intercom.call_errors").fetchone()
        assert total is not None
        assert missing is not None
        console.print(
            f"\n{total[0]:,} calls in intercom.calls, {missing[0]:,} ids that Intercom has no call for in "
            f"intercom.call_errors, the runs in intercom.load_runs. Four questions:\n"
        )
        show_answers(database, console)


def _what_next(shown: str, command: str, console: Console) -> None:
    database = os.path.join(shown, project.DUCKDB_FILE)
    # The connection has a name, since an answer of DuckDB 1.4 does not keep it open.
    code = f"import duckdb; calls = duckdb.connect({database!r}, read_only=True); print(calls.sql({QUERY!r}))"
    again = f"{command} demo" + ("" if shown == "demo" else f" --project {shlex.quote(shown)}")
    python = _as_typed(sys.executable)
    for line in (
        "\nNext, as they stand:\n",
        f"  $ {command} status --project {shlex.quote(shown)}",
        f"  $ {again}    # a second time: what is there is not asked for again",
        f"  $ {python} -c {_quoted(code)}",
        "\nWith a token of your own (see 'A real load' in the README):\n",
        f"    {command} check",
        f"    {command} load --ids calls.csv",
    ):
        console.print(line, soft_wrap=True, markup=False)


def _quoted(code: str) -> str:
    # in double quotes, as people write it, where that is safe
    return shlex.quote(code) if set(code) & set('"$`\\!') else f'"{code}"'


def _as_typed(executable: str) -> str:
    """The shortest way to call it from the current folder."""
    if (found := shutil.which(Path(executable).name)) and os.path.samefile(found, executable):
        return Path(executable).name
    relative = os.path.relpath(executable)
    return shlex.quote(executable if relative.startswith("..") else relative)
