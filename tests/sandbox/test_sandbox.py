"""What the stand-in of the API promises, asked over a real socket."""

from __future__ import annotations

import http.client
import json
import threading
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import pytest

from sandbox import Sandbox
from sandbox.client import ReceivedAnswer, request

RATE_HEADERS = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")
COMPLETED = {
    "type": "call",
    "id": "1000043",
    "conversation_id": "215470000000546",
    "admin_id": "7410048",
    "contact_id": "f8ce8b8c2bf047d63a3e6673",
    "state": "completed",
    "initiated_at": "2025-07-02T11:04:19Z",
    "answered_at": "2025-07-02T11:06:04Z",
    "ended_at": 1751455023,
    "created_at": "2025-07-02T11:04:19Z",
    "updated_at": "2025-07-02T11:19:02+00:00",
    "recording_url": "https://api.intercom.io/calls/1000043/recording",
    "call_type": "phone",
    "direction": "inbound",
    "ended_reason": "completed",
    "phone": "+442079460338",
    "fin_recording_url": None,
    "fin_transcription_url": None,
}


@pytest.fixture
def api(running: Sandbox) -> Sandbox:
    running.reset()
    return running


def get(api: Sandbox, path: str, **headers: str) -> ReceivedAnswer:
    """One GET of a call id or a path on a connection of its own; `Name_Of_Header` for the header's name."""
    sent = {"Authorization": f"Bearer {api.token}", "Intercom-Version": "2.14"}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    return request("GET", f"{api.url}{path if path.startswith('/') else f'/calls/{path}'}", headers=sent)


def error_code(answer: ReceivedAnswer) -> str:
    assert answer.json["type"] == "error.list"
    assert answer.json["request_id"] == answer.headers["X-Request-Id"]
    return str(answer.json["errors"][0]["code"])


def test_a_call_is_answered_by_seed_and_id(api: Sandbox) -> None:
    assert get(api, "1000043").json == COMPLETED
    api.configure(seed=2)
    assert get(api, "1000043").json != COMPLETED


def test_preview_adds_the_seconds(api: Sandbox) -> None:
    seconds = {"duration": 764, "talk_time": 659, "queue_time": 105, "hold_time": 0}
    assert get(api, "1000043", Intercom_Version="Preview").json == COMPLETED | seconds


def test_an_answer_has_the_headers_of_the_real_one(api: Sandbox) -> None:
    headers = get(api, "1000043", Intercom_Version="2.15").headers
    assert headers["Content-Type"] == "application/json; charset=utf-8"
    assert headers["Intercom-Version"] == "2.15"
    assert len(headers["X-Request-Id"]) == 36
    assert abs((parsedate_to_datetime(headers["Date"]) - datetime.now(UTC)).total_seconds()) < 3000
    assert all(name in headers for name in RATE_HEADERS)


@pytest.mark.parametrize(
    "call_id",
    ["1000225", "1000000", "1010001", "01000043", "abc", "%D9%A1", "..%2F", "9" * 5000],
    ids=["deleted", "before", "after", "zeros", "text", "arabic", "path", "long"],
)
def test_a_call_that_is_not_there_is_404(api: Sandbox, call_id: str) -> None:
    answer = get(api, call_id)
    assert (answer.status, error_code(answer)) == (404, "not_found")


@pytest.mark.parametrize("path", ["/", "/calls/1/2", "/me/"])
def test_an_unknown_path_is_404(api: Sandbox, path: str) -> None:
    assert error_code(get(api, path)) == "not_found"
    assert api.stats()["requests"] == 0


