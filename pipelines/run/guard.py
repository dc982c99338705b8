"""Whether the 404s of a run can be believed, or the token or the list seems to be of another workspace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sources.intercom.call_requests import UNPROVEN_404
from sources.intercom.plan import Known
from sources.intercom.tables import ErrorRow

ENOUGH = 20
LARGEST_SHARE = 0.2


class Guard:
    """Counts the 404s of a whole run.

    Attributes:
        knows_workspace: whether `GET /me` named the token's workspace.
        vanished: the `call_errors` rows of loaded calls that answered 404; not yet marked deleted.
        unproven: how many 404s are recorded as failed, since they may be another workspace's.
    """

    def __init__(self) -> None:
        self.knows_workspace = False
        self.vanished: list[ErrorRow] = []
        self.unproven = 0
        self._has_200 = False
        self._loaded = 0
        self._new: list[tuple[ErrorRow, Known | None]] = []  # of ids not known as missing, while nothing is proven

    def add(self, answered_200: int, missing: Sequence[ErrorRow], known: Mapping[str, Known]) -> None:
        """Count a chunk: its calls, the rows of its missing ones, and what the destination holds of any."""
        self._has_200 = self._has_200 or answered_200 > 0
        self._loaded += sum(_was_loaded(before) for before in known.values())
        for row in missing:
            before = known.get(row.call_id)
            if _was_loaded(before):
                self.vanished.append(row)
            if not (_was_missing(before) or self.knows_workspace or self._has_200):
                self._new.append((row, before))

    @property
    def is_unproven(self) -> bool:
        """Whether there are many 404s, no 200, and the workspace is unknown."""
        return not (self.knows_workspace or self._has_200) and len(self._new) >= ENOUGH

    def judged(self, errors: Sequence[ErrorRow]) -> tuple[list[ErrorRow], int]:
        """A chunk's rows to write, and how many 404s of the run are then recorded as failed.

        When the verdict changes, the rows of earlier chunks are written again.
        """
        if self.is_unproven:
            changed = [_unproven(row, before) for row, before in self._new[self.unproven :]]
        else:
            changed = [row for row, _ in self._new[: self.unproven]]
        rewritten = {row.call_id for row in changed}
        rows = [*(row for row in errors if row.call_id not in rewritten), *changed]
        return rows, len(self._new) if self.is_unproven else 0

    def loaded(self, unproven: int) -> None:
        """Note that a chunk is loaded, with so many 404s of the run recorded as failed."""
        self.unproven = unproven
        if self._has_200:
            self._new = []

    @property
    def many_vanished(self) -> bool:
        """Whether more loaded calls answered 404 than can be believed without a check."""
        return len(self.vanished) >= ENOUGH and len(self.vanished) > LARGEST_SHARE * self._loaded


def _unproven(row: ErrorRow, before: Known | None) -> ErrorRow:
    """The row as a failure; where the id had failed before, attempts and the first time continue."""
    if before is not None and before.is_missing is False:
        row = row._replace(
            attempts=(row.attempts or 0) + (before.attempts or 0),
            first_failed_at=before.first_failed_at or row.last_failed_at,
        )
    return row._replace(code=UNPROVEN_404)


def _was_missing(before: Known | None) -> bool:
    return before is not None and (bool(before.is_missing) or before.state == "deleted")


def _was_loaded(before: Known | None) -> bool:
    return before is not None and before.state in ("open", "settled")
