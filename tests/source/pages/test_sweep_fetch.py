"""The fetch by pages alone, over a real socket: what it costs, and that each row is right while calls change."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sandbox import Sandbox
from sources.intercom.chunks import Chunk
from sources.intercom.fetch import Fetch
from sources.intercom.rows.calls import CallRow, normalise, to_batch
from sources.intercom.rows.values import parse_json
from sources.intercom.settings import Settings
from tests.support.examples import up_to

FIRST = 1_000_001


def ids_from(first: int, count: int) -> list[str]:
    return [str(number) for number in range(first, first + count)]


class Fetched:
    """The fetch alone, to its end; `rows` by id, the newest version of each."""

    def __init__(self, api: Sandbox, ids: Iterable[str], **options: Any) -> None:
        options = {"strategy": "auto", **options}
        self.rows: dict[str, dict[str, Any]] = {}
        self.missing: list[str] = []
        self.failed: list[str] = []
        self.twice: list[str] = []
        with Fetch(iter(ids), Settings(base_url=api.url, access_token=api.token), **options) as fetch:
            for chunk in fetch.chunks():
                self._take(chunk)
        assert fetch.failure is None
        self.counts, self.swept = fetch.counts, fetch.swept

    def _take(self, chunk: Chunk) -> None:
        calls = [row for batch in chunk.calls for row in batch.to_pylist()]
        self.twice += [row["id"] for row in calls if row["id"] in self.rows]
        newer = [row for batch in chunk.newer for row in batch.to_pylist()]
        assert all(row["id"] in self.rows for row in newer)
        self.rows |= {row["id"]: row for row in (*calls, *newer)}
        self.missing += [error.call_id for error in chunk.errors if error.is_missing]
        self.failed += [error.call_id for error in chunk.errors if not error.is_missing]


def test_a_small_list_requests_no_page(api: Sandbox) -> None:
    assert Fetched(api, ids_from(1_000_001, 100)).counts.requests == 100
    assert api.requests_for("?page=1") == 0


def test_a_call_that_changed_after_its_page_was_read_does_not_end_the_sweep(api: Sandbox) -> None:
    """It does not say when it was updated; its page, requested again, now shows the same as the call by id."""
    ids = ids_from(FIRST, 600)
    api.reset(limit=None, calls=600, missing_share=0)
    Fetched(api, ids)
    compared = next(call_id for _, call_id, _ in api.log() if call_id in ids)
    api.reset(limit=None, calls=600, missing_share=0, changes=[(4, compared, {"state": "changed"})])
    fetched = Fetched(api, ids)
    assert (fetched.swept, len(fetched.rows), fetched.rows[compared]["state"]) == (True, 600, "changed")
    assert fetched.counts.requests <= 24 + 5 + 1 + 2


@pytest.mark.parametrize("status", [403, 404, 400])
def test_refused_pages_are_replaced_by_requests_by_id(api: Sandbox, status: int) -> None:
    api.reset(limit=None, list_status=status, missing_share=0)
    fetched = Fetched(api, ids_from(1_000_001, 550))
    assert (len(fetched.rows), fetched.counts.requests, fetched.swept) == (550, 551, False)


def test_calls_that_are_added_deleted_or_changed_during_a_sweep_are_right(api: Sandbox) -> None:
    chance = Random(3)
    ids = ids_from(1_000_001, 3_000)
    deletions = [(chance.randrange(1, 150), call_id) for call_id in chance.sample(ids, 100)]
    changed = chance.sample(ids, 300)
    changes = [
        (at, call_id, {"state": f"changed {at}", "updated_at": 1_900_000_000 + at})
        for call_id in changed
        for at in sorted((chance.randrange(1, 150), chance.randrange(1, 150)))
    ]
    api.reset(
        limit=None,
        calls=3_000,
        missing_share=0,
        arriving=200,
        list_descending=True,
        deletions=deletions,
        changes=changes,
    )
    fetched = Fetched(api, ids, chunk_size=200)
    assert fetched.swept
    assert set(fetched.rows) | set(fetched.missing) == set(ids)
    assert set(fetched.rows) & set(fetched.missing) == set()
    assert fetched.twice == []
    assert set(fetched.missing) <= {call_id for _, call_id in deletions} | set(ids[-200:])
    states = {call_id: {f"changed {at}" for at, each, _ in changes if each == call_id} for call_id in changed}
    told = {call_id: row["state"] for call_id, row in fetched.rows.items() if row["state"].startswith("changed")}
    assert told
    assert all(state in states[call_id] for call_id, state in told.items())


TRANSIENT = ["status:500", "status:503", "bare:502", "html:504", "reset", "reset_mid", "cut", "close", "slow:0.05"]


TRANSIENT += ["not_json", "html200", "empty200", "broken_gzip"]


@settings(
    max_examples=up_to(12),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    chance=st.randoms(use_true_random=False),
    wanted=st.sampled_from(["all", "half", "newest", "scattered"]),
    strategy=st.sampled_from(["sweep", "auto"]),
    chunk_size=st.sampled_from([None, 40, 200]),
    fault_share=st.sampled_from([0, 0.05, 0.15]),
    pages=st.dictionaries(
        st.integers(1, 26).map("?page={}".format),
        st.lists(st.sampled_from([*TRANSIENT, "status:400", "array200", "other_call"]), min_size=1, max_size=3),
        max_size=5,
    ),
    api_pages=st.fixed_dictionaries(
        {
            "list_order": st.sampled_from(["id", "text", "created_at", "none", "reshuffled"]),
            "list_descending": st.booleans(),
            "list_disorder": st.sampled_from([0, 30]),
            "list_per_page": st.sampled_from([25, 25, 10]),
            "list_total": st.sampled_from([None, None, 0, 300, 4_000]),
            "list_repeats": st.sampled_from([(), (4, 9)]),
            "list_skips": st.sampled_from([(), (2, 6)]),
            "list_status": st.sampled_from([200, 200, 200, 200, 403]),
            "arriving": st.sampled_from([0, 50]),
        }
    ),
)
def test_with_faults_and_changes_at_once_each_row_is_right_at_some_moment(
    api: Sandbox,
    chance: Random,
    wanted: str,
    strategy: str,
    chunk_size: int | None,
    fault_share: float,
    pages: dict[str, list[str]],
    api_pages: dict[str, Any],
) -> None:
    """Calls are added, changed and deleted and requests fail, between any two requests; retries are not counted."""
    there = ids_from(FIRST, 600)
    ids = {"all": there, "half": there[::2], "newest": there[-150:], "scattered": chance.sample(there, 60)}[wanted]
    world = {"limit": None, "calls": 600, "missing": ids[3:5], "missing_share": 0}
    deleted = chance.sample(ids, 10)
    versions = {
        call_id: sorted((chance.randrange(1, 300), chance.randrange(1, 300))) for call_id in chance.sample(ids, 30)
    }
    api.reset(
        **world,
        **api_pages,
        deletions=[(chance.randrange(1, 300), call_id) for call_id in deleted],
        changes=[
            (at, call_id, {"state": f"changed {at}", "updated_at": 1_900_000_000 + at})
            for call_id, moments in versions.items()
            for at in moments
        ],
        faults=pages,
        fault_share=fault_share,
        fault_weights=dict.fromkeys(TRANSIENT, 1),
    )
    fetched = Fetched(api, ids, strategy=strategy, chunk_size=chunk_size)
    assert (fetched.failed, fetched.twice) == ([], [])
    assert sorted([*fetched.rows, *fetched.missing]) == sorted(ids)
    seen = api.stats()
    lost = fetched.counts.requests - seen["requests"]  # on their way, on a connection just closed without a word
    assert 0 <= lost <= seen["by_fault"].get("close", 0)
    assert fetched.counts.requests - fetched.counts.retries <= 1.2 * len(ids) + 20

    api.reset(**world)
    unchanged = Fetched(api, ids, strategy="by-id")
    late = there[600 - api_pages["arriving"] :]
    assert set(unchanged.missing) <= set(fetched.missing) <= {*unchanged.missing, *deleted, *late}
    for call_id, row in fetched.rows.items():
        expected = [unchanged.rows[call_id]] + [
            {**unchanged.rows[call_id], "state": f"changed {at}", "updated_at": moment(1_900_000_000 + at)}
            for at in versions.get(call_id, ())
        ]
        assert without_fetched_at(row) in map(without_fetched_at, expected)


def moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def without_fetched_at(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "_fetched_at"}


def test_pages_are_retried_by_the_same_policy(api: Sandbox) -> None:
    faults = {
        "?page=2": ["status:503", "cut"],
        "?page=3": ["not_json"],
        "?page=5": ["status:429"],
        "?page=7": ["reset"],
    }
    api.reset(limit=None, calls=1_000, missing_share=0, faults=faults)
    fetched = Fetched(api, ids_from(1_000_001, 1_000))
    assert (len(fetched.rows), fetched.swept, fetched.counts.retries) == (1_000, True, 5)
    assert fetched.counts.requests == api.stats()["requests"] <= 60


def test_a_page_that_is_too_large_is_skipped_and_its_calls_are_fetched_by_id(api: Sandbox) -> None:
    api.reset(limit=None, calls=1_000, missing_share=0, faults={"?page=9": ["huge:9000000"]})
    fetched = Fetched(api, ids_from(FIRST, 1_000))
    assert (len(fetched.rows), fetched.swept, fetched.counts.retries) == (1_000, True, 0)
    assert api.requests_for("?page=9") == 1
    assert fetched.counts.requests <= 40 + 25 + 8


def test_impossible_ids_and_totals_on_a_page_do_not_end_a_sweep(api: Sandbox) -> None:
    """Ids of more digits than Python's `int` reads, impossible counts: the other calls on the page are loaded."""
    calls = ",".join(['{"type":"call","id":"' + "9" * 5000 + '"}', '{"id":1e999999999999999998}', '{"id":-0}'] * 8)
    page = f'{{"type":"list","data":[{calls}],"total_count":1000,"pages":{{"total_pages":40}}}}'
    api.reset(limit=None, calls=1_000, missing_share=0, bodies={"?page=1": page})
    fetched = Fetched(api, ids_from(FIRST, 1_000))
    assert (len(fetched.rows), fetched.failed) == (1_000, [])
    for total in ("9" * 5000, "-1", "1e999999999999999998", "1e-5", '"40"', "null"):
        page = f'{{"type":"list","data":[],"total_count":{total},"pages":{{"total_pages":{total}}}}}'
        api.reset(limit=None, calls=600, missing_share=0, bodies={"?page=1": page})
        fetched = Fetched(api, ids_from(FIRST, 600))
        assert (len(fetched.rows), fetched.failed) == (600, []), total