def test_me_returns_the_workspace_and_is_counted_separately(api: Sandbox) -> None:
    api.configure(workspace_id="w1", workspace_name="Acme", forbidden=True, fault_share=1.0)
    answer = get(api, "/me")
    assert (answer.status, answer.json["type"], answer.json["app"]["type"]) == (200, "admin", "app")
    app = {name: answer.json["app"][name] for name in ("id_code", "name", "timezone", "region")}
    assert app == {"id_code": "w1", "name": "Acme", "timezone": "Europe/Dublin", "region": "US"}
    assert error_code(get(api, "/me", Authorization="Bearer wrong")) == "unauthorized"
    api.configure(faults={"/me": ["status:500"]}, statuses={"/me": 403})
    assert [get(api, "/me").status for _ in range(2)] == [500, 403]
    api.configure(statuses={}, bodies={"/me": {"type": "admin"}})
    assert get(api, "/me").json == {"type": "admin"}
    stats = api.stats()
    assert (stats["requests"], stats["me_requests"], api.all_requests(), stats["by_id"]) == (0, 5, 5, {})


# What a test may state literally


def test_a_body_is_answered_as_stated(api: Sandbox) -> None:
    api.configure(bodies={"007": {"type": "call", "id": "007"}, "a b": "not even JSON", "x": []})
    assert get(api, "007").body == b'{"type":"call","id":"007"}'
    assert get(api, "a%20b").body == b"not even JSON"
    assert get(api, "x").body == b"[]"


def test_a_status_is_answered_as_stated(api: Sandbox) -> None:
    api.configure(statuses={"1": 410, "2": 500, "3": 402}, bodies={"2": "odd"}, missing=["1000043"])
    assert (get(api, "1").status, error_code(get(api, "1"))) == (410, "gone")
    assert (get(api, "2").status, get(api, "2").body) == (500, b"odd")
    assert get(api, "3").status == 402
    assert (get(api, "1000043").status, error_code(get(api, "1000043"))) == (404, "not_found")


# Who may ask


@pytest.mark.parametrize("authorization", ["Bearer wrong", "demo-token", "Bearer demo-token ", "bearer demo-token", ""])
def test_a_wrong_token_is_401_without_rate_headers(api: Sandbox, authorization: str) -> None:
    api.configure(token="demo-token-2")
    answer = get(api, "1000043", Authorization=authorization)
    assert (answer.status, error_code(answer)) == (401, "unauthorized")
    assert not any(name in answer.headers for name in RATE_HEADERS)
    assert "demo-token" not in answer.body.decode()
    assert get(api, "1000043").status == 200


def test_a_missing_scope_is_403(api: Sandbox) -> None:
    api.configure(forbidden=True)
    answer = get(api, "1000043")
    assert (answer.status, answer.json["type"]) == (403, "error.list")


def test_an_unknown_version_is_400(api: Sandbox) -> None:
    answer = get(api, "1000043", Intercom_Version="9.99")
    assert (answer.status, error_code(answer)) == (400, "intercom_version_invalid")


# Rate windows


def test_a_429_is_intercoms(api: Sandbox) -> None:
    api.configure(limit=2, window_seconds=1_000_000, retry_after="seconds")
    answers = [get(api, "1000043") for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 429]
    assert [answer.headers["X-RateLimit-Remaining"] for answer in answers] == ["1", "0", "0"]
    assert error_code(answers[2]) == "rate_limit_exceeded"
    assert answers[2].json["errors"][0]["message"] == "Exceeded rate limit of 2 in 1e+06_seconds"
    assert 1 <= int(answers[2].headers["Retry-After"]) <= 1_000_000
    assert answers[0].headers["Retry-After"] is None
    assert [(seen["requests"], seen["ok"], seen["rate_limited"]) for seen in api.stats()["windows"]] == [(3, 2, 1)]


def test_without_a_limit_there_are_no_rate_headers(api: Sandbox) -> None:
    api.configure(limit=None)
    assert get(api, "1000043").headers["X-RateLimit-Limit"] is None


def test_headers_can_be_left_out_or_absurd(api: Sandbox) -> None:
    api.configure(rate_headers=False)
    assert not any(name in get(api, "1000043").headers for name in RATE_HEADERS)
    api.configure(rate_headers=True, rate_header_values={"Reset": "soon", "Remaining": "-5"})
    answer = get(api, "1000043")
    assert [answer.headers[name] for name in RATE_HEADERS] == ["1666", "-5", "soon"]


