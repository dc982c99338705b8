"""Make the README's pictures anew: run the demo in a terminal and draw what it printed as SVG."""

from __future__ import annotations

import os
import pty
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

PICTURES = Path(__file__).parent / "pictures"
COMMAND = Path(sys.executable).with_name("intercom-calls")
COLUMNS, ROWS = 100, 60


def main() -> None:
    """Write docs/pictures/load.svg and answers.svg."""
    with tempfile.TemporaryDirectory() as folder:
        printed = _in_a_terminal(Path(folder)).replace(os.path.realpath(folder), "/home/you/calls")
    lines = [_as_left_on_screen(line) for line in printed.split("\n")]
    plain = [Text.from_ansi(line).plain.strip() for line in lines]
    end_of_load = next(number for number, line in enumerate(plain) if line.startswith("loaded ")) + 1
    end_of_answers = plain.index("Next, as they stand:")
    PICTURES.mkdir(exist_ok=True)
    _draw(["$ intercom-calls demo", "", *lines[:end_of_load]], "load")
    _draw(lines[end_of_load + 1 : end_of_answers - 1], "answers")


def _in_a_terminal(folder: Path) -> str:
    """Everything the demo prints on a terminal, control sequences included."""
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(folder)
        os.environ |= {"TERM": "xterm-256color", "COLUMNS": str(COLUMNS), "LINES": str(ROWS)}
        os.environ["PATH"] = f"{COMMAND.parent}{os.pathsep}{os.environ['PATH']}"
        os.environ.pop("NO_COLOR", None)
        os.execv(COMMAND, [str(COMMAND), "demo"])  # noqa: S606  our own program
    printed = b""
    while True:
        try:
            part = os.read(terminal, 65536)
        except OSError:  # how Linux tells that the other side has closed
            part = b""
        if not part:
            break
        printed += part
    _, status = os.waitpid(child, 0)
    if status:
        sys.exit(f"the demo failed:\n{printed.decode()}")
    return printed.decode()


def _as_left_on_screen(line: str) -> str:
    """What is left of a line that was rewritten, as a progress bar's is."""
    for cursor in ("\x1b[?25h", "\x1b[?25l"):
        line = line.replace(cursor, "")
    return line.rstrip("\r").rsplit("\x1b[2K", 1)[-1].rsplit("\r", 1)[-1]


def _draw(lines: list[str], name: str) -> None:
    with open(os.devnull, "w") as nowhere:
        console = Console(record=True, width=COLUMNS, file=nowhere, force_terminal=True)
        for line in lines:
            console.print(Text.from_ansi(line), soft_wrap=True)
        console.save_svg(str(PICTURES / f"{name}.svg"), title="intercom-calls", unique_id=name)


if __name__ == "__main__":
    main()
