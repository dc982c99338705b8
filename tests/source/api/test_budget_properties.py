"""Whatever the API answers, in whatever order, the rate budget bounds each wait and counts what is in flight."""

from __future__ import annotations

from email.utils import formatdate

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.examples import up_to
from tests.support.pacing import NOON, Limiter, fail, give_back

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
def test_whatever_comes_every_wait_is_bounded_and_nothing_is_miscounted(
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
    for _ in range(3):  # after waiting as told, one may go
        if limiter.try_acquire(now):
            return
        now += limiter.wait_seconds(now) + 1e-6
    raise AssertionError("hung")
