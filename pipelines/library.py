"""`load`: what the command does, as a function for a pipeline of the caller's own."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import dlt

from sources.intercom.errors import BadIds
from sources.intercom.extract.given_ids import BadIdsChoice, GivenIds, Ids
from sources.intercom.extract.hint_warnings import drop_expected
from sources.intercom.fetch import Fetch, Strategy
from sources.intercom.plan import Refresh
from sources.intercom.settings import resolve_settings

from .destinations.target import Target
from .errors import ExitCode, UsageError, exit_code_of
from .run.interruption import Interruption
from .run.request import LoadRequest
from .run.run import load_into
from .summary import Summary

logger = logging.getLogger("intercom_calls")


def load(
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
    """Load calls by id into `pipeline`, chunk by chunk; killed at any moment, the same call goes on from there.

    It is what the command `intercom-calls load` does: one load at a time into a destination and dataset, a package a
    chunk, calls that are gone marked deleted, a row of `load_runs`. Data that waits in the pipeline, whoever extracted
    it, is loaded first and never dropped. The pipeline keeps its name, working folder, dataset, destination and dlt's
    settings; nothing of the process is changed. In the main thread the first Ctrl-C or SIGTERM ends the run in order:
    what has come is loaded, and the summary has the exit code 130 or 143.

    Args:
        pipeline: has a destination; may hold other tables. The calls are in the tables `calls`, `call_errors` and
            `load_runs` of its dataset, one workspace a dataset.
        ids: call ids, as the source `intercom` takes them: an iterable of text and integers, an Arrow array or column,
            a column of pandas or polars, rows or a frame with `id_column`, a dlt resource.
        refresh: of these, ask for: `open`, new ones and those that may still change; `new`, those without a row;
            `all`.
        strategy: `by-id`; `sweep`: pages of calls first, and by id what they lack; `auto`: as is cheaper.
        workers: the most requests in flight; None lets the measured latency decide.
        share: how much of the API's rate budget to use, above 0 and at most 1.
        id_column: of rows and frames, the column with the ids; by default `call_id`, else `id`, else the only one.
        bad_ids: whether a value that can't be an id refuses everything, or is skipped and counted.
        allow_empty: whether a list without one id is right.
        limit: stop after so many ids were asked for.
        chunk_size: calls a package; None closes a package by time.
        access_token: where it does not come from dlt's configuration, `[sources.intercom]`.
        region: where it does not come from there: `us`, `eu` or `au`.
        base_url: where it does not come from there; overrides the region.
        api_version: where it does not come from there.

    Returns:
        What the run did; `exit_code` is the command's: 0 done, 1 failed, 3 some calls failed, 4 the token was
        refused, 5 another load is at work, 130 or 143 stopped by a signal. `error` says why, where it is not 0.

    Raises:
        BadIds: a value that can't be a call id, or no id at all.
        ConfigurationError: a setting is missing or can't be.
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
    settings.token  # noqa: B018  a missing one is told before anything else is done
    listed = GivenIds(ids, id_column, bad_ids).read()
    if not len(listed.ids) and not allow_empty:
        raise BadIds("ids holds no id; pass allow_empty=True where that is as it should be")
    summary = Summary(destination=target.destination, dataset=target.dataset)
    drop_expected()
    try:
        with _own_signals(pipeline):
            load_into(target, listed, request, settings, summary, _watch_nothing, Interruption(in_command=False))
    except Exception as error:
        if exit_code_of(error) == ExitCode.USAGE:
            raise
        summary.fail(error)
        logger.debug("the cause", exc_info=error)
    return summary


def _watch_nothing(_: int) -> Callable[[Fetch], AbstractContextManager[object]]:
    return lambda fetch: nullcontext()


def _check_numbers(*, workers: int | None, limit: int | None, chunk_size: int | None, share: float) -> None:
    for name, value, least in (("workers", workers, 1), ("limit", limit, 0), ("chunk_size", chunk_size, 1)):
        if value is not None and value < least:
            raise UsageError(f"{name} = {value} must be {least} or more")
    if math.isnan(share) or not 0 < share <= 1:
        raise UsageError(f"share = {share} must be a number above 0 and at most 1")


@contextmanager
def _own_signals(pipeline: dlt.Pipeline) -> Iterator[None]:
    """Keep this pipeline from taking signals itself: a package that is being loaded is finished, then the run ends."""
    runtime = pipeline.config.runtime
    before, runtime.intercept_signals = runtime.intercept_signals, False
    try:
        yield
    finally:
        runtime.intercept_signals = before
