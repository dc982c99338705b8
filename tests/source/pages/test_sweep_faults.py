"""A sweep of a workspace that changes, over a bad network: any request can fail, in any way, and is retried.

`test_sweep_machine` tests the decisions alone; this tests all that makes requests: retries, budget, reading and
comparing answers. Only the network and the clock are simulated, so that anything can happen between two requests and
waiting takes no time.
"""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from email.utils import formatdate
from random import Random
from typing import Any
from urllib.parse import parse_qs, urlsplit

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from sources.intercom.api.budget import Clock, RateBudget
from sources.intercom.api.client import Answer, BodyTooLarge, CallsApi, NoAnswer
from sources.intercom.api.concurrency import Concurrency
from sources.intercom.api.requester import RequestCounts, Requester
from sources.intercom.call_requests import CallError, request_call
from sources.intercom.pages.sweep_requests import SweepRequests
from sources.intercom.rows.calls import SCHEMA, CallRow, normalise
from sources.intercom.rows.values import parse_json
from sources.intercom.settings import Settings
from tests.source.pages.test_sweep_machine import GONE, ORDERS, SHAPES, World, draw
from tests.support.examples import up_to
from tests.support.simulated_api import SERVER_EPOCH, JumpingLoop

EXAMPLES = up_to(300)
FETCHED_AT = SCHEMA.get_field_index("_fetched_at")

# Faults that a retry gets over. Each costs one more request.
PASSING: dict[str, Answer | Exception] = {
    **{
        f"status {status}": Answer(status, {}, b'{"type":"error.list","errors":[{"code":"x","message":"m"}]}')
        for status in (408, 500, 502, 503, 504)
    },
    "429 that tells no more": Answer(429, {}, b""),
    "429": Answer(429, {"X-RateLimit-Limit": "1666", "X-RateLimit-Remaining": "0"}, b""),
    "a proxy's page": Answer(502, {}, b"<html>bad gateway</html>"),
    "html": Answer(200, {}, b"<html></html>"),
    "nothing": Answer(200, {}, b""),
    "half an object": Answer(200, {}, b'{"type":"list","data":[{"id":'),
    "nested without end": Answer(200, {}, b'{"data":' + b"[" * 100_000),
    "reset": NoAnswer("connection", "reset"),
    "late": NoAnswer("timeout", "no whole answer within 30 seconds"),
}
# Answers instead of a page that are not retried.
NO_PAGE: dict[str, Answer | Exception] = {
    **{f"status {status}": Answer(status, {}, b"") for status in (302, 400, 403, 404, 410)},
    "an array": Answer(200, {}, b"[]"),
    "a call": Answer(200, {}, b'{"type":"call","id":"1"}'),
    "without end": BodyTooLarge(200, {}),
}


class Wire(CallsApi):
    """The API without a network: each request waits until somebody answers it."""

    def __init__(self) -> None:
        self.waiting: list[tuple[str, asyncio.Future[Answer]]] = []
        self.asked = 0

    async def _get(self, path: str) -> Answer:
        self.asked += 1
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self.waiting.append((path, answer))
        return await answer


