"""Four questions, answered from `calls`; docs/questions.md has the same SQL, and more."""

from __future__ import annotations

from collections.abc import Sequence

import duckdb
from rich.console import Console
from rich.table import Table
from rich.text import Text

CALLS_A_DAY = """\
SELECT CAST(created_at AT TIME ZONE 'UTC' AS date) AS day, count(*) AS calls, count(answered_at) AS answered
FROM intercom.calls
WHERE _deleted_at IS NULL
GROUP BY 1
ORDER BY 1 DESC
LIMIT 14"""

SHARE_ANSWERED = """\
SELECT direction, count(*) AS calls, CAST(100.0 * count(answered_at) / count(*) AS numeric(4, 1)) AS answered_percent
FROM intercom.calls
WHERE _deleted_at IS NULL AND ended_at IS NOT NULL
GROUP BY direction
ORDER BY calls DESC"""

TIME_TO_ANSWER = """\
SELECT
  direction,
  CAST(percentile_cont(0.5) WITHIN GROUP (ORDER BY waited) AS numeric(12, 1)) AS median_seconds,
  CAST(percentile_cont(0.9) WITHIN GROUP (ORDER BY waited) AS numeric(12, 1)) AS nine_in_ten_seconds
FROM (
  SELECT direction, EXTRACT(EPOCH FROM answered_at - initiated_at) AS waited
  FROM intercom.calls
  WHERE answered_at IS NOT NULL AND _deleted_at IS NULL
) AS answered
GROUP BY direction
ORDER BY direction"""

BUSIEST_HOURS = """\
SELECT CAST(EXTRACT(HOUR FROM created_at AT TIME ZONE 'UTC') AS integer) AS hour, count(*) AS calls
FROM intercom.calls
WHERE _deleted_at IS NULL
GROUP BY 1
ORDER BY calls DESC, hour
LIMIT 5"""

_BAR_WIDTH = 30


def show_answers(database: duckdb.DuckDBPyConnection, console: Console) -> None:
    """Print an answer to each of the four questions; times are UTC."""
    days = database.execute(CALLS_A_DAY).fetchall()
    if not days:
        console.print("no calls are loaded yet, so there is nothing to answer")
        return
    counts = [(f"{day:%a %Y-%m-%d}", calls) for day, calls, _ in reversed(days)]
    _show_bars("Calls a day (the last 14 days with calls, UTC)", counts, console)
    facts = Table(title="Answered, and how fast", title_justify="left")
    for heading in ("direction", "calls", "answered", "median time to answer", "nine in ten within"):
        facts.add_column(heading, justify="left" if heading == "direction" else "right")
    waits = {direction: rest for direction, *rest in database.execute(TIME_TO_ANSWER).fetchall()}
    for direction, calls, percent in database.execute(SHARE_ANSWERED).fetchall():
        median, p90 = waits.get(direction, (None, None))
        facts.add_row(direction or "not told", f"{calls:,}", f"{percent:.1f} %", _seconds(median), _seconds(p90))
    console.print(facts, "")
    hours = database.execute(BUSIEST_HOURS).fetchall()
    counts = [(f"{hour:02}:00 to {hour + 1:02}:00", calls) for hour, calls in hours]
    _show_bars("Busiest hours (UTC)", counts, console)


def _show_bars(title: str, rows: Sequence[tuple[str, int]], console: Console) -> None:
    mark = "█" if console.encoding.startswith("utf") else "#"
    most = max(calls for _, calls in rows)
    table = Table(title=title, title_justify="left", show_header=False, box=None, padding=(0, 1))
    table.add_column(no_wrap=True)
    table.add_column(justify="right")
    table.add_column(no_wrap=True, overflow="crop")
    for label, calls in rows:
        table.add_row(label, f"{calls:,}", Text(mark * max(1, round(calls / most * _BAR_WIDTH)), style="cyan"))
    console.print(table, "")


def _seconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:,.0f} s"
