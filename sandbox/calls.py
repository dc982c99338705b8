"""Believable phone calls of a support team, as a pure function of a seed and an id."""

from __future__ import annotations

import functools
import itertools
import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from random import Random
from typing import Any

from .settings import UNTIL, Settings, parse_until

Call = dict[str, Any]

# Calls an hour of a working day, 0 to 23 o'clock UTC: two peaks around lunch, hardly anything at night.
HOURS = (1, 1, 1, 1, 1, 2, 5, 18, 52, 86, 100, 92, 70, 74, 90, 84, 66, 40, 18, 9, 5, 3, 2, 1)
WEEKDAYS = (1.25, 1.08, 1.0, 0.98, 0.9, 0.13, 0.07)  # Monday to Sunday
MONTHS = (1.12, 1.02, 1.0, 0.97, 0.95, 0.93, 0.85, 0.82, 1.0, 1.05, 1.15, 0.98)  # January to December
YEAR_DAYS = 365
YEARLY_GROWTH = 1.5
OPENING_HOURS = range(8, 18)

# Numbers kept free for fiction: 555-0100 to 555-0199 in North America, Ofcom's for drama in Britain.
# fmt: off
AREA_CODES = (
    "201", "202", "206", "212", "213", "214", "215", "216", "301", "302", "303", "305", "312", "313", "314",
    "404", "407", "408", "412", "415", "416", "503", "504", "510", "512", "602", "604", "612", "613", "615",
    "617", "619", "702", "703", "713", "716", "718", "801", "802", "808", "813", "816", "818", "901", "919",
)
BRITISH_PREFIXES = (
    "+447700900", "+442079460", "+441134960", "+441144960", "+441214960", "+441314960", "+441614960",
)
# fmt: on

CONVERSATIONS_FROM = 215_470_000_000_000
API = "https://api.intercom.io"
TIMES = ("initiated_at", "answered_at", "ended_at", "created_at", "updated_at")
SECONDS = ("duration", "talk_time", "queue_time", "hold_time")
NULLABLE = (
    *("conversation_id", "admin_id", "contact_id", "answered_at", "ended_at", "ended_reason", "phone"),
    *("recording_url", "transcription_url", "fin_recording_url", "fin_transcription_url"),
)


@dataclass(frozen=True, slots=True)
class Workspace:
    """An Intercom workspace of `calls` calls in the year before `until`, their ids in the order of time.

    Args as in `Settings`; two workspaces with the same ones hold the same calls.
    """

    seed: int = 1
    calls: int = 10_000
    first_id: int = 1_000_001
    until: str = UNTIL
    missing_share: float = 0.003

    @classmethod
    def of(cls, settings: Settings) -> Workspace:
        return cls(settings.seed, settings.calls, settings.first_id, settings.until, settings.missing_share)

    def ids(self) -> Sequence[str]:
        """Every id ever given, oldest first; a few belong to calls that were deleted."""
        return [str(self.first_id + index) for index in range(self.calls)]

    def sample(self, count: int) -> Sequence[str]:
        """`count` of the ids, evenly by chance over the year, oldest first; all when there are fewer."""
        indexes = Random(self.seed).sample(range(self.calls), min(count, self.calls))
        return [str(self.first_id + index) for index in sorted(indexes)]

    def call(self, call_id: str, *, preview: bool = False) -> Call | None:
        """What Intercom 2.14's `GET /calls/{id}` answers; None when there is no such call.

        Args:
            call_id: its decimal digits as Intercom writes them, without leading zeros.
            preview: with the seconds that `Intercom-Version: Preview` adds.
        """
        index = self._index(call_id)
        if index is None or self._was_deleted(index):
            return None
        return _written(_Facts(self, index), _chance(self.seed, "form", index), preview)

    def holds(self, call_id: str) -> bool:
        """Whether `call` has an answer."""
        index = self._index(call_id)
        return index is not None and not self._was_deleted(index)

    def _was_deleted(self, index: int) -> bool:
        return self.missing_share > 0 and _chance(self.seed, "missing", index).random() < self.missing_share

    def _index(self, call_id: str) -> int | None:
        if len(call_id) > 18 or not (call_id.isascii() and call_id.isdecimal()) or call_id != str(int(call_id)):
            return None
        index = int(call_id) - self.first_id
        return index if 0 <= index < self.calls else None


