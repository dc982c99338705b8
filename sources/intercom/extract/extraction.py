"""The rows of the resources: one fetch for each extraction, shared by `calls` and `call_errors`."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextvars import Context
from dataclasses import InitVar, dataclass
from difflib import get_close_matches
from typing import Any, Literal, get_args

import dlt
from dlt.common.pipeline import current_pipeline
from dlt.extract.source import DltSource

from ..errors import ConfigurationError
from ..fetch import Fetch, Strategy
from ..plan import Plan, Refresh
from ..private_parts import dataset_of_run
from ..reconcile import reconcile
from ..settings import Settings
from ..tables import Item, calls_item, current_load_id, errors_batch, with_load_id
from .given_ids import BadIdsChoice, GivenIds, Ids
from .hint_warnings import drop_expected
from .run_target import Target, current_source, may_be_empty, table_of

ItemFormat = Literal["arrow", "object"]
Rows = Item | list[dict[str, Any]] | None

# About so many rows are an item, which is also the unit of `add_limit`.
ITEM_ROWS = 1_000
# After this wait for rows dlt looks at its other resources, and at signals.
_TURN_SECONDS = 0.5


@dataclass(eq=False, repr=False, kw_only=True)
class Extraction:
    """Fetches calls for the resources of one source object, each time that dlt extracts it.

    The arguments are those of `intercom`.

    Raises:
        BadIds: `ids` does not hold ids.
        ConfigurationError: an argument has a wrong value.
    """

    ids: InitVar[Ids | None]
    settings: Settings
    id_column: InitVar[str | None]
    bad_ids: InitVar[BadIdsChoice]
    refresh: Refresh
    strategy: Strategy
    workers: int | None
    share: float
    item_format: ItemFormat

    def __post_init__(self, ids: Ids | None, id_column: str | None, bad_ids: BadIdsChoice) -> None:
        _one_of("refresh", self.refresh, Refresh)
        _one_of("strategy", self.strategy, Strategy)
        _one_of("bad_ids", bad_ids, BadIdsChoice)
        _one_of("item_format", self.item_format, ItemFormat)
        if not _is_number(self.share, float) or not 0 < self.share <= 1:
            raise ConfigurationError(f"share = {self.share!r} must be a number above 0 and at most 1", "share")
        if self.workers is not None and (not _is_number(self.workers, int) or self.workers < 1):
            raise ConfigurationError(f"workers = {self.workers!r} must be a whole number, 1 or more", "workers")
        self.given = GivenIds(ids, id_column, bad_ids)
        drop_expected()
        self._run: _Run | None = None

    def of(self, table: str) -> Callable[[], Iterator[Rows]]:
        """The generator function of one table's resource."""

        def rows() -> Iterator[Rows]:
            run = self._join(table)
            try:
                yield from run.rows(table)
            finally:
                run.leave(table)

        rows.__name__ = rows.__qualname__ = table
        return rows

    def _join(self, table: str) -> _Run:
        """The current extraction, if `table` has not joined it yet; else a new one."""
        source, load_id = current_source(), current_load_id()
        run = self._run
        if run is None or run.source is not source or run.load_id != load_id or table in run.joined:
            run = self._run = _Run(self, source, load_id)
        run.joined.add(table)
        return run

    def plan(self, source: DltSource | None) -> Plan:
        """What to fetch, given what is in the tables that the running pipeline is about to write."""
        target = Target.of(source, self.item_format)
        target.refuse_loss(self.refresh)
        plan = Plan(self.given.read().ids, self.refresh, self.settings.settle_hours)
        if current_pipeline() is not None:  # iterated without a pipeline, nothing is known to be loaded
            pipeline = dlt.current.pipeline()
            schema = source.schema if source else None
            dataset = dataset_of_run(pipeline)
            plan.ask(pipeline, schema, dataset=dataset, calls=target.calls, call_errors=target.errors)
        return plan

    def fetch(self, plan: Plan) -> Fetch:
        """Start to fetch in the background."""
        fetch = Fetch(
            plan.call_ids(),
            self.settings,
            workers=self.workers,
            share=self.share,
            chunk_size=ITEM_ROWS,
            strategy=self.strategy,
        )
        return fetch.__enter__()

    def empty(self, item: Item, load_id: str | None) -> Rows:
        """Makes dlt create a table and its columns without a row."""
        return dlt.mark.materialize_table_schema() if self.item_format == "object" else with_load_id(item, load_id)

    def items(self, item: Item, load_id: str | None) -> Rows:
        """Arrow data as dlt gets it. Without a row it is an empty list, which dlt counts but does not write.

        An Arrow table without rows would become an empty file, which dlt can't load in every format.
        """
        if not item.num_rows:
            return []
        return item.to_pylist() if self.item_format == "object" else with_load_id(item, load_id)


