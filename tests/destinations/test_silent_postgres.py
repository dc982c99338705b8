"""A PostgreSQL server that stops answering: behind a proxy that stops forwarding, at each stage of a load."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import psycopg2
import pytest
from dlt.destinations.impl.postgres.configuration import PostgresCredentials

from pipelines.destinations import postgres as watched
from pipelines.destinations.faults import Outage, retry_while
from pipelines.destinations.postgres import SilenceWatch
from sandbox import Sandbox
from tests.conftest import Postgres, Project
from tests.support.processes import Running, running, write_ids


class Proxy:
    """A TCP proxy before a server's Unix socket; from `silence` on it forwards nothing and accepts what comes."""

    def __init__(self, socket_path: str) -> None:
        self._socket_path = socket_path
        self._silent = threading.Event()
        self._resumed = threading.Event()
        self._stranded = False
        self._clients: list[socket.socket] = []
        self._after: bytes | None = None
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: list[socket.socket] = [self._listener]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def is_silent(self) -> bool:
        return self._silent.is_set()

    def silence(self) -> None:
        self._silent.set()

    def silence_after(self, words: bytes) -> None:
        """Fall silent with the statement that has these words, which is not forwarded."""
        self._after = words

    def resume(self) -> None:
        """Forward again, also what was received meanwhile."""
        self._after = None
        self._silent.clear()
        self._resumed.set()

    def strand(self) -> None:
        """Cut what is connected from its clients; the server does not learn of it."""
        self._stranded = True
        for client in self._clients:
            with suppress(OSError):  # it was closed before
                client.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        for each in self._open:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)  # also where a thread reads from it
            each.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX)
                self._open += [client, server]
                self._clients.append(client)
                server.connect(self._socket_path)
                threading.Thread(target=self._forward, args=(client, server, True), daemon=True).start()
                threading.Thread(target=self._forward, args=(server, client, False), daemon=True).start()

    def _forward(self, source: socket.socket, sink: socket.socket, is_request: bool) -> None:
        with suppress(OSError):
            while content := source.recv(65536):
                if is_request and self._after is not None and self._after in content:
                    self._silent.set()
                if self._silent.is_set():
                    self._resumed.wait()  # both ends stay open and do not notice
                sink.sendall(content)
            if self._stranded and is_request:
                threading.Event().wait()
            sink.shutdown(socket.SHUT_WR)


@pytest.fixture
def proxy(postgres: Postgres, project: Project) -> Iterator[Proxy]:
    [path] = Path(postgres.socket_folder).glob(".s.PGSQL.*[0-9]")
    proxy = Proxy(str(path))
    project.env["DESTINATION__POSTGRES__CREDENTIALS"] = (
        f"postgresql://postgres:pass-word@127.0.0.1:{proxy.port}/{postgres.database}"
    )
    yield proxy
    proxy.close()


# what a load sends at each of its stages
STAGES = {
    "connect": None,
    "lock": b"pg_try_advisory_lock",
    "plan": b"AT TIME ZONE",
    "copy to staging": b"COPY",
    "merge": b"DELETE FROM",
    "completion": b'INSERT INTO "intercom"."_dlt_loads"',
}


def _loaded_and_silent_from(stage: str, project: Project, api: Sandbox, proxy: Proxy) -> tuple[str, ...]:
    """Load thirty calls; gives the command that loads them again, in which the proxy falls silent at this stage."""
    api.configure(missing_share=0)
    ids = write_ids(project, 1_000_001, 30)
    load = ("--ids", ids, "--destination", "postgres", "--refresh", "all")
    assert project.load(*load).exit_code == 0
    words = STAGES[stage]
    proxy.silence() if words is None else proxy.silence_after(words)
    return load


def _silenced(run: Running, proxy: Proxy) -> None:
    run.wait_until(lambda: proxy.is_silent)
    time.sleep(1)  # so that it waits in the driver


EVERY_DAY = ("copy to staging",)


@pytest.mark.parametrize(
    "stage", [pytest.param(name, marks=[] if name in EVERY_DAY else pytest.mark.long) for name in STAGES]
)
def test_a_signal_ends_a_load_in_order_though_the_database_is_silent(
    stage: str, project: Project, api: Sandbox, proxy: Proxy, postgres: Postgres
) -> None:
    load = _loaded_and_silent_from(stage, project, api, proxy)
    with running(project, *load) as run:
        _silenced(run, proxy)
        if STAGES[stage] is None:
            time.sleep(2)
        run.send(signal.SIGTERM)
        sent_at = time.monotonic()
        stopped = run.end()
        print(f"{stage}: {time.monotonic() - sent_at:.1f} s with a signal")
    assert stopped.exit_code == 143, stopped.stderr
    assert "Traceback" not in stopped.stderr
    assert stopped.summary["exit_code"] == 143
    assert "stopped by SIGTERM while waiting for the destination" in stopped.summary["error"]
    assert "pass-word" not in stopped.stdout + stopped.stderr
    proxy.close()
    again = project.load(*load, env={"DESTINATION__POSTGRES__CREDENTIALS": postgres.url})
    assert again.exit_code == 0, again.stderr
    assert postgres.query("SELECT count(*), count(DISTINCT id) FROM intercom.calls") == [(30, 30)]


