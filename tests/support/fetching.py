"""The fetch alone, in this process, over a real socket: for what needs neither the command nor a database."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sandbox import Sandbox
from sources.intercom.call_requests import CallError
from sources.intercom.chunks import Counts
from sources.intercom.fetch import Fetch, Strategy
from sources.intercom.settings import Settings


class Fetched:
    """What a fetch of `ids` brought, to its end.

    Attributes:
        loaded: the ids answered, in the order in which they came.
        errors: by id.
        failure: what ended it early.
    """

    def __init__(
        self,
        api: Sandbox,
        ids: Iterable[str],
        *,
        workers: int | None = None,
        strategy: Strategy = "by-id",
        **settings: Any,
    ) -> None:
        given: dict[str, Any] = {"base_url": api.url, "access_token": api.token, "read_timeout_seconds": 1.0}
        with Fetch(
            iter(ids), Settings(**{**given, **settings}), workers=workers, chunk_size=10_000, strategy=strategy
        ) as fetch:
            chunk = fetch.take()
        assert chunk.is_last
        self.loaded: list[Any] = [call_id for batch in chunk.calls for call_id in batch.column("id").to_pylist()]
        self.errors: dict[str, CallError] = {error.call_id: error for error in chunk.errors}
        self.counts: Counts = fetch.counts
        self.failure: BaseException | None = fetch.failure
