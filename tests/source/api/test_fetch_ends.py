"""What ends a fetch early, and what does not: an API that no longer answers, a refused token, a firewall."""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack
from typing import Any

import pytest

from sandbox import Sandbox
from sources.intercom.errors import ApiUnreachable, TokenRefused
from tests.support.fetching import Fetched


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


def test_a_request_in_flight_ends_with_the_run(api: Sandbox) -> None:
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


def test_with_one_worker_a_first_call_that_always_fails_does_not_stop_the_rest(api: Sandbox) -> None:
    api.configure(bodies={"good": {"type": "call", "id": "good"}}, statuses={"bad": 500})
    fetched = Fetched(api, ["bad", "good"], workers=1, retry_seconds=1.0)
    assert fetched.failure is None
    assert fetched.loaded == ["good"]
    assert fetched.errors["bad"].http_status == 500
    assert api.stats()["max_in_flight"] == 1


@pytest.mark.parametrize("lost", [0, 1])
def test_a_call_that_fails_alone_at_the_end_does_not_count_as_an_api_that_died(api: Sandbox, lost: int) -> None:
    """A call that was answered before is requested once more meanwhile, and again where that answer is lost."""
    faults = {"good": ["ok", *["status:503"] * lost]}
    api.configure(bodies={"good": {"type": "call", "id": "good"}}, statuses={"bad": 500}, faults=faults)
    fetched = Fetched(api, ["good", "bad"], workers=1, retry_seconds=0.5)
    assert fetched.failure is None
    assert fetched.loaded == ["good"]
    assert fetched.errors["bad"].code == "server_error"
    assert api.stats()["by_id"] == {"good": 2 + lost, "bad": fetched.errors["bad"].attempts}


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_token_ends_the_fetch_at_once_and_keeps_what_was_received(api: Sandbox, status: int) -> None:
    ids = [str(n) for n in range(1_000_001, 1_000_101)]
    api.configure(missing_share=0, latency_seconds=0.01, fault_ranges=[(51, None, f"status:{status}")])
    fetched = Fetched(api, ids, workers=1)
    assert isinstance(fetched.failure, TokenRefused)
    assert fetched.failure.status == status
    assert fetched.failure.request_id
    assert len(fetched.loaded) == 50
    assert fetched.errors == {}
    assert api.stats()["requests"] == 51


def test_a_403_of_a_firewall_does_not_count_as_a_refused_token(api: Sandbox) -> None:
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


def test_a_token_refused_while_pages_are_read_is_reported_with_the_fix(api: Sandbox) -> None:
    api.configure(fault_ranges=[(1, None, "status:401")])
    with pytest.raises(TokenRefused, match="copy it again from Intercom's developer hub"):
        raise Fetched(api, [str(n) for n in range(1_000_001, 1_000_601)], strategy="sweep").failure or AssertionError


def test_a_connection_that_is_never_accepted_is_reported_as_such(api: Sandbox) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, ExitStack() as waiting:
        for _ in range(4):  # its queue is full then, and the kernel accepts no connection
            client = waiting.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(full.getsockname())
        url = f"http://127.0.0.1:{full.getsockname()[1]}"
        for connect, read in ((0.5, 5.0), (5.0, 0.5)):
            limits: dict[str, Any] = {"connect_timeout_seconds": connect, "read_timeout_seconds": read}
            fetched = Fetched(api, ["a"], base_url=url, retry_seconds=0.8, **limits)
            assert isinstance(fetched.failure, ApiUnreachable)
            assert str(fetched.failure).endswith("the last: timeout: no connection within 0.5 seconds")
