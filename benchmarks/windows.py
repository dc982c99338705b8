"""How well the API's windows were used."""

from __future__ import annotations

from typing import Any

WINDOW_SECONDS = 10.0


def full_windows(windows: list[dict[str, Any]], begun_at: float, ended_at: float) -> list[dict[str, Any]]:
    """Those that began and ended between two moments, unix seconds."""
    return [
        window
        for window in windows
        if window["started_at"] >= begun_at and window["started_at"] + WINDOW_SECONDS <= ended_at
    ]


def use_of(run: dict[str, Any]) -> dict[str, Any]:
    """Answers of 200 in the run's full windows by what these allow, and how many windows those are.

    The first window is full if the run's first request came before it; the last one if a request came after it.
    """
    full = full_windows(run["windows"], run["first_request_at"], run["last_request_at"])
    allowed = sum(window["limit"] for window in full)
    return {
        "full_windows": len(full),
        "window_share": sum(window["ok"] for window in full) / allowed if allowed else None,
        "lost": run["ids"] - run["rows"],
    }
