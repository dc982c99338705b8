"""Waiting for the rate budget: what is reported, and which request goes next, by the simulation's clock."""

from __future__ import annotations

import asyncio
from email.utils import formatdate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sources.intercom.api.budget import Clock, RateBudget
from sources.intercom.api.rate_window import Permit
from tests.support.examples import up_to
from tests.support.pacing import NOON, Limiter, fail, give_back
from tests.support.simulated_api import Api, Load, simulate

TOLD = {
    "Date": "Mon, 21 Sep 2026 14:13:25 GMT",
    "X-RateLimit-Limit": "2",
    "X-RateLimit-Remaining": "0",
    "X-RateLimit-Reset": "1790000010",
}


def test_a_wait_is_reported_once_and_shown_while_it_lasts() -> None:
    async def main() -> None:
        load = Load(Api(starts_at=1_790_000_005.0))
        permit = await load.budget.acquire()
        load.budget.answered(permit, 200, TOLD)
        waiters = [asyncio.create_task(load.budget.acquire()) for _ in range(5)]
        await asyncio.sleep(1)
        assert load.waits == [(5.1, "the window's budget of 2 requests is used")]
        assert load.budget.waiting_seconds == pytest.approx(4.1)
        await asyncio.sleep(4.2)
        assert [waiter.done() for waiter in waiters] == [True, False, False, False, False]
        assert load.budget.waiting_seconds == 0
        for waiter in waiters:
            waiter.cancel()

    simulate(main())


