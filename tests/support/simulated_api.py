"""A simulated API and loads that ask it, on an event loop whose time jumps instead of passing.

The API here counts each request when it arrives, in true fixed windows; answers take their time both ways. So
what is asserted is what a real API would have seen: how much of each window was used, and how many 429s.
"""

from __future__ import annotations

import asyncio
import random
import selectors
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from email.utils import formatdate
from math import floor
from typing import Any, NamedTuple, TypeVar

from sources.intercom.api.budget import Clock, RateBudget
from sources.intercom.api.concurrency import Concurrency
from sources.intercom.api.rate_window import Permit

SERVER_EPOCH = 1_790_000_000.0
Headers = dict[str, str]
Outcome = TypeVar("Outcome")


class JumpingSelector(selectors.SelectSelector):
    """Where a loop would sleep, its time moves on instead."""

    now = 1_000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise AssertionError("hung: nothing is left that could ever wake this loop")
        self.now += timeout
        return []


class JumpingLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self.jumping = JumpingSelector()
        super().__init__(self.jumping)

    def time(self) -> float:
        return self.jumping.now


def simulate(main: Coroutine[Any, Any, Outcome]) -> Outcome:
    loop = JumpingLoop()
    try:
        return loop.run_until_complete(main)
    finally:
        loop.close()


class SimulatedAnswer(NamedTuple):
    status: int
    headers: Headers


@dataclass
class WindowSeen:
    limit: int
    used: int = 0
    used_by: Counter[str] = field(default_factory=Counter)
    refused_by: Counter[str] = field(default_factory=Counter)

    @property
    def refused(self) -> int:
        return sum(self.refused_by.values())


@dataclass
class Api:
    """A fixed-window API; `now()` is its own true unix time."""

    limit: Callable[[float], int] = lambda now: 1666  # of an app of 10,000 a minute
    window_seconds: float = 10.0
    phase_seconds: float = 0.0
    latency_seconds: Callable[[float], float] = lambda now: 0.15
    jitter: float = 0.25
    spoil: Callable[[SimulatedAnswer, float, random.Random], SimulatedAnswer] = lambda answer, now, chance: answer
    lost: float = 0.0
    taken_by_others: Callable[[float], int] = lambda now: 0
    round_reset: Callable[[float], int] = floor
    seed: int = 1
    starts_at: float = SERVER_EPOCH + 3.3
    windows: dict[int, WindowSeen] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self.loop_started_at = asyncio.get_running_loop().time()

    def now(self) -> float:
        return self.starts_at + asyncio.get_running_loop().time() - self.loop_started_at

    def window(self) -> tuple[int, WindowSeen]:
        index = floor((self.now() - self.phase_seconds) / self.window_seconds)
        if index not in self.windows:
            self.windows[index] = WindowSeen(self.limit(self.now()), used=self.taken_by_others(self.now()))
        seen = self.windows[index]
        seen.limit = self.limit(self.now())
        return index, seen

    def serve(self, who: str) -> SimulatedAnswer:
        """A request arrives."""
        index, seen = self.window()
        refused = seen.used >= seen.limit
        if refused:
            seen.refused_by[who] += 1
        else:
            seen.used += 1
            seen.used_by[who] += 1
        ends_at = (index + 1) * self.window_seconds + self.phase_seconds
        headers = {
            "Date": formatdate(self.now(), usegmt=True),
            "X-RateLimit-Limit": str(seen.limit),
            "X-RateLimit-Remaining": str(max(0, seen.limit - seen.used)),
            "X-RateLimit-Reset": str(self.round_reset(ends_at)),
        }
        return self.spoil(SimulatedAnswer(429 if refused else 200, headers), self.now(), self.chance)

    async def get(self, who: str, latency_seconds: float | None = None) -> SimulatedAnswer:
        """A request and its answer, each under way for half of the latency.

        Raises:
            ConnectionError: lost, before or after it was counted.
        """
        half = (latency_seconds or self.latency_seconds(self.now())) / 2
        await asyncio.sleep(half * self.chance.lognormvariate(0, self.jitter))
        fate = self.chance.random()
        if fate < self.lost / 2:
            raise ConnectionError
        answer = self.serve(who)
        if fate < self.lost:
            raise ConnectionError
        await asyncio.sleep(half * self.chance.lognormvariate(0, self.jitter))
        return answer

    def full_windows(self) -> list[WindowSeen]:
        """All but the first and the last, which the loads met only in part."""
        return [self.windows[index] for index in sorted(self.windows)][1:-1]

    def part_used(self) -> float:
        seen = self.full_windows()
        return sum(window.used for window in seen) / sum(window.limit for window in seen)

    def least_used(self) -> float:
        return min(window.used / window.limit for window in self.full_windows())

    def refused(self) -> int:
        return sum(window.refused for window in self.windows.values())

    def most_refused(self) -> int:
        return max(window.refused for window in self.windows.values())


