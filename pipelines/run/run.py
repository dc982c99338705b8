"""One run of a load: plan, fetch, load chunk by chunk, decide which calls are deleted, sum up.

A chunk's calls, its errors, the errors it resolves and the run's row go in one dlt package. Only the destination knows
what is loaded. So the same command continues any interrupted run: dlt finishes the package that was left, and the plan
finds the rest.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice

import pyarrow as pa

from sources.intercom.chunks import Chunk
from sources.intercom.errors import TokenRefused
from sources.intercom.fetch import Fetch
from sources.intercom.ids.read import IdList
from sources.intercom.plan import Plan
from sources.intercom.reconcile import Reconciled, reconcile
from sources.intercom.settings import Settings
from sources.intercom.tables import call_errors_resource, calls_item, calls_resource, errors_batch
from sources.intercom.workspace import Asked, Workspace, ask_workspace

from ..destinations.faults import Overtaken, is_locked_file, is_transient, readable_errors, retry_while
from ..destinations.target import Target
from ..errors import AnotherLoad, ExitCode, exit_code_of, message_of
from ..load_runs import load_runs_resource
from ..summary import Summary, counted
from .deleted_calls import fetched_before, other_call_ids, rows_back
from .guard import ENOUGH, Guard
from .interruption import Interruption
from .request import LoadRequest
from .workspace import refuse_another, workspace_of

logger = logging.getLogger("intercom_calls")

_CHECK = "check the token with `intercom-calls check`, then run the same command"
_REPAIR = {"fields": {"event": "repair"}}


@dataclass
class Run:
    """One run of `load`, the only one on its destination and dataset.

    Attributes:
        summary: what is done so far; updated after each package.
        show_progress: makes a context manager from a fetch and its number of ids.
    """

    target: Target
    ids: IdList
    request: LoadRequest
    settings: Settings
    summary: Summary
    interruption: Interruption
    show_progress: Callable[[Fetch, int], AbstractContextManager[None]]

    def __post_init__(self) -> None:
        ids, summary = self.ids, self.summary
        summary.requested = len(ids.ids)
        summary.duplicates, summary.blank, summary.skipped = ids.duplicates, ids.blank, ids.skipped
        self._plan = Plan(ids.ids, self.request.refresh, self.settings.settle_hours)
        self._latest_plan = self._plan  # another one, once another load has written into the dataset
        self._fetch: Fetch | None = None
        self._guard = Guard()
        self._token_workspace: Workspace | None = None
        self._dataset_workspace: Workspace | None = None
        self._other_requests = 0  # of GET /me and of the guard
        self._refused: TokenRefused | None = None  # by GET /me
        self._doubts: str | None = None  # why no call is marked deleted

    def execute(self) -> None:
        """Lock the destination and do the whole run.

        Raises:
            AnotherLoad, AnotherWorkspace, DestinationFailed, Stopped, UsageError
            TokenRefused, ApiUnreachable: after everything that was received is loaded.
        """
        target, summary, interruption = self.target, self.summary, self.interruption
        with (
            interruption,
            target.ending_silent_waits(lambda: interruption.signal is not None, interruption.give_up),
            ExitStack() as stack,
        ):
            logger.info("loading into %s, dataset %s", target.location.shown, target.dataset)
            stack.callback(self._plan.close)
            stack.callback(lambda: self._latest_plan.close())  # noqa: PLW0108  it may be another one by then
            retry_while(
                lambda: stack.enter_context(target.locked()),
                seconds=self.request.wait,
                when=lambda error: isinstance(error, AnotherLoad) and not interruption.signal,
            )
            self._wait_for_file(target.require_usable, before_load=True)
            self._identify()
            self.prepare()
            counts = (f"{summary.already_loaded:,}", f"{self._to_fetch:,}")
            logger.info("%s: %s already loaded, %s to fetch", counted(summary.requested, "id"), *counts)
            self._fetch_and_load()
            if not interruption.signal:
                target.compact()

    @property
    def _to_fetch(self) -> int:
        to_fetch, limit = self._plan.to_fetch, self.request.limit
        return to_fetch if limit is None else min(to_fetch, limit)

    def _identify(self) -> None:
        """Ask the API for the token's workspace; refuse it where the dataset holds another's.

        A token that is refused altogether is kept for later: that run leaves a row in `load_runs`.
        """
        self._read_dataset_workspace()
        asked = Asked()
        try:
            ask_workspace(self.settings, asked, self.interruption.on_signal)
        except TokenRefused as error:
            self._refused = error
            return
        finally:
            self._other_requests += asked.requests
            self._count_requests(self.summary)
        self._token_workspace = asked.workspace
        self._guard.knows_workspace = asked.workspace is not None
        if asked.workspace is not None:
            self.summary.workspace, self.summary.workspace_name = asked.workspace.id_code, asked.workspace.name
            self.summary.workspace_timezone = asked.workspace.timezone
        elif not self.interruption.signal:
            # a warning where an earlier run knew it: the runs of each night have lost a protection
            level = logging.INFO if self._dataset_workspace is None else logging.WARNING
            logger.log(level, "GET /me does not tell the token's workspace: %s", asked.reason)
        refuse_another(self.target.dataset, self._dataset_workspace, self._token_workspace)

    def _read_dataset_workspace(self) -> None:
        def read() -> None:
            self._dataset_workspace = workspace_of(self.target.pipeline)

        if not self.target.location.is_new:
            self._wait_for_file(read)

    def prepare(self) -> None:
        """Finish what an interrupted load left behind, then ask the destination what is loaded."""
        self._wait_for_file(self._prepare_target)
        if self._dataset_workspace is None:  # the package that was left may be of another workspace
            self._read_dataset_workspace()
            refuse_another(self.target.dataset, self._dataset_workspace, self._token_workspace)
        if not self.target.location.is_new:
            self._wait_for_file(lambda: self._ask_destination(self._plan))
        self.summary.already_loaded, self.summary.missing = self._plan.already_loaded, self._plan.missing

    def _prepare_target(self) -> None:
        if self.target.pipeline.has_pending_data:
            logger.warning("an interrupted load left a package behind; it is finished first", extra=_REPAIR)
        self.target.prepare([calls_resource([]), call_errors_resource([]), load_runs_resource(self.summary, None)])

    def _ask_destination(self, plan: Plan) -> None:
        self.target.note_loads()
        plan.ask(self.target.pipeline)

    def _fetch_and_load(self) -> None:
        if self._refused is not None or not self._to_fetch or self.interruption.signal:
            self._load_chunk(Chunk(is_last=True))
            return
        request = self.request
        with ExitStack() as stack:
            stack.callback(lambda: self._count_requests(self.summary))  # of a run that failed, too
            self._fetch = stack.enter_context(
                Fetch(
                    islice(self._plan.call_ids(), request.limit),
                    self.settings,
                    workers=request.workers,
                    share=request.share,
                    chunk_size=request.chunk_size,
                    strategy=request.strategy,
                )
            )
            self.interruption.on_signal(self._fetch.stop)
            stack.enter_context(self.show_progress(self._fetch, self._to_fetch))
            for chunk in self._fetch.chunks():
                self._load_chunk(chunk)

    def _load_chunk(self, chunk: Chunk) -> None:
        reconciled = self._reconcile(chunk)
        self._guard.add(_rows(chunk.calls), reconciled.missing, reconciled.known)
        failure = self._fetch.failure if self._fetch and chunk.is_last else self._refused
        if chunk.is_last and failure is None and not self.interruption.signal and self._guard.many_vanished:
            failure = self._check_vanished()
        while True:
            try:
                self._load(reconciled, failure=failure, is_last=chunk.is_last)
                break
            except Overtaken:
                self._plan_again()
                reconciled = self._reconcile(chunk)
        if failure is not None:
            raise failure

    def _reconcile(self, chunk: Chunk) -> Reconciled:
        return reconcile(chunk, self._latest_plan, by_time=self._latest_plan is not self._plan)

    def _plan_again(self) -> None:
        """Ask the destination again, for every id: another load has written since the plan was made."""
        logger.warning(
            "another load has written into the dataset meanwhile; what has come is compared with it again",
            extra=_REPAIR,
        )
        plan = Plan(self.ids.ids, "all", self.settings.settle_hours)
        self._retry(lambda: self._ask_destination(plan))
        if self._latest_plan is not self._plan:
            self._latest_plan.close()
        self._latest_plan = plan

    def _check_vanished(self) -> BaseException | None:
        """Check that so many calls are really deleted: the workspace is the same, and other calls still answer 200.

        Otherwise `_doubts` says why not. Returns what ended the requests.
        """
        failure: BaseException | None = None
        doubts = None
        vanished = {row.call_id for row in self._guard.vanished}
        if self._token_workspace is None or self._dataset_workspace is None:
            doubts = "nothing proves that the token is of the workspace that was loaded"
        else:
            with readable_errors(self.target.destination):
                others = other_call_ids(self.target.pipeline, vanished, ENOUGH)
            if len(others) < ENOUGH:
                doubts = f"fewer than {ENOUGH} other loaded calls are there to compare with"
            else:
                answered, failure = self._fetch_others(others)
                if answered < ENOUGH:
                    doubts = f"of {ENOUGH} other loaded calls only {answered} are there"
        if doubts is not None:
            gone = f"{counted(len(vanished), 'loaded call')} answered 404, and no call was marked deleted"
            self._doubts = f"{gone}: {doubts}; {_CHECK}"
        return failure

    def _fetch_others(self, call_ids: list[str]) -> tuple[int, BaseException | None]:
        request = self.request
        with Fetch(
            iter(call_ids), self.settings, workers=request.workers, share=request.share, strategy="by-id"
        ) as fetch:
            self.interruption.on_signal(fetch.stop)
            answered = sum(_rows(chunk.calls) for chunk in fetch.chunks())
        self._other_requests += fetch.counts.requests
        return answered, fetch.failure

    def _load(self, reconciled: Reconciled, *, failure: BaseException | None, is_last: bool) -> None:
        """Load a chunk as one package, then update the summary."""
        errors, unproven = self._guard.judged(reconciled.errors)
        newly_unproven = unproven - self._guard.unproven
        summary = replace(self.summary)
        summary.loaded += _rows(reconciled.calls)
        summary.already_loaded += len(reconciled.stale)
        summary.missing += len(reconciled.missing) - newly_unproven
        summary.failed += reconciled.failed + newly_unproven
        summary.load_packages += 1
        self._count_requests(summary)
        # marked deleted, but the call answered 200, if with an older version
        restored = [call_id for call_id in reconciled.stale if reconciled.known[call_id].state == "deleted"]
        with readable_errors(self.target.destination):
            calls = [*reconciled.calls, *reconciled.newer]
            calls += rows_back(self.target.pipeline, dict.fromkeys(restored))
            if is_last:
                calls += self._deleted(failure)
                self._close(summary, failure, unproven)
            resources = [
                # without a call, too: the first load makes the table with all its columns
                calls_resource([calls_item(calls)]),
                call_errors_resource([errors_batch(errors)]),
                load_runs_resource(summary, datetime.now(UTC) if is_last else None),
            ]
            self._retry(lambda: self.target.load(resources))
        vars(self.summary).update(vars(summary))
        self._guard.loaded(unproven)

    def _deleted(self, failure: BaseException | None) -> Iterator[pa.RecordBatch]:
        """The rows to mark as deleted: loaded calls that answered 404. A run that was cut short marks none."""
        if failure is not None or self.interruption.signal or self._guard.is_unproven or self._doubts:
            return iter(())
        vanished = self._guard.vanished
        rows = rows_back(self.target.pipeline, {row.call_id: row.first_failed_at for row in vanished})
        if self._latest_plan is self._plan:
            return rows
        # another load may have fetched the call after it was missing here
        missed_at = {row.call_id: row.last_failed_at for row in vanished}
        return (batch.filter(fetched_before(batch, missed_at)) for batch in rows)

    def _close(self, summary: Summary, failure: BaseException | None, unproven: int) -> None:
        if failure is not None:
            summary.exit_code, summary.error = exit_code_of(failure), message_of(failure)
        elif self.interruption.signal:
            summary.exit_code = ExitCode.of_signal(self.interruption.signal)
        else:
            summary.error = self._suspicion(summary, unproven)
            if summary.error or summary.failed or summary.skipped:
                summary.exit_code = ExitCode.INCOMPLETE

    def _suspicion(self, summary: Summary, unproven: int) -> str | None:
        """Why the token or the list seems to be of another workspace."""
        if unproven:
            return (
                f"{counted(unproven, 'call')} answered 404 and none 200, and GET /me does not tell the "
                f"workspace: they are recorded as failed, since the token may be another workspace's; {_CHECK}"
            )
        has_calls = self._plan.ever_loaded or summary.loaded or summary.already_loaded
        if summary.missing and not has_calls and not self._doubts:
            here = f"of workspace {self._token_workspace}" if self._token_workspace else "that this token can see"
            return (
                f"not one id of the list is, or was when it was loaded, a call {here}; see that they are ids of calls "
                "(a conversation's id is none), and of this workspace"
            )
        return self._doubts

    def _count_requests(self, summary: Summary) -> None:
        """Copy the fetch's counts, which are ahead of what is loaded."""
        summary.requests = self._other_requests
        if self._fetch is not None:
            counts = self._fetch.counts
            summary.requests += counts.requests
            summary.retries = counts.retries
            summary.rate_limited, summary.fetched = counts.rate_limited, counts.fetched
            summary.unreadable_values = counts.unreadable_values
            summary.strategy = "sweep" if self._fetch.swept else "by-id"
        summary.stop_the_clock()

    def _retry(self, action: Callable[[], None]) -> None:
        """Do it, waiting while the destination is down or its file locked."""

        def is_outage(error: BaseException) -> bool:
            return is_transient(error) and not is_locked_file(error) and not self.interruption.signal

        seconds, outage = self.settings.retry_seconds, self.target.outage
        self._wait_for_file(lambda: retry_while(action, seconds=seconds, when=is_outage, outage=outage))

    def _wait_for_file(self, action: Callable[[], None], *, before_load: bool = False) -> None:
        """Do it, waiting while another program holds the DuckDB file."""
        with readable_errors(self.target.destination, before_load=before_load):
            retry_while(
                action,
                seconds=self.settings.lock_wait_seconds,
                when=lambda error: is_locked_file(error) and not self.interruption.signal,
            )


def _rows(batches: list[pa.RecordBatch]) -> int:
    return sum(batch.num_rows for batch in batches)
