"""What the sandbox can be told, on the command line, in a file, over HTTP or through `Sandbox`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

from .faults import Fault

API_VERSIONS = ("2.14", "2.15", "2.16", "2.17", "Preview", "Unstable")
ROUNDINGS = ("up", "down", "none")
RETRY_AFTERS = ("none", "seconds", "date")
UNTIL = "2026-06-30T18:00:00Z"


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """Everything the sandbox can be told; all of it can change while it runs (`Sandbox.configure`).

    A mapping or list replaces the former one whole. Faults are written as `sandbox.faults` explains.

    Raises:
        ValueError, TypeError: a value can't be; the message names the setting.

    Attributes:
        seed: of everything left to chance; the same seed gives the same calls and the same faults.
        calls: how many calls the workspace holds.
        first_id: the oldest call's id; the others follow one by one.
        until: ISO-8601; the calls are spread over the year before this moment.
        missing_share: share of the ids within the workspace that answer 404.
        missing: ids that answer 404.
        bodies: by id, what a 200 answers: JSON, or text that is sent as it is. Any id will do.
        statuses: by id, the status answered, with Intercom's error body unless `bodies` has one.
        token: the one access token; any other answers 401.
        forbidden: the token lacks its scope: every answer is 403.
        limit: requests a window; None for no limit. Intercom: 1,666 in 10 seconds for 10,000 a minute.
        window_seconds: length of a window; windows are aligned to the epoch.
        limit_changes: (requests seen, new limit) pairs: from then on the new limit holds.
        foreign_per_second: requests a second that the workspace's other apps take from the same windows.
        foreign_at_start: requests they take the moment a window opens.
        rate_headers: whether answers carry `X-RateLimit-*`.
        rate_header_values: literal values instead of the true ones, by `Limit`, `Remaining`, `Reset`.
        retry_after: how a 429 carries `Retry-After`: `none`, `seconds` or `date`.
        reset_rounding: `X-RateLimit-Reset` as whole seconds (`up`, `down`) or as a decimal (`none`).
        reset_offset_seconds: added to `X-RateLimit-Reset`; negative for one that lies in the past.
        clock_skew_seconds: how far this server's clock is ahead of the machine's (windows, reset, `Date`).
        latency_seconds: from request to answer, half of it before the request is counted: a number, or a
            list with one entry for each request, the last of which then holds.
        latency_sigma: spread of a lognormal jitter around `latency_seconds`; 0 for none.
        faults: by id, what happens to its first, second, … request; `ok` once they are used up.
        fault_ranges: (first, last, fault) by number of request, counted from 1; last None for no end.
        fault_share: share of the other answers that one of `fault_weights` strikes, by seed, id and attempt.
        fault_weights: faults and how often each is drawn.
        redirect_to: where the fault `redirect` points.
    """

    seed: int = 1
    calls: int = 10_000
    first_id: int = 1_000_001
    until: str = UNTIL
    missing_share: float = 0.003
    missing: Sequence[str] = ()
    bodies: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    statuses: Mapping[str, int] = dataclasses.field(default_factory=dict)

    token: str = "demo-token"
    forbidden: bool = False

    limit: int | None = 1666
    window_seconds: float = 10
    limit_changes: Sequence[tuple[int, int]] = ()
    foreign_per_second: float = 0
    foreign_at_start: int = 0
    rate_headers: bool = True
    rate_header_values: Mapping[str, str] = dataclasses.field(default_factory=dict)
    retry_after: str = "none"
    reset_rounding: str = "up"
    reset_offset_seconds: float = 0
    clock_skew_seconds: float = 0

    latency_seconds: float | Sequence[float] = 0
    latency_sigma: float = 0

    faults: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)
    fault_ranges: Sequence[tuple[int, int | None, str]] = ()
    fault_share: float = 0
    fault_weights: Mapping[str, float] = dataclasses.field(
        default_factory=lambda: {"status:500": 1, "status:503": 1, "reset": 1, "cut": 1, "not_json": 1}
    )
    redirect_to: str = "http://127.0.0.1:9/elsewhere"

    def __post_init__(self) -> None:
        if self.calls < 0 or self.first_id < 0:
            raise ValueError("calls and first_id can't be negative")
        if self.window_seconds <= 0:
            raise ValueError(f"window_seconds is {self.window_seconds}: it must be above 0")
        if self.reset_rounding not in ROUNDINGS:
            raise ValueError(f"reset_rounding is {self.reset_rounding!r}: it can be {', '.join(ROUNDINGS)}")
        if self.retry_after not in RETRY_AFTERS:
            raise ValueError(f"retry_after is {self.retry_after!r}: it can be {', '.join(RETRY_AFTERS)}")
        if not isinstance(self.latency_seconds, int | float) and not self.latency_seconds:
            raise ValueError("latency_seconds is an empty list: give a number or at least one entry")
        parse_until(self.until)
        for script in self.faults.values():
            if isinstance(script, str):
                raise TypeError(f"faults has {script!r} for an id: give a list of faults")
            for fault in script:
                Fault.parse(fault)
        for _first, _last, fault in self.fault_ranges:
            Fault.parse(fault)
        for fault in self.fault_weights:
            Fault.parse(fault)

    def changed(self, changes: Mapping[str, Any]) -> Self:
        """These settings with `changes` merged in; ValueError names a setting that does not exist."""
        known = {field.name for field in dataclasses.fields(self)}
        if unknown := sorted(changes.keys() - known):
            raise ValueError(f"no such setting: {', '.join(unknown)}; there are {', '.join(sorted(known))}")
        return dataclasses.replace(self, **changes)


def parse_until(until: str) -> datetime:
    """The moment `until` names, in UTC; one without an offset is UTC. ValueError if it is none."""
    moment = datetime.fromisoformat(until)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
