"""Can pages be used? Compares a few of their calls with `GET /calls/{id}`."""

from __future__ import annotations

from collections.abc import Container, Iterable
from enum import Enum, auto
from typing import NamedTuple

COMPARED = 5
_MOST_COMPARED = 8


class Listed(NamedTuple):
    """A call as a page lists it; `updated_at` in microseconds, `fields` how many have a value."""

    call_id: str
    updated_at: int | None
    fields: int


class Verdict(Enum):
    """The result of a comparison. `UNKNOWN`: the call changed or was deleted in between, or can't be fetched."""

    SAME = auto()
    DIFFERENT = auto()
    UNKNOWN = auto()


class Verification:
    """Passes after five calls that are the same by id; fails after one that differs, or with too few to compare.

    Args:
        calls: the calls of the first pages.
        wanted_ids: ids that have to be fetched in any case; comparing them costs nothing.

    Attributes:
        passed: None until it is decided.
        reason: why it failed.
    """

    def __init__(self, calls: Iterable[Listed], wanted_ids: Container[str]) -> None:
        self.passed: bool | None = None
        self.reason = ""
        self._comparing = 0
        self._same = 0
        # The more fields have a value, the more a comparison shows.
        distinct = {call.call_id: call for call in calls}.values()
        candidates = sorted(distinct, key=lambda call: (call.call_id in wanted_ids, call.fields))
        self._candidates = [call.call_id for call in candidates[-_MOST_COMPARED:]]
        self._decide()

    def next(self) -> str | None:
        """The next call to compare; None if there is nothing to compare now."""
        if self.passed is not None or not self._candidates or self._same + self._comparing == COMPARED:
            return None
        self._comparing += 1
        return self._candidates.pop()

    def record(self, call_id: str, verdict: Verdict) -> None:
        """Record the result of comparing a call."""
        self._comparing -= 1
        self._same += verdict is Verdict.SAME
        if verdict is Verdict.DIFFERENT and self.passed is None:
            self.passed = False
            self.reason = f"call {call_id} as a page lists it differs from GET /calls/{call_id}"
        self._decide()

    def _decide(self) -> None:
        if self.passed is None and self._same == COMPARED:
            self.passed = True
        if self.passed is None and not self._comparing and not self._candidates:
            self.passed = False
            self.reason = f"too few calls of the pages could be compared with GET /calls/{{id}} ({self._same})"
