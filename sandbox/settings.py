"""What the sandbox can be told, on the command line, in a file, over HTTP or through `Sandbox`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

from .faults import InjectedFault

API_VERSIONS = ("2.14", "2.15", "2.16", "2.17", "Preview", "Unstable")
CHOICES = {
    "reset_rounding": ("up", "down", "none"),
    "retry_after": ("none", "seconds", "date"),
    "list_order": ("id", "text", "created_at", "none", "reshuffled"),
}
LARGEST_PAGE = 25
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
        workspace_id, workspace_name, workspace_timezone, workspace_region: what `GET /me` says; it goes by `/me` in
            `statuses`, `bodies` and `faults`, and is struck by no other fault.
        forbidden: the token lacks its scope: every answer but that to `GET /me` is 403.
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
        arriving: so many of the newest calls come in only while requests are made.
        arriving_every: requests from one of them to the next.
        deletions: (requests seen, id) pairs: from then on that call answers 404.
        changes: (requests seen, id, fields) triples: from then on that call has these values.
        list_order: of `GET /calls`: `id`, `text` (ids as text), `created_at`, `none` (a fixed shuffle) or
            `reshuffled` (another for every request).
        list_descending: newest or largest first.
        list_disorder: with `created_at`: how many places ids are out of the order of time, at most.
        list_per_page: the most calls on a page, whatever is asked for.
        list_total: what `total_count` says, and the number of pages follows; None for the truth.
        list_repeats: pages that hold what the page before them does.
        list_skips: pages on which every other call is left out.
        list_fields, list_without: fields that a page's calls have besides, or lack, others than by id.
        list_status: the status of every page; single pages go by `?page=N` in `statuses`, `bodies`, `faults`.
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
    workspace_id: str = "sandbox1"
    workspace_name: str = "The sandbox"
    workspace_timezone: str = "Europe/Dublin"
    workspace_region: str = "US"
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

    arriving: int = 0
    arriving_every: int = 1
    deletions: Sequence[tuple[int, str]] = ()
    changes: Sequence[tuple[int, str, Mapping[str, Any]]] = ()
    list_order: str = "id"
    list_descending: bool = False
    list_disorder: int = 0
    list_per_page: int = LARGEST_PAGE
    list_total: int | None = None
    list_repeats: Sequence[int] = ()
    list_skips: Sequence[int] = ()
    list_fields: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    list_without: Sequence[str] = ()
    list_status: int = 200

    def __post_init__(self) -> None:
        if self.calls < 0 or self.first_id < 0:
            raise ValueError("calls and first_id can't be negative")
        if self.window_seconds <= 0:
            raise ValueError(f"window_seconds is {self.window_seconds}: it must be above 0")
        for name, known in CHOICES.items():
            if (given := getattr(self, name)) not in known:
                raise ValueError(f"{name} is {given!r}: it can be {', '.join(known)}")
        if not isinstance(self.latency_seconds, int | float) and not self.latency_seconds:
            raise ValueError("latency_seconds is an empty list: give a number or at least one entry")
        if self.arriving_every < 1 or self.list_per_page < 1:
            raise ValueError("arriving_every and list_per_page must be 1 or more")
        parse_until(self.until)
        for script in self.faults.values():
            if isinstance(script, str):
                raise TypeError(f"faults has {script!r} for an id: give a list of faults")
            for fault in script:
                InjectedFault.parse(fault)
        for _first, _last, fault in self.fault_ranges:
            InjectedFault.parse(fault)
        for fault in self.fault_weights:
            InjectedFault.parse(fault)

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