def test_a_sweep_keeps_to_the_rate_limit(api: Sandbox) -> None:
    api.reset(limit=20, window_seconds=1, calls=2_000, missing_share=0)
    fetched = Fetched(api, ids_from(1_000_001, 2_000))
    assert (len(fetched.rows), fetched.counts.rate_limited, fetched.swept) == (2_000, 0, True)


def row_of(call_id: str, updated_at: int) -> CallRow:
    body = b'{"type":"call","id":"%s","updated_at":%d}' % (call_id.encode(), updated_at)
    return normalise(parse_json(body), datetime(2026, 1, 1, tzinfo=UTC))


def test_the_newest_version_of_a_call_on_two_pages_is_kept() -> None:
    chunk = Chunk([to_batch([row_of("1", 100), row_of("2", 100)]), to_batch([row_of("3", 100)])])
    chunk.update({"1": row_of("1", 200), "3": row_of("3", 300), "9": row_of("9", 900)})

    def kept(batches: Iterable[Any]) -> list[tuple[str, float]]:
        rows = (row for batch in batches for row in batch.to_pylist())
        return sorted((row["id"], row["updated_at"].timestamp()) for row in rows)

    assert kept(chunk.calls) == [("1", 200), ("2", 100), ("3", 300)]
    assert kept(chunk.newer) == [("9", 900)]
