"""The retry policy by the clock: how its waits grow, what counts as trouble, and when it gives up."""

from __future__ import annotations

import asyncio
import time
import weakref

import pytest

from sources.intercom.api.retry import Fault, is_retryable, retry
from tests.support.simulated_api import simulate


def fault(status: int | None = 500, *, waited_seconds: float | None = None) -> Fault:
    """An attempt that failed, and how long it had waited for the rate budget, if it did."""
    one = Fault("a_code", "a message", http_status=status, request_id="r-1")
    if waited_seconds is not None:
        one.waited_seconds = waited_seconds
    return one


class Outlasting:
    """The policy at work on attempts that fail by these faults, one each, and are answered then; no time passes really.

    Args:
        attempt_seconds: what each attempt takes, its wait for the rate budget included.

    Attributes:
        waits: in seconds, one before each attempt but the first.
        faults: those waited after.
        failure: the fault it gave up with; None when an answer came.
    """

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        faults: list[Fault],
        *,
        retry_seconds: float,
        attempt_seconds: float = 0.0,
        gives_up: bool = False,
    ) -> None:
        self.waits: list[float] = []
        self.faults: list[Fault] = []
        self.failure: Fault | None = None
        left = list(faults)

        async def attempt() -> str:
            await asyncio.sleep(attempt_seconds)
            if left:
                raise left.pop(0)
            return "the answer"

        async def sleep(fault: Fault, seconds: float) -> None:
            self.waits.append(seconds)
            self.faults.append(fault)
            await asyncio.sleep(seconds)

        async def main() -> None:
            monkeypatch.setattr(time, "monotonic", asyncio.get_running_loop().time)
            try:
                answer = await retry(
                    attempt,
                    retry_seconds=retry_seconds,
                    give_up_on_rate_limit=lambda: gives_up,
                    sleep=sleep,
                )
            except Fault as failure:
                self.failure = failure
            else:
                assert answer == "the answer"

        simulate(main())
        monkeypatch.undo()


# milliseconds, before the jitter of a quarter of a second
WAITS = [250, 375, 562, 843, 1265, 1898, 2847, 4271, 6407, 9610, 14416, 21624, 30000, 30000, 30000]


def test_the_waits_grow_by_half_from_a_quarter_of_a_second_to_half_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(20):  # the jitter is chance
        outlasting = Outlasting(monkeypatch, [fault()] * 15, retry_seconds=1e6)
        assert outlasting.failure is None
        for wait, least in zip(outlasting.waits, WAITS, strict=True):
            assert least <= wait * 1000 <= least + 251


def test_loads_that_failed_together_do_not_ask_again_together(monkeypatch: pytest.MonkeyPatch) -> None:
    firsts = {Outlasting(monkeypatch, [fault()], retry_seconds=60).waits[0] for _ in range(20)}
    assert len(firsts) == 20
    assert max(firsts) - min(firsts) > 0.1


def test_it_gives_up_where_the_next_wait_would_pass_retry_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five waits are at most 4.55 seconds of trouble, six at least 5.19."""
    faults = [fault() for _ in range(20)]
    outlasting = Outlasting(monkeypatch, faults, retry_seconds=4.6)
    assert len(outlasting.waits) == 5
    assert outlasting.failure is faults[5]
    assert outlasting.faults == faults[:5]


def test_the_time_that_attempts_take_is_trouble_too(monkeypatch: pytest.MonkeyPatch) -> None:
    outlasting = Outlasting(monkeypatch, [fault() for _ in range(20)], retry_seconds=8.0, attempt_seconds=2)
    assert len(outlasting.waits) == 3  # 1.18 to 1.94 seconds of waits, 6 of attempts; the fourth wait is 0.84 at least


def test_no_time_to_retry_is_no_second_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    outlasting = Outlasting(monkeypatch, [fault(None)], retry_seconds=0.0)
    assert outlasting.waits == []
    failure = outlasting.failure
    assert failure is not None
    assert (failure.code, failure.http_status, failure.request_id) == ("a_code", None, "r-1")
    assert (failure.message, str(failure)) == ("a message", "a message")


def test_waits_for_the_rate_budget_are_no_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    faults = [fault(), *(fault(waited_seconds=100.0) for _ in range(20))]
    outlasting = Outlasting(monkeypatch, faults, retry_seconds=4.6, attempt_seconds=100.0)
    assert len(outlasting.waits) == 5
    assert outlasting.failure is faults[5]


def test_a_429_is_retried_without_an_extra_wait_and_is_not_counted_as_a_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    faults = [fault(429), *(fault(429, waited_seconds=10.0) for _ in range(30))]
    outlasting = Outlasting(monkeypatch, faults, retry_seconds=0.5, attempt_seconds=10.0)
    assert outlasting.failure is None
    assert outlasting.waits == [0.0] * 31


def test_a_429_ends_it_only_when_the_whole_fetch_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    faults = [fault(429), fault(429)]
    outlasting = Outlasting(monkeypatch, faults, retry_seconds=1e6, gives_up=True)
    assert outlasting.waits == []
    assert outlasting.failure is faults[0]
    # a fault of another kind is not that decision's
    assert Outlasting(monkeypatch, [fault(503)], retry_seconds=60, gives_up=True).failure is None


def test_a_call_that_fails_for_days_is_still_retried(monkeypatch: pytest.MonkeyPatch) -> None:
    outlasting = Outlasting(monkeypatch, [fault()] * 3_000, retry_seconds=1e6)
    assert outlasting.failure is None
    assert max(outlasting.waits) <= 30.25


def test_which_answers_are_retried() -> None:
    again = {status for status in range(100, 1_000) if is_retryable(status)}
    assert again == {408, 425, 429, *range(500, 600)} - {501, 505}


def test_what_an_attempt_held_is_let_go_while_its_call_waits() -> None:
    """A thousand calls may wait, for half a minute each: not with the answers that they failed for."""
    held: list[weakref.ref[set[str]]] = []
    is_held: list[bool] = []

    async def attempt() -> str:
        answer = Body()
        held.append(weakref.ref(answer))
        if len(held) == 3:
            return "the answer"
        try:
            raise ValueError(answer)
        except ValueError:
            raise fault() from None

    async def sleep(fault: Fault, seconds: float) -> None:
        is_held.append(held[-1]() is not None)

    async def main() -> None:
        await retry(attempt, retry_seconds=60, give_up_on_rate_limit=lambda: False, sleep=sleep)

    simulate(main())
    assert is_held == [False, False]


class Body(set[str]):
    """Something that a test can declare gone."""
