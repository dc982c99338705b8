"""Option types of the command line; `--help` starts with an example and lists options in groups."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import click

_OTHER = "Other"


class GroupedOption(click.Option):
    """An option that is listed under the heading `group`."""

    def __init__(self, *args: Any, group: str = "Options", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.group = group


class GroupedCommand(click.Command):
    """A command whose `--help` opens with an example and lists its options in groups."""

    def __init__(self, *args: Any, example: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.example = example

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The example, then usage, text and options."""
        if self.example:
            with formatter.section("Example"):
                for line in self.example.splitlines():
                    formatter.write(f"{'':>{formatter.current_indent}}{line}\n")
            formatter.write_paragraph()
        super().format_help(ctx, formatter)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """One section per group, in order of first appearance; options without a group come last."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None and isinstance(parameter, click.Option):
                groups.setdefault(getattr(parameter, "group", _OTHER), []).append(record)
        groups[_OTHER] = groups.pop(_OTHER, [])
        for heading, records in groups.items():
            with formatter.section(heading):
                formatter.write_dl(records)


def age(_: click.Context, __: click.Parameter, value: str | None) -> timedelta | None:
    """Option callback: a length of time in hours or days, `26h` or `1.5d`; anything else is refused."""
    if value is None:
        return None
    match = re.fullmatch(r"([0-9]{1,6}(?:\.[0-9]{1,6})?)([hd])", value)
    if match is None or not float(match[1]):
        raise click.BadParameter(f"{value!r} is not an age; use a number above 0 with h or d, such as 26h or 2d")
    return timedelta(hours=float(match[1]) * (24 if match[2] == "d" else 1))


def option(group: str, *declarations: str, **attributes: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A `click.option` in a group."""
    return click.option(*declarations, cls=GroupedOption, group=group, **attributes)