@dataclass
class Load:
    """One of our loads: asks as fast as budget and concurrency let it."""

    api: Api
    name: str = "ours"
    share: float = 1.0
    latency_seconds: float | None = None
    clock_is_off_by: Callable[[float], float] = lambda now: 0.0
    longest_acquire_seconds: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)
    waits: list[tuple[float, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.time = asyncio.get_running_loop().time
        clock = Clock(self.time, lambda: self.api.now() + self.clock_is_off_by(self.api.now()))
        self.budget = RateBudget(share=self.share, clock=clock)
        self.budget.on_wait = lambda seconds, reason: self.waits.append((round(seconds, 3), reason))
        self.concurrency = Concurrency()

    async def run(self, seconds: float) -> None:
        ends_at = self.time() + seconds
        under_way: set[asyncio.Task[None]] = set()
        while self.time() < ends_at:
            asked_at = self.time()
            permit = await self.budget.acquire()
            self.longest_acquire_seconds = max(self.longest_acquire_seconds, self.time() - asked_at)
            under_way.add(asyncio.create_task(self._get(permit)))
            while len(under_way) >= self.concurrency.limit:
                _, under_way = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
            under_way = {task for task in under_way if not task.done()}
        if under_way:
            await asyncio.wait(under_way)
        assert self.budget.in_flight == 0

    async def _get(self, permit: Permit) -> None:
        sent_at = self.time()
        status = None
        try:
            answer = await self.api.get(self.name, self.latency_seconds)
        except ConnectionError:
            self.budget.failed(permit)
        else:
            status = answer.status
            self.budget.answered(permit, answer.status, answer.headers)
        self.statuses[status or 0] += 1
        rate = self.budget.target_rate()
        self.concurrency.observe(self.time() - sent_at, status=status, target_rate=rate)


async def foreign(api: Api, per_second: float, seconds: float, name: str = "foreign") -> None:
    """Another app that asks at a steady rate, whatever the answers."""
    ends_at = api.now() + seconds
    while api.now() < ends_at:
        await asyncio.sleep(api.chance.uniform(0.5, 1.5) / per_second)
        api.serve(name)


def spoiling(**headers: str | None) -> Callable[[SimulatedAnswer, float, random.Random], SimulatedAnswer]:
    """Give every answer these headers instead of its own; None takes one away."""

    def spoil(answer: SimulatedAnswer, now: float, chance: random.Random) -> SimulatedAnswer:
        changed = {name.replace("_", "-"): value for name, value in headers.items()}
        kept = {**answer.headers, **changed}
        return SimulatedAnswer(answer.status, {name: value for name, value in kept.items() if value is not None})

    return spoil


NO_RATE_HEADERS: dict[str, str | None] = {
    "X_RateLimit_Limit": None,
    "X_RateLimit_Remaining": None,
    "X_RateLimit_Reset": None,
}


SMALL = {"limit": lambda now: 167}  # of an app of 1,000 a minute


def run_alone(api_kwargs: dict[str, Any], seconds: float = 65, **load_kwargs: Any) -> Load:
    """One load against an API of its own; what happened is in the load and its `api`."""

    async def main() -> Load:
        load = Load(Api(**api_kwargs), **load_kwargs)
        await load.run(seconds)
        return load

    return simulate(main())
