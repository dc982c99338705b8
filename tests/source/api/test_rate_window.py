"""The rate budget's patience: how long it waits, probe after probe and window after window, and what it says of it."""

from __future__ import annotations

import pytest

from tests.support.pacing import NOON, Paced, answer, fail, give_back, headers, opened, taken


def probed_early(until: float, *, then: float) -> tuple[Paced, list[float]]:
    """A window of which the headers say that it ends at 10, while it goes on `until` later; and the waits meanwhile.

    The window after it ends at `then`.
    """
    pace, waits = opened(remaining=0), []
    now = 10.1
    while now < until:
        assert taken(pace, now) == 1
        answer(pace, 429, headers(0, at=9), now)
        waits.append(round(pace.wait_seconds(now), 6))
        now += pace.wait_seconds(now) + 1e-9
    assert taken(pace, now) == 1
    answer(pace, 200, headers(0, reset=NOON + then, at=9), now)
    return pace, waits


def test_probes_that_come_too_early_come_ever_more_rarely_at_most_a_window_apart() -> None:
    _, waits = probed_early(until=50, then=60)
    assert waits == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10, 10, 10]


@pytest.mark.parametrize(("until", "late"), [(10.3, 0.7), (14, 6.7), (18, 10), (40, 10)])
def test_what_early_probes_teach_is_how_late_the_new_window_was_met_ten_seconds_at_most(
    until: float, late: float
) -> None:
    pace, _ = probed_early(until=until, then=60)
    assert pace.wait_seconds(0) == pytest.approx(60 + late, abs=0.35)


def test_a_probe_that_is_never_sent_makes_way_for_another() -> None:
    pace = Paced()
    assert taken(pace, 0) == 1
    give_back(pace, 1)
    assert pace.in_flight == 0
    assert taken(pace, 1) == 1


def test_probes_without_an_answer_are_a_minute_apart_at_most() -> None:
    pace = Paced()
    sent = [now for now in range(300) if taken(pace, now)]
    assert sent == [0, 2, 6, 14, 30, 62, 122, 182, 242]


def test_an_answer_makes_the_next_probe_patient_for_two_seconds_again() -> None:
    pace = Paced()
    assert [taken(pace, now) for now in (0, 2, 6)] == [1, 1, 1]
    for _ in range(3):
        answer(pace, 200, headers(0, at=7), 7)
    assert [taken(pace, now) for now in (10.1, 12, 12.2)] == [1, 0, 1]


@pytest.mark.parametrize(("status", "may_go"), [(404, 10_000), (200, 10_000), (499, 10_000), (500, 1), (503, 1)])
def test_a_probe_that_tells_nothing_lets_the_rest_follow_unless_the_server_failed(status: int, may_go: int) -> None:
    pace = Paced()
    assert taken(pace, 0) == 1
    answer(pace, status, {}, 1)
    assert taken(pace, 1) == may_go


def test_pauses_begin_anew_once_an_answer_came() -> None:
    pace, now = Paced(), 0.0
    for _ in range(5):
        assert taken(pace, now) == 1
        answer(pace, 429, {}, now)
        now += pace.wait_seconds(now)
    assert taken(pace, now) == 1
    answer(pace, 200, {}, now)
    assert pace.take(now)
    answer(pace, 429, {}, now)
    assert 0.75 <= pace.wait_seconds(now) <= 1


def test_pauses_begin_anew_once_an_answer_told_of_room_in_the_same_window() -> None:
    pace, now = opened(remaining=90), 1.0
    for remaining in (89, 88, 87):
        assert pace.take(now)
        answer(pace, 429, {}, now)
        assert 0.75 <= pace.wait_seconds(now) <= 1
        now += pace.wait_seconds(now)
        assert taken(pace, now) == 1
        answer(pace, 200, headers(remaining), now)


def test_loads_that_are_refused_together_do_not_pause_for_the_same_time() -> None:
    pauses = set()
    for _ in range(20):
        pace = Paced()
        assert pace.take(0)
        answer(pace, 429, {}, 0)
        pauses.add(pace.wait_seconds(0))
    assert len(pauses) == 20
    assert max(pauses) - min(pauses) > 0.05


def test_with_some_in_flight_a_turn_stops_nobody_for_half_a_window() -> None:
    for now, may_go in ((10.0, True), (14.9, True), (15.1, True)):
        pace = opened(remaining=50)
        assert pace.take(9.9)
        assert bool(pace.take(now)) is may_go
    # the last was a probe: until it is answered nobody follows
    assert taken(pace, 15.2) == 0
    assert pace.probing


def test_a_window_is_as_long_as_the_shortest_of_the_last_three_steps_a_second_at_least() -> None:
    pace = opened(remaining=0)
    lengths = []
    end, now = 10.0, 0.0
    for step in (20, 20, 40, 60, 61, 60, 60, 5, 0.5):
        now = end + 1
        end += step
        assert taken(pace, now) >= 1
        while pace.in_flight:
            answer(pace, 200, headers(0, reset=NOON + end, at=now), now)
        lengths.append(pace.window_seconds)
    assert lengths == [20, 20, 20, 20, 20, 40, 60, 5, 1]


