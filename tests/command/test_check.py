"""`intercom-calls check`: each thing that can be wrong has a message of its own, with the fix and an exit code."""

from __future__ import annotations

import os
from typing import Any

import pytest

from sandbox import Sandbox
from tests.conftest import Postgres, Project


def test_all_is_right(project: Project, api: Sandbox) -> None:
    result = project.run("check")
    assert result.exit_code == 0, result.stdout
    assert result.stdout == (
        f"ok    API          {api.url}\n"
        "ok    token        accepted, and may read calls\n"
        "ok    workspace    The sandbox (sandbox1), Europe/Dublin, US\n"
        "ok    API version  2.14\n"
        f"ok    destination  {project.folder}/intercom_calls.duckdb (made by the first load)\n"
    )
    assert (api.stats()["requests"], api.stats()["me_requests"]) == (1, 1)
    assert list(project.folder.iterdir()) == []


@pytest.mark.parametrize("destination", ["duckdb", "postgres"])
def test_a_destination_is_tried_by_writing_and_left_as_it_was(
    destination: str, project: Project, postgres: Postgres
) -> None:
    tables = "SELECT table_schema, table_name FROM information_schema.tables WHERE table_schema LIKE 'intercom%'"
    query = project.query if destination == "duckdb" else postgres.query
    if destination == "duckdb":
        project.run("load", "1000001")
    before = query(tables)
    result = project.run("check", "--destination", destination)
    assert result.exit_code == 0, result.stdout
    assert "dataset intercom: can be written" in result.stdout
    assert query(tables) == before


@pytest.mark.parametrize(
    ("settings", "env", "exit_code", "told"),
    [
        (
            {},
            {
                "SOURCES__INTERCOM__ACCESS_TOKEN": "another-token",
                "DESTINATION__DUCKDB__CREDENTIALS": "/no/such/folder/c.duckdb",
            },
            4,
            [
                "wrong token        not accepted (HTTP 401, Access Token Invalid): copy it again",
                "wrong destination  /no/such/folder can't be written: No such file or directory",
            ],
        ),
        (
            {"forbidden": True},
            {},
            4,
            ["wrong token        may not read calls", "give its app the scope read_conversations"],
        ),
        ({}, {"SOURCES__INTERCOM__API_VERSION": "1.99"}, 2, ["wrong API version  1.99 is none of Intercom's"]),
        ({}, {"SOURCES__INTERCOM__ACCESS_TOKEN": ""}, 2, ["wrong token        no access token: set"]),
        ({"statuses": {"0": 503}}, {}, 1, ["is in trouble (HTTP 503", "?     token"]),
        ({"faults": {"0": ["html:404"]}}, {}, 1, ["does not answer as Intercom does (HTTP 404)"]),
        (
            {},
            {"SOURCES__INTERCOM__BASE_URL": "http://127.0.0.1:1"},
            1,
            ["wrong API          http://127.0.0.1:1", "check the network, HTTPS_PROXY and base_url"],
        ),
        ({}, {"SOURCES__INTERCOM__BASE_URL": "https://api.intercom.invalid"}, 1, ["no address is found for this name"]),
    ],
)
def test_what_is_wrong_is_reported_with_the_fix(
    settings: dict[str, Any],
    env: dict[str, str],
    exit_code: int,
    told: list[str],
    project: Project,
    api: Sandbox,
) -> None:
    api.configure(**settings)
    no_proxy = {name: "" for name in os.environ if name.lower().endswith("_proxy")}
    result = project.run("check", env={**no_proxy, **env})
    for words in told:
        assert words in result.stdout
    assert result.exit_code == exit_code
    assert "-token" not in result.stdout + result.stderr


def test_a_wrong_region_is_given_as_a_cause_of_401() -> None:
    # the regions are fixed hosts of Intercom's, so the answer is judged here without the wire
    from pipelines.commands.check import judge
    from sources.intercom.api.client import Answer
    from sources.intercom.settings import Settings

    settings = Settings()
    settings.region = "eu"
    findings = list(judge(Answer(401, {}, b""), "https://api.eu.intercom.io (region eu)", settings))
    assert "A token of a workspace hosted elsewhere answers 401 too: region is eu" in findings[1].text


def test_the_cause_of_a_403_is_the_plan_the_scope_or_a_firewall() -> None:
    from pipelines.commands.check import judge
    from sources.intercom.api.client import Answer
    from sources.intercom.settings import Settings

    settings = Settings(access_token="x")
    plan = b'{"type":"error.list","errors":[{"code":"api_plan_restricted","message":"No API"}]}'
    for body, subject, words in (
        (plan, "token", "the workspace's plan"),
        (plan.replace(b"api_plan_restricted", b"forbidden"), "token", "the scope read_conversations"),
        (b"<html>blocked</html>", "API", "check base_url and the proxy"),
    ):
        findings = list(judge(Answer(403, {}, body), "https://api.intercom.io (region us)", settings))
        (wrong,) = [finding for finding in findings if finding.exit_code]
        assert (wrong.subject, words in wrong.text) == (subject, True)