class _Run:
    """One extraction: whichever table dlt reads first takes the next chunk for both.

    dlt reads both in one thread; the garbage collector may close forgotten rows in any other.
    """

    def __init__(self, extraction: Extraction, source: DltSource | None, load_id: str | None) -> None:
        self.source = source
        self.load_id = load_id
        self.joined: set[str] = set()
        self._extraction = extraction
        self._left: set[str] = set()
        self._waiting: dict[str, deque[Rows]] = {}
        for resource in source.selected_resources.values() if source else ():
            if table := table_of(resource):
                self._waiting[table] = deque()
        self._fetch: Fetch | None = None
        self._plan: Plan | None = None
        self._filled: set[str] = set()
        self._over = False
        self._lock = threading.RLock()

    def rows(self, table: str) -> Iterator[Rows]:
        """The rows of one table as they are fetched; None lets dlt look at its other resources."""
        waiting = self._waiting.setdefault(table, deque())
        while True:
            with self._lock:
                if not waiting and not self._over:
                    self._pull()
                item = waiting.popleft() if waiting else None
                if item is None and self._over:
                    return
            yield item

    def leave(self, table: str) -> None:
        """End one table; the fetch ends with the last one, and with `calls`."""
        with self._lock:
            self._left.add(table)
            self._waiting.pop(table, None)
            if table == "calls":  # it was limited: do not request the rest
                self._over = True
            if self._over or not self.joined - self._left:
                self._close()

    def _pull(self) -> None:
        """Take the next chunk, if there is one soon."""
        if self._fetch is None:
            self._plan = self._extraction.plan(self.source)
            # in a context of its own: else the fetch's event loop would keep dlt's pipe alive, and with it an iterator
            # of rows that the garbage collector should close
            self._fetch = Context().run(self._extraction.fetch, self._plan)
        if not self._fetch.is_ready(_TURN_SECONDS):
            return
        chunk = self._fetch.take()
        assert self._plan is not None
        reconciled = reconcile(chunk, self._plan)
        rows: dict[str, Item] = {
            "calls": calls_item([*reconciled.calls, *reconciled.newer]),
            "call_errors": errors_batch(reconciled.errors),
        }
        # Each chunk gives each table an item, even an empty one, so that a limit of n items ends after n chunks.
        for table, waiting in self._waiting.items():
            waiting.append(self._extraction.items(rows[table], self.load_id))
            self._filled |= {table} if rows[table].num_rows else set()
            if chunk.is_last and table not in self._filled and may_be_empty(self.source, table):
                # the table and all its columns are there from the first load on
                waiting.append(self._extraction.empty(rows[table], self.load_id))
        if chunk.is_last:
            failure = self._fetch.failure
            self._over = True
            self._close()
            if failure is not None:
                raise failure

    def _close(self) -> None:
        if self._fetch is not None:
            self._fetch.__exit__(None, None, None)
        if self._plan is not None:
            self._plan.close()
        self._fetch = self._plan = None
        if not self._over:  # `call_errors` was closed before `calls` began, which then starts again
            for waiting in self._waiting.values():
                waiting.clear()


def _one_of(name: str, value: object, kind: Any) -> None:
    known = get_args(kind)
    if value in known:
        return
    near = get_close_matches(str(value).lower(), known, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise ConfigurationError(f"{name} = {value!r} is not one of {', '.join(known)}{hint}", name)


def _is_number(value: object, kind: type[int] | type[float]) -> bool:
    return isinstance(value, (int, kind)) and not isinstance(value, bool)
