"""The sandbox can go wrong in every way its faults name; seen from the wire."""

from __future__ import annotations

import gzip
import http.client
import socket
import time
import zlib
from collections import Counter
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest

from sandbox import Sandbox
from sandbox.client import ReceivedAnswer, request

CALL = {"type": "call", "id": "1000043", "state": "completed", "duration": None}


@pytest.fixture
def api(running: Sandbox) -> Sandbox:
    running.reset(bodies={"1000043": CALL})
    return running


def get(api: Sandbox, call_id: str) -> ReceivedAnswer:
    return request("GET", f"{api.url}/calls/{call_id}", headers={"Authorization": f"Bearer {api.token}"})


def struck(api: Sandbox, *faults: str, call_id: str = "1000043") -> ReceivedAnswer:
    api.configure(faults={call_id: list(faults)})
    return get(api, call_id)


def wire(api: Sandbox, call_id: str = "1000043") -> socket.socket:
    """A connection on which the call was asked for and nothing was read yet."""
    host, _, port = urlsplit(api.url).netloc.partition(":")
    connection = socket.create_connection((host, int(port)), timeout=30)
    connection.sendall(f"GET /calls/{call_id} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer demo-token\r\n\r\n".encode())
    return connection


def read_to_end(connection: socket.socket) -> bytes:
    read = b""
    while chunk := connection.recv(65_536):
        read += chunk
    return read


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "waited 30 seconds in vain"
        time.sleep(0.02)


def test_latency_is_waited_for(api: Sandbox) -> None:
    api.configure(latency_seconds=[0.3, 0.0])
    started = time.monotonic()
    get(api, "1000043")
    assert time.monotonic() - started >= 0.3


def test_an_empty_sequence_of_latencies_is_refused(api: Sandbox) -> None:
    with pytest.raises(ValueError, match="latency_seconds"):
        api.configure(latency_seconds=[])


def test_a_script_of_faults_is_used_up_one_a_request(api: Sandbox) -> None:
    api.configure(faults={"1000043": ["status:500", "html:502", "ok"]})
    assert [get(api, "1000043").status for _ in range(4)] == [500, 502, 200, 200]
    assert get(api, "1006012").status == 200


def test_a_script_continues_when_other_settings_change(api: Sandbox) -> None:
    api.configure(faults={"1000043": ["status:500", "status:503"]})
    assert get(api, "1000043").status == 500
    api.configure(limit=100)
    assert get(api, "1000043").status == 503


def test_a_status_fault_has_intercoms_body(api: Sandbox) -> None:
    answer = struck(api, "status:503")
    assert (answer.status, answer.json["errors"][0]["code"]) == (503, "service_unavailable")
    assert answer.headers["X-RateLimit-Limit"] == "1666"


def test_a_429_fault_says_that_nothing_remains_or_nothing_at_all(api: Sandbox) -> None:
    assert struck(api, "status:429").headers["X-RateLimit-Remaining"] == "0"
    assert struck(api, "bare:429").headers["X-RateLimit-Remaining"] is None


@pytest.mark.parametrize(
    ("fault", "body"),
    [("empty200", b""), ("not_json", b'{"type":"call","id":'), ("array200", b'[{"type":"call"}]')],
)
def test_a_200_can_be_useless(api: Sandbox, fault: str, body: bytes) -> None:
    answer = struck(api, fault)
    assert (answer.status, answer.body) == (200, body)


def test_a_proxy_answers_html(api: Sandbox) -> None:
    assert struck(api, "html200").body.startswith(b"<html>")
    answer = struck(api, "html:502")
    assert (answer.status, answer.headers["Content-Type"]) == (502, "text/html; charset=utf-8")
    assert b"502" in answer.body


def test_another_call_is_answered(api: Sandbox) -> None:
    assert struck(api, "other_call").json["id"] == "1000001"
    assert struck(api, "other_call", call_id="1000001").json["id"] == "1000002"


def test_unknown_fields_are_returned_with_the_right_ones(api: Sandbox) -> None:
    call = struck(api, "unknown_fields").json
    assert call.items() >= CALL.items()
    assert call["cost_in_cents"] == 123456789012345678901234567890
    assert call["_fetched_at"] == "2020-01-01T00:00:00Z"


def test_values_can_be_odd(api: Sandbox) -> None:
    call = struck(api, "odd_values").json
    assert (call["id"], call["state"], call["initiated_at"]) == ("1000043", "comp\x00leted", True)
    assert call["ended_reason"] == "half \ud800 a pair"


def test_a_body_can_be_deep(api: Sandbox) -> None:
    assert b"[" * 5000 + b"]" * 5000 in struck(api, "deep:5000").body


