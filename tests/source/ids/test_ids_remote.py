"""A list of ids at a URL or in a database that can't be read says what is wrong, not its secrets."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from sources.intercom.errors import BadIds, ConfigurationError
from sources.intercom.ids.read import query_ids, read_ids, unite

Answer = Callable[[http.server.BaseHTTPRequestHandler], None]


def page(handler: http.server.BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    handler.wfile.write(b"<!doctype html><title>Log in</title>")


def endless(handler: http.server.BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    try:
        while True:
            handler.wfile.write(b"1" * 65_536)
    except OSError:
        return


def cut_off(handler: http.server.BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b"1\n2\n")


def silent(handler: http.server.BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    handler.wfile.write(b"1\n")
    handler.wfile.flush()
    stopped.wait(30)


stopped = threading.Event()


ANSWERS: dict[str, Answer] = {
    "/page.csv": page,
    "/endless.csv": endless,
    "/cut.csv": cut_off,
    "/silent.csv": silent,
    "/none.csv": lambda handler: handler.send_error(404),
    "/denied.csv": lambda handler: handler.send_error(403),
    "/broken.csv": lambda handler: handler.send_error(500),
}


@pytest.fixture
def site() -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            ANSWERS[self.path.partition("?")[0]](self)

        def log_message(self, *_: object) -> None:
            """Tests print nothing."""

    stopped.clear()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    stopped.set()
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("path", "cause"),
    [
        ("/page.csv", "looks like an HTML page"),
        ("/endless.csv", "more than 2 MiB; download it and split it"),
        ("/cut.csv", "check the URL"),
        ("/silent.csv", "no answer within 1 s; try again"),
        ("/none.csv", "there is nothing (404); correct the URL"),
        ("/denied.csv", "the server answered 403; check the URL and whether it needs a login"),
        ("/broken.csv", "the server answered 500"),
    ],
)
def test_a_bad_url_is_refused_without_its_secrets(
    path: str, cause: str, site: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sources.intercom.ids.remote.DOWNLOAD_BYTES", 3_000_000)
    monkeypatch.setattr("sources.intercom.ids.remote.SILENCE_SECONDS", 1.0)
    with pytest.raises(BadIds) as refused:
        read_ids([], [f"http://ann:hunter2@{site}{path}?signature=hunter3"])
    message = str(refused.value)
    assert message.startswith(f"http://{site}{path}: ")
    assert cause in message
    assert "hunter" not in message
    assert message.isprintable()


def test_a_host_that_is_not_there_is_refused() -> None:
    with pytest.raises(BadIds, match=r"^http://127\.0\.0\.1:1/a\.csv: .*; check the URL"):
        read_ids([], ["http://127.0.0.1:1/a.csv?signature=hunter3"])


def test_a_scheme_that_nothing_reads_is_a_wrong_setting() -> None:
    with pytest.raises(ConfigurationError, match="no driver reads carrier-pigeon://"):
        read_ids([], ["carrier-pigeon://roof/a.csv"])


@pytest.mark.parametrize(
    ("query", "cause"),
    [
        ("SELECT id FROM nowhere", "nowhere does not exist"),
        ("SELEC 1", "syntax error"),
        ("-- no query", "it returns no rows; give a SELECT whose first column is the ids"),
        ("SELECT 1.5::DOUBLE", "holds float (1.5), neither text nor a whole number that is exact; cast it to text"),
        ("SELECT 1.50::DECIMAL(9, 2)", "holds Decimal (Decimal('1.50')), neither text nor a whole number"),
        ("SELECT true", "holds bool (True)"),
        ("SELECT now()", "holds datetime"),
        ("SELECT 'a b'", "--ids-sql row 1: 'a b' can't be a call id"),
    ],
)
def test_a_bad_query_is_refused(query: str, cause: str) -> None:
    with pytest.raises(BadIds) as refused:
        unite(read_ids([], []), query_ids("duckdb:///:memory:", query), "--ids-sql")
    assert cause in str(refused.value)
    assert str(refused.value).isprintable()


def test_a_database_that_is_not_there_is_refused_and_not_made(tmp_path: Path) -> None:
    with pytest.raises(BadIds, match="does not exist; correct the query or the URL"):
        list(query_ids(f"duckdb:///{tmp_path}/none.duckdb", "SELECT 1"))
    assert list(tmp_path.iterdir()) == []


def test_a_duckdb_url_with_a_host_is_refused_and_not_shown() -> None:
    with pytest.raises(ConfigurationError, match="duckdb:///crm") as refused:
        list(query_ids("duckdb://ann:hunter2@host/crm.duckdb", "SELECT 1"))
    assert "hunter2" not in str(refused.value)


def test_a_query_changes_nothing(tmp_path: Path) -> None:
    with duckdb.connect(str(tmp_path / "a.duckdb")) as connection:
        connection.execute("CREATE TABLE t AS SELECT 1 AS id")
    with pytest.raises(BadIds, match="read-only"):
        list(query_ids(f"duckdb:///{tmp_path}/a.duckdb", "DELETE FROM t RETURNING id"))


def test_the_password_of_a_database_is_not_shown() -> None:
    with pytest.raises(BadIds) as refused:
        list(query_ids("postgresql://ann:hunter2@127.0.0.1:1/db?sslcert=hunter3", "SELECT 1"))
    assert "hunter" not in str(refused.value)
    assert "Connection refused" in str(refused.value)


def test_an_unknown_database_is_a_wrong_setting() -> None:
    with pytest.raises(ConfigurationError, match="no driver for firebird"):
        list(query_ids("firebird://ann:hunter2@host/db", "SELECT 1"))
    with pytest.raises(ConfigurationError, match="--ids-db is no URL of a database"):
        list(query_ids("hunter2", "SELECT 1"))


def test_float_batches_that_are_not_whole_are_refused() -> None:
    with pytest.raises(BadIds, match=r"--ids-sql is double and holds 1\.5, in which ids are not exact"):
        unite(read_ids([], []), [pa.array([1.0, 1.5])], "--ids-sql")


def test_a_query_changes_nothing_in_postgresql(postgres_server: str) -> None:
    url = f"postgresql://postgres:x@localhost:5432/postgres?host={postgres_server}"
    with pytest.raises(BadIds, match="read-only transaction"):
        list(query_ids(url, "SELECT lo_create(0)"))
    with pytest.raises(BadIds, match='relation "nowhere" does not exist'):
        list(query_ids(url, "SELECT id FROM nowhere"))
    with pytest.raises(BadIds, match="holds float"):
        list(query_ids(url, "SELECT 1.5::float8"))
