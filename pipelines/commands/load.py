"""The command `load`: check the ids and the configuration, run, report."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from sources.intercom.api.concurrency import LARGEST
from sources.intercom.errors import BadIds
from sources.intercom.ids.read import IdList, query_ids, read_ids, unite
from sources.intercom.settings import resolve_settings

from ..cli import project
from ..cli.logs import report_loaded
from ..cli.progress import show_progress
from ..destinations.dataset import Dataset, first_column_of_new, require_dataset_name
from ..destinations.target import Target
from ..errors import UsageError
from ..run.interruption import Interruption, Stopped
from ..run.request import LoadRequest
from ..run.run import Run
from ..summary import Summary, counted
from .dry_run import dry_run

logger = logging.getLogger("intercom_calls")


def run(
    request: LoadRequest, folder: Path, summary: Summary, end_process: Callable[[Stopped], None] | None = None
) -> dict[str, Any]:
    """Load, and return what `--json` prints; `summary` is updated meanwhile.

    `end_process` ends the process at once and reports why, from another thread than the one that waits.

    Raises:
        IntercomError, RunStopped: what ended the run; the message is for the user.
    """
    project.register_defaults(folder)
    _check(request)
    settings = resolve_settings()
    if not request.dry_run:
        settings.token  # noqa: B018  fails early if it is missing
    if not (request.call_ids or request.locations or request.ids_sql):
        raise UsageError("no ids: give call ids as arguments, a list with --ids, or a query with --ids-sql")
    ids = read_ids(
        request.call_ids,
        request.locations,
        format=request.ids_format,
        column=request.id_column,
        header=not request.no_header,
        bad=request.bad_ids,
    )
    if not len(ids.ids) and not (request.allow_empty or request.ids_sql):
        raise BadIds("the list holds no id; pass --allow-empty where that is as it should be")
    target = Target.named(request.destination, request.dataset)
    if request.ids_sql is not None:
        ids = unite(ids, _queried(request, target, settings.lock_wait_seconds), "--ids-sql", bad=request.bad_ids)
    _warn(ids, request)
    if request.dry_run:
        return dry_run(request, ids, settings)
    interruption = Interruption(end_process=end_process)
    show = partial(show_progress, "none" if request.quiet else request.progress)
    Run(target, ids, request, settings, summary, interruption, show).execute()
    report_loaded(summary, target.location.shown)
    return summary.as_json()


def _check(request: LoadRequest) -> None:
    if request.ids_db is not None and request.ids_sql is None:
        raise UsageError("--ids-db says where the query of --ids-sql runs; give that query")
    if math.isnan(request.share):
        raise UsageError("--share nan is no share; give a number above 0 and up to 1")
    require_dataset_name(request.dataset)


def _queried(request: LoadRequest, target: Target, lock_wait: float) -> Iterable[pa.Array[Any] | pa.ChunkedArray[Any]]:
    assert request.ids_sql is not None
    if request.ids_db is not None:
        return query_ids(request.ids_db, request.ids_sql)
    if target.location.is_new:
        assert target.location.file is not None
        return first_column_of_new(target.location.file, request.dataset, request.ids_sql)
    return Dataset(request.destination, request.dataset, lock_wait).first_column(request.ids_sql)


def _warn(ids: IdList, request: LoadRequest) -> None:
    for message in ids.bad:
        logger.warning("skipped: %s", message)
    if len(rounded := ids.rounded):
        logger.warning(
            "a spreadsheet has rounded %s (%s …): format the column as text there and export the list again",
            counted(len(rounded), "id"),
            rounded[0].as_py(),
        )
    if ids.passed_over:
        logger.info("%s webhook notifications of other topics were passed over", f"{ids.passed_over:,}")
    if request.workers is not None and request.workers > LARGEST:
        logger.warning(
            "--workers %d: at most %d requests are in flight at once; going on with that", request.workers, LARGEST
        )
