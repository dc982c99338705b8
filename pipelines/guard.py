"""The 404 guard: whether the 404s of a run are to be believed, or the token looks like another workspace's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sources.intercom.plan import Known
from sources.intercom.tables import ErrorRow

ENOUGH = 20
LARGEST_SHARE = 0.2


class Guard:
    """Counts what was asked and what was missing, over the whole run.

    Attributes:
        vanished: the `call_errors` rows of loaded calls that answered 404; not yet marked deleted.
    """

    def __init__(self) -> None:
        self.vanished: list[ErrorRow] = []
        self._never_loaded: list[ErrorRow] = []
        self._new = self._new_missing = self._loaded = 0

    def saw(self, answered: int, missing: Sequence[ErrorRow], known: Mapping[str, Known]) -> None:
        """Count a chunk: how many ids were answered, those missing among them, and what was known of any."""
        self._new += answered - sum(_was_missing(before) for before in known.values())
        self._loaded += sum(_was_loaded(before) for before in known.values())
        for row in missing:
            before = known.get(row.call_id)
            self._new_missing += not _was_missing(before)
            (self.vanished if _was_loaded(before) else self._never_loaded).append(row)
        if self._new != self._new_missing:
            self._never_loaded.clear()  # one true answer vouches for the token

    @property
    def speaks(self) -> bool:
        """Whether more is missing than can be believed."""
        all_missing = self._new >= ENOUGH and self._new == self._new_missing
        return all_missing or (len(self.vanished) >= ENOUGH and len(self.vanished) > LARGEST_SHARE * self._loaded)

    def doubting(self, errors: Sequence[ErrorRow]) -> list[ErrorRow]:
        """The last chunk's rows; where the guard speaks, with those of every call in doubt instead of their own.

        These are without Intercom's code: so they count as failed, and are asked again.
        """
        if not self.speaks:
            return list(errors)
        doubted = {row.call_id: row._replace(code=None) for row in (*self.vanished, *self._never_loaded)}
        return [*(row for row in errors if row.call_id not in doubted), *doubted.values()]


def _was_missing(before: Known | None) -> bool:
    return before is not None and (bool(before.is_missing) or before.state == "deleted")


def _was_loaded(before: Known | None) -> bool:
    return before is not None and before.state in ("open", "settled")
