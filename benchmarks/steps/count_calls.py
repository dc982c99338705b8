"""Print how many calls a DuckDB file holds; a call that is there twice is an error: `python count_calls.py FILE`."""

from __future__ import annotations

import sys

import duckdb

FIND = """
    SELECT table_schema || '.calls' FROM information_schema.tables
    WHERE table_name = 'calls' AND table_schema NOT LIKE '%staging'
"""

if __name__ == "__main__":
    with duckdb.connect(sys.argv[1], read_only=True) as connection:
        (table,) = connection.execute(FIND).fetchone() or sys.exit(f"{sys.argv[1]} holds no table of calls")
        rows, calls = connection.execute(f"SELECT count(*), count(DISTINCT id) FROM {table}").fetchone() or (0, 0)
    if rows != calls:
        sys.exit(f"{rows} rows of {calls} calls")
    print(rows)
