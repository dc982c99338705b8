"""The guards: whether the 404s of a run are to be believed, or the token or the list looks like another workspace's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sources.intercom.call_requests import UNPROVEN_404
from sources.intercom.plan import Known
from sources.intercom.tables import ErrorRow

ENOUGH = 20
LARGEST_SHARE = 0.2


class Guard:
    """Counts what was asked for and what was missing, over the whole run.

    Attributes:
        knows_workspace: whether `GET /me` told the token's workspace.
        vanished: the `call_errors` rows of loaded calls that answered 404; not yet marked deleted.
        unproven: how many 404s are recorded as failed, since nothing proves that they are this workspace's.
    """

    def __init__(self) -> None:
        self.knows_workspace = False
        self.vanished: list[ErrorRow] = []
        self._has_200 = False
        self._loaded = 0
        self.unproven = 0
        self._new: list[tuple[ErrorRow, Known | None]] = []  # of ids not known as missing, while nothing is proven

    def saw(self, answered_200: int, missing: Sequence[ErrorRow], known: Mapping[str, Known]) -> None:
        """Count a chunk: how many calls came, the rows of those missing, and what was known of any."""
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
        """Whether neither a 200 nor the workspace vouches for the token, and so many 404s came."""
        return not (self.knows_workspace or self._has_200) and len(self._new) >= ENOUGH

    def judged(self, errors: Sequence[ErrorRow]) -> tuple[list[ErrorRow], int]:
        """A chunk's rows as they are to be written, and how many 404s are recorded as failed then.

        Where the verdict changes, the rows of earlier chunks are among them.
        """
        if self.is_unproven:
            changed = [_unproven(row, before) for row, before in self._new[self.unproven :]]
        else:
            changed = [row for row, _ in self._new[: self.unproven]]
        rewritten = {row.call_id for row in changed}
        rows = [*(row for row in errors if row.call_id not in rewritten), *changed]
        return rows, len(self._new) if self.is_unproven else 0

    def recorded(self, unproven: int) -> None:
        """Note that a chunk was loaded, with so many 404s recorded as failed."""
        self.unproven = unproven
        if self._has_200:
            self._new = []

    @property
    def many_vanished(self) -> bool:
        """Whether more loaded calls are gone than can be believed without a further proof."""
        return len(self.vanished) >= ENOUGH and len(self.vanished) > LARGEST_SHARE * self._loaded


def _unproven(row: ErrorRow, before: Known | None) -> ErrorRow:
    """The row as a failure; attempts and the first time go on counting where the id had failed before."""
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
