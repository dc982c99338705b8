"""What a sweep requests, for each kind of list and workspace: the decisions alone, on a workspace in memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from random import Random

import pytest

from sources.intercom.pages.order import Order, PageMap, find_order, numeric_key, text_key
from sources.intercom.pages.sweep import Compare, Sweep
from sources.intercom.pages.verification import Listed, Verdict, Verification

MILLION = [str(number) for number in range(1_000_001, 2_000_001)]
SMALL = MILLION[:42_000]
HEXES = [sha256(call_id.encode()).hexdigest() for call_id in SMALL[:20_000]]


class Swept:
    """A whole sweep, answered in the order of requests; `requests` counts all, those by id included."""

    def __init__(
        self,
        wanted_ids: Sequence[str],
        listed: Sequence[str],
        *,
        forced: bool = False,
        page_size: int = 25,
        total_pages: int | None = None,
        page_at: Callable[[int], Sequence[str]] | None = None,
        at_once: int = 32,
    ) -> None:
        self.notes: list[str] = []
        self.pages: list[int] = []
        self.compared: list[str] = []
        self.kept: list[str] = []
        sweep = Sweep(wanted_ids, forced=forced, tell=self.notes.append)
        total_pages = math.ceil(len(listed) / page_size) if total_pages is None else total_pages
        in_flight: list[int | Compare] = []
        unverified: list[list[Listed]] = []
        self.most_in_flight = 0
        while True:
            while len(in_flight) < at_once and (step := sweep.next()) is not None:
                in_flight.append(step)
            if not in_flight:
                break
            self.most_in_flight = max(self.most_in_flight, len(in_flight))
            step = in_flight.pop(0)
            if isinstance(step, Compare):
                self.compared.append(step.call_id)
                sweep.compared(step.call_id, Verdict.SAME, 1)
            else:
                self.pages.append(step)
                ids = page_at(step) if page_at else listed[(step - 1) * page_size : step * page_size]
                unverified.append([Listed(call_id, 1, 9) for call_id in ids])
                sweep.page_read(step, unverified[-1], total_pages)
            while sweep.is_verified and unverified:
                calls = unverified.pop()
                self.kept += [calls[each.place].call_id for each in sweep.keep(calls)]
        self.rest = list(sweep.rest())
        self.requests = len(self.pages) + len(self.compared) + len(self.rest)


def shuffled(ids: Sequence[str]) -> list[str]:
    return Random(1).sample(ids, len(ids))


def directions(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    yield ids
    yield ids[::-1]


@pytest.mark.parametrize("listed", [SMALL, SMALL[::-1], shuffled(SMALL)], ids=["ascending", "descending", "shuffled"])
def test_nearly_a_whole_workspace_costs_its_pages(listed: Sequence[str]) -> None:
    swept = Swept(Random(2).sample(SMALL, 40_000), listed)
    assert swept.requests <= 1_690
    assert swept.rest == []


@pytest.mark.parametrize("listed", [MILLION, MILLION[::-1]], ids=["ascending", "descending"])
@pytest.mark.parametrize("first", [0, 400_000, 997_000])
def test_one_days_ids_of_a_million_cost_that_days_pages(listed: Sequence[str], first: int) -> None:
    day = MILLION[first : first + 3_000]
    swept = Swept(day, listed)
    assert swept.requests <= 140
    assert (swept.rest, sorted({*swept.kept, *swept.compared} & {*day})) == ([], day)


def test_ids_of_several_days_cost_the_pages_of_those_days() -> None:
    mondays = [call_id for day in range(0, 1_000_000, 50_000) for call_id in MILLION[day : day + 300]]
    for listed in directions(MILLION):
        assert Swept(mondays, listed).requests <= 300


def test_scattered_ids_do_not_end_the_sweep_before_it_reaches_many_in_a_row() -> None:
    wanted_ids = [*Random(3).sample(MILLION[:600_000], 1_000), *MILLION[700_000:702_000]]
    for listed in directions(MILLION):
        assert Swept(wanted_ids, listed).requests <= 1_150


def test_unsorted_ids_of_one_half_of_the_pages_cost_all_pages_at_most() -> None:
    ids = shuffled(SMALL)
    for listed in directions(ids):
        assert Swept(ids[:21_000], listed).requests <= 1_690


def test_scattered_ids_are_fetched_by_id_after_one_page() -> None:
    wanted_ids = Random(3).sample(MILLION, 3_000)
    swept = Swept(wanted_ids, MILLION)
    assert (swept.pages, swept.rest) == ([1], wanted_ids)
    assert "by id" in swept.notes[-1]


def test_three_pages_show_that_there_is_no_order() -> None:
    swept = Swept(SMALL[:1_500], shuffled(SMALL))
    assert (len(swept.pages), len(swept.rest)) == (3, 1_500)
    assert "no order that helps" in swept.notes[-1]


def test_ids_that_are_not_numbers_are_found_by_text() -> None:
    in_order = sorted(HEXES)
    for listed in directions(in_order):
        swept = Swept(in_order[5_000:7_000], listed)
        assert swept.requests <= 110
        assert swept.rest == []


def test_numbers_sorted_as_text_are_found() -> None:
    ids = [str(number) for number in range(9_000, 60_000)]
    swept = Swept(ids[:4_000], sorted(ids))
    assert swept.requests <= 500


def test_unevenly_spaced_ids_are_found() -> None:
    number, ids = 10**9, []
    for step in (Random(4).paretovariate(0.6) for _ in range(100_000)):
        number += int(step) + 1
        ids.append(str(number))
    for listed in directions(ids):
        assert Swept(ids[50_000:53_000], listed).requests <= 200


def test_ids_a_little_out_of_order_cost_little_more() -> None:
    chance = Random(5)
    places = {call_id: place + 40 * chance.random() for place, call_id in enumerate(SMALL)}
    swept = Swept(SMALL[20_000:23_000], sorted(SMALL, key=places.__getitem__))
    assert swept.requests <= 200


def test_an_order_that_turns_out_wrong_is_dropped_and_all_pages_are_read() -> None:
    blocks = [SMALL[first : first + 250] for first in range(0, 42_000, 250)]
    mixed = [*blocks[0], *(call_id for block in shuffled_blocks(blocks[1:84]) for call_id in block), *blocks[84]]
    mixed += [call_id for block in [*shuffled_blocks(blocks[85:-1]), blocks[-1]] for call_id in block]
    swept = Swept(Random(6).sample(SMALL, 38_000), mixed)
    assert "the pages are in no order after all" in swept.notes
    assert (swept.requests <= 1_700, swept.rest) == (True, [])


def shuffled_blocks(blocks: Sequence[Sequence[str]]) -> list[Sequence[str]]:
    return Random(7).sample(blocks, len(blocks))


@pytest.mark.parametrize("total_pages", [0, 20, 17_000])
@pytest.mark.parametrize("listed", [SMALL, SMALL[::-1], shuffled(SMALL)], ids=["ascending", "descending", "shuffled"])
def test_a_wrong_total_costs_little(listed: Sequence[str], total_pages: int) -> None:
    swept = Swept(Random(8).sample(SMALL, 40_000), listed, total_pages=total_pages)
    assert swept.requests <= 1_850
    assert swept.rest == []


def test_an_impossible_total_costs_a_few_pages() -> None:
    wanted_ids = Random(8).sample(SMALL, 40_000)
    assert Swept(wanted_ids, SMALL, total_pages=10**18).requests <= 40_010
    assert Swept(wanted_ids, shuffled(SMALL), total_pages=10**18, forced=True).requests <= 2_100


def test_pages_smaller_than_requested_are_counted() -> None:
    swept = Swept(SMALL[:40_000], SMALL, page_size=10)
    assert swept.requests <= 4_020


def test_pages_of_two_are_not_worth_it() -> None:
    swept = Swept(SMALL[:1_000], shuffled(SMALL[:2_000]), page_size=2)
    assert len(swept.pages) <= 3
    assert len(swept.rest) == 1_000


@pytest.mark.parametrize("forced", [False, True])
def test_the_same_page_again_and_again_ends_the_sweep(forced: bool) -> None:
    swept = Swept(SMALL[:2_000], SMALL, page_at=lambda _: SMALL[:25], forced=forced, total_pages=1_680)
    assert swept.requests <= 2_000 * 1.01 + 10 if not forced else swept.requests <= 2_000 * 1.2 + 20
    assert len(swept.rest) == 1_975


def test_a_sweep_ends_when_pages_hold_fewer_ids_than_expected() -> None:
    swept = Swept(SMALL[:20_000], shuffled([*SMALL[:1_000], *(f"{number}" for number in range(5_000_000, 5_200_000))]))
    assert swept.requests <= 20_000 * 1.01 + 10
    assert "fewer of the ids than expected" in swept.notes[-1]


def test_few_pages_are_in_flight_while_they_hold_no_wanted_ids() -> None:
    swept = Swept(SMALL[:3_000], [f"{number}" for number in range(5_000_000, 5_020_000)], forced=True)
    assert len(swept.pages) <= 3 + 460
    swept = Swept(MILLION[:3_000], MILLION, at_once=1_000)
    assert swept.most_in_flight <= 14


def test_a_forced_sweep_costs_little_more_than_by_id() -> None:
    assert Swept(SMALL[:1], SMALL, forced=True).requests <= 21
    assert Swept(["1"], [], forced=True).requests <= 21
    assert Swept(Random(9).sample(MILLION, 3_000), MILLION, forced=True).requests <= 3_620


def test_calls_are_compared_before_a_fourth_page_is_requested() -> None:
    sweep = Sweep(SMALL, tell=lambda _: None)
    for _ in range(3):
        page = sweep.next()
        assert isinstance(page, int)
        listed = [Listed(call_id, 1, 9) for call_id in SMALL[(page - 1) * 25 : page * 25]]
        sweep.page_read(page, listed, 1_680)
    asked = [sweep.next() for _ in range(6)]
    assert [isinstance(each, Compare) for each in asked] == [True] * 5 + [False]
    assert asked[5] is None
    for each in asked[:4]:
        assert isinstance(each, Compare)
        sweep.compared(each.call_id, Verdict.SAME, 1)
        assert sweep.next() is None
    assert isinstance(asked[4], Compare)
    sweep.compared(asked[4].call_id, Verdict.SAME, 1)
    assert isinstance(sweep.next(), int)


# Order


def test_pages_with_disjoint_id_ranges_prove_an_order() -> None:
    first, middle, last = SMALL[:25], SMALL[1_000:1_025], SMALL[-25:]
    assert find_order([(1, first), (50, middle), (99, last)]) == Order(numeric_key, False)
    assert find_order([(1, last), (50, middle), (99, first)]) == Order(numeric_key, True)
    assert find_order([(1, first), (50, last), (99, middle)]) is None
    assert find_order([(1, ["10", "2", "30", "4", "5"]), (2, ["9", "60", "70", "8", "65"])]) == Order(text_key, False)
    assert find_order([(1, first)]) is None
    assert find_order([(1, first), (2, ["9999999"])]) is None, "one id proves nothing"


def test_the_page_of_an_id_is_predicted_from_the_pages_around_it() -> None:
    page_map = PageMap(Order(numeric_key, descending=False))
    page_map.add(1, [str(number) for number in range(100, 110)])
    page_map.add(100, [str(number) for number in range(1090, 1100)])
    assert [page_map.page_of(call_id, 100) for call_id in ("105", "110", "600", "1089", "1095")] == [0, 2, 51, 99, 0]
    page_map.add(51, [str(number) for number in range(640, 650)])
    assert page_map.page_of("645", 100) == 0
    assert 2 <= page_map.page_of("600", 100) <= 50


def test_the_page_of_an_id_is_predicted_with_the_largest_first() -> None:
    page_map = PageMap(Order(numeric_key, descending=True))
    page_map.add(1, [str(number) for number in range(1099, 1089, -1)])
    page_map.add(100, [str(number) for number in range(109, 99, -1)])
    assert [page_map.page_of(call_id, 100) for call_id in ("105", "110", "600", "1089", "1095")] == [0, 99, 50, 2, 0]


# Verification


def listed(*ids: str) -> list[Listed]:
    return [Listed(call_id, 1, len(call_id)) for call_id in ids]


def verify(calls: list[Listed], *verdicts: Verdict) -> bool | None:
    verification = Verification(calls, ())
    for verdict in verdicts:
        call_id = verification.next()
        assert call_id is not None
        verification.record(call_id, verdict)
    return verification.passed


SAME, DIFFERENT, UNKNOWN = Verdict.SAME, Verdict.DIFFERENT, Verdict.UNKNOWN


def test_five_calls_that_are_the_same_are_enough() -> None:
    assert verify(listed(*"abcdefghij"), *[SAME] * 4) is None
    assert verify(listed(*"abcdefghij"), *[SAME] * 5) is True


def test_one_call_that_differs_fails_the_pages() -> None:
    assert verify(listed(*"abcdefghij"), SAME, SAME, DIFFERENT) is False


def test_a_call_that_changed_in_between_is_replaced_by_another() -> None:
    assert verify(listed(*"abcdefghij"), *[UNKNOWN] * 3, *[SAME] * 5) is True
    assert verify(listed(*"abcdefghij"), *[UNKNOWN] * 4, *[SAME] * 4) is False
    assert verify(listed(*"abcd"), *[SAME] * 4) is False, "too few to compare"


def test_wanted_calls_and_calls_with_many_fields_are_compared_first() -> None:
    verification = Verification(listed("a", "bb", "ccc", "dd", "eeee", "f"), {"a", "f", "dd"})
    assert [verification.next() for _ in range(6)] == ["dd", "f", "a", "eeee", "ccc", None]
