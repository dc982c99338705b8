"""Named points in a load at which the process that passes them kills itself.

Nothing here changes what a load does: functions of dlt, of its database clients and of this project's loader are
wrapped, in the process to kill alone, by a count of passages.
"""

from __future__ import annotations

import atexit
import faulthandler
import functools
import importlib
import json
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

SQL_CLIENTS = {
    "duckdb": "dlt.destinations.impl.duckdb.sql_client:DuckDbSqlClient",
    "postgres": "dlt.destinations.impl.postgres.sql_client:Psycopg2SqlClient",
}

# What a load passes, by the class (or module) it is of; `before` and `after` each is a point.
STEPS = {
    "dlt.pipeline.pipeline:Pipeline": ("extract", "normalize", "load"),
    "dlt.extract.extract:Extract": ("extract", "commit_packages"),
    "dlt.normalize.normalize:Normalize": ("spool_files", "spool_schema_files"),
    "dlt.load.load:Load": (
        "initialize_package",
        "start_new_jobs",
        "create_followup_jobs",
        "complete_jobs",
        "complete_package",
        "_maybe_truncate_staging_dataset",
    ),
    "dlt.common.storages.load_package:PackageStorage": (
        "create_package",
        "save_schema",
        "save_schema_updates",
        "save_load_package_state",
        "start_job",
        "complete_job",
        "complete_loading_package",
        "remove_completed_jobs",
        "delete_package",
    ),
    "dlt.common.storages.file_storage:FileStorage": ("save", "atomic_rename", "rename_tree", "delete_folder"),
    "dlt.destinations.job_client_impl:SqlJobClientBase": (
        "initialize_storage",
        "update_stored_schema",
        "complete_load",
    ),
    "dlt.common.destination.client:RunnableLoadJob": ("run_managed", "_release"),
    "os": ("unlink", "rmdir"),
    "sources.intercom.fetch:Fetch": ("take",),
    "sources.intercom.plan:Plan": ("ask",),
    "pipelines.run.run:Run": ("prepare", "_load", "_close"),
    "pipelines.destinations.target:Target": ("load", "prepare"),
    "pipelines.destinations.working_folder:WaitingPackages": ("finish",),
    "pipelines.destinations.working_folder": ("rewind",),
}
SQL_STEPS = ("open_connection", "close_connection", "commit_transaction", "execute_sql", "execute_many")


def prepare(destination: str, point: str | None, passage: int, passages: Path | None) -> None:
    """Make this process end at a passage of `point`, or count what it passes and write that to the file `passages`."""
    faulthandler.register(signal.SIGUSR1)
    if point or passages:
        tripwire = Tripwire(point, passage)
        tripwire.lay(destination)
        if passages:
            atexit.register(lambda: passages.write_text(json.dumps(tripwire.passages)))


class Tripwire:
    """Counts passages; at the given one of the given point the process ends by SIGKILL.

    Attributes:
        passages: how often each point was passed.
    """

    def __init__(self, point: str | None, passage: int) -> None:
        self.passages: Counter[str] = Counter()
        self._point = point
        self._passage = passage
        self._lock = threading.Lock()  # dlt runs a package's jobs in threads

    def lay(self, destination: str) -> None:
        """Wrap every function that is a point of a load into `destination`."""
        for place, names in {**STEPS, SQL_CLIENTS[destination]: SQL_STEPS}.items():
            module, _, name_of_class = place.partition(":")
            owner: Any = importlib.import_module(module)
            owner = getattr(owner, name_of_class) if name_of_class else owner
            for name in names:
                setattr(owner, name, self._wrapped(getattr(owner, name), f"{name_of_class or module}.{name}"))

    def _wrapped(self, function: Callable[..., Any], name: str) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapper(*args: Any, **keywords: Any) -> Any:
            full = _job_name(args[0], function.__name__) if name.startswith("RunnableLoadJob") else name
            self._passed(f"before {full}")
            value = function(*args, **keywords)
            self._passed(f"after {full}")
            return value

        return wrapper

    def _passed(self, point: str) -> None:
        with self._lock:
            self.passages[point] += 1
            if point == self._point and self.passages[point] == self._passage:
                os.kill(os.getpid(), signal.SIGKILL)


def _job_name(job: Any, function: str) -> str:
    """A load job by its table, and whether it fills the staging table or merges from there; or the note that it did."""
    file = job._parsed_file_name
    work = f"{'merge' if file.file_format == 'sql' else 'stage'} {file.table_name}"
    return work if function == "run_managed" else f"the note of {work}"
