"""The number of requests in flight follows latency and rate, within its bounds."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sources.intercom.api.concurrency import Concurrency

WHOLE_WINDOW_IN_SIX_SECONDS = 277.7


def settled(latency_seconds: float, *, cap: int | None = None, rate: float | None = None) -> Concurrency:
    concurrency = Concurrency(cap=cap)
    for _ in range(2000):
        concurrency.observe(latency_seconds, status=200, target_rate=rate)
    return concurrency


def test_it_starts_small() -> None:
    assert Concurrency().limit == 16


@pytest.mark.parametrize(
    ("latency_seconds", "least", "most"),
    [(0.01, 8, 8), (0.06, 17, 22), (0.15, 42, 54), (0.3, 84, 105), (5.0, 128, 128)],
)
def test_it_is_latency_times_rate_within_bounds(latency_seconds: float, least: int, most: int) -> None:
    assert least <= settled(latency_seconds, rate=WHOLE_WINDOW_IN_SIX_SECONDS).limit <= most


@pytest.mark.parametrize("cap", [1, 4, 20])
def test_workers_cap_it(cap: int) -> None:
    assert Concurrency(cap=cap).limit == min(cap, 16)
    assert settled(5.0, cap=cap, rate=WHOLE_WINDOW_IN_SIX_SECONDS).limit == cap


def test_workers_beyond_the_bound_do_not_lift_it() -> None:
    assert settled(5.0, cap=1000, rate=WHOLE_WINDOW_IN_SIX_SECONDS).limit == 128


def test_workers_must_be_one_at_least() -> None:
    with pytest.raises(ValueError, match="workers is 0"):
        Concurrency(cap=0)


def test_without_a_rate_it_is_a_middling_number() -> None:
    assert settled(0.15).limit == 48


def test_it_follows_a_lasting_change_within_two_hundred_answers() -> None:
    concurrency = settled(0.05, rate=WHOLE_WINDOW_IN_SIX_SECONDS)
    assert concurrency.limit < 20
    for _ in range(200):
        concurrency.observe(5.0, status=200, target_rate=WHOLE_WINDOW_IN_SIX_SECONDS)
    assert concurrency.limit == 128
    for _ in range(200):
        concurrency.observe(0.05, status=200, target_rate=WHOLE_WINDOW_IN_SIX_SECONDS)
    assert concurrency.limit < 20


def test_a_few_slow_answers_do_not_move_it_much() -> None:
    concurrency = settled(0.15, rate=WHOLE_WINDOW_IN_SIX_SECONDS)
    before = concurrency.limit
    for number in range(1000):
        concurrency.observe(30.0 if number % 100 == 0 else 0.15, status=200, target_rate=277.7)
        assert concurrency.limit <= before * 1.25


@pytest.mark.parametrize("status", [None, 429, 500, 503])
def test_it_backs_off_when_most_requests_are_pushed_back_and_creeps_up_again(status: int | None) -> None:
    concurrency = settled(0.15)
    for _ in range(2 * 48):
        concurrency.observe(0.15, status=status, target_rate=None)
    assert concurrency.limit <= 24
    for _ in range(2000):
        concurrency.observe(0.15, status=200, target_rate=None)
    assert concurrency.limit == 48


@pytest.mark.parametrize("share", [0.05, 0.25])
def test_losses_that_fewer_requests_would_not_avoid_do_not_reduce_it(share: float) -> None:
    concurrency, chance = settled(0.15, rate=WHOLE_WINDOW_IN_SIX_SECONDS), Random(1)
    for _ in range(5000):
        status = None if chance.random() < share else 200
        concurrency.observe(0.15, status=status, target_rate=WHOLE_WINDOW_IN_SIX_SECONDS)
        assert concurrency.limit >= 42


def test_with_a_known_budget_a_429_is_the_budgets_affair() -> None:
    concurrency = settled(0.15, rate=WHOLE_WINDOW_IN_SIX_SECONDS)
    before = concurrency.limit
    for _ in range(200):
        concurrency.observe(0.15, status=429, target_rate=WHOLE_WINDOW_IN_SIX_SECONDS)
    assert concurrency.limit == before


@pytest.mark.parametrize(("pushed_back", "limit"), [(0, 16), (8, 16), (9, 8), (16, 8)])
def test_it_is_halved_once_more_than_half_of_a_round_is_pushed_back(pushed_back: int, limit: int) -> None:
    """A round is as many outcomes as were in flight."""
    concurrency = Concurrency(cap=16)
    for number in range(15):
        concurrency.observe(0.15, status=503 if number < pushed_back else 200, target_rate=None)
    assert concurrency.limit == 16
    concurrency.observe(0.15, status=503 if pushed_back == 16 else 200, target_rate=None)
    assert concurrency.limit == limit


def test_it_is_raised_by_one_for_each_round_that_went_well() -> None:
    concurrency = Concurrency(cap=16)
    for _ in range(16):
        concurrency.observe(0.15, status=None, target_rate=None)
    limits = []
    for _ in range(8 + 9 + 10):
        concurrency.observe(0.15, status=200, target_rate=None)
        limits.append(concurrency.limit)
    assert limits == [8] * 7 + [9] * 9 + [10] * 10 + [11]


@pytest.mark.parametrize(("cap", "limits"), [(4, [4] * 7 + [2] * 8 + [1] * 8 + [1]), (1, [1] * 24)])
def test_few_workers_are_judged_by_eight_outcomes_and_one_is_left(cap: int, limits: list[int]) -> None:
    concurrency = Concurrency(cap=cap)
    found = []
    for number in range(24):
        concurrency.observe(0.15, status=500 if number % 8 < 5 else 200, target_rate=None)
        found.append(concurrency.limit)
    assert found == limits


@pytest.mark.parametrize(("rate", "before", "after"), [(200.0, 23, 26), (480.0, 56, 63)])
def test_a_hung_answer_counts_a_sixteenth_of_thrice_what_is_known(rate: float, before: int, after: int) -> None:
    concurrency = settled(0.1, rate=rate)
    assert concurrency.limit == before
    concurrency.observe(30.0, status=200, target_rate=rate)
    for _ in range(20):  # shows nothing of the latency; one more for each at most
        concurrency.observe(30.0, status=429, target_rate=rate)
    assert concurrency.limit == after


def test_the_target_is_approached_by_one_for_each_answer() -> None:
    concurrency = Concurrency()
    limits = []
    for _ in range(4):
        concurrency.observe(0.1, status=200, target_rate=160.0)
        limits.append(concurrency.limit)
    assert limits == [17, 18, 19, 19]


@pytest.mark.parametrize(("status", "is_kept"), [(404, True), (499, True), (500, False), (503, False)])
def test_only_what_is_the_servers_fault_is_a_push_back(status: int, is_kept: bool) -> None:
    concurrency = Concurrency()
    for _ in range(200):
        concurrency.observe(0.15, status=200, target_rate=None)
    for _ in range(96):
        concurrency.observe(0.15, status=status, target_rate=None)
    assert (concurrency.limit == 48) is is_kept


OUTCOMES = st.tuples(st.floats(0, 1e6), st.sampled_from([None, 200, 404, 429, 500]), st.none() | st.floats(0.001, 1e6))


@given(st.lists(OUTCOMES, max_size=300), st.none() | st.integers(1, 500))
def test_whatever_is_answered_it_stays_within_its_bounds(
    outcomes: list[tuple[float, int | None, float | None]], cap: int | None
) -> None:
    concurrency = Concurrency(cap=cap)
    for latency_seconds, status, rate in outcomes:
        concurrency.observe(latency_seconds, status=status, target_rate=rate)
        assert 1 <= concurrency.limit <= min(128, cap or 128)
