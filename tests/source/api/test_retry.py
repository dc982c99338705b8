"""Each line of the retry policy, by what the API saw and what the fetch made of it."""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack
from typing import Any

import pytest

from sandbox import Sandbox
from sources.intercom.errors import ApiUnreachable, TokenRefused
from tests.support.fetching import Fetched
from tests.support.hosts import Host

# What may be better the next time, and the most requests it may cost.
PASSING = [
    "reset",
    "reset_mid",
    "cut",
    "wrong_length:10",
    "wrong_length:-10",
    "hang",
    "broken_gzip",
    "empty200",
    "html200",
    "array200",
    "not_json",
    "deep",
    "status:408",
    "status:500",
    "status:502",
    "status:503",
    "status:504",
    "html:500",
    "html:502",
    "bare:503",
]


def test_a_fault_that_passes_costs_one_more_request_and_nothing_else(api: Sandbox) -> None:
    ids = [f"c{number}" for number in range(len(PASSING))]
    api.configure(
        bodies={call_id: {"type": "call", "id": call_id} for call_id in ids},
        faults={call_id: [fault] for call_id, fault in zip(ids, PASSING, strict=True)},
    )
    fetched = Fetched(api, ids)
    assert sorted(fetched.loaded) == sorted(ids)
    assert fetched.errors == {}
    assert fetched.failure is None
    stats = api.stats()
    assert {fault: stats["by_id"][call_id] for call_id, fault in zip(ids, PASSING, strict=True)} == dict.fromkeys(
        PASSING, 2
    )
    assert fetched.counts.retries == 20
    assert fetched.counts.requests == stats["requests"] == 40


# What is recorded of a fault that stays: status, code, the beginning of the message.
STAYING = {
    "reset": (None, "connection", ""),
    "reset_mid": (None, "connection", "ClientPayloadError"),
    "cut": (None, "connection", "ClientPayloadError"),
    "wrong_length:10": (None, "timeout", "no whole answer within"),
    "hang": (None, "timeout", "no whole answer within"),
    "broken_gzip": (None, "connection", ""),
    "empty200": (200, "invalid_json", "the body can't be read"),
    "html200": (200, "invalid_json", "the body can't be read"),
    "array200": (200, "invalid_json", "the body is no JSON object"),
    "not_json": (200, "invalid_json", "the body can't be read"),
    "deep": (200, "invalid_json", "the body can't be read"),
    "status:408": (408, "request_timeout", "Request Timeout"),
    "status:500": (500, "server_error", "Internal Server Error"),
    "status:502": (502, "bad_gateway", "Bad Gateway"),
    "status:503": (503, "service_unavailable", "Service Unavailable"),
    "status:504": (504, "gateway_timeout", "Gateway Timeout"),
    "html:502": (502, None, "<html>"),
}


def test_a_call_that_fails_for_good_is_recorded_while_others_answer(api: Sandbox) -> None:
    ids = [f"c{number}" for number in range(len(STAYING))]
    api.configure(
        bodies={call_id: {"type": "call", "id": call_id} for call_id in [*ids, "good"]},
        faults={call_id: [fault] * 100 for call_id, fault in zip(ids, STAYING, strict=True)},
    )
    fetched = Fetched(api, [*ids, "good"], retry_seconds=2.0, read_timeout_seconds=0.5, connect_timeout_seconds=0.5)
    assert fetched.failure is None
    assert fetched.loaded == ["good"]
    by_id = api.stats()["by_id"]
    for call_id, (fault, (status, code, message)) in zip(ids, STAYING.items(), strict=True):
        error = fetched.errors[call_id]
        assert (error.http_status, error.code) == (status, code), fault
        assert (error.message or "").startswith(message), fault
        assert (error.request_id is None) == (status is None), fault
        assert error.attempts == by_id[call_id] >= 2, fault
    assert fetched.counts.failed == 17
    assert fetched.counts.requests == api.stats()["requests"]