def test_an_end_that_is_rounded_anew_is_the_same_window_where_less_remains() -> None:
    pace = opened(remaining=10)
    assert pace.take(1)
    answer(pace, 200, headers(9, reset=NOON + 11), 1)
    assert taken(pace, 2) == 9
    assert pace.wait_seconds(2) == pytest.approx(9.1)


def test_an_end_that_moved_a_little_is_another_window_where_more_remains() -> None:
    pace = opened(remaining=10)
    assert pace.take(1)
    answer(pace, 200, headers(50, reset=NOON + 11), 1)
    assert taken(pace, 2) == 50


def test_a_limit_that_changes_within_a_window_counts_from_then_on() -> None:
    pace = opened(remaining=49, limit=50, share=0.1)
    assert pace.take(1)
    answer(pace, 200, headers(49, limit=200), 1)
    assert pace.limit == 200
    assert taken(pace, 1) == 18  # a tenth of two hundred, two of them are used


def test_what_is_waited_for_is_said() -> None:
    pace = opened(remaining=0, limit=1000)
    assert pace.reason == "the window's budget of 1,000 requests is used, most of it before this load began"
    pace = opened(remaining=1, limit=2)
    assert pace.take(1)
    answer(pace, 200, headers(0, limit=2), 1)
    assert pace.reason == "the window's budget of 2 requests is used"
    pace = opened(remaining=90, limit=10_000, share=0.0002)
    assert pace.take(1)
    answer(pace, 200, headers(89, limit=10_000), 1)
    assert pace.reason == "this load's share of the window (2 of 10,000 requests) is used"
    pace = Paced()
    assert pace.take(0)
    answer(pace, 429, {}, 0)
    assert pace.reason == "the API answered 429 (rate limit exceeded)"
    assert pace.waits == 1


def test_nothing_is_waited_for_where_a_request_may_go() -> None:
    assert Paced().wait_seconds(5) == 0
    pace = Paced()
    assert pace.take(0)
    answer(pace, 200, {}, 0)
    assert (pace.wait_seconds(1), pace.limit, pace.target_rate, pace.probing) == (0, None, None, False)


def test_a_429_says_that_nothing_remains_whatever_its_headers_say() -> None:
    pace = opened(remaining=50)
    assert pace.take(1)
    answer(pace, 429, headers(40), 1)
    assert taken(pace, 2) == 0
    assert pace.reason == "the window's budget of 100 requests is used, most of it before this load began"
    assert pace.wait_seconds(2) == pytest.approx(8.1)


def test_a_late_429_of_a_past_window_holds_nobody_up_however_long_it_asks_to_wait() -> None:
    pace = opened(remaining=50)
    for _ in range(2):
        assert pace.take(1)
    answer(pace, 200, headers(90, reset=NOON + 20, at=10), 10.2)
    answer(pace, 429, {**headers(0, at=9), "Retry-After": "30"}, 10.3)
    assert taken(pace, 10.4) == 90


def test_one_request_without_an_answer_counts_as_one() -> None:
    pace = opened(remaining=10)
    assert pace.take(1)
    fail(pace, 1)
    assert taken(pace, 1) == 9
    for _ in range(9):
        answer(pace, 200, {}, 2)  # as one without rate headers does
    assert taken(pace, 2) == 0


def after_silence(pace: Paced, now: float) -> int:
    """How many may go in a window of which a first answer, without headers, told nothing."""
    assert taken(pace, now) == 1
    answer(pace, 200, {}, now)
    return taken(pace, now)


def test_a_window_of_which_nothing_is_told_is_taken_to_be_like_the_last_once_and_again_after_one_that_was() -> None:
    pace = opened(remaining=0)
    assert after_silence(pace, 10.2) == 99
    assert taken(pace, 20.1) == 0
    for _ in range(99):
        answer(pace, 200, headers(0, reset=NOON + 20, at=11), 11)
    assert taken(pace, 11) == 0
    assert after_silence(pace, 20.3) == 99
    for _ in range(99):
        fail(pace, 21)
    assert pace.limit == 100
    assert after_silence(pace, 31) == 10_000
    assert pace.limit is None


def test_the_share_of_a_window_that_was_assumed_and_is_told_then_is_kept() -> None:
    pace = opened(remaining=0, share=0.1)
    assert after_silence(pace, 10.2) == 9
    answer(pace, 200, headers(90, reset=NOON + 20, at=11), 11)
    going = pace.in_flight
    for remaining in range(89, 89 - going, -1):
        answer(pace, 200, headers(remaining, reset=NOON + 20, at=11), 11)
        going += taken(pace, 11)
    assert going <= 10


def test_the_end_of_a_window_that_tells_none_is_one_length_after_its_beginning() -> None:
    pace = Paced()
    assert pace.take(0)
    answer(pace, 200, headers(50, reset="?"), 0)
    assert pace.take(9.999)
    answer(pace, 200, headers(99, reset="?", at=9), 9.999)
    assert taken(pace, 9.999) == 50
    for _ in range(50):
        give_back(pace, 9.999)
    assert pace.take(9.999)
    answer(pace, 200, headers(99, reset="?", at=10), 10.0)
    assert taken(pace, 10.0) == 99
