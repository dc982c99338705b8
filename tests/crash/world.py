"""A workspace that changes between runs, and what the table is to hold of each version of each call.

A call's facts are written down twice here: as the API writes them, in every form that it allows, and as the row
they are to become. Nothing of the code under test takes part.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from random import Random
from typing import Any, Literal

Row = tuple[Any, ...]

TEXTS = (
    "id", "type", "conversation_id", "admin_id", "contact_id", "state", "recording_url", "transcription_url",
    "call_type", "direction", "ended_reason", "phone", "fin_recording_url", "fin_transcription_url",
)  # fmt: skip
TIMES = ("initiated_at", "answered_at", "ended_at", "created_at", "updated_at")
SECONDS = ("duration", "talk_time", "queue_time", "hold_time")
COLUMNS = (*TEXTS, *TIMES, *SECONDS, "extra")
"""The columns that the API decides; a `Row` is these, times as microseconds since the epoch, `extra` parsed."""

_START = 1_740_816_000  # 2025-03-01T08:00:00Z: what ended then is settled
_TOKYO = timezone(timedelta(hours=9))


@dataclass
class Call:
    """What the workspace has of one id: its newest version, and since which version it is ended."""

    number: int
    status: Literal["answers", "missing", "refused"] = "answers"
    version: int = 1
    ended_since: int | None = 1
    loaded_once: bool = False  # or may have been: some run was given it

    @property
    def is_settled(self) -> bool:
        """Whether a loaded row of it is not asked for again."""
        return self.status == "answers" and self.ended_since is not None


class World:
    """The workspace.

    Args:
        chance: decides what there is and what changes.
        now: unix seconds; calls that go on began shortly before.
    """

    def __init__(self, chance: Random, now: int) -> None:
        self.calls: dict[str, Call] = {}
        self._chance = chance
        self._opened_at = now - 3600

    def arrive(self, count: int) -> list[str]:
        """So many new calls; most are over, some go on, some are missing, a few can't be had."""
        names = []
        for number in range(len(self.calls), len(self.calls) + count):
            call = Call(number)
            drawn = self._chance.random()
            if drawn < 0.12:
                call.ended_since = None
            elif drawn < 0.15:
                call.status = "missing"
            elif drawn < 0.16:
                call.status = "refused"
            names.append(_name(number))
            self.calls[names[-1]] = call
        return names

    def change(self, call_ids: Sequence[str], count: int) -> None:
        """Let so many of these calls change, if they are of a kind that does."""
        vanished = sum(self.calls[name].status == "missing" and self.calls[name].loaded_once for name in call_ids)
        for name in self._chance.sample(list(call_ids), min(count, len(call_ids))):
            call = self.calls[name]
            if call.status == "answers" and call.ended_since is None:
                drawn = self._chance.random()
                if drawn < 0.2 and vanished < 12:  # fewer than the guard doubts
                    call.status = "missing"
                    vanished += 1
                elif drawn < 0.3:
                    call.status = "refused"
                else:
                    call.version += 1
                    if drawn < 0.65:
                        call.ended_since = call.version
            elif call.status == "refused" or (call.status == "missing" and not call.loaded_once):
                call.status = "answers"
                call.version += 1

    def come_back(self) -> list[str]:
        """Let every call answer again that had been loaded and vanished; gives their ids."""
        back = [name for name, call in self.calls.items() if call.status == "missing" and call.loaded_once]
        for name in back:
            self.calls[name].status = "answers"
            self.calls[name].version += 1
        return back

    def settings(self, call_ids: Iterable[str]) -> dict[str, Any]:
        """The sandbox's settings for the workspace as it is now, as far as it is asked for these."""
        calls = [(name, self.calls[name]) for name in call_ids]
        return {
            "calls": 0,
            "bodies": {name: self._body(name, call) for name, call in calls if call.status == "answers"},
            "statuses": {name: 400 for name, call in calls if call.status == "refused"},
        }

    def row(self, name: str, version: int) -> Row:
        """What the table is to hold of a version of a call."""
        call = self.calls[name]
        facts = self._facts(name, call, version)
        times = [None if facts[column] is None else facts[column] * 1_000_000 for column in TIMES]
        times[0] = facts["initiated_at"] * 1_000_000 + (250_000 if _fraction(call, version) else 0)
        return (*(facts[column] for column in (*TEXTS,)), *times, *(facts[column] for column in SECONDS), _extra(call))

    def _facts(self, name: str, call: Call, version: int) -> dict[str, Any]:
        number = call.number
        at = _START + 60 * number
        ended = call.ended_since is not None and version >= call.ended_since
        began_open = call.ended_since != 1
        # a call that goes on has some time that is recent: else it would count as settled
        opened_at = self._opened_at + number if began_open else at
        return {
            "id": name,
            "type": "call",
            "conversation_id": f"00{number}",
            "admin_id": str(7000 + version),
            "contact_id": f"6553c0{number:04x}" if number % 3 else None,
            "state": f"version {version}",
            "recording_url": f"https://api.intercom.io/calls/{name}/recording?a=1&b=é" if ended else None,
            "transcription_url": None,
            "call_type": "phone",
            "direction": "outbound" if number % 4 else None,
            "ended_reason": 'O\'Brien "hung up"; -- \\' if ended else None,
            "phone": None if number % 7 == 5 else "+12025550142",
            "fin_recording_url": "=1+1" if number % 5 == 2 else None,
            "fin_transcription_url": None,
            "initiated_at": at if number % 2 else opened_at,
            "answered_at": at + 5 if number % 3 == 1 else None,
            "ended_at": at + 600 if ended else None,
            "created_at": opened_at if number % 2 or not began_open else None,
            "updated_at": None if number % 6 == 3 and version == 1 else at + 700 + version,
            "duration": 60 + version if number % 2 else None,
            "talk_time": 59 if number % 2 else None,
            "queue_time": 0 if number % 2 else None,
            "hold_time": None,
        }

    def _body(self, name: str, call: Call) -> dict[str, Any]:
        body = self._facts(name, call, call.version)
        initiated_at = datetime.fromtimestamp(body["initiated_at"], UTC)
        for position, field in enumerate(TIMES):
            if body[field] is not None:
                body[field] = _written(body[field], call.number + call.version + position)
        if _fraction(call, call.version):
            body["initiated_at"] = f"{initiated_at:%Y-%m-%dT%H:%M:%S}.250Z"
        if call.number % 2:
            body["admin_id"] = int(body["admin_id"])
            body["duration"] = str(body["duration"])
        if call.number % 5 == 0:  # absent is as good as null, and so is empty
            body = {field: value for field, value in body.items() if value is not None}
        elif call.number % 5 == 1:
            body = {field: "" if value is None else value for field, value in body.items()}
        return body | (_extra(call) or {})


def _name(number: int) -> str:
    """Leading zeros, twenty digits, hex: nothing that survives being taken for a number."""
    return (f"{number:08d}", f"9007199254740993{number:04d}", f"6e{number:022x}")[number % 3]


def _fraction(call: Call, version: int) -> bool:
    return (call.number + version) % 9 == 4


def _extra(call: Call) -> dict[str, Any] | None:
    extra: dict[str, Any] = {}
    if call.number % 8 == 2:
        extra["summary"] = {"mood": ["ok", None], "score": 1.5, "quote": "a'b\"c"}
    if call.number % 7 == 5:
        extra["phone"] = True  # what the column can't hold
    return extra or None


def _written(seconds: int, form: int) -> int | str:
    moment = datetime.fromtimestamp(seconds, UTC)
    match form % 5:
        case 0:
            return f"{moment:%Y-%m-%dT%H:%M:%S}Z"
        case 1:
            return moment.astimezone(_TOKYO).isoformat()
        case 2:
            return str(seconds)
        case 3:
            return seconds * 1000
        case _:
            return seconds
