"""The source in a script of somebody else's: run in a project folder in which the command never ran."""

from __future__ import annotations

import json
import sys
from typing import Any

from tests.conftest import Project
from tests.support import forked
from tests.support.leaks import TOKEN

# What scripts of many small pipelines share.
PIPELINES = """
import gc, json, logging, os, sys, threading, time, urllib.request
import dlt
from sources.intercom import BadIds, ConfigurationError, TokenRefused, intercom

IDS = [str(number) for number in range(1000001, 1003001)]

def pipeline(name, **options):
    file = dlt.destinations.duckdb(f"file_{name}.duckdb")
    return dlt.pipeline(name, destination=file, **({"dataset_name": "calls_of"} | options))

def rows(pipeline, query="SELECT count(*), count(DISTINCT id), count(_dlt_load_id) FROM calls"):
    with pipeline.sql_client() as client:
        return [list(row) for row in client.execute_sql(query)]

def causes(error):
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__

def refused(action, kind=ConfigurationError):
    try:
        action()
    except Exception as error:
        return next((str(cause) for cause in causes(error) if isinstance(cause, kind)), f"else: {error!r}")
    return "not refused"

def requested():
    with urllib.request.urlopen(os.environ["SANDBOX_STATS"]) as answer:
        return json.load(answer)["requests"]

def goes_on():
    deadline = time.monotonic() + 20
    while any(thread.name == "fetch" for thread in threading.enumerate()):
        if time.monotonic() > deadline:
            return True
        time.sleep(0.05)
    before = requested()
    time.sleep(0.3)
    return requested() > before
"""


def run_script(project: Project, script: str, *, secret: str = TOKEN, **env: str) -> Any:
    """Run it in the project folder and read the JSON that it prints last; it prints neither token nor `secret`."""
    done = forked.run([sys.executable, "-c", script], cwd=project.folder, env=project.environment(**env))
    assert done.returncode == 0, done.stderr.decode()
    printed = done.stdout.decode() + done.stderr.decode()
    assert TOKEN not in printed
    assert secret not in printed
    return json.loads(done.stdout.splitlines()[-1])
