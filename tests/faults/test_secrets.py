"""The token is in the `Authorization` header to the configured host, and nowhere else.

Every test with a `project` ends in a search for it; here are those that try to get it out.
"""

from __future__ import annotations

import gzip
import json
import pickle
import re
import stat
from pathlib import Path

import duckdb
import pytest

from sandbox import Sandbox
from tests.conftest import Postgres, Project
from tests.support.hosts import Host
from tests.support.leaks import TOKEN, holds_token, leaks
from tests.support.processes import running


@pytest.fixture
def secretive(project: Project, api: Sandbox) -> Project:
    """A project with two calls that gives up soon; the token is looked for in what each test leaves, by `project`."""
    api.configure(bodies={call_id: {"type": "call", "id": call_id} for call_id in "ab"})
    project.env |= {"SOURCES__INTERCOM__RETRY_SECONDS": "0.5", "SOURCES__INTERCOM__READ_TIMEOUT_SECONDS": "1"}
    return project


def test_a_load_leaves_the_token_nowhere(secretive: Project, api: Sandbox, postgres: Postgres) -> None:
    """In success and in every kind of failed call at once, as loud as it gets, to both databases."""
    elsewhere = "http://127.0.0.1:9/elsewhere"
    api.configure(
        redirect_to=elsewhere,
        faults={
            fault: [fault] * 99
            for fault in (
                "status:500",
                "hang",
                "reset",
                "html200",
                "redirect",
                "not_json",
                "status:410",
                "other_call",
            )
        },
    )
    ids = ["a", "b", "missing", *api.settings.faults]
    for destination in ("duckdb", "postgres"):
        result = secretive.load("-v", "-v", *ids, "--destination", destination)
        assert result.exit_code == 3, result.stderr
        assert result.summary["loaded"] == 2
        assert leaks(secretive.folder, [result.stdout, result.stderr]) == []
    assert b"server_error" in postgres.dump()
    assert not holds_token(postgres.dump())
    # what the search would have found, so that it does not fail to look
    trace, database = secretive.folder / "trace.pickle", secretive.folder / "other.duckdb"
    trace.write_bytes(gzip.compress(pickle.dumps({"token": TOKEN})))
    with duckdb.connect(str(database)) as connection:
        connection.execute("CREATE TABLE kept AS SELECT ? AS what FROM range(9999)", [f"Bearer {TOKEN}"])
    assert leaks(secretive.folder, [f"Bearer {TOKEN}"])[-2:] == [f"printed: Bearer {TOKEN}", f"tables of {database}"]
    assert str(trace) in leaks(secretive.folder, [])
    trace.unlink()
    database.unlink()


@pytest.mark.parametrize(("status", "code"), [(401, 4), (403, 4), (400, 3), (200, 1), (500, 1)])
def test_an_api_that_repeats_the_token_does_not_get_it_written_down(secretive: Project, status: int, code: int) -> None:
    body = '{"type":"error.list","request_id":"HEADERS","errors":[{"code":"HEADERS","message":"got HEADERS"}]}'
    with Host(status, "<p>HEADERS</p>" if status == 200 else body, echo=True) as host:
        result = secretive.load("-v", "-v", "a", env={"SOURCES__INTERCOM__BASE_URL": host.url})
        assert any(TOKEN in asked for asked in host.asked)
    assert result.exit_code == code, result.stderr
    assert "***" in result.stderr


def test_a_call_that_repeats_the_token_is_loaded_without_it_and_reported(secretive: Project) -> None:
    """As a value, a key, within JSON within a text, and escaped as Rails does."""
    escaped = "".join(f"\\u{ord(character):04x}" for character in f"Bearer {TOKEN}")
    body = (
        '{"type":"call","id":"a","state":"HEADERS","note":{"HEADERS":["HEADERS",1.10]},'
        '"text":"{\\"token\\":\\"HEADERS\\"}","escaped":"' + escaped + '"}'
    )
    with Host(200, body, echo=True) as host:
        result = secretive.load("a", env={"SOURCES__INTERCOM__BASE_URL": host.url})
    assert result.exit_code == 0, result.stderr
    [(state, extra)] = secretive.query("SELECT state, extra FROM intercom.calls")
    assert state == "Bearer ***"
    assert json.loads(extra) == {
        "note": {"Bearer ***": ["Bearer ***", 1.1]},
        "text": '{"token":"Bearer ***"}',
        "escaped": "Bearer ***",
    }
    assert result.stderr.count("the API's answers repeat the access token (first: GET /calls/a)") == 1


