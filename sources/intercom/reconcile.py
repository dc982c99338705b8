"""Compares fetched calls with the destination: rows to write, errors to add or clear."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import compress
from typing import Any

import pyarrow as pa

from .call_requests import CallError
from .chunks import Chunk
from .plan import Known, Plan
from .tables import ErrorRow

# These columns tell which of two answers for one call is older.
_VERSION = ["id", "updated_at", "_fetched_at"]


@dataclass(frozen=True)
class Reconciled:
    """A chunk as it is to be loaded.

    Attributes:
        calls: the rows to write.
        errors: rows for `call_errors`: new and changed ones, and those that remove a loaded id.
        stale: ids whose loaded row is newer than the answer; that row stays.
        known: what the destination held of the chunk's ids.
        newer: more rows to write: newer versions of calls from earlier chunks.
    """

    calls: list[pa.RecordBatch]
    errors: list[ErrorRow]
    stale: list[str]
    known: Mapping[str, Known]
    newer: list[pa.RecordBatch] = field(default_factory=list)

    @classmethod
    def nothing(cls) -> Reconciled:
        """The result of an empty chunk."""
        return cls([], [], [], {})

    @property
    def missing(self) -> list[ErrorRow]:
        """The errors that say a call is missing."""
        return [row for row in self.errors if row.is_missing]

    @property
    def failed(self) -> int:
        """How many errors say anything else."""
        return sum(not (row.resolved or row.is_missing) for row in self.errors)


def reconcile(chunk: Chunk, plan: Plan, *, by_time: bool = False) -> Reconciled:
    """Compare the chunk with what `plan` knows of the destination.

    With `by_time` another load may have fetched after this chunk: then an answer without a version, or an error, is
    older than a row that was fetched later.
    """
    ids = [call_id for batch in chunk.calls for call_id in _ids(batch)] if plan.knows_any else []
    known = plan.known([*ids, *(error.call_id for error in chunk.errors)])
    newer_ids = [call_id for batch in chunk.newer for call_id in _ids(batch)]
    newer, _ = _not_older(chunk.newer, plan.known(newer_ids), by_time)
    calls, stale = _not_older(chunk.calls, known, by_time)
    late = {error.call_id for error in chunk.errors if by_time and _is_loaded_since(error, known.get(error.call_id))}
    stale += sorted(late)
    errors = [_error_row(error, known.get(error.call_id)) for error in chunk.errors if error.call_id not in late]
    failed = {call_id for call_id, there in known.items() if there.is_missing is not None}
    errors += [ErrorRow.resolve(call_id) for call_id in ids if call_id in failed]
    return Reconciled(calls, errors, stale, known, newer)


def _is_loaded_since(error: CallError, known: Known | None) -> bool:
    """Whether the call was fetched after this error."""
    if known is None or known.fetched_at is None or known.state not in ("open", "settled"):
        return False
    return error.failed_at < known.fetched_at


def _not_older(
    batches: Sequence[pa.RecordBatch], known: Mapping[str, Known], by_time: bool
) -> tuple[list[pa.RecordBatch], list[str]]:
    """The rows that are not older than the loaded ones, and the ids of the others."""
    if not known:
        return list(batches), []
    kept: list[pa.RecordBatch] = []
    stale: list[str] = []
    for batch in batches:
        is_stale = [_is_older(row, known.get(row["id"]), by_time) for row in batch.select(_VERSION).to_pylist()]
        stale += compress(_ids(batch), is_stale)
        kept.append(batch.filter(pa.array([not old for old in is_stale])) if any(is_stale) else batch)
    return kept, stale


def _is_older(row: Mapping[str, Any], known: Known | None, by_time: bool) -> bool:
    """Whether the loaded row has a later version, or the same and was fetched later.

    If one has no version, the later fetch counts as newer, but only with `by_time`.
    """
    if known is None:
        return False
    no_version = known.updated_at is None or row["updated_at"] is None
    if no_version and not by_time:
        return False
    if (no_version or row["updated_at"] == known.updated_at) and known.fetched_at is not None:
        return bool(row["_fetched_at"] < known.fetched_at)
    return not no_version and bool(row["updated_at"] < known.updated_at)


def _ids(batch: pa.RecordBatch) -> list[str]:
    ids: list[Any] = batch.column("id").to_pylist()
    return ids


def _error_row(error: CallError, known: Known | None) -> ErrorRow:
    """While an id stays missing, or stays failed, its attempts add up and its first time stays."""
    first_failed_at, attempts = error.failed_at, error.attempts
    if known is not None and known.is_missing == error.is_missing:
        attempts += known.attempts or 0
        first_failed_at = known.first_failed_at or error.failed_at
    return ErrorRow(
        error.call_id,
        error.http_status,
        error.code,
        error.message,
        error.request_id,
        attempts,
        first_failed_at,
        error.failed_at,
    )
