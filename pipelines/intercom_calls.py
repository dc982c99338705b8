"""The command line: options in, exit code out. dlt is imported only when a command needs it."""

from __future__ import annotations

import gc
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn

import click

from .cli.help import GroupedCommand, age, option
from .cli.logs import report_error, report_errors_of_threads, set_up, with_details
from .cli.project import enter, register_defaults
from .cli.standard_streams import fill_closed_descriptors, print_error, print_result
from .errors import ExitCode, Interrupted, exit_code_of, printable
from .run.interruption import stoppable
from .run.request import LoadRequest
from .summary import Summary

LOAD_EXAMPLE = """\
intercom-calls load --ids calls.csv
intercom-calls load 123 456 --destination postgres --dataset support"""
CHECK_EXAMPLE = """\
intercom-calls check
intercom-calls check --destination postgres"""
STATUS_EXAMPLE = """\
intercom-calls status
intercom-calls status --destination postgres --json
intercom-calls status --max-age 26h"""

_PROJECT_HELP = "the folder with .dlt/, the default database and the working files  [default: the current folder]"
_progress = option("Output", "--progress", type=click.Choice(["auto", "rich", "log", "none"]), default="auto",
                   show_default=True, help="auto: a bar on a terminal, else a log line from time to time")  # fmt: skip


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="intercom-calls")
def main() -> None:
    """Load Intercom phone calls into DuckDB, PostgreSQL or another dlt destination."""
    fill_closed_descriptors()
    report_errors_of_threads()


@main.command(cls=GroupedCommand, example=LOAD_EXAMPLE)
@click.argument("call_ids", metavar="[CALL_ID]...", nargs=-1)
@option("Which calls", "--ids", "locations", metavar="PATH|URL|-", multiple=True,
        help="a list of ids: txt, csv, tsv, jsonl, json or parquet, also .gz and .zst; repeatable")  # fmt: skip
@option("Which calls", "--ids-format", metavar="NAME",
        help="the format of stdin and of files without a known ending  [default: txt]")  # fmt: skip
@option("Which calls", "--id-column", metavar="NAME",
        help="the column with the ids  [default: call_id, else id, else the only one]")  # fmt: skip
@option("Which calls", "--no-header", is_flag=True, help="the csv or tsv has no header line")
@option("Which calls", "--ids-sql", metavar="QUERY", help="take the ids from the first column of this query")
@option("Which calls", "--ids-db", metavar="URL", help="the database for --ids-sql  [default: the destination]")
@option("Which calls", "--bad-ids", type=click.Choice(["refuse", "skip"]), default="refuse", show_default=True,
        help="what to do if a line can't be an id")  # fmt: skip
@option("Which calls", "--allow-empty", is_flag=True, help="accept a list without any id")
@option("Which calls", "--refresh", type=click.Choice(["open", "new", "all"]), default="open", show_default=True,
        help="which ids to request: open: new ids, failed ids, calls that may change; new: ids without a row; "
        "all: every id")  # fmt: skip
@option("Which calls", "--limit", metavar="N", type=click.IntRange(min=0), help="request at most N ids")
@option("Where to", "--destination", metavar="NAME", default="duckdb", show_default=True,
        help="a dlt destination that can merge")  # fmt: skip
@option("Where to", "--dataset", metavar="NAME", default="intercom", show_default=True,
        help="the dataset with the tables; it belongs to one workspace")  # fmt: skip
@option("Where to", "--project", metavar="DIR", help=_PROJECT_HELP)
@option("How", "--strategy", type=click.Choice(["auto", "by-id", "sweep"]), default="auto", show_default=True,
        help="by-id: one request per call; sweep: pages of 25 first, then by id; auto: the cheaper one")  # fmt: skip
@option("How", "--workers", metavar="N", type=click.IntRange(min=1),
        help="maximum number of requests in flight  [default: adapts to the latency]")  # fmt: skip
@option("How", "--share", metavar="F", type=click.FloatRange(0, 1, min_open=True), default=1.0, show_default=True,
        help="share of the API's rate limit to use")  # fmt: skip
@option("How", "--chunk-size", metavar="N", type=click.IntRange(min=1),
        help="calls per checkpoint  [default: calls received in 15 s, at least 1,000]")  # fmt: skip
@option("How", "--wait", metavar="SECONDS", type=click.FloatRange(min=0), default=0.0,
        help="how long to wait for another load to end  [default: exit with 5 at once]")  # fmt: skip
