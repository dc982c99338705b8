"""The command `status`: what is loaded, how fresh it is, what failed and why, the last runs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import click
from dlt.destinations.sql_client import SqlClientBase
from rich.console import Console
from rich.table import Table

from sources.intercom.call_requests import UNPROVEN_404, is_missing
from sources.intercom.settings import resolve_settings
from sources.intercom.workspace import Workspace

from ..cli.standard_streams import print_error
from ..destinations.dataset import Dataset, select
from ..errors import ExitCode, printable
from ..run.workspace import read_workspace

RUNS_SHOWN = 5

_CALLS = """
    SELECT count(*), max(coalesce(created_at, initiated_at)),
        count(CASE WHEN ended_at IS NULL AND _deleted_at IS NULL THEN 1 END), count(_deleted_at)
"""
_ERRORS = """
    SELECT http_status, code, count(*) AS ids, min(call_id) AS example_id, max(last_failed_at) AS last_failed_at
    GROUP BY http_status, code ORDER BY ids DESC, http_status, code
"""
_RUN_FIELDS = (
    *("run_id", "started_at", "finished_at", "exit_code", "requested", "loaded", "already_loaded", "missing"),
    *("failed", "not_reached", "seconds", "error"),
)
_RUNS = f"SELECT {', '.join(_RUN_FIELDS)} ORDER BY started_at DESC LIMIT {RUNS_SHOWN}"
# requested all ids it was given, and received them; a run that was killed has no `finished_at`
_COMPLETE = "exit_code = 0 AND finished_at IS NOT NULL AND not_reached = 0"
_LAST_COMPLETE = f"SELECT max(started_at), max(finished_at) WHERE {_COMPLETE}"


@dataclass(frozen=True)
class Failure:
    """Ids in `call_errors` that failed for the same reason; missing calls are not failures."""

    http_status: int | None
    code: str | None
    ids: int
    example_id: str
    last_failed_at: datetime | None

    @property
    def cause(self) -> str:
        """The reason, short."""
        status = f"HTTP {self.http_status}" if self.http_status else None
        return " ".join(filter(None, (status, self.code))) or "not told"

    @property
    def mend(self) -> str:
        """What to do about it."""
        if self.code in _MENDS:
            return _MENDS[self.code]
        if self.http_status == 404:
            return "not Intercom's own 404: a proxy's, or another workspace's token; try `intercom-calls check`"
        if self.http_status in (408, 429) or (self.http_status or 0) >= 500:
            return "the API was busy or down; run the same load again"
        return "the API refuses it; Intercom's support takes the request_id in call_errors"


_MENDS = {
    UNPROVEN_404: "the token may be another workspace's: try `intercom-calls check`, then run the same load again",
    "connection": "the network or a proxy cut in; run the same load again",
    "timeout": "answers were too slow; run the same load again, or raise read_timeout_seconds",
    "invalid_json": "something in between answers for Intercom; look at message in call_errors, then at the proxy",
    "id_mismatch": "the answer was another call's; tell Intercom's support the request_id in call_errors",
}


@dataclass(frozen=True)
class Status:
    """What is loaded.

    Attributes:
        calls: rows of the table `calls`, deleted ones included.
        workspace, workspace_name: whose calls these are; None where no run knew it.
        data_as_of: when the newest complete run began: it received all ids it was given (a missing call counts).
        complete_run_at: when that run ended.
        open_calls: calls without an end.
        deleted_calls: loaded calls that answered 404 later.
        missing: ids in `call_errors` that Intercom has no call for.
        runs: the newest rows of `load_runs`.
    """

    destination: str
    dataset: str
    location: str
    workspace: str | None = None
    workspace_name: str | None = None
    calls: int = 0
    newest_call_at: datetime | None = None
    data_as_of: datetime | None = None
    complete_run_at: datetime | None = None
    open_calls: int = 0
    deleted_calls: int = 0
    missing: int = 0
    failures: Sequence[Failure] = ()
    runs: Sequence[Mapping[str, Any]] = ()

    @property
    def failed(self) -> int:
        """Ids that could not be loaded for another reason than 404."""
        return sum(failure.ids for failure in self.failures)

    @property
    def is_empty(self) -> bool:
        """Whether nothing was ever loaded here."""
        return not (self.calls or self.missing or self.failed or self.runs)

    def as_json(self) -> dict[str, Any]:
        """The fields, with `failed` and each failure's mend."""
        failures = [{**asdict(failure), "mend": failure.mend} for failure in self.failures]
        return {**asdict(self), "failed": self.failed, "failures": failures}


def run(destination: str, dataset: str, *, as_json: bool, max_age: timedelta | None = None) -> ExitCode:
    """Print the status of a dataset to stdout.

    Returns:
        INCOMPLETE where the last complete run ended longer than `max_age` ago, else DONE.

    Raises:
        ConfigurationError, UsageError, DestinationFailed
    """
    there = Dataset(destination, dataset, resolve_settings().lock_wait_seconds)
    status = Status(destination, dataset, there.location.shown)
    if not there.location.is_new:
        status = there.ask(partial(_read, empty=status))
    if as_json:
        click.echo(json.dumps(status.as_json(), default=_isoformat))
    else:
        _show(status, Console(highlight=False, markup=False))
    outdated = None if max_age is None else _outdated(status.complete_run_at, max_age)
    if outdated is None:
        return ExitCode.DONE
    print_error(outdated)
    return ExitCode.INCOMPLETE


