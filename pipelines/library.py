"""`load`: the command `load` as a function, for a caller's own pipeline."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import dlt

from sources.intercom.errors import BadIds
from sources.intercom.extract.given_ids import BadIdsChoice, GivenIds, Ids
from sources.intercom.extract.hint_warnings import drop_expected
from sources.intercom.fetch import Strategy
from sources.intercom.plan import Refresh
from sources.intercom.settings import resolve_settings

from .destinations.target import Target
from .errors import ExitCode, UsageError, exit_code_of
from .run.interruption import Interruption
from .run.request import LoadRequest
from .run.run import Run
from .summary import Summary

logger = logging.getLogger("intercom_calls")


def load(  # noqa: D417  the other arguments are documented with the source
    pipeline: dlt.Pipeline,
    ids: Ids,
    *,
    refresh: Refresh = "open",
    strategy: Strategy = "auto",
    workers: int | None = None,
    share: float = 1.0,
    id_column: str | None = None,
    bad_ids: BadIdsChoice = "refuse",
    allow_empty: bool = False,
    limit: int | None = None,
    chunk_size: int | None = None,
    access_token: str | None = None,
    region: str | None = None,
    base_url: str | None = None,
    api_version: str | None = None,
) -> Summary:
    """Load calls by id into `pipeline`, chunk by chunk; killed at any moment, the same call continues.

    It does what the command `intercom-calls load` does: one load at a time into a destination and dataset, a package a
    chunk, deleted calls marked, a row of `load_runs`. Data that waits in the pipeline, whoever extracted it, is loaded
    first and never dropped. The pipeline keeps its name, working folder, dataset, destination and dlt's settings.
    While calls are fetched, Python's third garbage collection threshold is higher. In the main thread the first Ctrl-C
    or SIGTERM ends the run in order: what was received is loaded, and the summary has the exit code 130 or 143.

    The other arguments are those of the source `intercom`.

    Args:
        pipeline: has a destination; may hold other tables. The calls go to the tables `calls`, `call_errors` and
            `load_runs` of its dataset, one workspace a dataset.
        ids: call ids, as the source takes them.
        refresh: as of the source, but the default is `open`: new ids, and calls that may still change.
        allow_empty: whether a list without ids is right.
        limit: stop after requesting so many ids.
        chunk_size: calls a package; None closes a package by time.

    Returns:
        What the run did; `exit_code` is the command's: 0 done, 1 failed, 3 some calls failed, 4 the token was
        refused, 5 another load is running, 130 or 143 stopped by a signal. `error` says why, where it is not 0.

    Raises:
        BadIds: a value that can't be a call id, or no id at all.
        ConfigurationError: a setting is missing or invalid.
        UsageError: an option, or the pipeline's destination, can't be used.
    """
    _check_numbers(workers=workers, limit=limit, chunk_size=chunk_size, share=share)
    target = Target.of_pipeline(pipeline)
    request = LoadRequest(
        refresh=refresh,
        strategy=strategy,
        workers=workers,
        share=share,
        limit=limit,
        chunk_size=chunk_size,
        destination=target.destination,
        dataset=target.dataset,
    )
    settings = resolve_settings(access_token=access_token, region=region, base_url=base_url, api_version=api_version)
    settings.token  # noqa: B018  fails early if it is missing
    listed = GivenIds(ids, id_column, bad_ids).read()
    if not len(listed.ids) and not allow_empty:
        raise BadIds("ids holds no id; pass allow_empty=True where that is as it should be")
    summary = Summary(destination=target.destination, dataset=target.dataset)
    drop_expected()
    try:
        with _own_signals(pipeline):
            interruption = Interruption(in_command=False)
            Run(target, listed, request, settings, summary, interruption, lambda fetch, total: nullcontext()).execute()
    except Exception as error:
        if exit_code_of(error) == ExitCode.USAGE:
            raise
        summary.fail(error)
        logger.debug("the cause", exc_info=error)
    return summary


def _check_numbers(*, workers: int | None, limit: int | None, chunk_size: int | None, share: float) -> None:
    for name, value, least in (("workers", workers, 1), ("limit", limit, 0), ("chunk_size", chunk_size, 1)):
        if value is not None and value < least:
            raise UsageError(f"{name} = {value} must be {least} or more")
    if math.isnan(share) or not 0 < share <= 1:
        raise UsageError(f"share = {share} must be a number above 0 and at most 1")


@contextmanager
def _own_signals(pipeline: dlt.Pipeline) -> Iterator[None]:
    """Keep dlt from handling signals: the package that is being loaded is finished, then the run ends."""
    runtime = pipeline.config.runtime
    before, runtime.intercept_signals = runtime.intercept_signals, False
    try:
        yield
    finally:
        runtime.intercept_signals = before
