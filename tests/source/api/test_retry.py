"""Each line of the retry policy, by what the API saw and what the fetch made of it."""

from __future__ import annotations

import time

import pytest

from sandbox import Sandbox
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


def test_a_passing_fault_costs_one_more_request_and_nothing_else(api: Sandbox) -> None:
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


def test_what_a_retry_would_not_fix_is_requested_once(api: Sandbox) -> None:
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
def test_after_a_429_the_request_waits_and_is_retried_once(
    api: Sandbox, fault: str, settings: dict[str, object]
) -> None:
    api.configure(bodies={"a": {"type": "call", "id": "a"}}, faults={"a": [fault]}, **settings)
    fetched = Fetched(api, ["a"], retry_seconds=0.0)
    assert fetched.loaded == ["a"]
    assert (fetched.counts.rate_limited, fetched.counts.retries, fetched.counts.requests) == (1, 1, 2)
    (refused_at, _, first), (_, _, second) = api.log()
    assert (first, second) == (429, 200)
    # the second is of a later window than the first, or a pause later without headers
    length = float(settings.get("window_seconds", 0.5))  # type: ignore[arg-type]
    answered_at = api.log()[1][0]
    assert answered_at // length > refused_at // length


def test_429s_for_many_windows_do_not_end_the_run_while_some_requests_succeed(api: Sandbox) -> None:
    """The API answers now and then, so it is alive however long one call is put off."""
    api.configure(limit=1, window_seconds=1, bodies={str(n): {"type": "call", "id": str(n)} for n in range(4)})
    fetched = Fetched(api, ["0", "1", "2", "3"], retry_seconds=0.5)
    assert sorted(fetched.loaded) == ["0", "1", "2", "3"]
    assert fetched.failure is None


def test_a_slow_drip_is_bounded_by_the_time_limits(api: Sandbox) -> None:
    """Each byte comes well within the time to read; the whole answer would take far longer."""
    api.configure(bodies={"a": {"type": "call", "id": "a"}}, faults={"a": ["drip:0.1"]})
    fetched = Fetched(api, ["a"], read_timeout_seconds=0.5, connect_timeout_seconds=0.5)
    assert fetched.loaded == ["a"]
    assert api.requests_for("a") == 2


def test_a_body_nested_too_deeply_is_refused_and_the_rest_continues(api: Sandbox) -> None:
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


def test_a_huge_error_body_is_cut_off(api: Sandbox) -> None:
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


def test_a_fault_is_not_retried_at_once(api: Sandbox) -> None:
    """The waits grow from a quarter of a second; so three more requests take at least 1.18 seconds."""
    api.configure(bodies={"a": {"type": "call", "id": "a"}}, faults={"a": ["status:500"] * 3})
    began = time.monotonic()
    assert Fetched(api, ["a"]).loaded == ["a"]
    assert time.monotonic() - began >= 1.18


def test_errors_of_a_cdn_or_a_proxy_are_retried(api: Sandbox) -> None:
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
def test_answers_with_large_headers_are_read(api: Sandbox, headers: dict[str, str]) -> None:
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
