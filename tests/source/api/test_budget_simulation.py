"""Whole loads against a simulated API: how much of each window was used, and how many 429s were drawn."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from math import ceil, floor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.examples import up_to
from tests.support.simulated_api import (
    NO_RATE_HEADERS,
    SERVER_EPOCH,
    SMALL,
    Api,
    Headers,
    Load,
    SimulatedAnswer,
    foreign,
    run_alone,
    simulate,
    spoiling,
)

# -- one load, true headers --------------------------------------------------------------------------------


@pytest.mark.parametrize("jitter", [0.0, 0.25, 1.0])
@pytest.mark.parametrize("latency_seconds", [0.06, 0.15, 0.3])
def test_a_single_load_uses_whole_windows_without_one_429(latency_seconds: float, jitter: float) -> None:
    load = run_alone({"latency_seconds": lambda now: latency_seconds, "jitter": jitter}, seconds=45)
    assert load.api.refused() == 0
    assert load.api.part_used() >= 0.99
    assert load.api.least_used() >= 0.97


@pytest.mark.parametrize("limit", [1, 10, 167, 1666])
def test_any_limit_is_learned_and_used(limit: int) -> None:
    load = run_alone({"limit": lambda now: limit})
    assert load.api.refused() == 0
    assert load.api.part_used() >= 0.99


@pytest.mark.parametrize(("window_seconds", "limit"), [(1.0, 167), (2.0, 167), (60.0, 1000)])
def test_the_length_of_a_window_is_learned(window_seconds: float, limit: int) -> None:
    api_kwargs = {"window_seconds": window_seconds, "limit": lambda now: limit}
    load = run_alone(api_kwargs, seconds=6 * window_seconds)
    assert load.api.refused() == 0
    assert load.api.part_used() >= 0.99


def test_a_share_is_never_exceeded_and_wholly_used() -> None:
    load = run_alone({}, share=0.3)
    assert load.api.refused() == 0
    assert [window.used for window in load.api.full_windows()] == [499] * 6


def test_a_tiny_share_still_gets_one_request_a_window() -> None:
    load = run_alone({}, share=0.0001)
    assert [window.used for window in load.api.full_windows()] == [1] * 6


def test_slow_answers_for_a_while_cost_no_429_and_full_speed_returns() -> None:
    def latency_seconds(now: float) -> float:
        return 5.0 if 30 < now - SERVER_EPOCH < 60 else 0.05

    load = run_alone({"latency_seconds": latency_seconds}, seconds=115)
    assert load.api.refused() == 0
    assert [window.used for window in load.api.full_windows()[-3:]] == [1666, 1666, 1666]


def test_lost_requests_lead_to_no_429() -> None:
    load = run_alone({"lost": 0.05})
    assert load.api.refused() == 0
    assert load.statuses[0] > 100
    assert load.api.part_used() >= 0.9


# -- several users of one budget ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("latencies", "second_starts_at"),
    [((0.15, 0.15), 0.0), ((0.15, 0.15), 8.0), ((0.3, 0.3), 13.4), ((0.06, 0.3), 7.7), ((0.3, 0.06), 7.7)],
)
@pytest.mark.parametrize("jitter", [0.05, 0.25])
def test_two_loads_share_the_windows(latencies: tuple[float, float], second_starts_at: float, jitter: float) -> None:
    async def main() -> Api:
        api = Api(jitter=jitter)
        first = Load(api, "first", latency_seconds=latencies[0])
        second = Load(api, "second", latency_seconds=latencies[1])

        async def start_second() -> None:
            await asyncio.sleep(second_starts_at)
            await second.run(75 - second_starts_at)

        await asyncio.gather(first.run(75), start_second())
        return api

    api = simulate(main())
    assert api.least_used() >= 0.98
    assert api.refused() <= 2
    together = api.full_windows()[2:]
    assert min(window.used_by["first"] for window in together) >= 300
    assert min(window.used_by["second"] for window in together) >= 300


def test_four_loads_share_the_windows() -> None:
    async def main() -> Api:
        api = Api()
        await asyncio.gather(*(Load(api, name).run(65) for name in ("one", "two", "three", "four")))
        return api

    api = simulate(main())
    assert api.least_used() >= 0.98
    assert api.refused() <= 4  # at most the probe of each
    assert all(min(window.used_by.values()) >= 150 for window in api.full_windows())


def test_a_share_leaves_the_rest_to_a_foreign_client() -> None:
    async def main() -> Api:
        api = Api()
        load = Load(api, share=0.3)
        await asyncio.gather(load.run(65), foreign(api, per_second=115, seconds=65))
        return api

    api = simulate(main())
    assert api.part_used() >= 0.95
    assert api.most_refused() <= 2
    assert [window.used_by["ours"] for window in api.full_windows()] == [499] * 6


@pytest.mark.parametrize("per_second", [10, 60])
def test_next_to_a_client_that_ignores_limits_ours_gets_almost_no_429(per_second: int) -> None:
    async def main() -> Api:
        api = Api()
        await asyncio.gather(Load(api).run(65), foreign(api, per_second, seconds=65))
        return api

    api = simulate(main())
    assert api.least_used() >= 0.98
    assert max(window.refused_by["ours"] for window in api.windows.values()) <= 2


def test_a_budget_used_up_by_others_for_minutes_is_waited_for_and_reported() -> None:
    def taken(now: float) -> int:
        return 1666 if now < SERVER_EPOCH + 120 else 0

    load = run_alone({"taken_by_others": taken}, seconds=155)
    assert load.api.most_refused() == 1  # the probe
    assert load.longest_acquire_seconds <= 11
    assert len(load.waits) >= 12
    reasons = {reason for _, reason in load.waits[:12]}
    assert reasons == {"the window's budget of 1,666 requests is used, most of it by other apps or an earlier load"}
    assert [window.used_by["ours"] for window in load.api.full_windows()[-2:]] == [1666, 1666]


# -- limits that change, headers that can't be true ---------------------------------------------------------


def test_a_limit_that_shrinks_at_a_turn_costs_no_429() -> None:
    load = run_alone({"limit": lambda now: 1666 if now < SERVER_EPOCH + 30 else 10})
    assert load.api.refused() == 0
    assert [window.used for window in load.api.full_windows()] == [1666, 1666, 10, 10, 10, 10]


def test_a_limit_that_shrinks_within_a_window_costs_what_is_in_flight() -> None:
    load = run_alone({"limit": lambda now: 1666 if now < SERVER_EPOCH + 24 else 10})
    refused = [window.refused for window in load.api.windows.values()]
    assert refused[2] <= load.api.windows[min(load.api.windows)].limit
    assert refused[2] <= 128
    assert sum(refused) == refused[2]
    assert [window.used for window in load.api.full_windows()[-3:]] == [10, 10, 10]


@pytest.mark.parametrize(
    "reset",
    ["0", "-5", "1790003600", "1" * 40, "soon", "nan", "inf", None],
)
def test_a_reset_that_cant_be_true_bounds_the_wait(reset: str | None, caplog: pytest.LogCaptureFixture) -> None:
    load = run_alone(SMALL | {"spoil": spoiling(X_RateLimit_Reset=reset)})
    assert load.longest_acquire_seconds <= 11
    assert load.api.refused() <= 7
    assert load.api.part_used() >= 0.9
    assert (reset is None) == ("X-RateLimit-Reset" not in caplog.text)


def test_a_reset_that_never_moves_is_taken_for_what_it_is() -> None:
    load = run_alone(SMALL | {"spoil": spoiling(X_RateLimit_Reset="1790000010")})
    assert load.api.refused() <= 7
    assert load.api.part_used() >= 0.8


@pytest.mark.parametrize(
    "headers",
    [
        NO_RATE_HEADERS,
        {"X_RateLimit_Limit": "0", "X_RateLimit_Remaining": "0"},
        {"X_RateLimit_Limit": "-1"},
        {"X_RateLimit_Limit": "inf", "X_RateLimit_Remaining": "nan"},
        {"X_RateLimit_Remaining": "9" * 30},
        {"X_RateLimit_Remaining": None},
    ],
)
def test_without_usable_headers_the_429s_alone_set_the_pace(headers: dict[str, str | None]) -> None:
    load = run_alone(SMALL | {"spoil": spoiling(**headers)})
    assert load.longest_acquire_seconds <= 11
    assert load.api.part_used() >= 0.8
    assert load.api.most_refused() <= 60  # about what was in flight when the window ran out


def test_retry_after_is_obeyed_without_other_headers() -> None:
    def spoil(answer: SimulatedAnswer, now: float, chance: random.Random) -> SimulatedAnswer:
        left = 10 - now % 10
        return SimulatedAnswer(answer.status, {"Retry-After": str(floor(left) + 1)} if answer.status == 429 else {})

    load = run_alone(SMALL | {"spoil": spoil})
    assert load.api.part_used() >= 0.95
    assert load.api.most_refused() <= 48


def test_answers_without_headers_change_nothing() -> None:
    def spoil(answer: SimulatedAnswer, now: float, chance: random.Random) -> SimulatedAnswer:
        return SimulatedAnswer(answer.status, {} if chance.random() < 0.3 else answer.headers)

    load = run_alone(SMALL | {"spoil": spoil})
    assert load.api.refused() <= 2  # where the first answer of a window is such a one
    assert load.api.part_used() >= 0.99


# -- clocks --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("off_by", [-60.0, 60.0, 86_400.0])
def test_a_wrong_clock_of_this_machine_changes_nothing(off_by: float) -> None:
    load = run_alone(SMALL, clock_is_off_by=lambda now: off_by)
    assert load.api.refused() == 0
    assert load.api.part_used() >= 0.99


def test_a_jumping_clock_of_this_machine_changes_nothing() -> None:
    load = run_alone(SMALL, clock_is_off_by=lambda now: 60.0 if int(now / 7) % 2 else -60.0)
    assert load.api.refused() == 0
    assert load.api.part_used() >= 0.99


@pytest.mark.parametrize("off_by", [-60.0, -3.0, 0.0, 3.0, 60.0])
def test_without_date_a_wrong_clock_costs_a_few_probes_at_most(off_by: float) -> None:
    load = run_alone(SMALL | {"spoil": spoiling(Date=None)}, clock_is_off_by=lambda now: off_by)
    assert load.longest_acquire_seconds <= 11
    assert load.api.refused() <= 6
    assert load.api.part_used() >= 0.95


@pytest.mark.parametrize(("rounding", "refused"), [(floor, 3), (ceil, 0)])
def test_a_rounded_reset_costs_a_few_probes_once(rounding: Callable[[float], int], refused: int) -> None:
    load = run_alone(SMALL | {"phase_seconds": 0.5, "round_reset": rounding}, seconds=125)
    assert load.api.refused() <= refused
    assert load.api.part_used() >= 0.99


# -- whatever comes ------------------------------------------------------------------------------------------


@settings(max_examples=up_to(25), deadline=None)
@given(
    limit=st.integers(1, 300),
    window_seconds=st.sampled_from([1.0, 2.0, 5.0, 10.0]),
    latency_seconds=st.floats(0.001, 0.4),
    jitter=st.floats(0, 0.4),
    share=st.floats(0.01, 1),
    starts_at=st.floats(0, 10),
    seed=st.integers(0, 1000),
)
def test_alone_and_with_true_headers_no_limit_is_ever_exceeded(
    limit: int,
    window_seconds: float,
    latency_seconds: float,
    jitter: float,
    share: float,
    starts_at: float,
    seed: int,
) -> None:
    api_kwargs = {
        "limit": lambda now: limit,
        "window_seconds": window_seconds,
        "latency_seconds": lambda now: latency_seconds,
        "jitter": jitter,
        "seed": seed,
        "starts_at": SERVER_EPOCH + starts_at,
    }
    load = run_alone(api_kwargs, seconds=4.5 * window_seconds, share=share)
    assert load.api.refused() == 0
    allowed = max(1, int(limit * share))
    assert max(window.used for window in load.api.windows.values()) <= allowed


NUMBERS = st.integers(-(10**3), 10**4).map(str) | st.sampled_from(["", "x", "nan", "-inf", "1e400", "9" * 25])
RESETS = st.integers(-100, 4000).map(lambda seconds: str(int(SERVER_EPOCH) + seconds)) | NUMBERS
ODD_HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "X-RateLimit-Limit": NUMBERS,
        "X-RateLimit-Remaining": NUMBERS,
        "X-RateLimit-Reset": RESETS,
        "Retry-After": NUMBERS | st.just("Wed, 21 Oct 2026 07:28:00 GMT"),
        "Date": st.sampled_from(["yesterday", "Mon, 21 Sep 2026 14:13:30 GMT", "Thu, 01 Jan 1970 00:00:00 GMT"]),
    },
)
ODD_ANSWERS = st.tuples(st.sampled_from([200, 404, 429, 500, 503]), ODD_HEADERS) | st.none()


@settings(max_examples=up_to(60), deadline=None)
@given(st.lists(ODD_ANSWERS, min_size=1, max_size=30), st.integers(1, 20), st.floats(0.01, 1))
def test_whatever_the_answers_every_request_is_sent_within_a_minute(
    answers: list[tuple[int, Headers] | None], workers: int, share: float
) -> None:
    async def main() -> float:
        load = Load(Api(), share=share)
        longest = 0.0

        async def work(first: int) -> None:
            nonlocal longest
            for answer in answers[first::workers]:
                asked_at = load.time()
                permit = await load.budget.acquire()
                longest = max(longest, load.time() - asked_at)
                await asyncio.sleep(0.1)
                if answer is None:
                    load.budget.failed(permit)
                else:
                    load.budget.answered(permit, *answer)

        await asyncio.gather(*(work(number) for number in range(workers)))
        assert load.budget.in_flight == 0
        return longest

    # Each may wait behind the others, a minute for each of them.
    assert simulate(main()) <= 61 * min(workers, len(answers))