def test_the_clock_can_be_wrong(api: Sandbox) -> None:
    api.configure(clock_skew_seconds=86_400)
    answer = get(api, "1000043")
    assert (parsedate_to_datetime(answer.headers["Date"]) - datetime.now(UTC)).days in (0, 1)
    assert int(answer.headers["X-RateLimit-Reset"]) > time.time() + 80_000


# Settings and stats


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"latnecy": 1}, "no such setting: latnecy"),
        ({"faults": {"1": ["explode"]}}, "'explode' is no fault"),
        ({"faults": {"1": ["status"]}}, "'status' needs a number"),
        ({"fault_ranges": [[1, None, "status:x"]]}, "'status:x' needs a number"),
        ({"fault_weights": {"rest": 1}}, "'rest' is no fault"),
        ({"window_seconds": 0}, "window_seconds is 0"),
        ({"reset_rounding": "sideways"}, "reset_rounding is 'sideways'"),
        ({"retry_after": "soon"}, "retry_after is 'soon'"),
        ({"until": "yesterday"}, "yesterday"),
        ({"calls": -1}, "calls and first_id"),
    ],
)
def test_what_can_not_be_set_is_refused(api: Sandbox, settings: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        Sandbox(**settings)
    answer = request("POST", f"{api.url}/_sandbox/config", json_body=settings)
    assert answer.status == 400
    assert named in answer.json["error"]
    assert get(api, "1000043").status == 200


def test_stats_count_the_requests(api: Sandbox) -> None:
    get(api, "1000043")
    get(api, "1000043", Intercom_Version="2.16")
    get(api, "nobody", Authorization="Bearer another")
    stats = api.stats()
    assert stats["requests"] == 3
    assert stats["by_id"] == {"1000043": 2, "nobody": 1}
    assert stats["by_status"] == {"200": 2, "401": 1}
    assert stats["versions"] == {"2.14": 2, "2.16": 1}
    assert stats["connections"] == 3
    assert sorted(stats["authorizations"].values()) == [1, 2]
    assert "demo-token" not in json.dumps(stats)
    assert stats["first_request_at"] <= stats["last_request_at"]
    assert (api.requests_for("1000043"), api.requests_for("1006012")) == (2, 0)
    assert [(call_id, status) for _, call_id, status in api.log()] == [
        ("1000043", 200),
        ("1000043", 200),
        ("nobody", 401),
    ]


def test_a_connection_is_kept_and_counted_once(api: Sandbox) -> None:
    connection = http.client.HTTPConnection(urlsplit(api.url).netloc)
    for _ in range(3):
        connection.request("GET", "/calls/1000043", headers={"Authorization": "Bearer demo-token"})
        assert connection.getresponse().read()
    connection.close()
    assert api.stats()["connections"] == 1
    assert api.stats()["versions"] == {"": 3}


def test_a_connection_is_closed_when_the_client_asks_for_it(api: Sandbox) -> None:
    connection = http.client.HTTPConnection(urlsplit(api.url).netloc)
    connection.connect()
    connection.sock.settimeout(30)
    connection.sock.sendall(b"GET /calls/1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    answer = b""
    while received := connection.sock.recv(65_536):
        answer += received
    connection.close()
    assert answer.startswith(b"HTTP/1.1 401 Unauthorized\r\n")


def test_reset_forgets_and_goes_back_to_the_first_settings(api: Sandbox) -> None:
    api.configure(token="other", faults={"1000043": ["status:500"]}, limit=1)
    get(api, "1000043")
    api.reset(seed=2)
    assert api.token == "demo-token"
    assert api.stats()["requests"] == 0
    assert api.stats()["windows"] == []
    answer = get(api, "1000043")
    assert answer.status == 200
    assert answer.json != COMPLETED
    assert answer.headers["X-RateLimit-Remaining"] == "1665"


def test_many_at_once_are_answered_right(api: Sandbox) -> None:
    wrong: list[str] = []

    def ask(first: int) -> None:
        for number in range(first, first + 50):
            answer = get(api, str(number))
            if answer.status == 200 and answer.json["id"] != str(number):
                wrong.append(str(number))

    threads = [threading.Thread(target=ask, args=(1_000_001 + 50 * index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert api.stats()["requests"] == 400