def _outdated(complete_run_at: datetime | None, max_age: timedelta) -> str | None:
    """Why the dataset is older than it may be; None where it is not."""
    now = datetime.now(UTC)
    if complete_run_at is not None and now - complete_run_at <= max_age:
        return None
    allowed = f"--max-age allows {max_age / timedelta(hours=1):g} hours"
    if complete_run_at is None:
        return f"no run here has asked for everything it was given and got it; {allowed}"
    ended = f"{_ago(complete_run_at, now)}, at {complete_run_at:%Y-%m-%d %H:%M} UTC"
    return f"the last complete run ended {ended}; {allowed}"


def _read(client: SqlClientBase[Any], empty: Status) -> Status:
    rows = select(client, "calls", _CALLS)
    if rows is None:
        return empty
    [(calls, newest_call_at, open_calls, deleted_calls)] = rows
    workspace = read_workspace(client)
    errors = [Failure(*row) for row in select(client, "call_errors", _ERRORS) or ()]
    failures = [error for error in errors if not is_missing(error.http_status, error.code)]
    [(data_as_of, complete_run_at)] = select(client, "load_runs", _LAST_COMPLETE) or [(None, None)]
    return replace(
        empty,
        workspace=workspace.id_code if workspace else None,
        workspace_name=workspace.name if workspace else None,
        calls=calls,
        newest_call_at=newest_call_at,
        data_as_of=data_as_of,
        complete_run_at=complete_run_at and complete_run_at.astimezone(UTC),
        open_calls=open_calls,
        deleted_calls=deleted_calls,
        missing=sum(error.ids for error in errors) - sum(failure.ids for failure in failures),
        failures=failures,
        runs=[_run_fields(row) for row in select(client, "load_runs", _RUNS) or ()],
    )


def _run_fields(row: Sequence[Any]) -> dict[str, Any]:
    run = dict(zip(_RUN_FIELDS, row, strict=True))
    if run["finished_at"] is None:  # where an earlier version of this project ran, it is 0
        run["exit_code"] = None
    return run


def _show(status: Status, console: Console) -> None:
    console.print(f"{status.location}, dataset {status.dataset}", soft_wrap=True)
    if status.is_empty:
        console.print("nothing is loaded yet; begin with: intercom-calls load --ids calls.csv")
        return
    now = datetime.now(UTC)
    facts = _table(None)
    if status.workspace:
        facts.add_row("workspace", printable(str(Workspace(status.workspace, status.workspace_name))))
    facts.add_row("calls", f"{status.calls:,}")
    facts.add_row("newest call", _moment(status.newest_call_at, now))
    facts.add_row(
        "data as of", _moment(status.data_as_of, now) if status.data_as_of else "no run got all of its list yet"
    )
    facts.add_row("open calls", f"{status.open_calls:,}, without an end")
    if status.deleted_calls:
        facts.add_row("deleted calls", f"{status.deleted_calls:,}, kept with _deleted_at")
    facts.add_row("missing", f"{status.missing:,} ids that Intercom has no call for")
    facts.add_row("failed", f"{status.failed:,} ids" + (", see below" if status.failed else ""))
    console.print(facts, "")
    if status.failures:
        console.print(_failures(status.failures, now), "")
    if status.runs:
        console.print(_runs(status.runs))


def _failures(failures: Sequence[Failure], now: datetime) -> Table:
    table = _table("Failed ids by cause", "cause", ">ids", "one of them", "last", "mend")
    for failure in failures:
        table.add_row(
            printable(failure.cause),
            f"{failure.ids:,}",
            printable(failure.example_id),
            _ago(failure.last_failed_at, now),
            failure.mend,
        )
    return table


def _runs(runs: Sequence[Mapping[str, Any]]) -> Table:
    table = _table("Last runs", "started (UTC)", "ended", ">ids", ">loaded", ">missing", ">failed", ">seconds")
    for run in runs:
        counts = (f"{run[name] or 0:,}" for name in ("requested", "loaded", "missing", "failed"))
        started_at = run["started_at"].astimezone(UTC)
        table.add_row(f"{started_at:%Y-%m-%d %H:%M:%S}", _end(run), *counts, f"{run['seconds'] or 0:,.1f}")
    return table


def _end(run: Mapping[str, Any]) -> str:
    if run["finished_at"] is None:
        return "running or killed"
    if not run["exit_code"]:
        return "ok"
    return f"exit {run['exit_code']}" + (f": {printable(run['error'])}" if run["error"] else "")


def _table(title: str | None, *headings: str) -> Table:
    """A table without lines; a heading with `>` is that of a column of numbers."""
    table = Table(title=title, title_justify="left", show_header=bool(headings), box=None, padding=(0, 2, 0, 0))
    for heading in headings:
        table.add_column(heading.lstrip(">"), justify="right" if heading.startswith(">") else "left")
    return table


def _moment(moment: datetime | None, now: datetime) -> str:
    return "none" if moment is None else f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC ({_ago(moment, now)})"


def _ago(moment: datetime | None, now: datetime) -> str:
    if moment is None:
        return ""
    since = now - moment.astimezone(UTC)  # some engines keep no time zone
    for unit, length in (("days", timedelta(days=1)), ("hours", timedelta(hours=1)), ("minutes", timedelta(minutes=1))):
        if since >= 2 * length:
            return f"{since // length} {unit} ago"
    return "just now" if since < timedelta(minutes=1) else "a minute ago"


def _isoformat(moment: object) -> str:
    assert isinstance(moment, datetime)
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
