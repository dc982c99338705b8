"""A sweep of a workspace that changes between any two requests: no call is lost, invented or outdated."""

from __future__ import annotations

import math
from random import Random
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from sources.intercom.pages.sweep import Compare, Sweep
from sources.intercom.pages.verification import Listed, Verdict
from tests.support.examples import up_to

GONE = 0  # the version of a call that is not there
EXAMPLES = up_to(1000)

ORDERS = ["number", "text", "time", "nearly", "none", "reshuffled"]
SHAPES = ["all", "newest", "scattered", "clusters", "unknown"]


class World:
    """A workspace as its API shows it: calls with versions, counted from 1, in one of the orders."""

    def __init__(self, chance: Random, *, calls: int, order: str, descending: bool, page_size: int) -> None:
        self.chance, self.order, self.descending, self.page_size = chance, order, descending, page_size
        self.total_factor = 1.0
        self.versions: dict[str, int] = {}
        self.history: dict[str, set[int]] = {}
        self._drawn: dict[str, float] = {}
        self._next_id = 980
        for _ in range(calls):
            self.arrive()

    def arrive(self) -> None:
        self._next_id += self.chance.choice((1, 1, 1, 2, 40))
        self._become(str(self._next_id), 1)

    def change(self) -> None:
        if call_id := self._any():
            self._become(call_id, self.versions[call_id] + 1)

    def delete(self) -> None:
        if call_id := self._any():
            del self.versions[call_id]
            self.history[call_id].add(GONE)

    def happen(self) -> None:
        self.chance.choice((self.arrive, self.change, self.delete))()

    def page(self, number: int) -> tuple[list[tuple[str, int]], int]:
        ids = self._listed()
        shown = number - 1 if self.order == "repeating" and number % 3 == 0 else number
        of_page = ids[(shown - 1) * self.page_size : shown * self.page_size]
        total = int(len(ids) * self.total_factor)
        return [(call_id, self.versions[call_id]) for call_id in of_page], math.ceil(total / self.page_size)

    def _any(self) -> str | None:
        return self.chance.choice(list(self.versions)) if self.versions else None

    def _become(self, call_id: str, version: int) -> None:
        self.versions[call_id] = version
        self.history.setdefault(call_id, set()).add(version)
        self._drawn.setdefault(call_id, self.chance.random())

    def _listed(self) -> list[str]:
        ids = list(self.versions)
        match self.order:
            case "text":
                ids.sort()
            case "nearly":
                places = {call_id: place + 8 * self._drawn[call_id] for place, call_id in enumerate(ids)}
                ids.sort(key=places.__getitem__)
            case "none":
                ids.sort(key=self._drawn.__getitem__)
            case "reshuffled":
                self.chance.shuffle(ids)
        return ids[::-1] if self.descending else ids


