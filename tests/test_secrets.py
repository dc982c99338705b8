"""The token is in the `Authorization` header to the configured host, and nowhere else."""

from __future__ import annotations

import bz2
import gzip
import pickle
import re
import stat
import threading
import zlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from sandbox import Sandbox

from .conftest import Postgres, Project, Result
from .processes import files_below, running

TOKEN = "dG9rOjRmYzE5N2QwX3NlY3JldF9vZl90aGVfdGVzdHNfbmV2ZXJfdG9fYmVfc2Vlbl8xOjA="
# what a look for the token must find however it was cut or wrapped
NEEDLES = (TOKEN.encode(), TOKEN[:24].encode(), TOKEN[20:60].encode())


def _unpacked(content: bytes) -> Iterator[bytes]:
    yield content
    for unpack in (
        gzip.decompress,
        zlib.decompress,
        bz2.decompress,
        lambda packed: zlib.decompress(packed, -15),
    ):
        try:
            yield unpack(content)
        except (OSError, ValueError, EOFError, zlib.error):
            continue


def _holds_token(content: bytes) -> bool:
    wide = TOKEN.encode("utf-16-le")
    return any(needle in plain for plain in _unpacked(content) for needle in (*NEEDLES, wide))


def _left_in(project: Project, result: Result) -> list[str]:
    """Where the token is found in what a run left."""
    found = [str(file) for file in files_below(project.folder) if _holds_token(file.read_bytes())]
    for name, text in (("stdout", result.stdout), ("stderr", result.stderr)):
        if _holds_token(text.encode()):
            found.append(name)
    return found


class _Host:
    """Another server on this machine: keeps what it was asked and answers what it is told."""

    def __init__(self, status: int, body: str = "", echo: bool = False) -> None:
        asked: list[str] = []
        self.asked = asked

        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                asked.append(f"{self.requestline}\n{self.headers}")
                content = (body.replace("HEADERS", str(self.headers["Authorization"]))).encode()
                self.send_response(status)
                if echo:
                    self.send_header("X-Request-Id", f"r {self.headers['Authorization']}")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_CONNECT = do_POST = _answer  # noqa: N815

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def __enter__(self) -> _Host:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def secretive(project: Project, api: Sandbox) -> Project:
    """A project whose token is long enough to be looked for."""
    api.configure(token=TOKEN, bodies={call_id: {"type": "call", "id": call_id} for call_id in "ab"})
    project.env |= {"SOURCES__INTERCOM__ACCESS_TOKEN": TOKEN, "SOURCES__INTERCOM__RETRY_SECONDS": "0.5"}
    project.env |= {"SOURCES__INTERCOM__READ_TIMEOUT_SECONDS": "1"}
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
        assert _left_in(secretive, result) == []
    tables = postgres.query(
        "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname LIKE 'intercom%'"
    )
    dumped = "".join(row for (table,) in tables for (row,) in postgres.query(f"SELECT t::text FROM {table} t"))
    assert "server_error" in dumped
    assert not _holds_token(dumped.encode())
    # what the search would have found, so that it does not fail to look
    (secretive.folder / "trace.pickle").write_bytes(gzip.compress(pickle.dumps({"token": TOKEN})))
    assert _left_in(secretive, result) == [str(secretive.folder / "trace.pickle")]


@pytest.mark.parametrize(("status", "code"), [(401, 4), (403, 4), (400, 3), (200, 1), (500, 1)])
def test_an_api_that_repeats_the_token_does_not_get_it_written_down(secretive: Project, status: int, code: int) -> None:
    body = '{"type":"error.list","request_id":"HEADERS","errors":[{"code":"HEADERS","message":"got HEADERS"}]}'
    with _Host(status, "<p>HEADERS</p>" if status == 200 else body, echo=True) as host:
        result = secretive.load("-v", "-v", "a", env={"SOURCES__INTERCOM__BASE_URL": host.url})
        assert any(TOKEN in asked for asked in host.asked)
    assert result.exit_code == code, result.stderr
    assert "***" in result.stderr or status == 400
    assert _left_in(secretive, result) == []


def test_the_token_does_not_follow_a_redirect(secretive: Project, api: Sandbox) -> None:
    with _Host(200, '{"type":"call","id":"a"}') as elsewhere:
        api.configure(redirect_to=elsewhere.url, faults={"a": ["redirect", "redirect:307"]})
        result = secretive.load("a", "b")
        assert elsewhere.asked == []
    assert result.exit_code == 3
    assert secretive.query("SELECT call_id, http_status FROM intercom.call_errors") == [("a", 302)]


def test_neither_netrc_nor_proxies_come_between(secretive: Project, api: Sandbox) -> None:
    """~/.netrc does not replace the token; a proxy of the environment does not see what goes to this machine."""
    home = secretive.folder / "home"
    home.mkdir()
    (home / ".netrc").write_text("machine 127.0.0.1 login somebody password else\n")
    (home / ".netrc").chmod(0o600)
    with _Host(502) as proxy:
        env = dict.fromkeys(("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"), proxy.url) | {"HOME": str(home)}
        result = secretive.load("a", env=env)
        assert proxy.asked == []
    assert result.exit_code == 0, result.stderr
    assert api.stats()["by_status"] == {"200": 1}


def test_a_proxy_that_refuses_sees_no_token_and_its_password_is_not_told(secretive: Project) -> None:
    with _Host(407) as proxy:
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
    assert _left_in(secretive, result) == []


def test_a_host_without_a_certificate_to_trust_never_sees_the_token(secretive: Project) -> None:
    """TLS with a plain server fails; so does the load, and says where."""
    with _Host(200) as host:
        env = {"SOURCES__INTERCOM__BASE_URL": host.url.replace("http:", "https:")}
        result = secretive.load("-v", "-v", "a", env=env)
        assert not any(TOKEN in text for text in host.asked)
    assert result.exit_code == 1
    assert "SSL" in result.summary["error"]
    assert _left_in(secretive, result) == []


def test_the_process_list_does_not_show_the_token(secretive: Project, api: Sandbox) -> None:
    api.configure(latency_seconds=0.3)
    with running(secretive, "a", "b") as run:
        run.wait_until(lambda: api.stats()["requests"] >= 1)
        command_lines = [Path(f"/proc/{run.process.pid}/cmdline").read_bytes()]
        command_lines += [
            file.read_bytes() for file in Path("/proc").glob("[0-9]*/cmdline") if _is_child(file, run.process.pid)
        ]
        assert not any(_holds_token(line) for line in command_lines)
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
