"""Too little memory: one line that says so and what to do, exit code 1, and the next run goes on."""

from __future__ import annotations

import json
import sys
from functools import partial

import pytest

from sandbox import Sandbox
from tests.conftest import Project, Result
from tests.support import bounds
from tests.support.processes import write_ids

CALLS = 200


def _out_of_memory(result: Result) -> None:
    assert result.exit_code == 1, result.stderr
    assert "Traceback" not in result.stderr
    error = result.summary["error"]
    assert [error in line for line in result.stderr.splitlines() if "error: " in line] == [True]
    assert error.startswith("out of memory (")
    assert "a load needs 512 MB" in error
    assert "raise the limit" in error


def _goes_on(project: Project, ids: str) -> None:
    done = project.load("--ids", ids)
    assert done.exit_code == 0, done.stderr
    assert project.query("SELECT count(*), count(DISTINCT id) FROM intercom.calls") == [(CALLS, CALLS)]
    assert not [*project.folder.glob(".dlt/data/set_aside/*/*")]


@pytest.mark.parametrize(
    "bound",
    [
        pytest.param(partial(bounds.by_threads, 0), id="not one thread"),
        pytest.param(partial(bounds.by_threads, 4), id="some threads, not enough"),
        pytest.param(partial(bounds.by_memory_to_read, 20), id="no memory for what comes from the API"),
    ],
)
def test_without_memory_the_line_says_what_to_do_and_the_next_run_continues(
    project: Project, api: Sandbox, bound: partial[None]
) -> None:
    api.configure(missing_share=0)
    ids = write_ids(project, 1_000_001, CALLS)
    _out_of_memory(project.load("--ids", ids, bound=bound))
    _goes_on(project, ids)


def test_a_memory_limit_of_duckdb_that_is_too_low_loses_nothing(project: Project, api: Sandbox) -> None:
    api.configure(missing_share=0)
    ids = write_ids(project, 1_000_001, CALLS)
    limit = {"DESTINATION__DUCKDB__CREDENTIALS__GLOBAL_CONFIG": json.dumps({"memory_limit": "2MB"})}
    short = project.load("--ids", ids, env=limit)
    _out_of_memory(short)
    assert "Out of Memory Error" in short.summary["error"]
    _goes_on(project, ids)


@pytest.mark.skipif(sys.platform != "linux", reason="addresses are bounded on Linux")
def test_a_process_without_addresses_to_map_says_so_too(project: Project, api: Sandbox) -> None:
    api.configure(missing_share=0)
    ids = write_ids(project, 1_000_001, CALLS)
    # OpenBLAS and Arrow would take addresses for each core before the command could say anything
    cores = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    _out_of_memory(project.load("--ids", ids, plain=True, env=cores, bound=partial(bounds.by_addresses, 450)))
    _goes_on(project, ids)
