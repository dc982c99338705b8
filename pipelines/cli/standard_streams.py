"""Standard input, output and error; a load continues when one of them is closed, full or gone."""

from __future__ import annotations

import logging
import os
import sys
from contextlib import suppress

import click

logger = logging.getLogger("intercom_calls")


def fill_closed_descriptors() -> None:
    """Open the null device on descriptors 0 to 2 that are closed.

    Otherwise the next file that is opened, a database perhaps, gets that number, and what a C library writes to
    its stdout or stderr lands there.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)


def print_result(text: str) -> None:
    """Print data on stdout; if that is impossible, warn and continue, since the load itself is done."""
    try:
        click.echo(text)
    except OSError as error:
        _give_up(sys.stdout.fileno())
        logger.warning("stdout can't be written (%s); the result was not printed", error.strerror)


def print_error(text: str) -> None:
    """Print a line on stderr, if possible."""
    try:
        click.echo(text, err=True)
    except OSError:
        _give_up(sys.stderr.fileno())


def _give_up(descriptor: int) -> None:
    """Redirect it to the null device: the interpreter flushes it again when it ends, and would fail again."""
    with suppress(OSError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, descriptor)
        os.close(null)
