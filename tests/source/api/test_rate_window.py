"""The rate budget's patience: how long it waits, probe after probe and window after window, and what it says of it."""

from __future__ import annotations

import pytest

from tests.support.pacing import NOON, Limiter, answer, fail, give_back, headers, opened, taken


def probed_early(until: float, *, then: float) -> tuple[Limiter, list[float]]:
    """A window of which the headers say that it ends at 10, while it goes on `until` later; and the waits meanwhile.

    The window after it ends at `then`.
    """
    limiter, waits = opened(remaining=0), []
    now = 10.1
    while now < until:
        assert taken(limiter, now) == 1
        answer(limiter, 429, headers(0, at=9), now)
        waits.append(round(limiter.wait_seconds(now), 6))
        now += limiter.wait_seconds(now) + 1e-9
    assert taken(limiter, now) == 1
    answer(limiter, 200, headers(0, reset=NOON + then, at=9), now)
    return limiter, waits


def test_probes_that_are_too_early_get_rarer_up_to_one_per_window() -> None:
    _, waits = probed_early(until=50, then=60)
    assert waits == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10, 10, 10]


@pytest.mark.parametrize(("until", "late"), [(10.3, 0.7), (14, 6.7), (18, 10), (40, 10)])
def test_early_probes_show_how_late_the_new_window_began_ten_seconds_at_most(until: float, late: float) -> None:
    limiter, _ = probed_early(until=until, then=60)
    assert limiter.wait_seconds(0) == pytest.approx(60 + late, abs=0.35)


def test_a_probe_that_is_never_sent_makes_way_for_another() -> None:
    limiter = Limiter()
    assert taken(limiter, 0) == 1
    give_back(limiter, 1)
    assert limiter.in_flight == 0
    assert taken(limiter, 1) == 1


def test_probes_without_an_answer_are_a_minute_apart_at_most() -> None:
    limiter = Limiter()
    sent = [now for now in range(300) if taken(limiter, now)]
    assert sent == [0, 2, 6, 14, 30, 62, 122, 182, 242]


def test_an_answer_makes_the_next_probe_patient_for_two_seconds_again() -> None:
    limiter = Limiter()
    assert [taken(limiter, now) for now in (0, 2, 6)] == [1, 1, 1]
    for _ in range(3):
        answer(limiter, 200, headers(0, at=7), 7)
    assert [taken(limiter, now) for now in (10.1, 12, 12.2)] == [1, 0, 1]


@pytest.mark.parametrize(("status", "may_go"), [(404, 10_000), (200, 10_000), (499, 10_000), (500, 1), (503, 1)])
def test_a_probe_without_rate_headers_lets_the_rest_follow_unless_the_server_failed(status: int, may_go: int) -> None:
    limiter = Limiter()
    assert taken(limiter, 0) == 1
    answer(limiter, status, {}, 1)
    assert taken(limiter, 1) == may_go


def test_pauses_are_short_again_after_an_answer() -> None:
    limiter, now = Limiter(), 0.0
    for _ in range(5):
        assert taken(limiter, now) == 1
        answer(limiter, 429, {}, now)
        now += limiter.wait_seconds(now)
    assert taken(limiter, now) == 1
    answer(limiter, 200, {}, now)
    assert limiter.try_acquire(now)
    answer(limiter, 429, {}, now)
    assert 0.75 <= limiter.wait_seconds(now) <= 1


def test_pauses_are_short_again_after_an_answer_with_requests_left_in_the_same_window() -> None:
    limiter, now = opened(remaining=90), 1.0
    for remaining in (89, 88, 87):
        assert limiter.try_acquire(now)
        answer(limiter, 429, {}, now)
        assert 0.75 <= limiter.wait_seconds(now) <= 1
        now += limiter.wait_seconds(now)
        assert taken(limiter, now) == 1
        answer(limiter, 200, headers(remaining), now)


def test_loads_that_are_refused_together_do_not_pause_for_the_same_time() -> None:
    pauses = set()
    for _ in range(20):
        limiter = Limiter()
        assert limiter.try_acquire(0)
        answer(limiter, 429, {}, 0)
        pauses.add(limiter.wait_seconds(0))
    assert len(pauses) == 20
    assert max(pauses) - min(pauses) > 0.05


def test_with_requests_in_flight_a_new_window_stops_none_for_half_a_window() -> None:
    for now, may_go in ((10.0, True), (14.9, True), (15.1, True)):
        limiter = opened(remaining=50)
        assert limiter.try_acquire(9.9)
        assert bool(limiter.try_acquire(now)) is may_go
    # the last was a probe: until it is answered no request follows
    assert taken(limiter, 15.2) == 0
    assert limiter.probing


