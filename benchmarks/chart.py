"""The figures as a chart: bars of CPU, rate, and of what was refused and lost, in one SVG."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple
from xml.sax.saxutils import escape

from . import contenders as who
from .results import Results, grouped, median

WIDTH = 760
LABELS = 250
BAR, GAP = 18, 6
OURS_COLOUR, OTHERS_COLOUR = "#d9480f", "#74829c"


class Panel(NamedTuple):
    """A heading and bars: label, length, what is written beside the bar."""

    title: str
    bars: list[tuple[str, float, str]]


def chart(results: Results) -> str:
    """The SVG; it reads on light and on dark ground."""
    parts, y = [], 10
    for panel in _panels(results):
        y += 24
        parts.append(f'<text x="0" y="{y}" class="title">{escape(panel.title)}</text>')
        y += 12
        longest = max(length for _, length, _ in panel.bars) or 1
        for label, length, told in panel.bars:
            parts += _bar(label, length / longest, told, y)
            y += BAR + GAP
        y += 12
    style = "text{font:13px sans-serif;fill:#5b6780}.title{font-weight:bold;font-size:15px}.label{text-anchor:end}"
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" width="{WIDTH}" height="{y}" role="img">'
    return "\n".join([head, f"<style>{style}</style>", *parts, "</svg>"]) + "\n"


def _bar(label: str, part: float, told: str, y: int) -> Iterator[str]:
    colour = OURS_COLOUR if label in (who.OURS.name, who.PAGES.name) else OTHERS_COLOUR
    width = max(1.0, part * (WIDTH - LABELS - 130))
    text = y + BAR - 4
    yield f'<text x="{LABELS - 8}" y="{text}" class="label">{escape(label)}</text>'
    yield f'<rect x="{LABELS}" y="{y}" width="{width:.1f}" height="{BAR}" rx="2" fill="{colour}"/>'
    yield f'<text x="{LABELS + width + 6:.1f}" y="{text}">{escape(told)}</text>'


def _panels(results: Results) -> Iterator[Panel]:
    cpu, rate = [], []
    for (name,), runs in grouped(results.runs("cpu"), "contender").items():
        if loaded := [{"figure": run["cpu_seconds"] / run["rows"] * 1000} for run in runs if run["rows"]]:
            figure = median(loaded, "figure") or 0
            cpu.append((name, figure, f"{figure:.2f}"))
    for (name,), runs in grouped(results.runs("rate"), "contender").items():
        if loaded := [{"figure": run["rows"] / run["wall_seconds"]} for run in runs if run["rows"]]:
            figure = median(loaded, "figure") or 0
            rate.append((name, figure, f"{figure:.0f}"))
    if cpu:
        yield Panel("CPU seconds per 1,000 calls, start-up included (less is better)", cpu)
    if rate:
        yield Panel("Calls a second at a latency of 150 ms (more is better)", rate)
    least = min((run["latency_seconds"] for run in results.runs("windows")), default=0)
    refused = []
    for (name, latency), runs in grouped(results.runs("windows"), "contender", "latency_seconds").items():
        if latency == least:
            figure, lost = median(runs, "rate_limited") or 0, median(runs, "lost") or 0
            refused.append((name, figure, f"{figure:,.0f}; {lost:,.0f} lost"))
    if refused:
        yield Panel("Under 1,666 requests in 10 seconds: answers of 429; calls lost (less is better)", refused)
