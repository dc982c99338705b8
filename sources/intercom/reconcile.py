"""What came, held against what is there: which rows to write, and what `call_errors` is to say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC
from itertools import compress
from typing import Any

import pyarrow as pa

from .answers import CallError
from .fetch import Chunk
from .plan import Known, Plan
from .tables import ErrorRow

# what tells of two answers for one call which is older
_VERSION = ["id", "updated_at", "_fetched_at"]


@dataclass(frozen=True)
class Reconciled:
    """A chunk as it is to be loaded.

    Attributes:
        calls: the rows to write.
        errors: rows for `call_errors`: new and changed ones, and those that take a loaded id out.
        stale: ids whose answer was older than the row that is there; that row stays.
        known: what the destination held of the chunk's ids.
        newer: rows to write as well, of calls that were in a chunk before.
    """

    calls: list[pa.RecordBatch]
    errors: list[ErrorRow]
    stale: list[str]
    known: Mapping[str, Known]
    newer: list[pa.RecordBatch] = field(default_factory=list)

    @classmethod
    def nothing(cls) -> Reconciled:
        """A chunk in which nothing came."""
        return cls([], [], [], {})

    @property
    def missing(self) -> list[ErrorRow]:
        """The errors that say a call is missing."""
        return [row for row in self.errors if row.is_missing]

    @property
    def failed(self) -> int:
        """How many errors say anything else."""
        return sum(not (row.resolved or row.is_missing) for row in self.errors)


def reconcile(chunk: Chunk, plan: Plan) -> Reconciled:
    """Compare the chunk with what `plan` knows of the destination."""
    ids = [call_id for batch in chunk.calls for call_id in _ids(batch)] if plan.knows_any else []
    known = plan.known([*ids, *(error.call_id for error in chunk.errors)])
    newer, _ = _not_older(chunk.newer, plan.known([call_id for batch in chunk.newer for call_id in _ids(batch)]))
    if not known:
        return Reconciled(chunk.calls, [_error_row(error, None) for error in chunk.errors], [], known, newer)
    calls, stale = _not_older(chunk.calls, known)
    errors = [_error_row(error, known.get(error.call_id)) for error in chunk.errors]
    failed = {call_id for call_id, there in known.items() if there.is_missing is not None}
    errors += [ErrorRow.resolve(call_id) for call_id in ids if call_id in failed]
    return Reconciled(calls, errors, stale, known, newer)


def _not_older(batches: Sequence[pa.RecordBatch], known: Mapping[str, Known]) -> tuple[list[pa.RecordBatch], list[str]]:
    """The rows that are not older than those there, and the ids of the others."""
    kept: list[pa.RecordBatch] = []
    stale: list[str] = []
    for batch in batches:
        is_stale = [_is_older(row, known.get(row["id"])) for row in batch.select(_VERSION).to_pylist()]
        stale += compress(_ids(batch), is_stale)
        kept.append(batch.filter(pa.array([not old for old in is_stale])) if any(is_stale) else batch)
    return kept, stale


def _is_older(row: Mapping[str, Any], known: Known | None) -> bool:
    """Whether the row there is of a later version, or of the same and fetched later; no, where one tells no version."""
    if known is None or known.updated_at is None or row["updated_at"] is None:
        return False
    if row["updated_at"] == known.updated_at and known.fetched_at is not None:
        return bool(row["_fetched_at"] < known.fetched_at)
    return bool(row["updated_at"] < known.updated_at)


def _ids(batch: pa.RecordBatch) -> list[str]:
    ids: list[Any] = batch.column("id").to_pylist()
    return ids


def _error_row(error: CallError, known: Known | None) -> ErrorRow:
    """Attempts and the first time go on counting while an id stays missing, or stays failed."""
    first_failed_at, attempts = error.failed_at, error.attempts
    if known is not None and known.is_missing == error.is_missing:
        attempts += known.attempts or 0
        first_failed_at = (known.first_failed_at or error.failed_at).astimezone(UTC)
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
