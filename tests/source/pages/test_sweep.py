"""What a sweep asks for, by the kind of list and of workspace: the decisions alone, over a workspace in memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from random import Random

import pytest

from sources.intercom.pages.order import Chart, Order, find_order, numeric_key, text_key
from sources.intercom.pages.sweep import Compare, Sweep
from sources.intercom.pages.verification import Listed, Trust, Verdict

MILLION = [str(number) for number in range(1_000_001, 2_000_001)]
SMALL = MILLION[:42_000]
HEXES = [sha256(call_id.encode()).hexdigest() for call_id in SMALL[:20_000]]


class Swept:
    """A sweep to its end, answers coming in the order of asking; `requests` is all it cost, the rest by id included."""

    def __init__(
        self,
        wanted: Sequence[str],
        listed: Sequence[str],
        *,
        forced: bool = False,
        page_size: int = 25,
        told_pages: int | None = None,
        page_at: Callable[[int], Sequence[str]] | None = None,
        at_once: int = 32,
    ) -> None:
        self.notes: list[str] = []
        self.pages: list[int] = []
        self.compared: list[str] = []
        self.had: list[str] = []
        sweep = Sweep(wanted, forced=forced, tell=self.notes.append)
        told = math.ceil(len(listed) / page_size) if told_pages is None else told_pages
        in_flight: list[int | Compare] = []
        self.most_in_flight = 0
        while True:
            while len(in_flight) < at_once and (asked := sweep.next()) is not None:
                in_flight.append(asked)
            if not in_flight:
                break
            self.most_in_flight = max(self.most_in_flight, len(in_flight))
            asked = in_flight.pop(0)
            if isinstance(asked, Compare):
                self.compared.append(asked.call_id)
                sweep.compared(asked.call_id, Verdict.SAME, 1)
                continue
            self.pages.append(asked)
            ids = page_at(asked) if page_at else listed[(asked - 1) * page_size : asked * page_size]
            kept = sweep.page_read(asked, [Listed(call_id, 1, 9) for call_id in ids], told)
            self.had += [ids[each.place] for each in kept]
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
def test_a_days_ids_of_a_million_cost_that_days_pages(listed: Sequence[str], first: int) -> None:
    swept = Swept(MILLION[first : first + 3_000], listed)
    assert swept.requests <= 140
    assert sorted(swept.had) == MILLION[first : first + 3_000]


def test_days_here_and_there_cost_their_pages() -> None:
    mondays = [call_id for day in range(0, 1_000_000, 50_000) for call_id in MILLION[day : day + 300]]
    for listed in directions(MILLION):
        assert Swept(mondays, listed).requests <= 300


def test_strewn_ids_are_asked_for_by_id_after_one_look() -> None:
    wanted = Random(3).sample(MILLION, 3_000)
    swept = Swept(wanted, MILLION)
    assert (swept.pages, swept.rest) == ([1], wanted)
    assert "by id" in swept.notes[-1]


def test_without_an_order_three_pages_are_all_a_look_costs() -> None:
    swept = Swept(SMALL[:1_500], shuffled(SMALL))
    assert (len(swept.pages), len(swept.rest)) == (3, 1_500)
    assert "no order that helps" in swept.notes[-1]


def test_ids_that_are_no_numbers_are_found_by_text() -> None:
    in_order = sorted(HEXES)
    for listed in directions(in_order):
        swept = Swept(in_order[5_000:7_000], listed)
        assert swept.requests <= 110
        assert swept.rest == []


def test_numbers_that_are_listed_as_text_are_found() -> None:
    ids = [str(number) for number in range(9_000, 60_000)]
    swept = Swept(ids[:4_000], sorted(ids))
    assert swept.requests <= 500


def test_ids_that_come_in_bursts_are_found_by_halving_where_interpolation_fails() -> None:
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


def test_an_order_that_does_not_hold_is_given_up_and_all_pages_read() -> None:
    blocks = [SMALL[first : first + 250] for first in range(0, 42_000, 250)]
    mixed = [*blocks[0], *(call_id for block in shuffled_blocks(blocks[1:84]) for call_id in block), *blocks[84]]
    mixed += [call_id for block in [*shuffled_blocks(blocks[85:-1]), blocks[-1]] for call_id in block]
    swept = Swept(Random(6).sample(SMALL, 38_000), mixed)
    assert "the pages are in no order after all" in swept.notes
    assert (swept.requests <= 1_700, swept.rest) == (True, [])


def shuffled_blocks(blocks: Sequence[Sequence[str]]) -> list[Sequence[str]]:
    return Random(7).sample(blocks, len(blocks))


@pytest.mark.parametrize("told_pages", [0, 20, 17_000])
@pytest.mark.parametrize("listed", [SMALL, SMALL[::-1], shuffled(SMALL)], ids=["ascending", "descending", "shuffled"])
def test_a_total_that_lies_costs_little(listed: Sequence[str], told_pages: int) -> None:
    swept = Swept(Random(8).sample(SMALL, 40_000), listed, told_pages=told_pages)
    assert swept.requests <= 1_850
    assert swept.rest == []


def test_a_total_that_can_not_be_costs_a_few_pages() -> None:
    wanted = Random(8).sample(SMALL, 40_000)
    assert Swept(wanted, SMALL, told_pages=10**18).requests <= 40_010
    assert Swept(wanted, shuffled(SMALL), told_pages=10**18, forced=True).requests <= 2_100


def test_smaller_pages_than_asked_for_are_reckoned_with() -> None:
    swept = Swept(SMALL[:40_000], SMALL, page_size=10)
    assert swept.requests <= 4_020


def test_pages_of_two_are_not_worth_it() -> None:
    swept = Swept(SMALL[:1_000], shuffled(SMALL[:2_000]), page_size=2)
    assert len(swept.pages) <= 3
    assert len(swept.rest) == 1_000


@pytest.mark.parametrize("forced", [False, True])
def test_the_same_page_again_and_again_ends_the_sweep(forced: bool) -> None:
    swept = Swept(SMALL[:2_000], SMALL, page_at=lambda _: SMALL[:25], forced=forced, told_pages=1_680)
    assert swept.requests <= 2_000 * 1.01 + 10 if not forced else swept.requests <= 2_000 * 1.2 + 20
    assert len(swept.rest) == 1_975


def test_fewer_hits_than_thought_change_its_mind() -> None:
    swept = Swept(SMALL[:20_000], shuffled([*SMALL[:1_000], *(f"{number}" for number in range(5_000_000, 5_200_000))]))
    assert swept.requests <= 20_000 * 1.01 + 10
    assert "fewer of the ids than was thought" in swept.notes[-1]


def test_while_pages_disappoint_few_are_in_flight() -> None:
    swept = Swept(SMALL[:3_000], [f"{number}" for number in range(5_000_000, 5_020_000)], forced=True)
    assert len(swept.pages) <= 3 + 460
    swept = Swept(MILLION[:3_000], MILLION, at_once=1_000)
    assert swept.most_in_flight <= 14


def test_a_forced_sweep_of_a_few_ids_is_bounded() -> None:
    assert Swept(SMALL[:1], SMALL, forced=True).requests <= 21
    assert Swept(["1"], [], forced=True).requests <= 21
    assert Swept(Random(9).sample(MILLION, 3_000), MILLION, forced=True).requests <= 3_620


def test_the_calls_of_pages_are_compared_before_a_fourth_page_is_asked_for() -> None:
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


def test_an_order_is_proven_by_pages_whose_ids_are_apart() -> None:
    first, middle, last = SMALL[:25], SMALL[1_000:1_025], SMALL[-25:]
    assert find_order([(1, first), (50, middle), (99, last)]) == Order(numeric_key, False)
    assert find_order([(1, last), (50, middle), (99, first)]) == Order(numeric_key, True)
    assert find_order([(1, first), (50, last), (99, middle)]) is None
    assert find_order([(1, ["10", "2", "30", "4", "5"]), (2, ["9", "60", "70", "8", "65"])]) == Order(text_key, False)
    assert find_order([(1, first)]) is None
    assert find_order([(1, first), (2, ["9999999"])]) is None, "one id proves nothing"


def test_an_id_is_looked_for_between_the_pages_it_must_be_between() -> None:
    chart = Chart(Order(numeric_key, descending=False), 100)
    chart.add(1, [str(number) for number in range(100, 110)], in_vain=False)
    chart.add(100, [str(number) for number in range(1090, 1100)], in_vain=False)
    assert [chart.where(key) for key in (105, 110, 600, 1089, 1095)] == [None, 2, 51, 99, None]
    chart.add(51, [str(number) for number in range(640, 650)], in_vain=True)
    assert chart.where(645) is None
    assert 2 <= (chart.where(600) or 0) <= 50


def test_of_the_largest_first_the_same() -> None:
    chart = Chart(Order(numeric_key, descending=True), 100)
    chart.add(1, [str(number) for number in range(1099, 1089, -1)], in_vain=False)
    chart.add(100, [str(number) for number in range(109, 99, -1)], in_vain=False)
    assert [chart.where(key) for key in (105, 110, 600, 1089, 1095)] == [None, 99, 50, 2, None]


# Trust


def listed(*ids: str) -> list[Listed]:
    return [Listed(call_id, 1, len(call_id)) for call_id in ids]


def verdicts(trust: Trust, *told: Verdict) -> bool | None:
    for verdict in told:
        call_id = trust.next()
        assert call_id is not None
        trust.told(call_id, verdict)
    return trust.is_earned


SAME, DIFFERENT, UNTOLD = Verdict.SAME, Verdict.DIFFERENT, Verdict.UNTOLD


def test_five_calls_that_are_the_same_earn_trust() -> None:
    assert verdicts(Trust(listed(*"abcdefghij"), ()), *[SAME] * 4) is None
    assert verdicts(Trust(listed(*"abcdefghij"), ()), *[SAME] * 5) is True


def test_one_that_differs_loses_it() -> None:
    assert verdicts(Trust(listed(*"abcdefghij"), ()), SAME, SAME, DIFFERENT) is False


def test_one_that_changed_in_between_is_replaced_by_another() -> None:
    assert verdicts(Trust(listed(*"abcdefghij"), ()), *[UNTOLD] * 3, *[SAME] * 5) is True
    assert verdicts(Trust(listed(*"abcdefghij"), ()), *[UNTOLD] * 4, *[SAME] * 4) is False
    assert verdicts(Trust(listed(*"abcd"), ()), *[SAME] * 4) is False, "too few to compare"


def test_wanted_calls_and_full_ones_are_compared_first() -> None:
    trust = Trust(listed("a", "bb", "ccc", "dd", "eeee", "f"), {"a", "f", "dd"})
    assert [trust.next() for _ in range(6)] == ["dd", "f", "a", "eeee", "ccc", None]
