"""The decisions of the rate budget, one at a time, with the time given."""

from __future__ import annotations

import logging
from email.utils import formatdate

import pytest

from sources.intercom.api.budget import RateBudget
from tests.support.pacing import NOON, Limiter, answer, fail, give_back, headers, opened, taken


@pytest.mark.parametrize("share", [0, -0.5, 1.01, float("nan")])
def test_a_share_out_of_range_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match=r"share is .*: it must be above 0 and at most 1"):
        RateBudget(share=share)


def test_before_the_first_answer_one_request_probes() -> None:
    assert taken(Limiter(), 0) == 1


def test_what_is_in_flight_counts_against_what_remains() -> None:
    limiter = opened(remaining=40)
    assert taken(limiter, 1) == 40
    answer(limiter, 200, headers(39), 1.1)
    assert taken(limiter, 1.2) == 0
    assert limiter.in_flight == 39


def test_the_smallest_remaining_counts_when_answers_overtake_each_other() -> None:
    limiter = opened(remaining=99)
    for _ in range(3):
        assert limiter.try_acquire(1)
    for remaining in (96, 98, 97):
        answer(limiter, 200, headers(remaining), 1.2)
    assert taken(limiter, 1.3) == 96


def test_a_late_answer_of_a_past_window_changes_nothing() -> None:
    limiter = opened(remaining=50)
    for _ in range(2):
        assert limiter.try_acquire(1)
    answer(limiter, 200, headers(90, reset=NOON + 20, at=10), 10.2)
    answer(limiter, 429, headers(0, reset=NOON + 10, at=9), 10.3)
    assert taken(limiter, 10.4) == 90


def test_a_window_that_ends_unspent_needs_no_stop() -> None:
    limiter = opened(remaining=50)
    assert limiter.try_acquire(9.9)
    assert limiter.try_acquire(10.5)
    answer(limiter, 200, headers(99, reset=NOON + 20, at=10), 10.6)
    assert taken(limiter, 10.7) == 98  # the other one in flight may count in the new window


def test_after_an_idle_turn_one_request_probes() -> None:
    limiter = opened(remaining=50)
    assert taken(limiter, 35) == 1


def test_a_spent_window_is_waited_out_then_one_request_probes_and_the_rest_follow() -> None:
    limiter = opened(remaining=0)
    assert taken(limiter, 9.9) == 0
    assert 0 < limiter.wait_seconds(9.9) <= 0.3
    assert taken(limiter, 10.2) == 1
    answer(limiter, 200, headers(99, reset=NOON + 20, at=10), 10.4)
    assert taken(limiter, 10.4) == 99


def test_the_end_of_a_window_is_computed_from_the_latest_date() -> None:
    limiter = opened(remaining=10)
    for second in range(1, 5):
        assert limiter.try_acquire(second)
        # The server's clock reads .9 more than the second it gives: answers at x.1 show a new second.
        answer(limiter, 200, headers(10 - second, at=second + 0.9), second + 0.0)
    assert taken(limiter, 5) == 6
    # None answered: by the Dates seen so far the window turns at 10.0.
    assert limiter.wait_seconds(5) == pytest.approx(5.1)


def test_a_probe_that_hit_the_old_window_makes_the_margin_larger() -> None:
    limiter = opened(remaining=0)
    assert limiter.try_acquire(10.2)
    answer(limiter, 429, headers(0, at=9), 10.3)  # the window lasts longer than its Reset said
    assert taken(limiter, 10.3) == 0
    assert taken(limiter, 10.4) == 1
    answer(limiter, 200, headers(0, reset=NOON + 20, at=10), 10.5)
    assert taken(limiter, 20.15) == 0
    assert taken(limiter, 20.25) == 1


def test_an_answer_from_before_the_probe_is_not_taken_for_the_probes() -> None:
    limiter = opened(remaining=1)
    assert limiter.try_acquire(1)
    assert limiter.try_acquire(10.2)
    answer(limiter, 200, headers(0, at=9), 10.3)
    assert taken(limiter, 10.8) == 0
    answer(limiter, 429, headers(0, at=9), 10.8)
    assert taken(limiter, 11.0) == 1


