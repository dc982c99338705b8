"""The ids that a sweep looks for: found by text, and along an order, whatever they look like."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sources.intercom.pages.order import Key, numeric_key, text_key
from sources.intercom.pages.wanted_ids import Wanted

digits = st.integers(0, 10**22).map(str) | st.integers(0, 999).map(lambda number: f"{number:05}")
ids = st.lists(digits | st.text("0aé٣-" + "z" * 3, min_size=1, max_size=40), unique=True)


@given(ids, st.text(max_size=5))
def test_each_id_has_its_number_and_others_have_none(call_ids: list[str], other: str) -> None:
    wanted = Wanted(call_ids)
    assert list(wanted) == call_ids
    assert [wanted.number(call_id) for call_id in call_ids] == list(range(len(call_ids)))
    assert (other in wanted) == (other in call_ids)


@pytest.mark.parametrize("key", [numeric_key, text_key])
@given(call_ids=ids)
def test_along_an_order_they_are_as_sorted_by_it(key: Key, call_ids: list[str]) -> None:
    wanted = Wanted(call_ids)
    along = wanted.along(key)
    keys = [along.keys[place] for place in range(len(call_ids))]
    assert keys == sorted(map(key, call_ids))
    assert [key(call_ids[number]) for number in along.numbers()] == keys
    assert [along.numbers()[along.places[number]] for number in range(len(call_ids))] == list(range(len(call_ids)))


def test_ids_with_the_hash_of_another_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("builtins.hash", len)
    wanted = Wanted(["1", "2", "33", "4"])
    assert [wanted.number(call_id) for call_id in ("4", "33", "1", "2", "5")] == [3, 2, 0, 1, None]