REFUSED = {
    "status:400": (400, "bad_request", "Bad Request"),
    "status:409": (409, "conflict", "Conflict"),
    "status:410": (410, "gone", "Gone"),
    "status:422": (422, "parameter_invalid", "Unprocessable Content"),
    "html:404": (404, None, "<html><head><title>404</title></head>"),
    "redirect": (302, None, "HTTP 302 to http://127.0.0.1:9/elsewhere; set base_url"),
    "redirect:307": (307, None, "HTTP 307 to http://127.0.0.1:9/elsewhere; set base_url"),
    "status:301": (301, "error", "Moved Permanently"),
    "huge": (200, "invalid_json", "the answer is larger than 8388608 bytes"),
    "other_call": (200, "id_mismatch", "asked for call c9, the answer was 1000001"),
}


def test_what_asking_again_would_not_mend_is_asked_once(api: Sandbox) -> None:
    ids = [f"c{number}" for number in range(len(REFUSED))]
    api.configure(
        bodies={call_id: {"type": "call", "id": call_id} for call_id in ids},
        faults={call_id: [fault] * 9 for call_id, fault in zip(ids, REFUSED, strict=True)},
    )
    fetched = Fetched(api, [*ids, "gone"], read_timeout_seconds=20.0)
    assert fetched.failure is None
    for call_id, (fault, (status, code, message)) in zip(ids, REFUSED.items(), strict=True):
        error = fetched.errors[call_id]
        assert (error.http_status, error.code, error.attempts) == (status, code, 1), fault
        assert (error.message or "").startswith(message), fault
        assert error.request_id, fault
    missing = fetched.errors["gone"]
    assert (missing.http_status, missing.code, missing.message) == (404, "not_found", "Resource Not Found")
    assert api.stats()["by_id"] == dict.fromkeys([*ids, "gone"], 1)
    assert (fetched.counts.missing, fetched.counts.failed, fetched.counts.retries) == (1, 10, 0)


@pytest.mark.parametrize(
    ("fault", "settings"),
    [
        ("status:429", {"limit": 100, "window_seconds": 1}),
        ("bare:429", {"limit": None}),
        ("status:429", {"limit": 100, "window_seconds": 1, "rate_headers": False, "retry_after": "seconds"}),
        ("status:429", {"limit": 100, "window_seconds": 2, "rate_headers": False, "retry_after": "date"}),
    ],
    ids=["reset", "no headers", "retry-after seconds", "retry-after date"],
)
def test_a_429_is_waited_for_and_asked_again_once(api: Sandbox, fault: str, settings: dict[str, object]) -> None:
    api.configure(bodies={"a": {"type": "call", "id": "a"}}, faults={"a": [fault]}, **settings)
    fetched = Fetched(api, ["a"], retry_seconds=0.0)
    assert fetched.loaded == ["a"]
    assert (fetched.counts.rate_limited, fetched.counts.retries, fetched.counts.requests) == (1, 1, 2)
    (refused_at, _, first), (_, _, second) = api.log()
    assert (first, second) == (429, 200)
    # the second is of a later window than the first, or a pause later where no header told of windows
    length = float(settings.get("window_seconds", 0.5))  # type: ignore[arg-type]
    answered_at = api.log()[1][0]
    assert answered_at // length > refused_at // length


def test_a_429_storm_of_many_windows_is_outlived_by_what_retry_seconds_allows(api: Sandbox) -> None:
    """The API answers now and then, so it is alive however long one call is put off."""
    api.configure(limit=1, window_seconds=1, bodies={str(n): {"type": "call", "id": str(n)} for n in range(4)})
    fetched = Fetched(api, ["0", "1", "2", "3"], retry_seconds=0.5)
    assert sorted(fetched.loaded) == ["0", "1", "2", "3"]
    assert fetched.failure is None


def test_nothing_but_429_for_longer_than_retry_seconds_ends_the_run(api: Sandbox) -> None:
    api.configure(limit=100, window_seconds=1, fault_ranges=[(1, None, "status:429")])
    fetched = Fetched(api, [str(n) for n in range(1_000_001, 1_000_101)], retry_seconds=1.0)
    assert isinstance(fetched.failure, ApiUnreachable)
    assert "429" in str(fetched.failure)
    assert (fetched.loaded, fetched.errors) == ([], {})
    # one request a window, not a hundred; the sign of life is not asked of an API that never gave one
    assert fetched.counts.rate_limited == fetched.counts.requests == api.stats()["requests"] <= 6


