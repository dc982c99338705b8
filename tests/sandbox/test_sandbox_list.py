"""`GET /calls` of the stand-in: pages in any order, over a workspace that does not hold still."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from sandbox import Sandbox
from sandbox.client import ReceivedAnswer, request

FIRST_TEN = [str(number) for number in range(1_000_001, 1_000_011)]


@pytest.fixture(scope="module")
def running() -> Iterator[Sandbox]:
    with Sandbox(calls=100, missing_share=0, limit=None) as api:
        yield api


@pytest.fixture
def api(running: Sandbox) -> Sandbox:
    running.reset()
    return running


def get(api: Sandbox, path: str, **headers: str) -> ReceivedAnswer:
    return request("GET", f"{api.url}{path}", headers={"Authorization": f"Bearer {api.token}", **headers})


def page(api: Sandbox, number: int = 1, per_page: int = 25) -> Any:
    answer = get(api, f"/calls?page={number}&per_page={per_page}")
    assert answer.status == 200
    return answer.json


def ids(api: Sandbox, number: int = 1, per_page: int = 25) -> list[str]:
    return [call["id"] for call in page(api, number, per_page)["data"]]


def all_ids(api: Sandbox) -> list[str]:
    return [call_id for number in range(1, 5) for call_id in ids(api, number)]


def test_a_page_is_intercoms(api: Sandbox) -> None:
    first = page(api, 1, 10)
    assert [call["id"] for call in first["data"]] == FIRST_TEN
    del first["data"]
    told = {"type": "pages", "page": 1, "per_page": 10, "total_pages": 10}
    assert first == {"type": "list", "total_count": 100, "pages": told}
    assert len(page(api, 1, 1000)["data"]) == 25
    assert page(api, 11, 10)["data"] == []


def test_an_item_is_what_the_call_is_by_id(api: Sandbox) -> None:
    for call in page(api, 2)["data"]:
        assert get(api, f"/calls/{call['id']}").json == call


@pytest.mark.parametrize(
    ("settings", "first"),
    [
        ({"list_descending": True}, "1000100"),
        ({"first_id": 999_950, "list_order": "text"}, "1000000"),
        ({"first_id": 999_950, "list_order": "text", "list_descending": True}, "999999"),
        ({"list_order": "created_at"}, "1000001"),
    ],
)
def test_pages_are_in_the_configured_order(api: Sandbox, settings: dict[str, Any], first: str) -> None:
    api.configure(**settings)
    assert ids(api)[0] == first
    assert len(set(all_ids(api))) == 100


def test_a_shuffle_is_fixed_unless_configured_to_change(api: Sandbox) -> None:
    api.configure(list_order="none")
    assert ids(api) == ids(api) != sorted(ids(api))
    assert len(set(all_ids(api))) == 100
    api.configure(list_order="reshuffled")
    assert ids(api) != ids(api)


def test_ids_can_be_a_little_out_of_the_order_of_time(api: Sandbox) -> None:
    api.configure(list_order="created_at", list_disorder=5)
    listed = [int(call_id) - 1_000_001 for call_id in all_ids(api)]
    assert listed != sorted(listed)
    assert max(abs(place - index) for place, index in enumerate(listed)) <= 5


def test_a_page_can_be_smaller_than_requested_and_the_total_wrong(api: Sandbox) -> None:
    api.configure(list_per_page=4, list_total=1000)
    answer = page(api)
    assert len(answer["data"]) == 4
    assert (answer["total_count"], answer["pages"]["per_page"], answer["pages"]["total_pages"]) == (1000, 4, 250)


def test_a_page_can_repeat_and_skip(api: Sandbox) -> None:
    api.configure(list_repeats=[2], list_skips=[3])
    assert ids(api, 2) == ids(api, 1)
    assert ids(api, 3)[:2] == ["1000051", "1000053"]
    assert len(ids(api, 3)) == 13


def test_calls_arrive_while_it_is_read(api: Sandbox) -> None:
    api.reset(arriving=3, arriving_every=2, list_descending=True)
    assert get(api, "/calls/1000098").status == 404
    assert [ids(api, 1, 1) for _ in range(5)] == [["1000098"], ["1000098"], ["1000099"], ["1000099"], ["1000100"]]
    assert get(api, "/calls/1000100").status == 200


def test_calls_are_deleted_and_change_while_it_is_read(api: Sandbox) -> None:
    api.reset(deletions=[(2, "1000001")], changes=[(3, "1000002", {"state": "odd"}), (4, "1000002", {"state": "even"})])
    assert [ids(api, 1, 1)[0] for _ in range(2)] == ["1000001", "1000002"]
    assert [page(api, 1, 1)["data"][0]["state"] for _ in range(2)] == ["odd", "even"]
    assert get(api, "/calls/1000001").status == 404
    assert get(api, "/calls/1000002").json["state"] == "even"


def test_a_pages_calls_can_differ_from_the_call(api: Sandbox) -> None:
    api.configure(list_fields={"tags": ["a"], "state": "x"}, list_without=["phone"])
    call = page(api)["data"][0]
    assert (call["tags"], call["state"], "phone" in call) == (["a"], "x", False)
    by_id = get(api, f"/calls/{call['id']}").json
    assert ("tags" in by_id, by_id["state"] == "x") == (False, False)


def test_stated_and_missing_calls_are_listed_and_not(api: Sandbox) -> None:
    api.configure(bodies={"a1": {"type": "call", "id": "a1"}, "b": "no JSON"}, missing=["1000001"])
    listed = all_ids(api)
    assert (listed[0], listed[-1], len(listed)) == ("1000002", "a1", 100)


@pytest.mark.parametrize(("status", "code"), [(403, "forbidden"), (404, "not_found")])
def test_the_list_alone_can_be_refused(api: Sandbox, status: int, code: str) -> None:
    api.configure(list_status=status)
    answer = get(api, "/calls")
    assert (answer.status, answer.json["errors"][0]["code"]) == (status, code)
    assert get(api, "/calls/1000001").status == 200


def test_pages_share_windows_faults_and_log_with_calls(api: Sandbox) -> None:
    api.reset(limit=3, window_seconds=1_000_000, faults={"?page=2": ["status:503"]})
    statuses = [get(api, path).status for path in ("/calls?page=2", "/calls?page=2", "/calls/1000001", "/calls")]
    assert statuses == [503, 200, 200, 429]
    assert api.stats()["by_id"] == {"?page=2": 2, "1000001": 1, "?page=1": 1}
    assert get(api, "/calls", Authorization="Bearer wrong").status == 401


def test_what_can_not_be_listed_is_refused(api: Sandbox) -> None:
    with pytest.raises(ValueError, match="list_order is 'sideways'"):
        Sandbox(list_order="sideways")
    with pytest.raises(ValueError, match="list_per_page"):
        Sandbox(list_per_page=0)
