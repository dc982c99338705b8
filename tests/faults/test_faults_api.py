"""What a scheduler sees of an API that fails: the exit code, the counts, and a command that goes on."""

from __future__ import annotations

import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from sandbox import Sandbox
from sandbox.faults import PASSING
from tests.conftest import Project
from tests.support.processes import running, write_ids

SHORT = {"SOURCES__INTERCOM__RETRY_SECONDS": "1", "SOURCES__INTERCOM__READ_TIMEOUT_SECONDS": "1"}


def _sums_up(summary: dict[str, int]) -> bool:
    parts = ("already_loaded", "loaded", "missing", "failed", "not_reached")
    return summary["requested"] == sum(summary[part] for part in parts)


def test_an_api_that_is_down_is_exit_1_and_no_call_is_blamed(project: Project, api: Sandbox) -> None:
    api.configure(fault_ranges=[(1, None, "status:503")])
    result = project.load("1000001", "1000002", env=SHORT)
    assert result.exit_code == 1
    assert "nothing answered usably for 1 seconds; the last: HTTP 503" in result.summary["error"]
    assert result.stderr.count("error: ") == 1
    assert "Traceback" not in result.stderr
    assert (result.summary["not_reached"], result.summary["failed"]) == (2, 0)
    assert project.query("SELECT count(*) FROM intercom.call_errors") == [(0,)]
    assert project.query("SELECT exit_code, not_reached FROM intercom.load_runs") == [(1, 2)]
    refused = project.load("1000001", env=SHORT | {"SOURCES__INTERCOM__BASE_URL": "http://127.0.0.1:9"})
    assert refused.exit_code == 1
    assert "Connect call failed" in refused.summary["error"]
    assert refused.summary["requests"] == refused.summary["retries"] + 1 + 3  # GET /me is tried three times


def test_an_api_that_dies_in_the_middle_leaves_what_was_received_and_the_same_command_completes(
    project: Project, api: Sandbox
) -> None:
    ids = write_ids(project, 1_000_001, 200)
    api.configure(missing_share=0, latency_seconds=0.02, fault_ranges=[(121, None, "status:502")])
    result = project.load("--ids", ids, env=SHORT)
    assert result.exit_code == 1
    summary = result.summary
    assert (summary["loaded"], summary["failed"], summary["not_reached"]) == (120, 0, 80)
    assert summary["requests"] == api.all_requests()
    assert project.query("SELECT count(*) FROM intercom.calls") == [(120,)]
    assert project.query("SELECT count(*) FROM intercom.call_errors") == [(0,)]
    api.reset(limit=None, missing_share=0)
    again = project.load("--ids", ids, "--refresh", "new", env=SHORT)
    assert again.exit_code == 0, again.stderr
    assert again.summary["requests"] == api.all_requests() == 81
    assert project.query("SELECT count(*), count(DISTINCT id) FROM intercom.calls") == [(200, 200)]


@pytest.mark.parametrize("status", [401, 403])
def test_a_token_refused_in_the_middle_is_exit_4_after_the_received_calls_are_loaded(
    project: Project, api: Sandbox, status: int
) -> None:
    ids = write_ids(project, 1_000_001, 60)
    api.configure(missing_share=0, latency_seconds=0.02, fault_ranges=[(31, None, f"status:{status}")])
    result = project.load("--ids", ids, "--workers", "1", "--chunk-size", "10")
    assert result.exit_code == 4
    assert (result.summary["loaded"], result.summary["not_reached"], result.summary["failed"]) == (30, 30, 0)
    assert _sums_up(result.summary)
    assert result.stderr.count("error: ") == 1
    assert project.query("SELECT count(*) FROM intercom.calls") == [(30,)]


def test_a_firewall_before_the_api_is_exit_1_and_the_token_is_not_blamed(project: Project, api: Sandbox) -> None:
    ids = write_ids(project, 1_000_001, 30)
    api.configure(missing_share=0, fault_ranges=[(1, None, "html:403")])
    result = project.load("--ids", ids, env=SHORT)
    assert result.exit_code == 1
    assert "a firewall or proxy seems to answer" in result.summary["error"]
    assert "token" not in result.summary["error"]
    assert _sums_up(result.summary)
    api.reset(limit=None, missing_share=0)
    again = project.load("--ids", ids, env=SHORT)
    assert (again.exit_code, again.summary["loaded"]) == (0, 30)
    assert project.query("SELECT count(*) FROM intercom.call_errors") == [(0,)]