def draw(world: World, shape: str, count: int) -> list[str]:
    """Wanted ids of a workspace, by the shape of the list."""
    there = list(world.versions)
    match shape:
        case "newest":
            there = there[-count:]
        case "scattered":
            there = world.chance.sample(there, min(count, len(there)))
        case "clusters":
            there = [call_id for place, call_id in enumerate(there) if place % 80 < 30][:count]
        case "unknown":
            there = [*there[: count // 2], *(f"x{number}" for number in range(count // 2 + 1))]
    return there or ["1"]


class SweptWorld(RuleBasedStateMachine):
    """Requests are answered in any order, and anything can happen in between."""

    @initialize(
        chance=st.randoms(use_true_random=False),
        shape=st.sampled_from(SHAPES),
        wanted=st.sampled_from([300, 150, 60, 20, 3]),
        forced=st.sampled_from([True, True, False]),
        lies=st.sampled_from([False, False, False, True]),
        bad_pages=st.sampled_from([(), (), (2,), (1,), (7, 8), (3, 5, 9, 11, 12)]),
        total_factor=st.sampled_from([1, 1, 1, 0, 0.3, 3, 40]),
        world=st.fixed_dictionaries(
            {
                "calls": st.sampled_from([400, 300, 200, 90, 20, 0]),
                "order": st.sampled_from([*ORDERS, "repeating"]),
                "descending": st.booleans(),
                "page_size": st.sampled_from([10, 25, 3, 5, 1]),
            }
        ),
    )
    def begin(
        self,
        chance: Random,
        shape: str,
        wanted: int,
        forced: bool,
        lies: bool,
        bad_pages: tuple[int, ...],
        total_factor: float,
        world: dict[str, Any],
    ) -> None:
        self.chance, self.lies, self.bad_pages = chance, lies, bad_pages
        self.world = World(chance, **world)
        self.world.total_factor = total_factor
        self.wanted = draw(self.world, shape, wanted)
        for call_id in self.wanted:
            self.world.history.setdefault(call_id, {GONE})
        self.notes: list[str] = []
        self.sweep = Sweep(self.wanted, forced=forced, tell=self.notes.append)
        self.in_flight: list[int | Compare] = []
        self.requests = 0
        self.of_pages: dict[str, int] = {}
        self.newest_seen: dict[str, int] = {}
        self.by_id: dict[str, int] = {}
        self.unverified: list[list[Listed]] = []

    @rule()
    def ask(self) -> None:
        asked = self.sweep.next()
        if asked is not None:
            assert asked not in self.in_flight, "requested twice"
            self.in_flight.append(asked)
            self.requests += 1

    @precondition(lambda self: self.in_flight)
    @rule(which=st.integers(0, 1000))
    def answer(self, which: int) -> None:
        asked = self.in_flight.pop(which % len(self.in_flight))
        if isinstance(asked, Compare):
            self._compare(asked.call_id)
        elif asked in self.bad_pages:
            self.sweep.page_lost(asked)
        else:
            self._read(asked)

    @rule()
    def happen(self) -> None:
        self.world.happen()

    def _read(self, number: int) -> None:
        calls, told_pages = self.world.page(number)
        listed = [Listed(call_id, version, 9) for call_id, version in calls]
        self.sweep.page_read(number, listed, told_pages)
        for call_id, version in calls:
            self.newest_seen[call_id] = max(version, self.newest_seen.get(call_id, 0))
        if self.sweep.is_verified:
            self._keep(listed)
        else:
            self.unverified.append(listed)

    def _keep(self, listed: list[Listed]) -> None:
        for each in self.sweep.keep(listed):
            call_id, version, _ = listed[each.place]
            assert call_id in self.wanted
            assert version is not None
            had = self.of_pages.get(call_id, self.by_id.get(call_id))
            assert (had is not None) == each.is_newer
            assert had is None or version > had
            self.of_pages[call_id] = version

    def _compare(self, call_id: str) -> None:
        version = self.world.versions.get(call_id, GONE)
        listed = {call.updated_at for page in self.unverified for call in page if call.call_id == call_id}
        same = Verdict.SAME if listed == {version} else Verdict.UNKNOWN
        self.sweep.compared(call_id, Verdict.DIFFERENT if self.lies else same, version or None)
        if call_id in self.wanted:
            self.by_id[call_id] = version
        while self.sweep.is_verified and self.unverified:
            self._keep(self.unverified.pop(0))

    def teardown(self) -> None:
        if not hasattr(self, "sweep"):
            return
        idle = False
        while not idle or self.in_flight:
            before = self.requests
            self.ask()
            idle = self.requests == before
            if self.in_flight and (idle or self.chance.random() < 0.4):
                self.answer(self.chance.randrange(1000))
                idle = False
            if self.chance.random() < 0.1:
                self.world.happen()
        for call_id in self.sweep.rest():
            assert call_id not in self.by_id
            self.requests += 1
            self.by_id[call_id] = self.world.versions.get(call_id, GONE)
            if self.chance.random() < 0.1:
                self.world.happen()
        self._judge()

    def _judge(self) -> None:
        used = self.of_pages
        result = {**self.by_id, **used}
        assert set(result) == set(self.wanted), "every wanted id is answered"
        for call_id, version in result.items():
            assert version in self.world.history[call_id], "a version that the call had during the run"
        assert all(version >= self.newest_seen[call_id] for call_id, version in used.items()), "the newest seen"
        assert not (self.lies and used), "pages that differ from the call are not used"
        assert self.requests <= 1.2 * len(self.wanted) + 20


TestSweptWorld = SweptWorld.TestCase
TestSweptWorld.settings = settings(
    max_examples=EXAMPLES, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