@option("How", "--dry-run", is_flag=True, help="print what would be done; request nothing from the API")
@option("Output", "--json", "as_json", is_flag=True, help="print the summary as a JSON object on stdout")
@_progress
@option("Output", "--log-format", type=click.Choice(["text", "json"]), default="text", show_default=True,
        help="json: one JSON object per line")  # fmt: skip
@option("Output", "-q", "--quiet", count=True, help="print only what needs attention")
@option("Output", "-v", "--verbose", count=True, help="print more; -vv prints everything")
def load(**options: Any) -> None:
    """Fetch calls by id and load them into a database.

    Ids can be arguments, lists and the result of a query; all are combined. Calls that are loaded and can't change
    any more are not requested again. After an interruption, run the same command again to continue.
    """
    set_up(options["verbose"] - options["quiet"], options["log_format"])
    summary = Summary(destination=options["destination"], dataset=options["dataset"])

    def end(output: dict[str, Any]) -> None:
        report_error(summary, options["log_format"])
        if options["as_json"]:
            print_result(json.dumps(output))

    def end_process(error: BaseException) -> NoReturn:
        """End as below, but from another thread, while the main one waits."""
        summary.fail(error)
        end(summary.as_json())
        os._exit(summary.exit_code)

    spare = bytearray(4 << 20)  # address space, not yet memory: freed to report that memory ran out
    try:
        with stoppable(end_process):
            folder = enter(options["project"], verbose=options["verbose"] > 1)
            with _imports():
                from .commands.load import run

            output = run(LoadRequest(**options), folder, summary, end_process)
    except (Exception, Interrupted) as error:  # noqa: BLE001  all are reported
        del spare
        summary.fail(error)
        summary.error = with_details(error)
        output = summary.as_json()
    end(output)
    sys.exit(summary.exit_code)


_destination = option("Where", "--destination", metavar="NAME", default="duckdb", show_default=True,
                      help="a dlt destination that supports SQL")  # fmt: skip
_dataset = option("Where", "--dataset", metavar="NAME", default="intercom", show_default=True,
                  help="the dataset with the tables; it belongs to one workspace")  # fmt: skip
_project = option("Where", "--project", metavar="DIR", help=_PROJECT_HELP)


@main.command(cls=GroupedCommand, example=CHECK_EXAMPLE)
@_destination
@_dataset
@_project
def check(destination: str, dataset: str, project: str | None) -> None:
    """Check the settings and the destination.

    Prints one line each for token, region, API version and destination, with the fix if one is wrong. Makes two
    requests and writes nothing.
    """
    set_up(0)
    with _one_line_errors():
        with _imports():
            register_defaults(enter(project))
            from .commands.check import run

        sys.exit(run(destination, dataset))


@main.command(cls=GroupedCommand, example=STATUS_EXAMPLE)
@_destination
@_dataset
@_project
@option("What", "--max-age", metavar="AGE", callback=age,
        help="such as 26h or 2d: exit with 3 if the last complete run is older, or there is none")  # fmt: skip
@option("Output", "--json", "as_json", is_flag=True, help="print one JSON object on stdout")
def status(destination: str, dataset: str, project: str | None, max_age: timedelta | None, as_json: bool) -> None:
    """Show what is loaded and what failed.

    Prints the number of calls, how fresh they are, failures and how to fix them, and the last runs.
    """
    set_up(0)
    with _one_line_errors():
        with _imports():
            register_defaults(enter(project))
            from .commands.status import run

        sys.exit(run(destination, dataset, as_json=as_json, max_age=max_age))


@main.command(cls=GroupedCommand, example="intercom-calls demo")
@option("Where to", "--project", metavar="DIR", default="demo", show_default=True,
        help="the demo's folder; created if needed")  # fmt: skip
@_progress
def demo(**options: Any) -> None:
    """Load sample calls; no token is needed.

    Loads them from a bundled local stand-in for the Calls API and answers four questions from them. Reads no real data.
    """
    set_up(0)
    with _one_line_errors():
        with _imports():
            from .commands.demo import run

        sys.exit(run(Path(options["project"]).expanduser().resolve(), options["progress"]))


@contextmanager
def _imports() -> Iterator[None]:
    """Import without garbage collection, which finds nothing in modules and takes a tenth of the start-up."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


@contextmanager
def _one_line_errors() -> Iterator[None]:
    """End the program with the exit code of the error, and print the error in one line."""
    try:
        yield
    except KeyboardInterrupt:
        sys.exit(ExitCode.INTERRUPTED)
    except Exception as error:  # noqa: BLE001  all are reported
        print_error(f"error: {printable(with_details(error))}")
        sys.exit(exit_code_of(error))
