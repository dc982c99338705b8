"""The sandbox's rate windows, on a clock that stands still."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox import Settings
from sandbox.windows import Windows


def window(**settings: Any) -> Windows:
    return Windows(Settings(**{"limit": 3, "window_seconds": 10} | settings))


def headers(windows: Windows, now: float) -> list[str]:
    return windows.admit(now).headers.decode().splitlines()


def test_remaining_counts_down_to_429_until_the_next_window() -> None:
    windows = window()
    assert headers(windows, 1003.5) == [
        "X-RateLimit-Limit: 3",
        "X-RateLimit-Remaining: 2",
        "X-RateLimit-Reset: 1010",
    ]
    assert [windows.admit(now).admitted for now in (1003.6, 1009.9, 1009.99, 1010.0)] == [
        True,
        True,
        False,
        True,
    ]
    assert windows.seen() == [
        {"started_at": 1000, "limit": 3, "requests": 4, "ok": 0, "rate_limited": 1, "foreign": 0},
        {"started_at": 1010, "limit": 3, "requests": 1, "ok": 0, "rate_limited": 0, "foreign": 0},
    ]


def test_the_message_names_limit_and_window() -> None:
    windows = window(limit=167)
    assert windows.refusal(windows.admit(5).window) == "Exceeded rate limit of 167 in 10_seconds"


@pytest.mark.parametrize(
    ("settings", "reset"),
    [
        ({}, "1003"),
        ({"reset_rounding": "down"}, "1002"),
        ({"reset_rounding": "none"}, "1002.500"),
        ({"reset_offset_seconds": 3600}, "4603"),
        ({"reset_offset_seconds": -60}, "943"),
    ],
)
def test_reset_is_rounded_and_shifted_as_configured(settings: dict[str, Any], reset: str) -> None:
    assert headers(window(window_seconds=2.5, **settings), 1001)[2] == f"X-RateLimit-Reset: {reset}"


def test_retry_after_can_be_a_date() -> None:
    windows = window(limit=0, retry_after="date")
    assert "Retry-After: Thu, 01 Jan 1970 00:16:50 GMT" in headers(windows, 1003)


def test_other_apps_use_up_the_window_too() -> None:
    windows = window(limit=100, foreign_per_second=10, foreign_at_start=5)
    assert [headers(windows, now)[1] for now in (1000, 1001, 1001)] == [
        "X-RateLimit-Remaining: 94",
        "X-RateLimit-Remaining: 83",
        "X-RateLimit-Remaining: 82",
    ]
    assert windows.admit(1009.5).admitted is False


def test_the_limit_changes_in_the_middle() -> None:
    windows = window(limit=100, limit_changes=[(2, 3)])
    assert [headers(windows, 1000)[:2] for _ in range(3)] == [
        ["X-RateLimit-Limit: 100", "X-RateLimit-Remaining: 99"],
        ["X-RateLimit-Limit: 100", "X-RateLimit-Remaining: 98"],
        ["X-RateLimit-Limit: 3", "X-RateLimit-Remaining: 0"],
    ]
