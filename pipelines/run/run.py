"""The run: plan, fetch, load chunk by chunk, decide what is gone, sum up.

A chunk's calls, its errors, the errors it resolves and the run's row go in one dlt package. The destination alone
says what is loaded, so a run that was interrupted, however it ended, is continued by the same command: dlt finishes
the package that was left, and the plan finds the rest still to do.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice

import pyarrow as pa

from sources.intercom.api.workspace import Asked, Workspace, ask_workspace
from sources.intercom.chunks import Chunk
from sources.intercom.errors import TokenRefused
from sources.intercom.fetch import Fetch
from sources.intercom.ids.read import IdList
from sources.intercom.plan import Plan
from sources.intercom.reconcile import Reconciled, reconcile
from sources.intercom.settings import Settings
from sources.intercom.tables import call_errors_resource, calls_item, calls_resource, errors_batch

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


def load_into(
    target: Target,
    ids: IdList,
    request: LoadRequest,
    settings: Settings,
    summary: Summary,
    watching: Callable[[int], Callable[[Fetch], AbstractContextManager[object]]],
    interruption: Interruption,
) -> None:
    """Load these ids into a target, the only load there.

    Args:
        target: where to; it is locked meanwhile.
        ids: the list.
        request: how.
        settings: where the API is.
        summary: kept up on the way.
        watching: called with the number of ids to ask for, for what `Run.run` is to run beside the fetch.
        interruption: notes signals meanwhile.

    Raises:
        AnotherLoad, AnotherWorkspace, TokenRefused, ApiUnreachable, DestinationFailed, Stopped, UsageError
    """
    with interruption, target.ending_silent_waits(lambda: interruption.signal is not None, interruption.give_up):
        run = Run(request, ids, target, settings, interruption, summary)
        logger.info("loading into %s, dataset %s", target.location.shown, target.dataset)
        with ExitStack() as stack:
            stack.callback(run.close)
            retry_while(
                lambda: stack.enter_context(target.locked()),
                seconds=request.wait,
                when=lambda error: isinstance(error, AnotherLoad) and not interruption.signal,
            )
            run.require_usable()
            run.identify()
            run.prepare()
            counts = (f"{summary.already_loaded:,}", f"{run.to_ask:,}")
            logger.info("%s: %s already loaded, %s to fetch", counted(summary.requested, "id"), *counts)
            run.run(watching(run.to_ask))
            if not interruption.signal:
                target.compact()


class Run:
    """One run of `load` on a destination that is locked for it.

    Attributes:
        summary: what is done so far, kept up as packages are loaded.
        plan: what is to be done.
    """

    def __init__(
        self,
        request: LoadRequest,
        ids: IdList,
        target: Target,
        settings: Settings,
        interruption: Interruption,
        summary: Summary,
    ) -> None:
        self.summary = summary
        self.summary.requested = len(ids.ids)
        self.summary.duplicates, self.summary.blank, self.summary.skipped = ids.duplicates, ids.blank, ids.skipped
        self.plan = Plan(ids.ids, request.refresh, settings.settle_hours)
        self._there = self.plan  # what the destination holds, as far as is known
        self._ids = ids.ids
        self._fetch: Fetch | None = None
        self._target = target
        self._request = request
        self._settings = settings
        self._interruption = interruption
        self._guard = Guard()
        self._told: Workspace | None = None  # the token's workspace
        self._dataset_workspace: Workspace | None = None  # the dataset's, as earlier runs told it
        self._other_requests = 0  # of GET /me and of the guard
        self._refused: TokenRefused | None = None  # by GET /me
        self._doubts: str | None = None  # what the guard says of the calls that are gone

    @property
    def to_ask(self) -> int:
        """How many ids this run will ask for, at most."""
        return self.plan.to_fetch if self._request.limit is None else min(self.plan.to_fetch, self._request.limit)

    def close(self) -> None:
        """Close what the plans hold."""
        self.plan.close()
        self._there.close()

    def require_usable(self) -> None:
        """Refuse a destination that can't be loaded into, before anything is requested.

        Raises:
            DestinationFailed, UsageError
        """
        with readable_errors(self._target.destination, before_load=True):
            self._wait_for_file(self._target.require_usable)

    def identify(self) -> None:
        """Ask the API for the token's workspace, and refuse it where the dataset holds another's; nothing is written.

        A token that is refused altogether is kept for `run`, which leaves a row of the run.

        Raises:
            AnotherWorkspace, DestinationFailed
        """
        self._look_for_workspace()
        asked = Asked()
        try:
            ask_workspace(self._settings, asked, self._interruption.tell)
        except TokenRefused as error:
            self._refused = error
            return
        finally:
            self._other_requests += asked.requests
            self._tally(self.summary)
        self._told = asked.workspace
        self._guard.knows_workspace = self._told is not None
        if self._told is not None:
            summary, told = self.summary, self._told
            summary.workspace, summary.workspace_name = told.id_code, told.name
            summary.workspace_timezone = told.timezone
        elif not self._interruption.signal:
            # where an earlier run told it, a protection of every night is off
            level = logging.INFO if self._dataset_workspace is None else logging.WARNING
            logger.log(level, "GET /me does not tell the token's workspace: %s", asked.reason)
        refuse_another(self._target.dataset, self._dataset_workspace, self._told)

    def _look_for_workspace(self) -> None:
        def look() -> None:
            self._dataset_workspace = workspace_of(self._target.pipeline)

        if not self._target.location.is_new:
            with readable_errors(self._target.destination):
                self._wait_for_file(look)

    def prepare(self) -> None:
        """Finish what an interrupted load left behind, then ask the destination what is there.

        Raises:
            AnotherWorkspace: what was left behind is of another workspace than the token's.
            DestinationFailed, UsageError
        """
        with readable_errors(self._target.destination):
            self._wait_for_file(self._prepare_target)
            if self._dataset_workspace is None:
                self._look_for_workspace()
                refuse_another(self._target.dataset, self._dataset_workspace, self._told)
            if not self._target.location.is_new:
                self._wait_for_file(lambda: self._ask(self.plan))
        self.summary.already_loaded, self.summary.missing = self.plan.already_loaded, self.plan.missing

    def run(self, watch: Callable[[Fetch], AbstractContextManager[object]]) -> None:
        """Fetch and load; the summary tells how it went.

        Args:
            watch: called with the fetch as it begins, for a context manager that lasts as long (the progress display).

        Raises:
            TokenRefused, ApiUnreachable, DestinationFailed: after everything that had come was loaded.
        """
        if self._refused is not None or not self.to_ask or self._interruption.signal:
            self._load_chunk(Chunk(is_last=True))
            return
        request = self._request
        with ExitStack() as stack:
            stack.callback(lambda: self._tally(self.summary))  # of a run that failed, too
            fetch = stack.enter_context(
                Fetch(
                    islice(self.plan.call_ids(), request.limit),
                    self._settings,
                    workers=request.workers,
                    share=request.share,
                    chunk_size=request.chunk_size,
                    strategy=request.strategy,
                )
            )
            self._fetch = fetch
            self._interruption.tell(fetch.stop)
            stack.enter_context(watch(fetch))
            for chunk in fetch.chunks():
                self._load_chunk(chunk)

    def _load_chunk(self, chunk: Chunk) -> None:
        reconciled = self._reconcile(chunk)
        answered_200 = sum(batch.num_rows for batch in chunk.calls)
        self._guard.saw(answered_200, reconciled.missing, reconciled.known)
        failure = self._fetch.failure if self._fetch and chunk.is_last else self._refused
        if chunk.is_last and failure is None and not self._interruption.signal and self._guard.many_vanished:
            failure = self._prove()
        while True:
            try:
                self._load(reconciled, failure=failure, is_last=chunk.is_last)
                break
            except Overtaken:
                self._look_again()
                reconciled = self._reconcile(chunk)
        if failure is not None:
            raise failure

    def _reconcile(self, chunk: Chunk) -> Reconciled:
        return reconcile(chunk, self._there, by_time=self._there is not self.plan)

    def _ask(self, plan: Plan) -> None:
        if not self._request.dry_run:
            self._target.note_loads()
        plan.ask(self._target.pipeline)

    def _look_again(self) -> None:
        """Ask the destination again what is there, of every id: another load has written since the plan was made."""
        fields = {"event": "repair"}
        logger.warning(
            "another load has written into the dataset meanwhile; what has come is compared with it again",
            extra={"fields": fields},
        )
        there = Plan(self._ids, "all", self._settings.settle_hours)
        with readable_errors(self._target.destination):
            self._persevere(lambda: self._ask(there))
        if self._there is not self.plan:
            self._there.close()
        self._there = there

    def _prove(self) -> BaseException | None:
        """Whether so many loaded calls are gone indeed: the token is the dataset's own, and other calls are there.

        What it doubts is in `_doubts`. Returns what ended its requests.
        """
        vanished = {row.call_id for row in self._guard.vanished}
        gone = f"{counted(len(vanished), 'loaded call')} answered 404, and no call was marked deleted"
        if self._told is None or self._dataset_workspace is None:
            self._doubts = f"{gone}: nothing proves that the token is of the workspace that was loaded; {_CHECK}"
            return None
        with readable_errors(self._target.destination):
            others = other_call_ids(self._target.pipeline, vanished, ENOUGH)
        if len(others) < ENOUGH:
            self._doubts = f"{gone}: fewer than {ENOUGH} other loaded calls are there to compare with; {_CHECK}"
            return None
        there = 0
        request = self._request
        with Fetch(
            iter(others), self._settings, workers=request.workers, share=request.share, strategy="by-id"
        ) as fetch:
            self._interruption.tell(fetch.stop)
            for chunk in fetch.chunks():
                there += sum(batch.num_rows for batch in chunk.calls)
        self._other_requests += fetch.counts.requests
        if there < ENOUGH:
            self._doubts = f"{gone}: of {ENOUGH} other loaded calls only {there} are there; {_CHECK}"
        return fetch.failure

    def _load(self, reconciled: Reconciled, *, failure: BaseException | None, is_last: bool) -> None:
        """Load what is reconciled as one package; the summary says so once it is there."""
        summary = replace(self.summary)
        summary.loaded += sum(batch.num_rows for batch in reconciled.calls)
        summary.already_loaded += len(reconciled.stale)
        summary.missing += len(reconciled.missing)
        summary.failed += reconciled.failed
        summary.load_packages += 1
        self._tally(summary)
        calls = [*reconciled.calls, *reconciled.newer]
        errors, unproven = self._guard.judged(reconciled.errors)
        summary.missing -= unproven - self._guard.unproven
        summary.failed += unproven - self._guard.unproven
        with readable_errors(self._target.destination):
            calls += self._undeleted(reconciled)
            if is_last:
                calls += self._deleted(failure)
                self._close(summary, failure, unproven)
            finished_at = datetime.now(UTC) if is_last else None
            resources = [
                # without a call, too: the table and all its columns are there from the first load on
                calls_resource([calls_item(calls)]),
                call_errors_resource([errors_batch(errors)]),
                load_runs_resource(summary, finished_at),
            ]
            self._persevere(lambda: self._target.load(resources))
        vars(self.summary).update(vars(summary))
        self._guard.recorded(unproven)

    def _undeleted(self, reconciled: Reconciled) -> Iterator[pa.RecordBatch]:
        """Rows marked deleted whose call answered 200, if with an older answer than the row's."""
        back = [call_id for call_id in reconciled.stale if reconciled.known[call_id].state == "deleted"]
        return rows_back(self._target.pipeline, dict.fromkeys(back))

    def _deleted(self, failure: BaseException | None) -> Iterator[pa.RecordBatch]:
        """Loaded calls that answered 404, marked so; a run that was cut short leaves the decision to the next."""
        if failure is not None or self._interruption.signal or self._guard.is_unproven or self._doubts:
            return iter(())
        deleted_at = {row.call_id: row.first_failed_at for row in self._guard.vanished}
        rows = rows_back(self._target.pipeline, deleted_at)
        if self._there is self.plan:
            return rows
        # another load may have fetched the call after it was missing here
        missed_at = {row.call_id: row.last_failed_at for row in self._guard.vanished}
        return (batch.filter(fetched_before(batch, missed_at)) for batch in rows)

    def _close(self, summary: Summary, failure: BaseException | None, unproven: int) -> None:
        if failure is not None:
            summary.exit_code, summary.error = exit_code_of(failure), message_of(failure)
        elif self._interruption.signal:
            summary.exit_code = ExitCode.of_signal(self._interruption.signal)
        elif doubts := self._guards_say(summary, unproven):
            summary.exit_code, summary.error = ExitCode.INCOMPLETE, doubts
        elif summary.failed or summary.skipped:
            summary.exit_code = ExitCode.INCOMPLETE

    def _guards_say(self, summary: Summary, unproven: int) -> str | None:
        if unproven:
            return (
                f"{counted(unproven, 'call')} answered 404 and none 200, and GET /me does not tell the "
                f"workspace: they are recorded as failed, since the token may be another workspace's; {_CHECK}"
            )
        if self._doubts:
            return self._doubts
        if summary.missing and not (self.plan.ever_loaded or summary.loaded or summary.already_loaded):
            here = f"of workspace {self._told}" if self._told else "that this token can see"
            return (
                f"not one id of the list is, or was when it was loaded, a call {here}; see that they are ids of calls "
                "(a conversation's id is none), and of this workspace"
            )
        return None

    def _tally(self, summary: Summary) -> None:
        """Take over the fetch's counts, which run ahead of what is loaded."""
        summary.requests = self._other_requests
        if self._fetch is not None:
            counts = self._fetch.counts
            summary.requests += counts.requests
            summary.retries = counts.retries
            summary.rate_limited, summary.fetched = counts.rate_limited, counts.fetched
            summary.unreadable_values = counts.unreadable_values
            summary.strategy = "sweep" if self._fetch.swept else "by-id"
        summary.stop_the_clock()

    def _persevere(self, action: Callable[[], None]) -> None:
        """Do it, and wait for a destination that can't be used for a while."""
        outage, seconds = self._target.outage, self._settings.retry_seconds
        self._wait_for_file(lambda: retry_while(action, seconds=seconds, when=self._goes_on, outage=outage))

    def _goes_on(self, error: BaseException) -> bool:
        return is_transient(error) and not is_locked_file(error) and not self._interruption.signal

    def _prepare_target(self) -> None:
        if self._target.pipeline.has_pending_data:
            fields = {"event": "repair"}
            logger.warning("an interrupted load left a package behind; it is finished first", extra={"fields": fields})
        self._target.prepare([calls_resource([]), call_errors_resource([]), load_runs_resource(self.summary, None)])

    def _wait_for_file(self, action: Callable[[], None]) -> None:
        retry_while(
            action,
            seconds=self._settings.lock_wait_seconds,
            when=lambda error: is_locked_file(error) and not self._interruption.signal,
        )