def test_a_body_can_be_huge(api: Sandbox) -> None:
    answer = struck(api, "huge:3000000")
    assert len(answer.body) == 3_000_000
    assert answer.json["id"] == "1000043"


def test_gzip_can_be_broken(api: Sandbox) -> None:
    answer = struck(api, "broken_gzip")
    assert answer.headers["Content-Encoding"] == "gzip"
    with pytest.raises((OSError, EOFError, zlib.error)):
        gzip.decompress(answer.body)


def test_a_redirect_names_the_configured_url(api: Sandbox) -> None:
    api.configure(redirect_to="http://127.0.0.1:1/stolen")
    answer = struck(api, "redirect")
    assert (answer.status, answer.headers["Location"]) == (302, "http://127.0.0.1:1/stolen")
    assert struck(api, "redirect:307").status == 307


def test_a_length_can_be_wrong(api: Sandbox) -> None:
    api.configure(bodies={"1000043": "0123456789"}, faults={"1000043": ["wrong_length:-3", "wrong_length:5"]})
    assert get(api, "1000043").body == b"0123456"
    with wire(api) as connection:
        assert b"Content-Length: 15\r\n" in connection.recv(65_536)


def test_a_connection_is_reset_before_the_answer(api: Sandbox) -> None:
    api.configure(faults={"1000043": ["reset"]})
    with wire(api) as connection, pytest.raises(ConnectionResetError):
        connection.recv(65_536)
    assert get(api, "1000043").status == 200


def test_a_connection_is_reset_in_the_middle_of_the_answer(api: Sandbox) -> None:
    api.configure(faults={"1000043": ["reset_mid"]})
    with wire(api) as connection:
        assert connection.recv(65_536).startswith(b"HTTP/1.1 200 OK")
        with pytest.raises(ConnectionResetError):
            read_to_end(connection)


def test_an_answer_is_cut(api: Sandbox) -> None:
    with pytest.raises(http.client.IncompleteRead):
        struck(api, "cut")


def test_a_connection_is_closed_after_the_answer_without_a_word(api: Sandbox) -> None:
    api.configure(faults={"1000043": ["close"]})
    with wire(api) as connection:
        answer = read_to_end(connection)
    assert answer.endswith(b"}")
    assert b"Connection: close" not in answer


def test_an_answer_drips(api: Sandbox) -> None:
    api.configure(bodies={"1000043": "0123456789"}, faults={"1000043": ["drip:0.002", "drip:0.002"]})
    with wire(api) as connection:
        assert len(connection.recv(65_536)) < 100
    assert get(api, "1000043").body == b"0123456789"


def test_an_answer_is_slow(api: Sandbox) -> None:
    started = time.monotonic()
    assert struck(api, "slow:0.3").json == CALL
    assert time.monotonic() - started >= 0.3


def test_a_hung_request_is_let_go_with_its_client(api: Sandbox) -> None:
    api.configure(fault_ranges=[[1, 5, "hang"]])
    connections = [wire(api) for _ in range(5)]
    wait_until(lambda: api.stats()["in_flight"] == 5)
    assert get(api, "1000043").status == 200
    for connection in connections:
        connection.close()
    wait_until(lambda: api.stats()["in_flight"] == 0)
    stats = api.stats()
    assert (stats["max_in_flight"], stats["by_status"]) == (6, {"0": 5, "200": 1})


def test_an_api_can_fail_and_recover(api: Sandbox) -> None:
    api.configure(fault_ranges=[[2, 3, "status:503"], [5, None, "reset"]])
    assert [get(api, "1000043").status for _ in range(4)] == [200, 503, 503, 200]
    for _ in range(2):
        with pytest.raises(ConnectionResetError):
            get(api, "1000043")
    api.configure(fault_ranges=[])
    assert get(api, "1000043").status == 200


def test_a_share_of_faults_is_drawn_by_seed_id_and_attempt(api: Sandbox) -> None:
    api.configure(fault_share=0.5, fault_weights={"status:500": 1, "status:503": 3})
    ids = [str(number) for number in range(1_000_001, 1_000_201)]
    drawn = {call_id: get(api, call_id).status for call_id in ids}
    counts = Counter(drawn.values())
    assert 70 < counts[500] + counts[503] < 130
    assert counts[503] > counts[500] > 5
    api.reset(fault_share=0.5, fault_weights={"status:500": 1, "status:503": 3})
    assert {call_id: get(api, call_id).status for call_id in reversed(ids)} == drawn
    assert any(get(api, call_id).status != drawn[call_id] for call_id in ids), "the second attempt draws anew"
