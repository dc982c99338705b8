"""Intercom's rate limit: so many requests in each fixed window, told by three headers."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from .settings import Settings


@dataclass(slots=True)
class Window:
    """One window and what came in it. `started_at` is unix seconds on the sandbox's clock."""

    started_at: float
    limit: int | None
    requests: int = 0
    ok: int = 0
    rate_limited: int = 0
    foreign: int = 0


@dataclass(frozen=True, slots=True)
class Admission:
    """Whether a request may pass, the window that counted it, and the header lines to answer with."""

    admitted: bool
    window: Window
    headers: bytes


class Windows:
    """Counts requests in windows aligned to the epoch; every request asks `admit` once."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.requests = 0
        self._windows: list[Window] = []

    def admit(self, now: float) -> Admission:
        """Count a request at `now`, unix seconds on the sandbox's clock.

        A request over the limit is answered 429 and uses up nothing.
        """
        settings = self.settings
        window = self._window(now)
        self.requests += 1
        window.requests += 1
        window.limit = self._limit()
        if window.limit is None:
            return Admission(True, window, b"")
        used = window.requests - window.rate_limited - 1
        foreign_due = settings.foreign_at_start + int(settings.foreign_per_second * (now - window.started_at))
        window.foreign = max(window.foreign, min(foreign_due, window.limit - used))
        admitted = used + window.foreign < window.limit
        window.rate_limited += not admitted
        remaining = max(0, window.limit - used - window.foreign - admitted)
        return Admission(admitted, window, self._headers(window, remaining, now, admitted))

    def refusal(self, window: Window) -> str:
        """The message of a 429, word for word Intercom's."""
        return f"Exceeded rate limit of {window.limit} in {self.settings.window_seconds:g}_seconds"

    def seen(self) -> list[dict[str, Any]]:
        """Every window that had a request, oldest first."""
        return [asdict(window) for window in self._windows]

    def _window(self, now: float) -> Window:
        length = self.settings.window_seconds
        started_at = math.floor(now / length) * length
        if not self._windows or self._windows[-1].started_at < started_at:
            self._windows.append(Window(started_at, self.settings.limit))
        return self._windows[-1]

    def _limit(self) -> int | None:
        limit = self.settings.limit
        for requests, changed in self.settings.limit_changes:
            if self.requests > requests:
                limit = changed
        return limit

    def _headers(self, window: Window, remaining: int, now: float, admitted: bool) -> bytes:
        settings = self.settings
        ends_at = window.started_at + settings.window_seconds
        lines = ""
        if settings.rate_headers:
            lines = (
                f"X-RateLimit-Limit: {window.limit}\r\nX-RateLimit-Remaining: {remaining}\r\n"
                f"X-RateLimit-Reset: {self._reset(ends_at + settings.reset_offset_seconds)}\r\n"
            )
        if settings.retry_after and not admitted:
            lines += f"Retry-After: {max(1, math.ceil(ends_at - now))}\r\n"
        return lines.encode()

    def _reset(self, reset_at: float) -> str:
        match self.settings.reset_rounding:
            case "up":
                return str(math.ceil(reset_at))
            case "down":
                return str(math.floor(reset_at))
            case _:
                return f"{reset_at:.3f}"