def test_the_token_does_not_follow_a_redirect(secretive: Project, api: Sandbox) -> None:
    with Host(200, '{"type":"call","id":"a"}') as elsewhere:
        api.configure(redirect_to=elsewhere.url, faults={"a": ["redirect", "redirect:307"]})
        result = secretive.load("a", "b")
        assert elsewhere.asked == []
    assert result.exit_code == 3
    assert secretive.query("SELECT call_id, http_status FROM intercom.call_errors") == [("a", 302)]


def test_netrc_does_not_replace_the_token_and_proxies_do_not_see_it(secretive: Project, api: Sandbox) -> None:
    """~/.netrc does not replace the token; a proxy of the environment does not see what goes to this machine."""
    home = secretive.folder / "home"
    home.mkdir()
    (home / ".netrc").write_text("machine 127.0.0.1 login somebody password else\n")
    (home / ".netrc").chmod(0o600)
    with Host(502) as proxy:
        env = dict.fromkeys(("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"), proxy.url) | {"HOME": str(home)}
        result = secretive.load("a", env=env)
        assert proxy.asked == []
    assert result.exit_code == 0, result.stderr
    assert api.stats()["by_status"] == {"200": 1}


def test_a_proxy_that_refuses_sees_no_token_and_its_password_is_not_shown(secretive: Project) -> None:
    with Host(407) as proxy:
        env = {"HTTPS_PROXY": f"http://somebody:pr0xy-passw0rd@127.0.0.1:{proxy.port}", "NO_PROXY": ""}
        env |= {"https_proxy": env["HTTPS_PROXY"], "no_proxy": ""}
        env |= {"SOURCES__INTERCOM__BASE_URL": "https://api.intercom.invalid"}
        result = secretive.load("-v", "-v", "a", env=env)
        asked = list(proxy.asked)
    assert asked
    assert asked[0].startswith("CONNECT api.intercom.invalid:443")
    assert not any(TOKEN in text for text in asked)
    assert result.exit_code == 1
    assert "407" in result.summary["error"]
    assert "pr0xy-passw0rd" not in result.stdout + result.stderr


def test_a_host_without_a_certificate_to_trust_never_sees_the_token(secretive: Project) -> None:
    """TLS with a plain server fails; so does the load, and says where."""
    with Host(200) as host:
        env = {"SOURCES__INTERCOM__BASE_URL": host.url.replace("http:", "https:")}
        result = secretive.load("-v", "-v", "a", env=env)
        assert not any(TOKEN in text for text in host.asked)
    assert result.exit_code == 1
    assert "SSL" in result.summary["error"]


def test_the_process_list_does_not_show_the_token(secretive: Project, api: Sandbox) -> None:
    api.configure(latency_seconds=0.3)
    patient = {"SOURCES__INTERCOM__RETRY_SECONDS": "60", "SOURCES__INTERCOM__READ_TIMEOUT_SECONDS": "60"}
    with running(secretive, "a", "b", env=patient, plain=True) as run:
        run.wait_until(lambda: api.stats()["requests"] >= 1)
        command_lines = [Path(f"/proc/{run.process.pid}/cmdline").read_bytes()]
        command_lines += [
            file.read_bytes() for file in Path("/proc").glob("[0-9]*/cmdline") if _is_child(file, run.process.pid)
        ]
        assert not any(holds_token(line) for line in command_lines)
        assert run.end().exit_code == 0


def _is_child(file: Path, parent: int) -> bool:
    try:
        return re.search(rf"^PPid:\s+{parent}$", (file.parent / "status").read_text(), re.MULTILINE) is not None
    except OSError:
        return False


def test_the_working_folder_is_its_owners_alone(secretive: Project) -> None:
    assert secretive.load("a").exit_code == 0
    (working_folder,) = (secretive.folder / ".dlt/data/pipelines").iterdir()
    assert stat.S_IMODE(working_folder.stat().st_mode) == 0o700