def test_a_cancelled_request_gives_its_place_back() -> None:
    async def main() -> None:
        load = Load(Api(starts_at=1_790_000_005.0))
        permit = await load.budget.acquire()
        load.budget.answered(permit, 200, TOLD)
        first, second = (asyncio.create_task(load.budget.acquire()) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait([first])
        permit = await asyncio.wait_for(second, 6)
        assert load.budget.in_flight == 1
        load.budget.failed(permit)
        assert load.budget.in_flight == 0

    simulate(main())


def test_a_place_granted_and_cancelled_at_once_is_given_back() -> None:
    async def main() -> None:
        load = Load(Api())
        permit = await load.budget.acquire()
        waiting = asyncio.create_task(load.budget.acquire())
        await asyncio.sleep(0)
        load.budget.answered(permit, 200, {})
        waiting.cancel()
        await asyncio.wait([waiting])
        assert load.budget.in_flight == 0
        await asyncio.wait_for(load.budget.acquire(), 1)

    simulate(main())


def test_a_probe_that_hangs_delays_the_others_for_seconds_only() -> None:
    async def main() -> None:
        load = Load(Api())
        await load.budget.acquire()  # never answered
        permit = await asyncio.wait_for(load.budget.acquire(), 3)
        load.budget.answered(permit, 200, {**TOLD, "X-RateLimit-Limit": "100", "X-RateLimit-Remaining": "98"})
        for _ in range(90):
            await asyncio.wait_for(load.budget.acquire(), 0.001)

    simulate(main())


def spent(load: Load, permit: Permit) -> None:
    """The window of the probe that is under way has nothing left; it ends in five seconds."""
    load.budget.answered(permit, 200, TOLD)


def test_without_waiting_requests_no_wait_is_reported() -> None:
    async def main() -> None:
        load = Load(Api(starts_at=1_790_000_005.0))
        assert load.budget.waiting_seconds == 0
        permit = await load.budget.acquire()
        spent(load, permit)
        assert load.budget.waiting_seconds == 0
        assert load.waits == []

    simulate(main())


def test_a_wait_of_less_than_a_second_is_reported_too() -> None:
    async def main() -> None:
        load = Load(Api(starts_at=1_790_000_009.5))
        permit = await load.budget.acquire()
        load.budget.answered(
            permit, 200, {**TOLD, "Date": "Mon, 21 Sep 2026 14:13:29 GMT", "X-RateLimit-Reset": "1790000009"}
        )
        permit = await load.budget.acquire()
        assert load.waits == [(0.1, "the window's budget of 2 requests is used")]

    simulate(main())


def test_a_request_that_is_cancelled_while_it_waits_is_not_let_go() -> None:
    async def main() -> None:
        load = Load(Api(starts_at=1_790_000_005.0))
        permit = await load.budget.acquire()
        spent(load, permit)
        waiting = asyncio.create_task(load.budget.acquire())
        await asyncio.sleep(1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert load.budget.in_flight == 0
        assert load.budget.waiting_seconds == 0
        # a later request waits for the same end, though none was left waiting for it
        await asyncio.wait_for(load.budget.acquire(), 5)

    simulate(main())


def test_a_place_that_is_given_back_goes_to_the_next_at_once() -> None:
    async def main() -> None:
        load = Load(Api(starts_at=1_790_000_005.0))
        permit = await load.budget.acquire()
        first, second, third = (asyncio.create_task(load.budget.acquire()) for _ in range(3))
        await asyncio.sleep(0)
        load.budget.answered(permit, 200, {**TOLD, "X-RateLimit-Remaining": "1"})  # lets go the first, alone
        first.cancel()
        await asyncio.wait([first])
        await asyncio.wait_for(second, 0.001)
        assert first.cancelled()
        assert not third.done()
        assert load.budget.in_flight == 1
        third.cancel()

    simulate(main())


def test_when_a_probe_fails_the_next_request_goes_at_once() -> None:
    async def main() -> None:
        load = Load(Api())
        permit = await load.budget.acquire()
        waiting = asyncio.create_task(load.budget.acquire())
        await asyncio.sleep(0.5)
        load.budget.failed(permit)
        await asyncio.wait_for(waiting, 0.001)

    simulate(main())


def test_when_an_answer_has_requests_left_those_that_wait_go_at_once_in_order() -> None:
    async def main() -> None:
        load = Load(Api())
        permit = await load.budget.acquire()
        waiting = [asyncio.create_task(load.budget.acquire()) for _ in range(3)]
        await asyncio.sleep(0.5)
        load.budget.answered(permit, 200, {**TOLD, "X-RateLimit-Limit": "100", "X-RateLimit-Remaining": "2"})
        await asyncio.sleep(0)
        assert [task.done() for task in waiting] == [True, True, False]
        waiting[2].cancel()

    simulate(main())


def test_the_whole_of_a_window_is_used_where_no_share_is_named() -> None:
    async def main() -> None:
        budget = RateBudget()
        assert budget.target_rate() is None
        permit = await budget.acquire()
        budget.answered(permit, 200, {**TOLD, "X-RateLimit-Limit": "600", "X-RateLimit-Remaining": "599"})
        assert budget.target_rate() == pytest.approx(100)

    simulate(main())


def test_a_later_request_does_not_overtake_one_that_waits() -> None:
    """Not even where time has passed and nobody was woken yet, as on a machine that is busy or was asleep."""

    async def main() -> None:
        now = 0.0
        budget = RateBudget(clock=Clock(lambda: now, lambda: 1_790_000_005 + now))
        permit = await budget.acquire()
        budget.answered(permit, 200, TOLD)
        first = asyncio.create_task(budget.acquire())
        await asyncio.sleep(0)
        now = 6.0
        second = asyncio.create_task(budget.acquire())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert (first.done(), second.done()) == (True, False)
        second.cancel()

    simulate(main())


def test_a_request_that_must_be_sent_overtakes_and_counts_as_in_flight() -> None:
    async def main() -> None:
        load = Load(Api(starts_at=1_790_000_005.0))
        spent(load, await load.budget.acquire())
        waiting = asyncio.create_task(load.budget.acquire())
        await asyncio.sleep(0)
        permit = load.budget.acquire_regardless()
        assert (waiting.done(), load.budget.in_flight) == (False, 1)
        load.budget.answered(permit, 200, TOLD)
        assert (waiting.done(), load.budget.in_flight) == (False, 0)
        waiting.cancel()

    simulate(main())


# --- whatever comes

NUMBERS = st.integers(-10, 200).map(str) | st.sampled_from(["", "x", "nan", "inf", "-0", "1e309", "9" * 30])


RESETS = st.integers(-50, 300).map(lambda seconds: str(NOON + seconds)) | NUMBERS


DATES = st.integers(-20, 200).map(lambda seconds: formatdate(NOON + seconds, usegmt=True))


HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "Date": DATES | st.just("today"),
        "X-RateLimit-Limit": NUMBERS,
        "X-RateLimit-Remaining": NUMBERS,
        "X-RateLimit-Reset": RESETS,
        "Retry-After": NUMBERS | DATES,
    },
)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["take", "take", "answer", "answer", "fail", "give back", "wait"]),
        st.sampled_from([200, 404, 429, 429, 500]),
        HEADERS,
        st.floats(0, 20),
        st.floats(-1e5, 1e5),
    ),
    max_size=80,
)


@settings(max_examples=up_to(300), deadline=None)
@given(STEPS, st.floats(0.01, 1))
def test_whatever_is_answered_every_wait_is_bounded_and_nothing_is_miscounted(
    steps: list[tuple[str, int, dict[str, str], float, float]], share: float
) -> None:
    limiter, now, out = Limiter(share), 0.0, 0
    for step, status, told, seconds, wall_is_off_by in steps:
        if step == "take":
            out += limiter.try_acquire(now) is not None
        elif step == "wait":
            now += seconds
        elif out:
            out -= 1
            if step == "answer":
                limiter.answered(limiter.out.popleft(), status, told, now, NOON + now + wall_is_off_by)
            elif step == "fail":
                fail(limiter, now)
            else:
                give_back(limiter, now)
        assert limiter.in_flight == out
        assert 0 <= limiter.wait_seconds(now) <= 71
    for _ in range(3):  # after that wait, one may go
        if limiter.try_acquire(now):
            return
        now += limiter.wait_seconds(now) + 1e-6
    raise AssertionError("hung")