class _Facts:
    """What happened in one call, before it is written down as JSON. Times are unix seconds."""

    def __init__(self, workspace: Workspace, index: int) -> None:
        chance = _chance(workspace.seed, "call", index)
        self.workspace = workspace
        self.index = index
        until = int(parse_until(workspace.until).timestamp())
        self.created_at = _moment(workspace, index, chance.random())
        hour = self.created_at // 3600 % 24
        weekday = (self.created_at // 86_400 + 3) % 7
        self.staffed = hour in OPENING_HOURS and weekday < 5
        self.direction = "outbound" if self.staffed and chance.random() < 0.3 else "inbound"
        self.load = HOURS[hour] * WEEKDAYS[weekday] / 125
        self.with_fin = self.direction == "inbound" and chance.random() < 0.22

        self.queue_seconds = self.talk_seconds = self.hold_seconds = 0
        self.transferred = False
        self.ended_reason: str | None
        self.state, self.ended_reason, self.answered = self._outcome(chance)
        if self.answered:
            self.talk_seconds = max(4, int(chance.lognormvariate(math.log(235), 0.85)))
            self.hold_seconds = int(self.talk_seconds * 0.3 * chance.random()) if chance.random() < 0.16 else 0
        self.answered_at = self.created_at + self.queue_seconds if self.answered else None
        ended_at = self.created_at + self.queue_seconds + self.talk_seconds
        self.recorded = self.answered and chance.random() < 0.93
        self.open = self._is_open(chance, until - ended_at)
        self.ended_at = None if self.open else min(ended_at, until)
        if self.open:
            self._stop_at(until)
        lag = int(chance.lognormvariate(math.log(70), 0.8)) if self.recorded else 1
        self.updated_at = (self.answered_at or self.created_at) if self.open else min(ended_at + lag, until)
        # What Intercom makes of a recording comes later than the end of the call.
        self.processed = self.ended_at is not None and ended_at + 2 * lag < until

    def _outcome(self, chance: Random) -> tuple[str, str, bool]:
        """State, reason of the end, and whether somebody answered; sets the wait on the way."""
        if self.direction == "outbound":
            self.queue_seconds = int(min(chance.lognormvariate(math.log(13), 0.5), 60))
            reason = _pick(chance, {"completed": 61, "no_answer": 22, "voicemail": 11, "busy": 4, "failed": 2})
            return ("completed" if reason == "completed" else "missed"), reason, reason == "completed"
        if not self.staffed and chance.random() < 0.8:
            self.queue_seconds = int(8 + 25 * chance.random())
            return "missed", _pick(chance, {"out_of_hours": 60, "voicemail": 40}), False
        wait = chance.lognormvariate(math.log(12 + 26 * self.load), 1.15)
        patience = chance.lognormvariate(math.log(190), 0.9)
        self.queue_seconds = max(1, int(min(wait, patience, 900)))
        if wait > patience:
            return "abandoned", "caller_hung_up", False
        if chance.random() < 0.055:
            self.queue_seconds = 45 + int(30 * chance.random())
            return "missed", _pick(chance, {"no_answer": 70, "voicemail": 30}), False
        self.transferred = chance.random() < 0.09
        return "completed", "transferred" if self.transferred else "completed", True

    def _stop_at(self, until: int) -> None:
        """How a call that goes on looks at `until`."""
        if self.answered_at is not None and self.answered_at > until:
            self.answered, self.answered_at = False, None
        self.state = "in_progress" if self.answered else "ringing"
        self.ended_reason = None

    def _is_open(self, chance: Random, seconds_since_end: int) -> bool:
        """Calls going on at `until`, some of the newest, and a rare one whose end never came."""
        drawn = chance.random()
        newest = self.index >= self.workspace.calls - max(3, self.workspace.calls // 400)
        return seconds_since_end < 0 or (newest and drawn < 0.5) or drawn < 0.0004


def _written(facts: _Facts, chance: Random, preview: bool) -> Call:
    workspace, call_id = facts.workspace, str(facts.workspace.first_id + facts.index)
    # Every ninth call belongs to the conversation of the one before it: same caller, same number.
    leader = facts.index - (facts.index % 9 == 8)
    caller = _chance(workspace.seed, "caller", leader)
    contact = int(max(1, workspace.calls * 0.3) * caller.random() ** 1.6)
    recording = f"{API}/calls/{call_id}" if facts.recorded and facts.processed else None
    fin = f"{API}/calls/{workspace.first_id + max(0, facts.index - 1)}" if facts.with_fin and facts.processed else None
    call: Call = {
        "type": "call",
        "id": call_id,
        "conversation_id": str(CONVERSATIONS_FROM + 13 * leader) if caller.random() < 0.985 else None,
        "admin_id": _admin(workspace, chance) if facts.answered or facts.direction == "outbound" else None,
        "contact_id": _contact_id(workspace.seed, contact) if caller.random() < 0.96 else None,
        "state": facts.state,
        "initiated_at": facts.created_at,
        "answered_at": facts.answered_at,
        "ended_at": facts.ended_at,
        "created_at": facts.created_at,
        "updated_at": facts.updated_at,
        "recording_url": f"{recording}/recording" if recording else None,
        "transcription_url": f"{recording}/transcript" if recording and chance.random() < 0.9 else None,
        "call_type": "phone",
        "direction": facts.direction,
        "ended_reason": facts.ended_reason,
        "phone": _phone(workspace.seed, contact) if caller.random() < 0.985 else None,
        "fin_recording_url": f"{fin}/recording" if fin else None,
        "fin_transcription_url": f"{fin}/transcript" if fin else None,
    }
    if preview:
        outbound = facts.direction == "outbound"
        spent = facts.talk_seconds if outbound else facts.queue_seconds + facts.talk_seconds
        seconds = (spent, facts.talk_seconds, None if outbound else facts.queue_seconds, facts.hold_seconds)
        call |= dict(zip(SECONDS, (None,) * 4 if facts.open else seconds, strict=True))
    _vary(call, chance)
    return call


def _vary(call: Call, chance: Random) -> None:
    """The liberties the published descriptions allow: ISO beside unix seconds, absent beside null."""
    habit = chance.random()
    for field in TIMES:
        seconds = call[field]
        if seconds is not None and (habit < 0.35 or (habit < 0.5 and chance.random() < 0.5)):
            call[field] = _iso(seconds, chance)
    if chance.random() < 0.4:
        for field in NULLABLE:
            if call[field] is None:
                del call[field]
    if chance.random() < 0.05:
        call.pop("transcription_url", None)


def _iso(seconds: int, chance: Random) -> str:
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return text + ("Z", ".000Z", "+00:00")[int(chance.random() ** 2 * 3)]


def _admin(workspace: Workspace, chance: Random) -> str:
    """One of 5 to 20 admins; the first of them take more calls than the last."""
    team = min(20, 5 + workspace.calls // 1000)
    return str(7_410_020 + 7 * int(team * chance.random() ** 1.3))


def _contact_id(seed: int, contact: int) -> str:
    return blake2b(f"{seed}:contact:{contact}".encode(), digest_size=12).hexdigest()


def _phone(seed: int, contact: int) -> str:
    chance = _chance(seed, "phone", contact)
    if chance.random() < 0.6:
        return f"+1{AREA_CODES[int(chance.random() * len(AREA_CODES))]}55501{int(chance.random() * 100):02}"
    return BRITISH_PREFIXES[int(chance.random() * len(BRITISH_PREFIXES))] + f"{int(chance.random() * 1000):03}"


def _pick(chance: Random, weights: dict[str, int]) -> str:
    drawn = chance.random() * sum(weights.values())
    for name, total in zip(weights, itertools.accumulate(weights.values()), strict=True):
        if drawn < total:
            return name
    return name


def _chance(seed: int, what: str, number: int) -> Random:
    digest = blake2b(f"{seed}:{what}:{number}".encode(), digest_size=8).digest()
    return Random(int.from_bytes(digest))


def _moment(workspace: Workspace, index: int, drawn: float) -> int:
    """When the call came in, unix seconds: as much of the year's calls lies before as of the ids."""
    start, totals = _year(workspace.seed, workspace.until)
    wanted = (index + drawn) / workspace.calls * totals[-1]
    hour = min(bisect_right(totals, wanted), len(totals) - 1)
    before = totals[hour - 1] if hour else 0.0
    return start + int((hour + (wanted - before) / (totals[hour] - before)) * 3600)


@functools.lru_cache(maxsize=8)
def _year(seed: int, until: str) -> tuple[int, list[float]]:
    """Where the year starts (unix seconds) and, hour by hour, how many calls have come by then (relative)."""
    chance = _chance(seed, "year", 0)
    start = parse_until(until) - timedelta(days=YEAR_DAYS)
    weights = []
    day_mood = 1.0
    for hours in range(YEAR_DAYS * 24):
        moment = start + timedelta(hours=hours)
        if moment.hour == 0:
            day_mood = chance.lognormvariate(0, 0.12)
        weight = HOURS[moment.hour] * WEEKDAYS[moment.weekday()] * MONTHS[moment.month - 1] * day_mood
        weight *= YEARLY_GROWTH ** (hours / (YEAR_DAYS * 24)) * chance.lognormvariate(0, 0.18)
        if (moment.month, moment.day) in ((12, 24), (12, 25), (12, 26), (12, 31), (1, 1)):
            weight *= 0.12
        weights.append(weight)
    return int(start.timestamp()), list(itertools.accumulate(weights))