def test_the_answer_to_a_probe_is_recognised_while_older_requests_hang() -> None:
    """Each answer is matched by its permit: by count it would be taken for one of those that hang."""
    limiter = Limiter()
    assert limiter.try_acquire(0)
    answer(limiter, 200, {}, 0)
    assert taken(limiter, 0) == 10_000
    answer(limiter, 429, {}, 1, newest=True)
    assert taken(limiter, 1.5) == 0
    assert taken(limiter, 2) == 1
    answer(limiter, 200, {}, 2.1, newest=True)
    assert taken(limiter, 2.1) == 10_000


def test_a_probe_that_was_answered_does_not_make_the_next_one_wait_longer() -> None:
    """Only silence makes them rarer: here each is refused or fails, and then one hangs."""
    limiter, now = Limiter(), 0.0
    for status in (429, 503, 429, 503):
        assert taken(limiter, now) == 1
        answer(limiter, status, {}, now)
        now += limiter.wait_seconds(now)
    assert [taken(limiter, now + wait) for wait in (0, 1.9, 2)] == [1, 0, 1]


def test_a_probe_that_is_lost_while_a_newer_one_is_under_way_is_not_followed_by_a_third() -> None:
    limiter = Limiter()
    assert [taken(limiter, now) for now in (0, 2)] == [1, 1]
    fail(limiter, 2.1)
    assert taken(limiter, 2.2) == 0
    answer(limiter, 200, {}, 2.3)
    assert taken(limiter, 2.3) == 10_000


def test_a_share_counts_our_own_requests_alone() -> None:
    limiter = opened(remaining=99, share=0.3)
    assert taken(limiter, 1) == 29
    limiter = opened(remaining=60, share=0.3)
    assert taken(limiter, 1) == 29


def test_a_request_without_an_answer_counts_as_used() -> None:
    limiter = opened(remaining=10)
    assert taken(limiter, 1) == 10
    for _ in range(10):
        fail(limiter, 2)
    assert (limiter.in_flight, taken(limiter, 3)) == (0, 0)


def test_a_request_that_was_never_sent_does_not() -> None:
    limiter = opened(remaining=10)
    assert taken(limiter, 1) == 10
    for _ in range(10):
        give_back(limiter, 2)
    assert taken(limiter, 3) == 10


def test_where_remaining_falls_faster_than_ours_each_request_is_taken_to_cost_more() -> None:
    limiter = opened(remaining=999, limit=1000)
    remaining = 999
    for _ in range(40):
        for _ in range(10):
            assert limiter.try_acquire(1)
        for _ in range(10):
            remaining -= 2  # one of ours, one of another's
            answer(limiter, 200, headers(remaining, limit=1000), 1)
    assert remaining == 199
    assert 30 <= taken(limiter, 2) <= 100


def test_a_failed_probe_is_followed_by_another_at_once() -> None:
    limiter = Limiter()
    assert limiter.try_acquire(0)
    fail(limiter, 1)
    assert taken(limiter, 1) == 1
    answer(limiter, 502, {}, 2)
    assert taken(limiter, 2) == 1
    answer(limiter, 200, headers(99), 3)
    assert taken(limiter, 3) == 99


def test_after_a_probe_without_an_answer_probes_get_rarer() -> None:
    limiter = Limiter()
    assert [taken(limiter, now) for now in (0, 1.9, 2, 5.9, 6, 13.9, 14)] == [1, 0, 1, 0, 1, 0, 1]


@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [
        ("7", 7),
        ("0", 0),
        ("-3", 0),
        ("3600", 60),
        (formatdate(NOON + 1 + 30, usegmt=True), 30),
        (formatdate(NOON + 86_400, usegmt=True), 60),
    ],
)
def test_a_429_is_waited_out_as_retry_after_asks_a_minute_at_most(retry_after: str, seconds: float) -> None:
    limiter = Limiter()
    assert limiter.try_acquire(0)
    date = formatdate(NOON + 1, usegmt=True)
    answer(limiter, 429, {"Retry-After": retry_after, "Date": date}, 1)
    assert limiter.wait_seconds(1) == pytest.approx(seconds)
    assert taken(limiter, 1 + seconds + 0.01) == 1


