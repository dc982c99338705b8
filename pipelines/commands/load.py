"""The command `load`: ids and configuration checked, the destination locked, the run run, its end told."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa

from sources.intercom.api.concurrency import LARGEST
from sources.intercom.errors import BadIds
from sources.intercom.ids.read import IdList, query_ids, read_ids, unite
from sources.intercom.settings import resolve_settings

from ..cli import project
from ..cli.logs import end_fields
from ..cli.progress import watcher
from ..destinations.dataset import Dataset, first_column_of_new, require_dataset_name
from ..destinations.target import Target
from ..errors import ExitCode, UsageError
from ..run.interruption import Interruption, Stopped
from ..run.request import LoadRequest
from ..run.run import load_into
from ..summary import Summary, counted
from .dry_run import dry_run

logger = logging.getLogger("intercom_calls")


def run(
    request: LoadRequest, folder: Path, summary: Summary, end_process: Callable[[Stopped], None] | None = None
) -> dict[str, Any]:
    """Do what `load` was asked for and return what `--json` prints; `summary` is kept up on the way.

    `end_process` ends the process at once, saying why, from another thread than the one that waits.

    Raises:
        IntercomError, RunStopped: what ended the run; the message is for the user.
    """
    project.register_defaults(folder)
    _check(request)
    settings = resolve_settings()
    if not request.dry_run:
        settings.token  # noqa: B018  a missing one is told before anything else is done
    ids = _listed(request)
    if not len(ids.ids) and not (request.allow_empty or request.ids_sql):
        raise BadIds("the list holds no id; pass --allow-empty where that is as it should be")
    target = Target.named(request.destination, request.dataset)
    if request.ids_sql is not None:
        ids = unite(ids, _queried(request, target, settings.lock_wait_seconds), "--ids-sql", bad=request.bad_ids)
    _tell(ids)
    if request.workers is not None and request.workers > LARGEST:
        logger.warning(
            "--workers %d: at most %d requests are in flight at once; going on with that", request.workers, LARGEST
        )
    if request.dry_run:
        return dry_run(request, ids, settings)
    load_into(
        target,
        ids,
        request,
        settings,
        summary,
        lambda to_ask: watcher("none" if request.quiet else request.progress, to_ask),
        Interruption(end_process=end_process),
    )
    _report_end(summary, target)
    return summary.as_json()


def _check(request: LoadRequest) -> None:
    if request.ids_db is not None and request.ids_sql is None:
        raise UsageError("--ids-db says where the query of --ids-sql runs; give that query")
    if math.isnan(request.share):
        raise UsageError("--share nan is no share; give a number above 0 and up to 1")
    require_dataset_name(request.dataset)


def _listed(request: LoadRequest) -> IdList:
    if not (request.call_ids or request.locations or request.ids_sql):
        raise UsageError("no ids: give call ids as arguments, a list with --ids, or a query with --ids-sql")
    return read_ids(
        request.call_ids,
        request.locations,
        format=request.ids_format,
        column=request.id_column,
        header=not request.no_header,
        bad=request.bad_ids,
    )


def _queried(request: LoadRequest, target: Target, lock_wait: float) -> Iterable[pa.Array[Any] | pa.ChunkedArray[Any]]:
    assert request.ids_sql is not None
    if request.ids_db is not None:
        return query_ids(request.ids_db, request.ids_sql)
    if target.location.is_new:
        assert target.location.file is not None
        return first_column_of_new(target.location.file, request.dataset, request.ids_sql)
    return Dataset(request.destination, request.dataset, lock_wait).first_column(request.ids_sql)


def _tell(ids: IdList) -> None:
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


def _report_end(summary: Summary, target: Target) -> None:
    """The run's last line, but where an error ended it, which is reported later and louder."""
    counts = {
        name: getattr(summary, name) for name in ("missing", "failed", "skipped", "already_loaded", "not_reached")
    }
    parts = [f"{count:,} {name.replace('_', ' ')}" for name, count in counts.items() if count]
    if summary.exit_code != ExitCode.DONE:
        parts.append(f"exit code {summary.exit_code}")
    hint = ""
    if summary.failed:
        hint = "; why calls failed is in the table call_errors, and the same command retries them"
    if summary.exit_code in (ExitCode.INTERRUPTED, ExitCode.TERMINATED, ExitCode.HUNG_UP):
        hint = "; stopped; the same command goes on from here"
    logger.log(
        logging.INFO if summary.exit_code == ExitCode.DONE else logging.WARNING,
        "loaded %s into %s, dataset %s, in %.1f s%s%s",
        counted(summary.loaded, "call"),
        target.location.shown,
        target.dataset,
        summary.seconds,
        f" ({', '.join(parts)})" if parts else "",
        hint,
        extra={"fields": {} if summary.error else end_fields(summary)},
    )