def test_an_api_that_dies_leaves_no_call_recorded_as_failed(api: Sandbox) -> None:
    ids = [str(n) for n in range(1_000_001, 1_001_001)]
    api.configure(missing_share=0, latency_seconds=0.02, fault_ranges=[(101, None, "reset")])
    fetched = Fetched(api, ids, retry_seconds=1.0)
    assert isinstance(fetched.failure, ApiUnreachable)
    assert "1 second" in str(fetched.failure)
    assert "connection" in str(fetched.failure)
    assert len(fetched.loaded) == 100
    assert fetched.errors == {}
    # those in flight went on asking, the rest of the list was left alone
    assert len(api.stats()["by_id"]) <= 250


# Faults by number of request, and the limit of a window of a second.
BLACK_HOLES = [
    pytest.param([(1, None, "hang")], None, id="from the start"),
    pytest.param([(301, None, "hang")], 166, id="from the middle, under a limit"),
    pytest.param([(301, 310, "bare:429"), (311, None, "hang")], 166, id="after refusals", marks=pytest.mark.long),
    pytest.param([(301, None, "reset_mid")], 166, id="answers cut short", marks=pytest.mark.long),
]


@pytest.mark.parametrize(("faults", "limit"), BLACK_HOLES)
def test_an_api_that_accepts_and_never_answers_ends_the_run_after_retry_seconds(
    api: Sandbox, faults: list[tuple[int, int | None, str]], limit: int | None
) -> None:
    """Most requests wait for the budget while one probes: the run has one clock, not each request its own."""
    api.configure(missing_share=0, latency_seconds=0.01, limit=limit, window_seconds=1, fault_ranges=faults)
    began = time.time()
    fetched = Fetched(api, (str(n) for n in range(1_000_001, 1_010_001)), retry_seconds=2.0, read_timeout_seconds=0.5)
    ended = time.time()
    assert isinstance(fetched.failure, ApiUnreachable)
    assert str(fetched.failure).startswith("nothing answered usably for 2 seconds; ")
    assert fetched.errors == {}
    assert len(fetched.loaded) == (faults[0][0] - 1)
    answered = [answered_at for answered_at, _, status in api.log() if status == 200]
    last_usable = answered[len(fetched.loaded) - 1] if fetched.loaded else began
    # sooner by what a last attempt would take, later by the wait for a sign of life
    assert 1.0 <= ended - last_usable <= 2 + 3 + 1.5


def test_a_request_that_is_still_out_ends_with_the_run(api: Sandbox) -> None:
    """The time limit of a request is ten times what the run waits for something usable."""
    api.configure(fault_ranges=[(1, None, "hang")])
    began = time.monotonic()
    fetched = Fetched(api, ["1000001"], retry_seconds=6.0, read_timeout_seconds=60.0)
    assert isinstance(fetched.failure, ApiUnreachable)
    assert str(fetched.failure) == "nothing answered usably for 6 seconds; no answer to any request"
    assert 6 <= time.monotonic() - began < 20


def test_a_call_that_hangs_alone_is_not_the_end_of_the_run(api: Sandbox) -> None:
    """Nothing usable comes while it is waited for; a call that was answered before says that the API is alive."""
    api.configure(bodies={"good": {"type": "call", "id": "good"}}, faults={"bad": ["hang"] * 99})
    fetched = Fetched(api, ["good", "bad"], workers=1, retry_seconds=1.0, read_timeout_seconds=2.0)
    assert fetched.failure is None
    assert (fetched.loaded, fetched.errors["bad"].code) == (["good"], "timeout")


def test_with_one_worker_a_first_call_that_fails_for_good_does_not_hold_up_the_rest(api: Sandbox) -> None:
    api.configure(bodies={"good": {"type": "call", "id": "good"}}, statuses={"bad": 500})
    fetched = Fetched(api, ["bad", "good"], workers=1, retry_seconds=1.0)
    assert fetched.failure is None
    assert fetched.loaded == ["good"]
    assert fetched.errors["bad"].http_status == 500
    assert api.stats()["max_in_flight"] == 1


