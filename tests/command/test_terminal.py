"""What a person sees: the command on a real pseudo-terminal, read back as the screen it draws."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import termios

import pyte
import pytest

from sandbox import Sandbox
from tests.conftest import Project, Result

COLUMNS, LINES = 300, 40  # so wide that no line is wrapped
DATED = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ")


def screen_of(project: Project, *arguments: str) -> list[str]:
    """Run the command on a terminal of its own; the lines that are on the screen when it has ended."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (LINES, COLUMNS))
    process = subprocess.Popen(
        project.command(*arguments),
        cwd=project.folder,
        env=project.environment(TERM="xterm", COLUMNS=str(COLUMNS), LINES=str(LINES)),  # pytest-xdist sets them
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    screen = pyte.Screen(COLUMNS, LINES)
    stream = pyte.ByteStream(screen)
    written = b""
    try:
        while part := os.read(ours, 65_536):
            written += part
            stream.feed(part)
    except OSError:  # Linux's way of saying that the other end is closed
        pass
    os.close(ours)
    project.keep(Result(process.wait(timeout=60), written.decode(), ""))
    return [line.rstrip() for line in screen.display if line.strip()]


def test_log_lines_and_the_live_bar_do_not_write_over_each_other(project: Project, api: Sandbox) -> None:
    """Just when the budget waits, both have something to say."""
    api.configure(missing_share=0, limit=12, foreign_at_start=8, window_seconds=1)
    shown = screen_of(project, "load", *(str(1_000_001 + number) for number in range(8)))
    assert project.results[-1].exit_code == 0
    assert [line for line in shown if "other apps" in line], shown
    bars = [line for line in shown if line.startswith("calls ")]
    assert len(bars) == 1, shown
    assert "8/8" in bars[0]
    assert [line for line in shown if not (DATED.match(line) or line.startswith("calls "))] == []


@pytest.mark.parametrize("gone", ["closed", "full"])
def test_an_output_that_is_gone_changes_neither_data_nor_the_exit_code(
    project: Project, api: Sandbox, gone: str
) -> None:
    """In `load_runs` too: nothing says that calls which are loaded are not."""
    api.configure(missing_share=0)
    ids = [str(1_000_001 + number) for number in range(25)]
    command = project.command("load", "--json", "--progress", "rich", *ids)
    redirected = ">&- 2>&-" if gone == "closed" else ">/dev/full 2>/dev/full"
    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {redirected}', "sh", *command],
        cwd=project.folder,
        env=project.environment(),
        check=False,
    )
    assert done.returncode == 0
    assert project.query("SELECT count(*) FROM intercom.calls") == [(25,)]
    assert project.query("SELECT exit_code, loaded FROM intercom.load_runs") == [(0, 25)]


def test_a_closed_terminal_costs_nothing_but_its_output(project: Project, api: Sandbox) -> None:
    api.configure(missing_share=0, latency_seconds=0.02)
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        project.command("load", "--progress", "rich", "--workers", "2", *(str(1_000_001 + n) for n in range(60))),
        cwd=project.folder,
        env=project.environment(TERM="xterm"),
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,  # so that the terminal's end is not also a SIGHUP, which would stop the load
    )
    os.close(theirs)
    assert os.read(ours, 10)
    os.close(ours)
    assert process.wait(timeout=60) == 0
    assert project.query("SELECT exit_code, loaded FROM intercom.load_runs") == [(0, 60)]
