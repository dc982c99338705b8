"""The source on DuckDB, on PostgreSQL and in a bucket of Parquet files: each row's load package, and the second run."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox import Sandbox
from tests.conftest import Project
from tests.support.library import run_script

LOADS = """
import json, os
import dlt
from sources.intercom import intercom

DESTINATIONS = {
    "duckdb": lambda: dlt.destinations.duckdb("mine.duckdb"),
    "postgres": lambda: dlt.destinations.postgres(os.environ["POSTGRES"]),
    "filesystem": lambda: dlt.destinations.filesystem("file://" + os.getcwd() + "/bucket"),
}
IDS = [str(number) for number in range(1000001, 1000011)]

def load(destination, item_format):
    name = f"to_{destination}_{item_format}"
    mine = dlt.pipeline(name, destination=DESTINATIONS[destination](), dataset_name=item_format)
    def run(count, **options):
        mine.run(intercom(ids=[*IDS[:count], "gone"], item_format=item_format, **options))
    run(3)
    run(4, refresh="new")
    run(5, refresh="open")
    packages = "SELECT count(*), count(DISTINCT load_id) FROM {} JOIN _dlt_loads ON load_id = _dlt_load_id"
    with mine.sql_client() as client:
        def ask(query):
            return [list(row) for row in client.execute_sql(query)]
        return [
            ask("SELECT count(*), count(DISTINCT id) FROM calls"),
            ask(packages.format("calls")),
            ask("SELECT count(*) FROM call_errors AS one JOIN _dlt_loads ON load_id = _dlt_load_id "
                "WHERE call_id = 'gone' AND attempts = 3 AND NOT coalesce(_resolved, false)"),
        ]
"""


def run(project: Project, script: str, **env: str) -> Any:
    return run_script(project, LOADS + script, **env)


@pytest.fixture
def own(own: Project, api: Sandbox) -> Project:
    api.reset(limit=None, calls=100, missing_share=0)
    return own


@pytest.mark.parametrize("destination", ["duckdb", "postgres", "filesystem"])
def test_every_row_joins_the_package_that_loaded_it(destination: str, own: Project, request: Any) -> None:
    env = {"POSTGRES": request.getfixturevalue("postgres").url if destination == "postgres" else ""}
    script = f"print(json.dumps([load({destination!r}, 'arrow'), load({destination!r}, 'object')]))"
    arrow, dicts = run(own, script, **env)
    # an open call is asked for in each run and appended where files do not merge; the sandbox's have all ended
    assert arrow == dicts == [[[5, 5]], [[5, 3]], [[1]]]


def test_the_column_is_there_once_where_dlt_fills_it_too(own: Project) -> None:
    script = """
found = load("duckdb", "arrow")
with dlt.pipeline("to_duckdb_arrow", destination=DESTINATIONS["duckdb"](), dataset_name="arrow").sql_client() as client:
    found.append([row[0] for row in client.execute_sql(
        "SELECT column_name FROM information_schema.columns WHERE table_name = 'calls' AND table_schema = 'arrow' "
        "AND column_name LIKE '_dlt%'")])
print(json.dumps(found))
"""
    found = run(own, script, NORMALIZE__PARQUET_NORMALIZER__ADD_DLT_LOAD_ID="true")
    assert found == [[[5, 5]], [[5, 3]], [[1]], ["_dlt_load_id"]]
