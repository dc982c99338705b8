"""When a chunk is closed: with enough calls, or with what has come once it has waited long enough."""

from __future__ import annotations

import pytest

from sandbox import Sandbox
from sources.intercom import chunks as chunking
from sources.intercom.fetch import Fetch
from sources.intercom.settings import Settings


def sizes_of(api: Sandbox, calls: int, *, chunk_size: int | None = None) -> list[int]:
    """How many calls each chunk held; one request at a time."""
    settings = Settings(base_url=api.url, access_token=api.token)
    ids = (str(1_000_001 + number) for number in range(calls))
    with Fetch(ids, settings, workers=1, chunk_size=chunk_size) as fetch:
        chunks = list(fetch.chunks())
    assert [chunk.is_last for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    sizes = [sum(batch.num_rows for batch in chunk.calls) for chunk in chunks]
    assert sum(sizes) == calls
    return sizes


def test_a_chunk_of_the_users_size_is_closed_by_it_but_for_the_first(
    api: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunking, "CHUNK_SECONDS", 0.01)
    monkeypatch.setattr(chunking, "FEW_SECONDS", 0.02)
    api.reset(limit=None, missing_share=0, latency_seconds=0.02)
    first, *full, _ = sizes_of(api, 50, chunk_size=12)
    assert first < 12
    assert len(full) >= 2
    assert all(size >= 12 for size in full)


def test_few_calls_wait_for_more(api: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunking, "CHUNK_SECONDS", 0.2)
    monkeypatch.setattr(chunking, "FEW_SECONDS", 0.8)
    api.reset(limit=None, missing_share=0, latency_seconds=0.05)
    first, second, *rest = sizes_of(api, 40)  # two seconds and more
    assert first <= 4  # what comes in the time of a full chunk
    assert second > 5
    assert len(rest) <= 2


def test_many_calls_do_not_wait(api: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunking, "CHUNK_SECONDS", 2.0)
    monkeypatch.setattr(chunking, "_FEW", 100)
    api.reset(limit=None, missing_share=0, latency_seconds=[0.0] * 110 + [1.0])
    first, *rest = sizes_of(api, 114)  # the last four come in four seconds
    assert first >= 100
    assert rest


def test_the_first_chunk_is_closed_in_time_however_few_calls_it_has(
    api: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunking, "CHUNK_SECONDS", 0.5)
    api.reset(limit=None, missing_share=0, latency_seconds=[0.01, 0.01, 1.0, 0.01])
    assert sizes_of(api, 4) == [2, 2]


def test_the_first_chunk_may_hold_nothing(api: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunking, "CHUNK_SECONDS", 0.3)
    api.reset(limit=None, missing_share=0, latency_seconds=[1.0, 0.01])
    assert sizes_of(api, 2, chunk_size=5) == [0, 2]
