"""What a run tells from outside: a line a thing for people, a JSON object a line for machines."""

from __future__ import annotations

import json

from sandbox import Sandbox

from .conftest import Project


def test_each_retry_is_a_json_line_with_its_request_id(project: Project, api: Sandbox) -> None:
    api.configure(faults={"1000001": ["status:503", "status:502"]})
    result = project.load("1000001", "-v", "--log-format", "json")
    assert result.exit_code == 0
    lines = [json.loads(line) for line in result.stderr.splitlines()]
    retries = [line for line in lines if line.get("event") == "retry"]
    assert [line["http_status"] for line in retries] == [503, 502]
    assert all(line["request_id"] and line["at"] and line["level"] == "debug" for line in retries)
    assert result.summary["retries"] == 2


def test_a_run_that_fails_says_what_is_safe_and_what_to_type(project: Project, api: Sandbox) -> None:
    api.configure(fault_ranges=[[1, None, "status:500"]])
    env = {"SOURCES__INTERCOM__RETRY_SECONDS": "0.5"}
    as_text = project.load("1000001", env=env)
    assert as_text.exit_code == 1
    assert as_text.stderr.splitlines()[-1].startswith("error: nothing answered usably for 0.5 seconds")
    assert as_text.stderr.endswith("(0 calls were loaded and are safe; the same command goes on)\n")
    as_json = project.load("1000001", "--log-format", "json", env=env)
    last = json.loads(as_json.stderr.splitlines()[-1])
    assert (last["event"], last["level"], last["exit_code"]) == ("end", "error", 1)


def test_a_wait_for_others_is_said(project: Project, api: Sandbox) -> None:
    api.configure(limit=10, foreign_at_start=10, window_seconds=1)
    result = project.load("1000001", env={"SOURCES__INTERCOM__RETRY_SECONDS": "0"})
    assert "most of it by others" in result.stderr
