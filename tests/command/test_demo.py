"""`intercom-calls demo`: the first minute."""

from __future__ import annotations

import subprocess
from pathlib import Path

import duckdb

from tests.conftest import COMMAND, Project

ENV = {
    # what a user may have set; the demo must not follow it
    "INTERCOM_ACCESS_TOKEN": "a-real-token",
    "SOURCES__INTERCOM__BASE_URL": "http://127.0.0.1:1",
    "DESTINATION__DUCKDB__CREDENTIALS": "/no/such/folder/real.duckdb",
}


def test_a_database_that_no_demo_made_is_left_alone(project: Project) -> None:
    (project.folder / "intercom_calls.duckdb").write_bytes(b"somebody's")
    result = project.run("demo", "--project", ".")
    assert result.exit_code == 2
    assert "intercom_calls.duckdb is not the demo's; pass --project with another folder" in result.stderr
    assert [file.name for file in project.folder.iterdir()] == ["intercom_calls.duckdb"]


def test_the_first_minute_ends_with_answers_and_commands_that_work(project: Project) -> None:
    path = {"PATH": f"{Path(COMMAND).parent}:/usr/bin:/bin"}
    first = project.run("demo", env=ENV | path)
    assert first.exit_code == 0, first.stderr
    assert "local stand-in of Intercom's Calls API" in first.stderr
    assert "No token is needed, no real data is read" in first.stderr
    assert "1,496 calls in intercom.calls, 4 ids that Intercom has no call for" in first.stdout
    assert "Tue 2026-06-30   91" in first.stdout
    assert "inbound   │ 1,063 │   75.5 %" in first.stdout
    assert "10:00 to 11:00  175" in first.stdout
    assert "\x1b" not in first.stdout + first.stderr
    with duckdb.connect(str(project.folder / "demo" / "intercom_calls.duckdb"), read_only=True) as database:
        assert database.execute("SELECT count(*), count(DISTINCT id) FROM intercom.calls").fetchall() == [(1496, 1496)]

    printed = [line.strip().removeprefix("$ ") for line in first.stdout.splitlines() if line.startswith("  $ ")]
    assert [command.split()[:2] for command in printed] == [
        ["intercom-calls", "status"],
        ["intercom-calls", "demo"],
        ["python", "-c"],
    ]
    status, again, query = (
        subprocess.run(
            command,
            shell=True,
            cwd=project.folder,
            env=project.environment(**path),
            capture_output=True,
            text=True,
            check=False,
        )
        for command in printed
    )
    assert (status.returncode, again.returncode, query.returncode) == (0, 0, 0), status.stderr + again.stderr
    assert "calls        1,496" in status.stdout
    again_told = " ".join(again.stdout.split())
    assert "Nothing new: 1,496 calls were there already and were not asked for again (5 requests" in again_told
    assert "caller_hung_up" in query.stdout
