"""What the sandbox has seen, for tests and benchmarks to look at."""

from __future__ import annotations

import hashlib
from collections import Counter, deque
from typing import Any

LOG_LENGTH = 200_000


class Stats:
    """Counts of everything requested of the API since the start or the last reset.

    A request that got no status line (reset, hung, given up by the client) has status 0. Requests of `GET /me` are
    counted apart, in `me_requests` alone, so that `requests` tells what was asked of calls.
    """

    def __init__(self) -> None:
        self.requests = 0
        self.me_requests = 0
        self.by_id: Counter[str] = Counter()
        self.by_status: Counter[int] = Counter()
        self.by_fault: Counter[str] = Counter()
        self.versions: Counter[str] = Counter()
        self.in_flight = 0
        self.max_in_flight = 0
        self.connections = 0
        self.first_request_at: float | None = None
        self.last_request_at: float | None = None
        self.log: deque[tuple[float, str, int]] = deque(maxlen=LOG_LENGTH)
        self._authorizations: Counter[str] = Counter()

    def begin_me(self, authorization: str | None) -> int:
        """Count a request of `GET /me`; gives its number among those."""
        self.me_requests += 1
        self._authorizations[authorization or ""] += 1
        return self.me_requests

    def begin(self, call_id: str, authorization: str | None, version: str | None, now: float) -> tuple[int, int]:
        """Count a request; gives its number among all, and among those for its call."""
        self.requests += 1
        self.by_id[call_id] += 1
        self._authorizations[authorization or ""] += 1
        self.versions[version or ""] += 1
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)
        self.first_request_at = self.first_request_at or now
        self.last_request_at = now
        return self.requests, self.by_id[call_id]

    def end(self, call_id: str, status: int, now: float) -> None:
        self.in_flight -= 1
        self.by_status[status] += 1
        self.log.append((now, call_id, status))

    def as_json(self) -> dict[str, Any]:
        """Everything but the log. A token is only the first half of its SHA-256; "" is none at all."""
        hashed = {_hashed(header): seen for header, seen in self._authorizations.items()}
        return {
            "requests": self.requests,
            "me_requests": self.me_requests,
            "by_id": self.by_id,
            "by_status": self.by_status,
            "by_fault": self.by_fault,
            "in_flight": self.in_flight,
            "max_in_flight": self.max_in_flight,
            "connections": self.connections,
            "authorizations": hashed,
            "versions": self.versions,
            "first_request_at": self.first_request_at,
            "last_request_at": self.last_request_at,
        }


def _hashed(header: str) -> str:
    return header and hashlib.sha256(header.encode(errors="surrogateescape")).hexdigest()[:32]