@pytest.mark.parametrize("lost", [0, 1])
def test_a_call_that_fails_alone_at_the_end_is_told_from_an_api_that_died(api: Sandbox, lost: int) -> None:
    """A call that was answered before is requested once more meanwhile, and again where that answer is lost."""
    faults = {"good": ["ok", *["status:503"] * lost]}
    api.configure(bodies={"good": {"type": "call", "id": "good"}}, statuses={"bad": 500}, faults=faults)
    fetched = Fetched(api, ["good", "bad"], workers=1, retry_seconds=0.5)
    assert fetched.failure is None
    assert fetched.loaded == ["good"]
    assert fetched.errors["bad"].code == "server_error"
    assert api.stats()["by_id"] == {"good": 2 + lost, "bad": fetched.errors["bad"].attempts}


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_token_ends_the_fetch_at_once_and_keeps_what_came(api: Sandbox, status: int) -> None:
    ids = [str(n) for n in range(1_000_001, 1_000_101)]
    api.configure(missing_share=0, latency_seconds=0.01, fault_ranges=[(51, None, f"status:{status}")])
    fetched = Fetched(api, ids, workers=1)
    assert isinstance(fetched.failure, TokenRefused)
    assert fetched.failure.status == status
    assert fetched.failure.request_id
    assert len(fetched.loaded) == 50
    assert fetched.errors == {}
    assert api.stats()["requests"] == 51


def test_a_slow_drip_is_bounded_by_the_time_limits(api: Sandbox) -> None:
    """Each byte comes well within the time to read; the whole answer would take far longer."""
    api.configure(bodies={"a": {"type": "call", "id": "a"}}, faults={"a": ["drip:0.1"]})
    fetched = Fetched(api, ["a"], read_timeout_seconds=0.5, connect_timeout_seconds=0.5)
    assert fetched.loaded == ["a"]
    assert api.requests_for("a") == 2


def test_nested_beyond_reason_is_refused_and_the_rest_goes_on(api: Sandbox) -> None:
    api.configure(missing_share=0, faults={"1000001": ["deep:1000000"] * 50})
    fetched = Fetched(api, ["1000001", "1000002"], retry_seconds=0.5)
    assert fetched.loaded == ["1000002"]
    assert fetched.errors["1000001"].code == "invalid_json"


def test_no_text_of_the_api_can_keep_an_error_from_being_stored(api: Sandbox) -> None:
    message = '{"type":"error.list","request_id":"r\\u00001","errors":[{"code":"\\ud800","message":"a\\u0000b"}]}'
    api.configure(bodies={"a": message, "b": "\x00nothing"}, statuses={"a": 400, "b": 418})
    fetched = Fetched(api, ["a", "b"])
    error = fetched.errors["a"]
    assert (error.code, error.message, error.request_id) == ("\ufffd", "a\ufffdb", "r\ufffd1")
    assert fetched.errors["b"].message == "\ufffdnothing"


def test_an_error_without_end_is_cut_off(api: Sandbox) -> None:
    api.configure(statuses={"a": 410}, bodies={"a": {"padding": ""}}, faults={"a": ["huge:100000000"]})
    fetched = Fetched(api, ["a"], read_timeout_seconds=20.0)
    assert (fetched.errors["a"].http_status, fetched.errors["a"].attempts) == (410, 1)


def test_a_quarter_of_all_answers_faulty_loses_nothing(api: Sandbox) -> None:
    ids = [str(n) for n in range(1_000_001, 1_000_401)]
    api.configure(missing_share=0, fault_share=0.25)
    fetched = Fetched(api, ids)
    assert fetched.failure is None
    assert fetched.errors == {}
    assert sorted(fetched.loaded) == ids
    assert fetched.counts.requests == api.stats()["requests"] == 400 + fetched.counts.retries


def test_a_fault_is_not_asked_again_at_once(api: Sandbox) -> None:
    """The waits grow from a quarter of a second; so three more requests take at least 1.18 seconds."""
    api.configure(bodies={"a": {"type": "call", "id": "a"}}, faults={"a": ["status:500"] * 3})
    began = time.monotonic()
    assert Fetched(api, ["a"]).loaded == ["a"]
    assert time.monotonic() - began >= 1.18


def test_what_a_cdn_or_a_proxy_in_trouble_answers_is_asked_again(api: Sandbox) -> None:
    statuses = [425, 506, *range(520, 528), 530, 599]
    ids = [f"c{status}" for status in statuses]
    api.configure(
        bodies={call_id: {"type": "call", "id": call_id} for call_id in [*ids, "c501", "c505"]},
        faults={f"c{status}": [f"html:{status}"] for status in [*statuses, 501, 505]},
    )
    fetched = Fetched(api, [*ids, "c501", "c505"])
    assert sorted(fetched.loaded) == sorted(ids)
    assert {call_id: error.http_status for call_id, error in fetched.errors.items()} == {"c501": 501, "c505": 505}


