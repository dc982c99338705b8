"""Waiting itself: what is told of it, and who gets a place that is given back, by the simulation's clock."""

from __future__ import annotations

import asyncio

import pytest

from .simulated_api import Api, Load, simulate

TOLD = {
    "Date": "Mon, 21 Sep 2026 14:13:25 GMT",
    "X-RateLimit-Limit": "2",
    "X-RateLimit-Remaining": "0",
    "X-RateLimit-Reset": "1790000010",
}


def test_a_wait_is_told_once_and_shown_while_it_is_on() -> None:
    async def main() -> None:
        load = Load(Api(starts_at=1_790_000_005.0))
        await load.budget.acquire()
        load.budget.answered(200, TOLD)
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
        await load.budget.acquire()
        load.budget.answered(200, TOLD)
        first, second = (asyncio.create_task(load.budget.acquire()) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait([first])
        await asyncio.wait_for(second, 6)
        assert load.budget.in_flight == 1
        load.budget.failed()
        assert load.budget.in_flight == 0

    simulate(main())


def test_a_place_granted_and_cancelled_at_once_is_given_back() -> None:
    async def main() -> None:
        load = Load(Api())
        await load.budget.acquire()
        waiting = asyncio.create_task(load.budget.acquire())
        await asyncio.sleep(0)
        load.budget.answered(200, {})
        waiting.cancel()
        await asyncio.wait([waiting])
        assert load.budget.in_flight == 0
        await asyncio.wait_for(load.budget.acquire(), 1)

    simulate(main())


def test_a_probe_that_hangs_holds_up_the_others_for_seconds_only() -> None:
    async def main() -> None:
        load = Load(Api())
        await load.budget.acquire()  # never answered
        await asyncio.wait_for(load.budget.acquire(), 3)
        load.budget.answered(200, {**TOLD, "X-RateLimit-Limit": "100", "X-RateLimit-Remaining": "99"})
        load.budget.answered(200, {**TOLD, "X-RateLimit-Limit": "100", "X-RateLimit-Remaining": "98"})
        for _ in range(90):
            await asyncio.wait_for(load.budget.acquire(), 0.001)

    simulate(main())