class FaultyWorld(RuleBasedStateMachine):
    """Any request can succeed or fail, and anything can happen in between."""

    @initialize(
        chance=st.integers(0, 2**32).map(Random),
        shape=st.sampled_from(SHAPES),
        wanted=st.sampled_from([200, 100, 40, 3]),
        forced=st.sampled_from([True, True, False]),
        lies=st.sampled_from([False, False, False, True]),
        bad_pages=st.sampled_from([(), (), (2,), (1,), (3, 5, 9, 11, 12)]),
        total_factor=st.sampled_from([1, 1, 1, 0, 0.3, 40]),
        world=st.fixed_dictionaries(
            {
                "calls": st.sampled_from([300, 200, 90, 20, 0]),
                "order": st.sampled_from([*ORDERS, "repeating"]),
                "descending": st.booleans(),
                "page_size": st.sampled_from([10, 25, 5, 2]),
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
        self.is_refused = False
        self.faults = 0
        self.outcomes: dict[str, CallRow | CallError] = {}
        self.loop = JumpingLoop()
        self.tasks: set[asyncio.Task[None]] = set()
        self.wire = Wire()
        self.counts = RequestCounts()
        budget = RateBudget(clock=Clock(self.loop.time, self._now))
        self.requester = Requester(Settings(), budget, Concurrency(), self.counts, lambda: None)
        self.sweep = SweepRequests(self.wanted, self.requester, self.wire, self._collect, forced=forced)

    @rule()
    def ask(self) -> None:
        self._start()

    @precondition(lambda self: self.wire.waiting)
    @rule(which=st.integers(0, 1000))
    def answer(self, which: int) -> None:
        self._answer(which)

    @precondition(lambda self: self.wire.waiting)
    @rule(which=st.integers(0, 1000), fault=st.sampled_from(sorted(PASSING)))
    def fail(self, which: int, fault: str) -> None:
        self._fail(which, fault)

    @precondition(lambda self: any("page=" in path for path, _ in self.wire.waiting))
    @rule(instead=st.sampled_from(sorted(NO_PAGE)))
    def refuse_a_page(self, instead: str) -> None:
        pages = [place for place, (path, _) in enumerate(self.wire.waiting) if "page=" in path]
        self._end(pages[0], NO_PAGE[instead])

    @rule()
    def refuse_pages(self) -> None:
        self.is_refused = self.chance.random() < 0.1

    @rule()
    def wait(self) -> None:
        self.loop.run_until_complete(asyncio.sleep(31))

    @rule()
    def happen(self) -> None:
        self.world.happen()

    def _start(self) -> bool:
        step = self.sweep.next_step()
        if step is None:
            return False
        self.tasks.add(self.loop.create_task(step))
        self._settle()
        return True

    def _settle(self) -> None:
        """Run everything that does not wait."""

        async def turns() -> None:
            for _ in range(8):
                await asyncio.sleep(0)

        self.loop.run_until_complete(turns())
        for task in [task for task in self.tasks if task.done()]:
            self.tasks.discard(task)
            task.result()

    def _end(self, which: int, answer: Answer | Exception) -> None:
        _, waiting = self.wire.waiting.pop(which % len(self.wire.waiting))
        if isinstance(answer, Exception):
            waiting.set_exception(answer)
        else:
            reset = str(int(self._now()) + 5)
            left = {"X-RateLimit-Limit": "1666", "X-RateLimit-Remaining": "1600"} if answer.status != 429 else {}
            told = {"Date": formatdate(self._now(), usegmt=True), "X-RateLimit-Reset": reset}
            waiting.set_result(answer._replace(headers={**left, **told, **answer.headers}))
        self._settle()

    def _fail(self, which: int, fault: str) -> None:
        self.faults += 1
        self._end(which, PASSING[fault])

    def _answer(self, which: int) -> None:
        which %= len(self.wire.waiting)
        url = urlsplit(self.wire.waiting[which][0])
        if not url.query:
            call_id = url.path.removeprefix("/calls/")
            version = self.world.versions.get(call_id, GONE)
            error = b'{"type":"error.list","errors":[{"code":"not_found","message":"Resource Not Found"}]}'
            there = json.dumps(body(call_id, version)).encode()
            self._end(which, Answer(404, {}, error) if version == GONE else Answer(200, {}, there))
        elif self.is_refused:
            self._end(which, NO_PAGE["status 403"])
        elif (number := int(parse_qs(url.query)["page"][0])) in self.bad_pages and self.chance.random() < 0.2:
            self._end(which, NO_PAGE["without end"])
        elif number in self.bad_pages:
            self._fail(which, self.chance.choice([name for name in PASSING if "429" not in name]))
        else:
            self._end(which, Answer(200, {}, self._page(number)))

    def _page(self, number: int) -> bytes:
        calls, told_pages = self.world.page(number)
        lie = {"mood": "only pages tell"} if self.lies else {}
        data = [body(call_id, version) | lie for call_id, version in calls]
        return json.dumps({"type": "list", "data": data, "pages": {"total_pages": told_pages}}).encode()

    def _collect(self, outcome: CallRow | CallError, *, is_newer: bool = False) -> None:
        before = self.outcomes.get(outcome.call_id)
        assert (before is not None) == is_newer, "each call once, and then only a newer version of it"
        if is_newer:
            assert isinstance(before, CallRow)
            assert isinstance(outcome, CallRow)
            assert version_of(outcome) > version_of(before)
        self.outcomes[outcome.call_id] = outcome

    def _now(self) -> float:
        return SERVER_EPOCH + self.loop.time()

    def teardown(self) -> None:
        if not hasattr(self, "sweep"):
            return
        try:
            while self._start() or self.wire.waiting or self.tasks:
                self._go_on()
            for call_id in self.sweep.rest():
                self.tasks.add(self.loop.create_task(self._by_id(call_id)))
                self._settle()
                while self.tasks:
                    self._go_on()
            self._judge()
        finally:
            self.loop.run_until_complete(self._cancel())
            self.loop.close()

    async def _cancel(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def _by_id(self, call_id: str) -> None:
        self._collect(await request_call(self.requester, self.wire, call_id))

    def _go_on(self) -> None:
        drawn = self.chance.random()
        if drawn < 0.1:
            self.world.happen()
        if not self.wire.waiting:
            self.wait()
            self._settle()
        elif drawn > 0.9:
            self._fail(self.chance.randrange(1000), self.chance.choice(list(PASSING)))
        elif drawn < 0.5 or not self.tasks:
            self._answer(self.chance.randrange(1000))

    def _judge(self) -> None:
        assert set(self.outcomes) == set(self.wanted), "every wanted id is answered"
        for call_id, outcome in self.outcomes.items():
            had = self.world.history.get(call_id, {GONE})
            if isinstance(outcome, CallError):
                assert (outcome.http_status, outcome.code) == (404, "not_found")
                assert GONE in had
                continue
            version = version_of(outcome)
            assert version in had, "a version that the call had during the run"
            by_id = normalise(parse_json(json.dumps(body(call_id, version)).encode()), datetime.now(UTC))
            assert values_of(outcome) == values_of(by_id), "what GET /calls/{id} says of that version"
        assert self.counts.requests == self.wire.asked
        # a retried request would have been retried by id, too
        assert self.counts.requests - self.faults <= 1.2 * len(self.wanted) + 20


def body(call_id: str, version: int) -> dict[str, Any]:
    ended = {"ended_at": 1_750_000_600 + version} if version % 2 else {}
    told = {"state": f"version {version}", "updated_at": 1_750_000_000 + version, "summary": [version]}
    return {"type": "call", "id": call_id, "initiated_at": "2025-06-15T15:06:40Z", **told, **ended}


def version_of(row: CallRow) -> int:
    state = row.values[SCHEMA.get_field_index("state")]
    return int(str(state).removeprefix("version "))


def values_of(row: CallRow) -> list[Any]:
    return [value for place, value in enumerate(row.values) if place != FETCHED_AT]


TestFaultyWorld = FaultyWorld.TestCase
TestFaultyWorld.settings = settings(
    max_examples=EXAMPLES, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