def test_a_second_signal_ends_it_at_once_though_it_waits_in_the_driver(
    project: Project, api: Sandbox, proxy: Proxy
) -> None:
    proxy.silence_after(STAGES["lock"] or b"")
    with running(project, "1000001", "--destination", "postgres") as run:
        _silenced(run, proxy)
        run.send(signal.SIGTERM)
        time.sleep(0.3)
        run.send(signal.SIGTERM)
        assert run.process.wait(timeout=2) in (143, -signal.SIGTERM)


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("stage", STAGES)
def test_without_a_signal_a_silent_database_ends_the_load_in_minutes(
    stage: str, project: Project, api: Sandbox, proxy: Proxy, postgres: Postgres
) -> None:
    load = _loaded_and_silent_from(stage, project, api, proxy)
    with running(project, *load, env={"SOURCES__INTERCOM__RETRY_SECONDS": "5"}) as run:
        run.wait_until(lambda: proxy.is_silent)
        silent_at = time.monotonic()
        assert run.process.wait(timeout=300) == 1
        print(f"{stage}: {time.monotonic() - silent_at:.1f} s without a signal")
        failed = run.end()
    assert "Traceback" not in failed.stderr


def test_a_lock_that_the_server_still_holds_for_a_cut_connection_is_taken_again(
    project: Project, api: Sandbox, proxy: Proxy, postgres: Postgres
) -> None:
    ids = write_ids(project, 1_000_001, 120)
    api.configure(missing_share=0, latency_seconds=0.05)
    load = ("--ids", ids, "--destination", "postgres", "--chunk-size", "20", "--workers", "4")
    holders = "SELECT pid FROM pg_locks WHERE locktype = 'advisory'"
    with running(project, *load) as run:
        run.wait_until(lambda: api.stats()["requests"] >= 50)
        before = postgres.query(holders)
        proxy.strand()
        run.wait_until(lambda: postgres.query(holders) not in (before, []))
        done = run.end()
    assert done.exit_code == 0, done.stderr
    assert "it is taken again" in done.stderr
    assert postgres.query("SELECT count(*), count(DISTINCT id) FROM intercom.calls") == [(120, 120)]


@pytest.mark.parametrize("silent_seconds", [60.0, 0.5])
def test_a_server_that_freezes_is_reported_once_and_so_is_its_return(
    silent_seconds: float,
    proxy: Proxy,
    project: Project,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Whether it is back before the connections are cut, or later."""
    monkeypatch.setattr(watched, "_PROBE_EVERY_SECONDS", 0.1)
    monkeypatch.setattr(watched, "_PROBE_SECONDS", 2)
    monkeypatch.setattr(watched, "SILENT_SECONDS", silent_seconds)
    credentials = PostgresCredentials(project.env["DESTINATION__POSTGRES__CREDENTIALS"])
    outage = Outage()

    def ask() -> None:
        connection = psycopg2.connect(credentials.to_native_representation(), connect_timeout=2)
        with closing(connection), connection.cursor() as cursor:
            cursor.execute("SELECT pg_sleep(1)")

    with SilenceWatch(credentials, lambda: False, lambda _: None, outage).watching():
        proxy.silence_after(b"pg_sleep")
        threading.Timer(6, proxy.resume).start()
        retry_while(ask, seconds=60, when=lambda error: isinstance(error, psycopg2.Error), outage=outage)
        time.sleep(3)
    began, over = (record.getMessage() for record in caplog.records)
    assert f"127.0.0.1:{proxy.port}" in began
    assert "has not answered for " in began
    assert "can be used again, after " in over


LIBRARY = """
import json, dlt
from pipelines import load
mine = dlt.pipeline("mine", destination="postgres", dataset_name="theirs")
print(json.dumps(load(mine, ["1000001"]).as_json()))
"""


@pytest.mark.long
@pytest.mark.timeout(300)
def test_in_a_caller_s_pipeline_a_silent_database_ends_the_load_and_not_the_process(
    project: Project, api: Sandbox, proxy: Proxy
) -> None:
    proxy.silence_after(STAGES["lock"] or b"")
    env = project.environment(DLT_DATA_DIR=str(project.folder / "dlt"), RUNTIME__DLTHUB_TELEMETRY="false")
    with subprocess.Popen([sys.executable, "-c", LIBRARY], cwd=project.folder, env=env, stdout=subprocess.PIPE) as mine:
        while not proxy.is_silent:
            assert mine.poll() is None
            time.sleep(0.05)
        mine.send_signal(signal.SIGTERM)
        stdout, _ = mine.communicate(timeout=200)
    assert mine.returncode == 0
    assert json.loads(stdout.splitlines()[-1])["exit_code"] == 143


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_a_database_that_can_not_hold_every_text_is_refused_before_anything_is_requested(
    encoding: str, project: Project, api: Sandbox, postgres: Postgres
) -> None:
    name = f"{postgres.database}_{encoding.lower()}"
    _create(postgres, f"CREATE DATABASE {name} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0")
    project.env["DESTINATION__POSTGRES__CREDENTIALS"] = postgres.url.replace(f"/{postgres.database}", f"/{name}")
    for words in (("load", "--json", "1000001"), ("check",)):
        before = api.stats()["requests"]
        refused = project.run(*words, "--destination", "postgres")
        assert refused.exit_code == 2, refused.stderr
        assert encoding in refused.stdout + refused.stderr
        assert "ENCODING 'UTF8'" in refused.stdout + refused.stderr
        if words[0] == "load":
            assert api.stats()["requests"] == before


def test_a_client_encoding_that_can_not_hold_every_text_is_refused(
    project: Project, api: Sandbox, postgres: Postgres
) -> None:
    project.env["DESTINATION__POSTGRES__CREDENTIALS"] = postgres.url + "&client_encoding=latin1"
    refused = project.load("1000001", "--destination", "postgres")
    assert refused.exit_code == 2, refused.stderr
    assert "client_encoding" in refused.summary["error"]
    assert api.stats()["requests"] == 0


def _create(postgres: Postgres, sql: str) -> None:
    connection = psycopg2.connect(host=postgres.socket_folder, user="postgres", dbname=postgres.database)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(sql)
    connection.close()
