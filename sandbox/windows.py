"""Intercom's rate limit: so many requests in each fixed window, told by three headers."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from email.utils import formatdate
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
        headers = self._headers(window, remaining) + (b"" if admitted else self._retry_after(window, now))
        return Admission(admitted, window, headers)

    def spent(self, window: Window, now: float) -> bytes:
        """The header lines of a 429, as if nothing remained of this window."""
        return self._headers(window, 0) + self._retry_after(window, now)

    def refusal(self, window: Window) -> str:
        """The message of a 429, word for word Intercom's."""
        return f"Exceeded rate limit of {window.limit} in {self.settings.window_seconds:g}_seconds"

    def seen(self) -> list[dict[str, Any]]:
        """Every window that had a request, oldest first."""
        return [asdict(window) for window in self._windows]

    def _window(self, now: float) -> Window:
        length = self.settings.window_seconds
        started_at = math.floor(now / length) * length
        if not self._windows or self._windows[-1].started_at != started_at:
            self._windows.append(Window(started_at, self.settings.limit))
        return self._windows[-1]

    def _limit(self) -> int | None:
        limit = self.settings.limit
        for requests, changed in self.settings.limit_changes:
            if self.requests > requests:
                limit = changed
        return limit

    def _headers(self, window: Window, remaining: int) -> bytes:
        settings = self.settings
        if window.limit is None or not settings.rate_headers:
            return b""
        reset_at = window.started_at + settings.window_seconds + settings.reset_offset_seconds
        values = {"Limit": window.limit, "Remaining": remaining, "Reset": self._reset(reset_at)}
        values |= settings.rate_header_values
        return "".join(f"X-RateLimit-{name}: {value}\r\n" for name, value in values.items()).encode()

    def _retry_after(self, window: Window, now: float) -> bytes:
        ends_at = window.started_at + self.settings.window_seconds
        match self.settings.retry_after:
            case "seconds":
                return f"Retry-After: {max(1, math.ceil(ends_at - now))}\r\n".encode()
            case "date":
                return f"Retry-After: {formatdate(math.ceil(ends_at), usegmt=True)}\r\n".encode()
            case _:
                return b""

    def _reset(self, reset_at: float) -> str:
        match self.settings.reset_rounding:
            case "up":
                return str(math.ceil(reset_at))
            case "down":
                return str(math.floor(reset_at))
            case _:
                return f"{reset_at:.3f}"
