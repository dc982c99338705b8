"""What is read of an answer's rate headers, what is not believed, and whose clock counts."""

from __future__ import annotations

import logging
from email.utils import formatdate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sources.intercom.api.rate_headers import HeaderReader, ServerClock

NOON = 1_790_000_000  # unix seconds, by the server


def told(
    limit: object = 100, remaining: object = 50, reset: object = NOON + 10, *, date: float | None = NOON
) -> dict[str, str]:
    """The headers of an answer; what is None is left out."""
    headers = {
        "Date": None if date is None else formatdate(date, usegmt=True),
        "X-RateLimit-Limit": limit,
        "X-RateLimit-Remaining": remaining,
        "X-RateLimit-Reset": reset,
    }
    return {name: str(value) for name, value in headers.items() if value is not None}


def read(headers: dict[str, str], *, wall: float = NOON + 5000) -> tuple[int | None, int | None, float | None]:
    """Remaining, limit and reset of a first answer, by a machine whose own clock is more than an hour off."""
    reader = HeaderReader()
    return reader.remaining(headers, 7.0, wall), reader.limit, reader.reset


def test_an_answer_gives_what_remains_of_which_limit_until_when() -> None:
    assert read(told()) == (50, 100, NOON + 10)


@pytest.mark.parametrize(
    ("limit", "believed"),
    [("1", 1), ("1.9", 1), ("1000000000000", 10**12), ("0.9", None), ("0", None), ("-5", None)]
    + [(text, None) for text in ("1000000000001", "nan", "inf", "many", "")],
)
def test_a_limit_is_from_one_to_a_million_million(limit: str, believed: int | None) -> None:
    remaining, found, reset = read(told(limit, remaining=1))
    assert (remaining, found, reset) == (None if believed is None else 1, believed, NOON + 10)


@pytest.mark.parametrize(
    ("seconds", "believed"), [(-3600, False), (-2, False), (-1, True), (0, True), (61, True), (62, False)]
)
def test_a_window_ends_at_most_a_second_ago_and_at_most_a_minute_from_now(seconds: int, believed: bool) -> None:
    """To the second: `Date` is cut to whole ones."""
    assert read(told(reset=NOON + seconds)) == (50, 100, NOON + seconds if believed else None)


def test_without_a_date_this_machines_clock_must_do() -> None:
    assert read(told(date=None), wall=NOON + 5) == (50, 100, NOON + 10)
    assert read(told(date=None), wall=NOON + 12) == (50, 100, None)


def test_a_reset_is_read_by_the_date_of_the_same_answer() -> None:
    reader = HeaderReader()
    reader.remaining(told(date=NOON + 30, reset=NOON + 40), 0.0, 0.0)
    assert reader.remaining(told(date=NOON, reset=NOON + 10), 1.0, 0.0) == 50
    assert reader.reset == NOON + 10


def test_what_an_answer_leaves_out_is_not_taken_from_the_one_before() -> None:
    reader = HeaderReader()
    assert reader.remaining(told(), 0.0, 0.0) == 50
    assert reader.remaining(told(limit=None), 0.0, 0.0) is None
    assert (reader.limit, reader.reset) == (None, NOON + 10)
    assert reader.remaining(told(reset=None), 0.0, 0.0) == 50
    assert (reader.limit, reader.reset) == (100, None)
    assert reader.remaining(told(remaining=None), 0.0, 0.0) is None


def test_news_is_all_but_what_remains() -> None:
    reader = HeaderReader()
    changed = []
    for headers in (told(), told(remaining=49), told(date=NOON + 1), told(limit=90), told(limit=90, reset=NOON + 11)):
        reader.remaining(headers, 0.0, 0.0)
        changed.append(reader.changed)
    assert changed == [True, False, True, True, True]
    reader.remaining({}, 0.0, 0.0)
    assert reader.changed
    reader.remaining({}, 0.0, 0.0)
    assert not reader.changed


