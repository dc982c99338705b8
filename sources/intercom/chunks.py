"""What has been fetched until the caller takes it, a chunk at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import inf

import pyarrow as pa
import pyarrow.compute as pc

from .api.requester import RequestCounts
from .call_requests import CallError
from .rows.calls import CallRow, to_batch

# Without a chunk size of the user's, a chunk is closed after this time: long beside the half second that dlt needs
# for a package, short beside what one would like to fetch again after a crash.
CHUNK_SECONDS = 15.0
LARGEST_CHUNK = 20_000
# Fewer calls than this wait longer for others: with a slow API, or while the last calls of a list are retried, small
# packages would cost more than all else, and a crash little.
_FEW = 1_000
FEW_SECONDS = 300.0
_BATCH_ROWS = 1_000


@dataclass
class Counts(RequestCounts):
    """Numbers of requests, and of calls by result, for the summary."""

    fetched: int = 0
    missing: int = 0
    failed: int = 0
    unreadable_values: int = 0

    @property
    def answered(self) -> int:
        """Calls with a final result."""
        return self.fetched + self.missing + self.failed

    def count(self, outcome: CallRow | CallError) -> None:
        """Count the final result of a call."""
        if isinstance(outcome, CallRow):
            self.fetched += 1
            self.unreadable_values += outcome.unreadable
        elif outcome.is_missing:
            self.missing += 1
        else:
            self.failed += 1


@dataclass
class Chunk:
    """What was fetched since the last chunk; `is_last` when nothing more will follow.

    `newer` are newer versions of calls that were in a chunk before.
    """

    calls: list[pa.RecordBatch] = field(default_factory=list)
    errors: list[CallError] = field(default_factory=list)
    is_last: bool = False
    newer: list[pa.RecordBatch] = field(default_factory=list)

    def update(self, newer: Mapping[str, CallRow]) -> None:
        """Take over newer versions of calls, by their ids."""
        ids = pa.array(newer, pa.string())
        for index, batch in enumerate(tuple(self.calls)):
            is_replaced = pc.is_in(batch["id"], ids)
            replaced = {str(call_id) for call_id in batch.filter(is_replaced)["id"].to_pylist()}
            if replaced:
                self.calls[index] = batch.filter(pc.invert(is_replaced))
                self.calls.append(to_batch([newer[call_id] for call_id in replaced]))
                newer = {call_id: row for call_id, row in newer.items() if call_id not in replaced}
        if newer:
            self.newer.append(to_batch(list(newer.values())))


class Collector:
    """Takes outcomes in the fetching thread, and gives chunks in the caller's.

    Args:
        counts: counts the calls by result.
        chunk_size: the user's calls a chunk; None closes a chunk by time.
        on_loaded: called when the chunk taken last is loaded, so that more may be fetched.

    Attributes:
        chunk_size: a chunk with so many calls is full.
    """

    def __init__(self, counts: Counts, chunk_size: int | None, on_loaded: Callable[[], None]) -> None:
        self.chunk_size = chunk_size or LARGEST_CHUNK
        self._counts = counts
        self._is_timed = chunk_size is None
        self._on_loaded = on_loaded
        self._lock = threading.Condition()  # guards what follows
        self._batches: list[pa.RecordBatch] = []
        self._rows: list[CallRow] = []
        self._newer: dict[str, CallRow] = {}
        self._errors: list[CallError] = []
        self._size = 0
        self._loading = 0  # the size of the chunk that the caller is loading
        self._taken_at = time.monotonic()
        self._is_first = True
        self._is_finished = False

    @property
    def room(self) -> int:
        """How many more calls may be fetched: two chunks, of which one is being loaded, are the most."""
        return 2 * self.chunk_size - self._size - self._loading

    def add(self, outcome: CallRow | CallError, *, is_newer: bool = False) -> None:
        """Add the result of a call; `is_newer` if it replaces an older row of the same call."""
        with self._lock:
            if is_newer and isinstance(outcome, CallRow):
                self._newer[outcome.call_id] = outcome
                return
            self._size += 1
            if isinstance(outcome, CallError):
                self._errors.append(outcome)
            else:
                self._rows.append(outcome)
                if len(self._rows) >= _BATCH_ROWS:
                    self._close_batch()
            if self._size >= self.chunk_size:
                self._lock.notify()
        self._counts.count(outcome)

    def finish(self) -> None:
        """Make the next chunk the last."""
        with self._lock:
            self._is_finished = True
            self._lock.notify()

    def take(self) -> Chunk:
        """Wait for a full chunk, or the last one, and take it; the first is closed in time even if it is empty."""
        with self._lock:
            self.is_ready()
            self._close_batch()
            chunk, newer = Chunk(self._batches, self._errors, self._is_finished), self._newer
            self._loading, self._taken_at, self._is_first = self._size, time.monotonic(), False
            self._batches, self._newer, self._errors, self._size = [], {}, [], 0
        if newer:
            chunk.update(newer)
        return chunk

    def is_ready(self, within_seconds: float = inf) -> bool:
        """Wait until `take` need not wait, at most so long; the chunk taken last counts as loaded from now on."""
        ends_at = time.monotonic() + within_seconds
        with self._lock:
            self._loading = 0
            self._on_loaded()
            while not (self._is_finished or self._size >= self.chunk_size):
                now = time.monotonic()
                wait_seconds = self._taken_at + self._due_seconds - now
                if wait_seconds <= 0:
                    break
                if now >= ends_at:
                    return False
                self._lock.wait(min(wait_seconds, ends_at - now, 1.0))
        return True

    @property
    def _due_seconds(self) -> float:
        """How long after the last chunk the next one is closed, if it is not full."""
        if self._is_first:
            return CHUNK_SECONDS
        if not (self._is_timed and self._size):
            return inf
        return CHUNK_SECONDS if self._size >= _FEW else FEW_SECONDS

    def _close_batch(self) -> None:
        if self._rows:
            self._batches.append(to_batch(self._rows))
            self._rows = []