@pytest.mark.parametrize(
    "headers",
    [{"Content-Security-Policy": "default-src 'self' " * 500}, {f"X-Cdn-{number}": "x" for number in range(200)}],
    ids=["one of 9 kB", "two hundred"],
)
def test_large_headers_spoil_no_answer(api: Sandbox, headers: dict[str, str]) -> None:
    with Host(200, '{"type":"call","id":"a"}', headers=headers) as host:
        assert Fetched(api, ["a"], base_url=host.url, retry_seconds=0.5).loaded == ["a"]


def test_a_redirect_says_where_it_points_without_what_could_be_secret(api: Sandbox) -> None:
    location = "https://somebody:passw0rd@eu.example.com:8443/v2/calls/a?signature=5ecret#5ecret"
    for status in (301, 308):
        with Host(status, headers={"Location": location}) as host:
            error = Fetched(api, ["a"], base_url=host.url).errors["a"]
        assert (error.http_status, error.attempts) == (status, 1)
        assert error.message == (
            f"HTTP {status} to https://eu.example.com:8443/v2/calls/a; set base_url to where the API itself answers"
        )
    with Host(302, headers={"Location": "http://[broken"}) as host:
        assert Fetched(api, ["a"], base_url=host.url).errors["a"].message == "HTTP 302 with an empty body"


def test_a_firewall_that_answers_403_is_not_the_token_s_fault(api: Sandbox) -> None:
    """Recorded, and not asked again; where the first twenty answers are all a firewall's, the run ends."""
    api.configure(missing_share=0, fault_ranges=[(2, None, "html:403")])
    ids = [str(n) for n in range(1_000_001, 1_000_101)]
    fetched = Fetched(api, ids, workers=1)
    assert fetched.failure is None
    assert fetched.loaded == ids[:1]
    assert {(error.http_status, error.code, error.attempts) for error in fetched.errors.values()} == {(403, None, 1)}
    api.configure(fault_ranges=[(1, None, "html:403")])
    few = Fetched(api, ids[:19])
    assert (few.failure, len(few.errors)) == (None, 19)
    blocked = Fetched(api, ids, workers=1)
    assert isinstance(blocked.failure, ApiUnreachable)
    assert "a firewall or proxy seems to answer" in str(blocked.failure)
    assert "Something in between answered" in str(blocked.failure)
    assert blocked.counts.requests == 20


def test_a_403_of_intercoms_names_its_cause(api: Sandbox) -> None:
    plan = {"type": "error.list", "request_id": "r1", "errors": [{"code": "api_plan_restricted", "message": "No API"}]}
    api.configure(statuses={"plan": 403, "scope": 403}, bodies={"plan": plan})
    for call_id, cause in (("plan", "the workspace's plan"), ("scope", "the scope read_conversations")):
        failure = Fetched(api, [call_id]).failure
        assert isinstance(failure, TokenRefused)
        assert failure.status == 403
        assert cause in str(failure)


def test_a_token_refused_while_pages_are_read_comes_with_what_to_do(api: Sandbox) -> None:
    api.configure(fault_ranges=[(1, None, "status:401")])
    with pytest.raises(TokenRefused, match="copy it again from Intercom's developer hub"):
        raise Fetched(api, [str(n) for n in range(1_000_001, 1_000_601)], strategy="sweep").failure or AssertionError


def test_a_connection_that_is_never_accepted_is_told_from_an_answer_that_never_comes(api: Sandbox) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, ExitStack() as waiting:
        for _ in range(4):  # its queue is full then, and the kernel answers nobody
            client = waiting.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(full.getsockname())
        url = f"http://127.0.0.1:{full.getsockname()[1]}"
        for connect, read in ((0.5, 5.0), (5.0, 0.5)):
            limits: dict[str, Any] = {"connect_timeout_seconds": connect, "read_timeout_seconds": read}
            fetched = Fetched(api, ["a"], base_url=url, retry_seconds=0.8, **limits)
            assert isinstance(fetched.failure, ApiUnreachable)
            assert str(fetched.failure).endswith("the last: timeout: no connection within 0.5 seconds")