def test_passing_faults_are_no_failure_and_a_lasting_one_is_exit_3(project: Project, api: Sandbox) -> None:
    api.configure(
        missing_share=0,
        statuses={"1000009": 500},
        faults={
            "1000001": ["status:500", "reset"],
            "1000002": ["cut", "bare:429"],
            "1000003": ["html200", "broken_gzip"],
        },
    )
    result = project.load(*(f"100000{n}" for n in range(1, 10)), env=SHORT | {"SOURCES__INTERCOM__RETRY_SECONDS": "4"})
    assert result.exit_code == 3
    summary = result.summary
    assert (summary["loaded"], summary["failed"], summary["rate_limited"]) == (8, 1, 1)
    assert summary["error"] is None
    assert summary["requests"] == api.all_requests()
    (row,) = project.query("SELECT call_id, http_status, code, message, attempts, request_id FROM intercom.call_errors")
    assert row[:4] == ("1000009", 500, "server_error", "Internal Server Error")
    assert row[4] == api.requests_for("1000009")
    assert row[5]
    api.reset(limit=None, missing_share=0)
    healed = project.load("1000009")
    assert healed.exit_code == 0, healed.stderr
    assert project.query("SELECT count(*) FROM intercom.call_errors") == [(0,)]


def test_a_load_completes_in_spite_of_many_429s(project: Project, api: Sandbox) -> None:
    """Windows that others use up whole, for longer than `retry_seconds`; then there is room again."""
    api.configure(missing_share=0, limit=20, window_seconds=1, foreign_at_start=20)
    ids = write_ids(project, 1_000_001, 30)
    env = {"SOURCES__INTERCOM__RETRY_SECONDS": "60"}
    with running(project, "--ids", ids, env=env) as run:
        run.wait_until(lambda: api.stats()["by_status"].get("429", 0) >= 4)
        api.configure(foreign_at_start=0)
        result = run.end()
    assert result.exit_code == 0, result.stderr
    assert result.summary["loaded"] == 30
    assert result.summary["rate_limited"] == api.stats()["by_status"]["429"]
    assert result.summary["requests"] == api.all_requests()


def test_a_quarter_of_all_answers_faulty_in_every_way_at_once_leaves_the_table_of_a_clean_load(
    project: Project, api: Sandbox
) -> None:
    ids = write_ids(project, 1_000_001, 400)
    assert project.load("--ids", ids, "--dataset", "clean").exit_code == 0
    faulty = {"fault_share": 0.25, "fault_weights": dict.fromkeys(PASSING, 1)}
    api.reset(limit=10_000, window_seconds=1, **faulty)
    result = project.load("--ids", ids, env={"SOURCES__INTERCOM__READ_TIMEOUT_SECONDS": "1"})
    assert result.exit_code == 0, result.stderr
    summary, stats = result.summary, api.stats()
    assert summary["failed"] == 0
    assert summary["requests"] == stats["requests"] + 1 == 401 + summary["retries"] >= 500
    assert _sums_up(summary)
    columns = "* EXCLUDE (_fetched_at, _dlt_load_id)"
    for one, other in (("clean", "intercom"), ("intercom", "clean")):
        assert project.query(f"SELECT {columns} FROM {one}.calls EXCEPT SELECT {columns} FROM {other}.calls") == []
    [(calls, distinct)] = project.query("SELECT count(*), count(DISTINCT id) FROM intercom.calls")
    assert calls == distinct == summary["loaded"] == 400 - summary["missing"]


class _TooLarge(BaseHTTPRequestHandler):
    """A 200 beyond reason with a request id that is no UTF-8, whatever is asked for."""

    def do_GET(self) -> None:
        body = b'{"id":"' + b"1" * 9_000_000
        self.send_response(200)
        self.send_header("X-Request-Id", "id-\xff\xfe")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with suppress(OSError):
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


def test_no_byte_of_a_request_id_ends_a_run(project: Project) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), _TooLarge) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        result = project.load("1", env={"SOURCES__INTERCOM__BASE_URL": f"http://127.0.0.1:{server.server_port}"})
        server.shutdown()
    assert (result.exit_code, result.summary["failed"]) == (3, 1), result.stderr
    errors = project.query("SELECT http_status, code, request_id FROM intercom.call_errors")
    assert errors == [(200, "invalid_json", "id-\ufffd\ufffd")]
