"""Whether pages are to be believed: a few of their calls, held against `GET /calls/{id}`."""

from __future__ import annotations

from collections.abc import Container, Iterable
from enum import Enum, auto
from typing import NamedTuple

COMPARED = 5
_MOST_ASKED = 8


class Listed(NamedTuple):
    """A call as a page lists it; `updated_at` in microseconds, `fields` how many have a value."""

    call_id: str
    updated_at: int | None
    fields: int


class Verdict(Enum):
    """What a comparison told. `UNTOLD`: the call changed or went in between, or can't be had."""

    SAME = auto()
    DIFFERENT = auto()
    UNTOLD = auto()


class Trust:
    """Five calls that are the same by id earn it; one that differs, or too few to compare, and it is lost.

    Args:
        calls: what the first pages list.
        wanted: ids that are to be asked for anyhow; comparing them costs nothing.

    Attributes:
        is_earned: None until it is decided.
        doubt: why it is lost, in words.
        by_id: what was compared, or is being.
    """

    def __init__(self, calls: Iterable[Listed], wanted: Container[str]) -> None:
        self.is_earned: bool | None = None
        self.doubt = ""
        self.by_id: set[str] = set()
        self._comparing = 0
        self._same = 0
        # The more fields have a value the more a comparison tells.
        distinct = {call.call_id: call for call in calls}.values()
        self._candidates = sorted(distinct, key=lambda call: (call.call_id in wanted, call.fields))
        self._judge()

    def next(self) -> str | None:
        """A call to compare; None while nothing more is to be asked."""
        if self.is_earned is not None or self._same + self._comparing >= COMPARED or not self._may_ask:
            return None
        call_id = self._candidates.pop().call_id
        self.by_id.add(call_id)
        self._comparing += 1
        return call_id

    def told(self, call_id: str, verdict: Verdict) -> None:
        """What came of comparing a call."""
        self._comparing -= 1
        self._same += verdict is Verdict.SAME
        if verdict is Verdict.DIFFERENT and self.is_earned is None:
            self.is_earned = False
            self.doubt = f"call {call_id} as a page lists it differs from GET /calls/{call_id}"
        self._judge()

    def _judge(self) -> None:
        if self.is_earned is None and self._same == COMPARED:
            self.is_earned = True
        if self.is_earned is None and not self._comparing and not self._may_ask:
            self.is_earned = False
            self.doubt = f"too few calls of the pages could be compared with GET /calls/{{id}} ({self._same})"

    @property
    def _may_ask(self) -> bool:
        return bool(self._candidates) and len(self.by_id) < _MOST_ASKED
