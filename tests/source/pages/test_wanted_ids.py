"""The ids that a sweep looks for: found by id, and sorted, whatever they look like."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sources.intercom.pages.order import Key, numeric_key, text_key
from sources.intercom.pages.wanted_ids import WantedIds

digits = st.integers(0, 10**22).map(str) | st.integers(0, 999).map(lambda number: f"{number:05}")
ids = st.lists(digits | st.text("0aé٣-" + "z" * 3, min_size=1, max_size=40), unique=True)


@settings(deadline=None)  # the first call loads Arrow's functions
@given(ids, st.text(max_size=5))
def test_each_id_has_its_index_and_others_have_none(call_ids: list[str], other: str) -> None:
    wanted_ids = WantedIds(call_ids)
    assert list(wanted_ids) == call_ids
    assert [wanted_ids.index(call_id) for call_id in call_ids] == list(range(len(call_ids)))
    assert (other in wanted_ids) == (other in call_ids)


@pytest.mark.parametrize("key", [numeric_key, text_key])
@settings(deadline=None)
@given(call_ids=ids)
def test_ids_are_sorted_by_number_and_by_text(key: Key, call_ids: list[str]) -> None:
    pairs = list(WantedIds(call_ids).sorted_by(key))
    assert [key(call_id) for _, call_id in pairs] == sorted(map(key, call_ids))
    assert sorted(pairs) == list(enumerate(call_ids))


def test_ids_with_the_same_hash_are_not_confused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("builtins.hash", len)
    wanted_ids = WantedIds(["1", "2", "33", "4"])
    assert [wanted_ids.index(call_id) for call_id in ("4", "33", "1", "2", "5")] == [3, 2, 0, 1, None]