def test_each_header_that_cant_be_true_is_warned_of_once_and_one_that_is_absent_never(
    caplog: pytest.LogCaptureFixture,
) -> None:
    reader = HeaderReader()
    with caplog.at_level(logging.WARNING):
        for second in range(3):
            reader.remaining({}, 0.0, 0.0)
            reader.remaining(told("x" * 50, reset=-second), 0.0, 0.0)
    assert [record.getMessage() for record in caplog.records] == [
        f"the header X-RateLimit-Limit: {'x' * 40} can't be true; going by answers of 429 alone",
        "the header X-RateLimit-Reset: 0 can't be true; going by the length of a window",
    ]


@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [("7", 7), ("0", 0), ("-3", 0), ("61", 60), ("soon", None)]
    + [(formatdate(NOON + after, usegmt=True), seconds) for after, seconds in ((42, 12), (20, 0), (4000, 60))],
)
def test_retry_after_is_seconds_or_a_date_by_the_servers_clock(retry_after: str, seconds: float | None) -> None:
    reader = HeaderReader()
    assert reader.retry_after_seconds({}, 0.0) is None
    reader.remaining(told(), 100.0, 0.0)  # noon by the server is 100 here
    assert reader.retry_after_seconds({"Retry-After": retry_after}, 130.0) == seconds


# -- the server's clock --------------------------------------------------------------------------------------


def test_without_a_date_in_answers_this_machines_clock_is_used() -> None:
    clock = ServerClock()
    assert clock.unix(5.0) == 5.0
    clock.saw(None, 10.0, NOON)
    assert clock.unix(11.0) == NOON + 1
    clock.saw(NOON + 500, 12.0, NOON + 2)
    clock.saw(None, 13.0, NOON + 3)
    assert clock.unix(13.0) == NOON + 501


def test_the_date_received_soonest_after_its_second_began_counts() -> None:
    clock = ServerClock()
    for now, date in ((10.5, 0), (10.9, 0), (11.2, 1), (11.8, 1), (12.6, 2)):  # the server's second 0 began at 10.1
        clock.saw(NOON + date, now, 0.0)
    assert clock.unix(20.2) == pytest.approx(NOON + 10, abs=0.001)


def test_a_clock_that_was_set_back_is_believed_after_two_minutes_at_most() -> None:
    clock = ServerClock()
    for now in (0.0, 30.0, 59.5):
        clock.saw(NOON + now, now, 0.0)
    for now in (60.0, 90.0, 119.5):
        clock.saw(NOON + now - 10, now, 0.0)
        assert clock.unix(now) == NOON + now
    for now in (120.0, 179.5, 180.0):
        clock.saw(NOON + now - 10, now, 0.0)
        assert clock.unix(now) == NOON + now - 10


wild_numbers = st.builds(
    "{}{}{}".format,
    st.sampled_from(["", "-", "+", " "]),
    st.integers(0, 10**400).map(str) | st.sampled_from(["nan", "inf", "Infinity", "1_0", "\u0663", "0x1", "7" * 5000]),
    st.sampled_from(["", ".", "e5", "e999999999999999998", "e-999999999999999998"]),
)
wild_dates = st.builds(
    "{}, {} {} {} {}:{}:{} {}".format,
    st.sampled_from(["Mon", "", "X"]),
    st.integers(-5, 99),
    st.sampled_from(["Jan", "Feb", "xx", "9"]),
    *(st.integers(-1, most) for most in (10**6, 99, 99, 10**4)),
    st.sampled_from(["GMT", "-0000", "+9999", "", "EST", "+999999999"]),
)


@settings(max_examples=300, deadline=None)
@given(st.tuples(*[wild_numbers | wild_dates | st.text(max_size=20)] * 5))
def test_no_header_ends_a_run(texts: tuple[str, ...]) -> None:
    reader = HeaderReader()
    names = ("Date", "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "Retry-After")
    headers = dict(zip(names, texts, strict=True))
    remaining, wait = reader.remaining(headers, 7.0, NOON), reader.retry_after_seconds(headers, 7.0)
    assert remaining is None or (reader.limit is not None and 0 <= remaining <= reader.limit)
    assert reader.limit is None or reader.limit >= 1
    assert wait is None or 0 <= wait <= 60
