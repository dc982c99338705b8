"""Fill `intercom.calls` up to so many rows with copies of its rows, under new ids: `python fill_calls.py FILE ROWS`."""

from __future__ import annotations

import sys

import duckdb

FILL = """
    INSERT INTO intercom.calls
    SELECT copied.* REPLACE ((2000000000 + $there + n)::VARCHAR AS id)
    FROM range($missing) AS numbers (n)
    JOIN (SELECT *, row_number() OVER () - 1 AS nth FROM intercom.calls LIMIT 1000) AS copied ON nth = n % 1000
"""

if __name__ == "__main__":
    with duckdb.connect(sys.argv[1]) as connection:
        (rows,) = connection.execute("SELECT count(*) FROM intercom.calls").fetchone() or (0,)
        counts = {"there": rows, "missing": int(sys.argv[2]) - rows}
        connection.execute(FILL.replace("copied.*", "copied.* EXCLUDE (nth)"), counts)