def test_a_retry_after_beyond_the_windows_end_counts() -> None:
    limiter = opened(remaining=50)
    assert limiter.try_acquire(1)
    answer(limiter, 429, {**headers(0, at=1), "Retry-After": "30"}, 1)
    assert limiter.wait_seconds(1) == pytest.approx(30)


def test_a_retry_after_before_the_windows_end_waits_for_the_end() -> None:
    limiter = opened(remaining=50)
    assert limiter.try_acquire(1)
    answer(limiter, 429, {**headers(0, at=1), "Retry-After": "1"}, 1)
    assert 9 <= limiter.wait_seconds(1) <= 9.3


def test_429s_without_headers_make_growing_pauses() -> None:
    limiter, now = Limiter(), 0.0
    for shortest, longest in ((0.75, 1), (1.5, 2), (3, 4), (6, 8), (12, 16), (24, 32), (45, 60), (45, 60)):
        assert taken(limiter, now) == 1
        answer(limiter, 429, {}, now)
        assert shortest <= limiter.wait_seconds(now) <= longest
        now += limiter.wait_seconds(now)
    assert taken(limiter, now) == 1
    answer(limiter, 200, {}, now)
    assert taken(limiter, now) == 10_000


def test_many_429s_at_once_make_one_pause() -> None:
    limiter = Limiter()
    assert limiter.try_acquire(0)
    answer(limiter, 200, {}, 0)
    for _ in range(50):
        assert limiter.try_acquire(0)
    for _ in range(50):
        answer(limiter, 429, {}, 1)
    assert limiter.wait_seconds(1) <= 1
    assert limiter.in_flight == 0


@pytest.mark.parametrize(
    ("remaining", "may_go"),
    [("101", 100), ("99999999", 100), ("-1", 0), ("-999", 0), ("12.7", 12), (" 5 ", 5)],
)
def test_a_remaining_out_of_range_is_taken_as_the_nearest_that_can_be(remaining: str, may_go: int) -> None:
    limiter = Limiter()
    assert limiter.try_acquire(0)
    answer(limiter, 200, headers(remaining), 0)
    # The one already counted in the window leaves 99 of 100.
    assert taken(limiter, 1) == min(may_go, 99)


@pytest.mark.parametrize("reset", [NOON - 3600, NOON + 3600, -1, "soon", "nan"])
def test_a_reset_that_cant_be_true_makes_a_window_of_ten_seconds(reset: object) -> None:
    limiter = Limiter()
    assert limiter.try_acquire(0)
    answer(limiter, 429, headers(0, reset=reset), 0)
    assert 10 <= limiter.wait_seconds(0) <= 10.5
    assert taken(limiter, 10.5) == 1
    answer(limiter, 200, headers(99, reset=reset, at=10.5), 10.6)
    assert taken(limiter, 10.6) == 99


def test_what_cant_be_true_is_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    limiter = Limiter()
    with caplog.at_level(logging.WARNING):
        for second in range(5):
            assert limiter.try_acquire(second)
            answer(limiter, 200, headers(50, reset=NOON + 3600 + second, at=second), second)
    assert [record.getMessage() for record in caplog.records] == [
        "the header X-RateLimit-Reset: 1790003600 can't be true; going by the length of a window"
    ]


def test_headers_that_are_no_longer_sent_are_forgotten_after_a_window() -> None:
    limiter = opened(remaining=0)
    for now in (10.5, 21.0):
        assert taken(limiter, now) >= 1
        while limiter.in_flight:
            answer(limiter, 200, {"Date": formatdate(NOON + now, usegmt=True)}, now)
    assert limiter.target_rate is None
    assert taken(limiter, 22) == 10_000


def test_the_rate_to_go_at_spends_the_share_in_six_tenths_of_a_window() -> None:
    assert Limiter().target_rate is None
    assert opened(1665, limit=1666).target_rate == pytest.approx(277.67, abs=0.01)
    assert opened(1665, limit=1666, share=0.3).target_rate == pytest.approx(83.3, abs=0.01)
