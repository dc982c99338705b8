"""The command line: `python -m sandbox` serves, `python -m sandbox ids` writes a list of its call ids."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from .calls import Workspace
from .server import serve
from .settings import Settings


@click.group(invoke_without_command=True, context_settings={"show_default": True})
@click.option("--port", default=0, help="Port on 127.0.0.1; 0 chooses a free one.")
@click.option("--calls", type=int, help="Calls in the workspace.  [default: 10000]")
@click.option("--seed", type=int, help="Seed of all randomness.  [default: 1]")
@click.option("--until", help="ISO time, or 'now': the calls are from the year before it.  [default: fixed]")
@click.option("--token", help="The access token it accepts.  [default: demo-token]")
@click.option("--limit", type=int, help="Requests allowed in a window.  [default: 1666]")
@click.option("--no-limit", is_flag=True, help="No rate limit.")
@click.option("--window", "window_seconds", type=float, help="Seconds in a window.  [default: 10]")
@click.option("--latency", "latency_seconds", type=float, help="Seconds from request to answer.  [default: 0]")
@click.option(
    "--config",
    metavar="FILE.json|-",
    help="Any settings, as a JSON object. '-': a line on standard input, whose end stops the sandbox.",
)
@click.pass_context
def main(context: click.Context, /, port: int, config: str | None, no_limit: bool, **options: Any) -> None:
    """A local stand-in of Intercom's Calls API. Prints one JSON line with its url once it serves.

    \b
    Example: python -m sandbox --calls 5000 --latency 0.15
    """  # noqa: D301  click's own mark: it keeps the lines
    try:
        settings = Settings().changed(_given(config, no_limit, options))
    except (ValueError, TypeError, OSError) as exc:
        raise click.UsageError(str(exc)) from exc
    context.obj = settings
    if context.invoked_subcommand is None:
        asyncio.run(_run(settings, port, until_stdin_ends=config == "-"))


@main.command()
@click.option("--calls", type=int, help="Calls in the workspace.  [default: 10000]")
@click.option("--seed", type=int, help="Seed of all randomness.  [default: 1]")
@click.option("--count", type=int, help="How many ids, at random over the year.  [default: all]")
@click.pass_obj
def ids(settings: Settings, calls: int | None, seed: int | None, count: int | None) -> None:
    """Write call ids, oldest first, one a line; a few of them are missing in the workspace."""
    given = {name: value for name, value in (("calls", calls), ("seed", seed)) if value is not None}
    workspace = Workspace.of(settings.changed(given))
    sys.stdout.writelines(f"{call_id}\n" for call_id in (workspace.ids() if count is None else workspace.sample(count)))


def _given(config: str | None, no_limit: bool, options: dict[str, Any]) -> dict[str, Any]:
    """What the file says, and over it what the options say."""
    settings: dict[str, Any] = {}
    if config is not None:
        settings = json.loads(sys.stdin.readline() if config == "-" else Path(config).read_text("utf-8"))
    settings |= {name: value for name, value in options.items() if value is not None}
    if no_limit:
        settings["limit"] = None
    if settings.get("until") == "now":
        settings["until"] = datetime.now(UTC).isoformat(timespec="seconds")
    return settings


async def _run(settings: Settings, port: int, *, until_stdin_ends: bool) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if until_stdin_ends:
        loop.add_reader(sys.stdin, _stop_at_end_of_stdin, stop)
    runner, url = await serve(settings, port)
    print(
        json.dumps({"url": url, "pid": os.getpid(), "calls": settings.calls, "seed": settings.seed}),
        flush=True,
    )
    await stop.wait()
    await runner.cleanup()


def _stop_at_end_of_stdin(stop: asyncio.Event) -> None:
    if not os.read(sys.stdin.fileno(), 4096):
        stop.set()


if __name__ == "__main__":
    main()