def test_a_window_is_as_long_as_the_shortest_of_the_last_three_steps_a_second_at_least() -> None:
    limiter = opened(remaining=0)
    lengths = []
    end, now = 10.0, 0.0
    for step in (20, 20, 40, 60, 61, 60, 60, 5, 0.5):
        now = end + 1
        end += step
        assert taken(limiter, now) >= 1
        while limiter.in_flight:
            answer(limiter, 200, headers(0, reset=NOON + end, at=now), now)
        lengths.append(limiter.window_seconds)
    assert lengths == [20, 20, 20, 20, 20, 40, 60, 5, 1]


def test_an_end_rounded_differently_is_the_same_window_where_less_remains() -> None:
    limiter = opened(remaining=10)
    assert limiter.try_acquire(1)
    answer(limiter, 200, headers(9, reset=NOON + 11), 1)
    assert taken(limiter, 2) == 9
    assert limiter.wait_seconds(2) == pytest.approx(9.1)


def test_an_end_that_moved_a_little_is_another_window_where_more_remains() -> None:
    limiter = opened(remaining=10)
    assert limiter.try_acquire(1)
    answer(limiter, 200, headers(50, reset=NOON + 11), 1)
    assert taken(limiter, 2) == 50


def test_a_limit_that_changes_within_a_window_counts_from_then_on() -> None:
    limiter = opened(remaining=49, limit=50, share=0.1)
    assert limiter.try_acquire(1)
    answer(limiter, 200, headers(49, limit=200), 1)
    assert taken(limiter, 1) == 18  # a tenth of two hundred, two of them are used


def test_the_reason_of_a_wait_is_reported() -> None:
    limiter = opened(remaining=0, limit=1000)
    assert (
        limiter.reason == "the window's budget of 1,000 requests is used, most of it by other apps or an earlier load"
    )
    limiter = opened(remaining=1, limit=2)
    assert limiter.try_acquire(1)
    answer(limiter, 200, headers(0, limit=2), 1)
    assert limiter.reason == "the window's budget of 2 requests is used"
    limiter = opened(remaining=90, limit=10_000, share=0.0002)
    assert limiter.try_acquire(1)
    answer(limiter, 200, headers(89, limit=10_000), 1)
    assert limiter.reason == "this load's share of the window (2 of 10,000 requests) is used"
    limiter = Limiter()
    assert limiter.try_acquire(0)
    answer(limiter, 429, {}, 0)
    assert limiter.reason == "the API answered 429 (rate limit exceeded)"
    assert limiter.waits == 1


def test_no_wait_is_reported_while_a_request_may_go() -> None:
    assert Limiter().wait_seconds(5) == 0
    limiter = Limiter()
    assert limiter.try_acquire(0)
    answer(limiter, 200, {}, 0)
    assert (limiter.wait_seconds(1), limiter.target_rate, limiter.probing) == (0, None, False)


def test_a_429_says_that_nothing_remains_whatever_its_headers_say() -> None:
    limiter = opened(remaining=50)
    assert limiter.try_acquire(1)
    answer(limiter, 429, headers(40), 1)
    assert taken(limiter, 2) == 0
    assert limiter.reason == "the window's budget of 100 requests is used, most of it by other apps or an earlier load"
    assert limiter.wait_seconds(2) == pytest.approx(8.1)


def test_a_late_429_of_a_past_window_delays_no_request() -> None:
    limiter = opened(remaining=50)
    for _ in range(2):
        assert limiter.try_acquire(1)
    answer(limiter, 200, headers(90, reset=NOON + 20, at=10), 10.2)
    answer(limiter, 429, {**headers(0, at=9), "Retry-After": "30"}, 10.3)
    assert taken(limiter, 10.4) == 90


def test_one_request_without_an_answer_counts_as_one() -> None:
    limiter = opened(remaining=10)
    assert limiter.try_acquire(1)
    fail(limiter, 1)
    assert taken(limiter, 1) == 9
    for _ in range(9):
        answer(limiter, 200, {}, 2)  # as one without rate headers does
    assert taken(limiter, 2) == 0


def test_a_window_without_a_reset_ends_one_length_after_its_beginning() -> None:
    limiter = Limiter()
    assert limiter.try_acquire(0)
    answer(limiter, 200, headers(50, reset="?"), 0)
    assert limiter.try_acquire(9.999)
    answer(limiter, 200, headers(99, reset="?", at=9), 9.999)
    assert taken(limiter, 9.999) == 50
    for _ in range(50):
        give_back(limiter, 9.999)
    assert limiter.try_acquire(9.999)
    answer(limiter, 200, headers(99, reset="?", at=10), 10.0)
    assert taken(limiter, 10.0) == 99


def test_our_own_unanswered_requests_are_not_reported_as_those_of_others() -> None:
    """They were counted in the new window, which only the first answer shows."""
    limiter = opened(remaining=99)
    for _ in range(taken(limiter, 5)):
        fail(limiter, 11)
    assert taken(limiter, 11) == 1
    answer(limiter, 200, headers(0, reset=NOON + 20, at=11), 11)
    assert limiter.reason == "the window's budget of 100 requests is used"
