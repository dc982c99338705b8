"""Intercom phone calls as a dlt source: `GET /calls/{id}` (Intercom 2.14) for each of a list of ids.

Example:
    pipeline = dlt.pipeline("calls", destination="duckdb", dataset_name="intercom")
    pipeline.run(intercom(ids=["123", "456"]))
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import dlt
from dlt.common.configuration.container import Container
from dlt.common.pipeline import PipelineContext
from dlt.common.typing import TSecretStrValue
from dlt.extract import DltResource

from .errors import ApiUnreachable, BadIds, ConfigurationError, IntercomError, TokenRefused
from .fetch import Chunk, Fetch, Strategy
from .ids import read_ids
from .plan import Plan, Refresh
from .reconcile import reconcile
from .settings import Settings, resolve_settings
from .tables import Item, call_errors_resource, calls_item, calls_resource, errors_batch

__all__ = ["ApiUnreachable", "BadIds", "ConfigurationError", "IntercomError", "TokenRefused", "intercom"]


@dlt.source(name="intercom", section="intercom")
def intercom(
    ids: Iterable[str | int],
    refresh: Refresh = "all",
    workers: int | None = None,
    strategy: Strategy = "auto",
    access_token: TSecretStrValue | None = None,  # as text alone dlt would write it into the pipeline's trace
) -> tuple[DltResource, ...]:
    """Fetch each call once and hand it to dlt as Arrow batches.

    Args:
        ids: call ids; trimmed, checked and united before anything is requested.
        refresh: `all` asks for every id, `new` for those without a row in `calls`, `open` for those that may
            still change; what is loaded already is asked of the running pipeline's destination.
        workers: the most requests in flight; None lets the measured latency decide.
        strategy: `by-id`; `sweep`: pages of calls first, and by id what they lack; `auto`: as is cheaper.
        access_token: where it does not come from dlt's configuration.

    Yields:
        `calls`, one row a call, and `call_errors`, one row an id that could not be loaded (missing ones too). A call
        that changes while pages are read may come twice; merged, its newest version counts.

    Raises:
        BadIds, ConfigurationError: before anything is requested.
        TokenRefused, ApiUnreachable: while extracting; dlt wraps them in `PipelineStepFailed`.
    """
    listed = read_ids(ids, [])
    settings = resolve_settings(access_token)
    answers = _Answers(Plan(listed.ids, refresh, settings.settle_hours), settings, workers, strategy)
    answers.calls = calls_resource(answers.of("calls"))
    # all chunks are one package here: of a call that a sweep saw twice the newest version counts
    answers.calls.apply_hints(columns={"updated_at": {"dedup_sort": "desc"}})
    answers.call_errors = call_errors_resource(answers.of("call_errors"))
    return answers.calls, answers.call_errors


_EMPTY: dict[str, Item] = {"calls": calls_item([]), "call_errors": errors_batch([])}


class _Answers:
    """One fetch behind two resources: whichever dlt asks first pulls the next chunk for both."""

    calls: DltResource
    call_errors: DltResource

    def __init__(self, plan: Plan, settings: Settings, workers: int | None, strategy: Strategy) -> None:
        self._plan = plan
        self._settings = settings
        self._workers = workers
        self._strategy = strategy
        self._chunks: Iterator[Chunk] | None = None
        self._waiting: dict[str, list[Item]] = {"calls": [], "call_errors": []}

    def of(self, table: str) -> Iterator[Item]:
        """The rows of one table, as they come."""
        came = False
        while True:
            for item in self._drain(table):
                came = True
                yield item
            self._chunks = self._chunks or self._fetch()
            chunk = next(self._chunks, None)
            if chunk is None:
                if not came:  # so that the table and all its columns are there from the first load on
                    yield _EMPTY[table]
                return
            reconciled = reconcile(chunk, self._plan)
            calls = [*reconciled.calls, *reconciled.newer]
            if self.calls.selected and calls:
                self._waiting["calls"].append(calls_item(calls))
            if self.call_errors.selected and reconciled.errors:
                self._waiting["call_errors"].append(errors_batch(reconciled.errors))

    def _drain(self, table: str) -> Iterator[Item]:
        while self._waiting[table]:
            yield self._waiting[table].pop(0)

    def _fetch(self) -> Iterator[Chunk]:
        if Container()[PipelineContext].is_active():  # iterated without a pipeline, nothing is known to be loaded
            self._plan.ask(dlt.current.pipeline())
        ids = self._plan.call_ids()
        with Fetch(ids, self._settings, workers=self._workers, strategy=self._strategy) as fetch:
            yield from fetch.chunks()
            if fetch.failure is not None:
                raise fetch.failure
