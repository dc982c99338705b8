"""Tables that can't be loaded into, and rights that lack: `load` and `check` say so alike, and request nothing for it.

Real roles of a real PostgreSQL; what the message says to run is run, and then the load goes through.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import duckdb
import psycopg2
import pytest

from sandbox import Sandbox
from tests.command.test_preflight import refused
from tests.conftest import Postgres, Project, postgres_running
from tests.faults.test_faults_destination import BIN, as_owner


def administer(postgres: Postgres, statements: Iterable[str]) -> None:
    """Run these as the administrator."""
    connection = psycopg2.connect(host=postgres.socket_folder, user="postgres", dbname=postgres.database)
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
    finally:
        connection.close()


@pytest.fixture
def role(project: Project, postgres: Postgres) -> str:
    """A user of the test's own without a right, by whom the project connects."""
    name = f"loader_{postgres.database[3:11]}"
    administer(postgres, [f'CREATE ROLE "{name}" LOGIN'])
    project.env["DESTINATION__POSTGRES__CREDENTIALS"] = postgres.url.replace("postgres:x@", f"{name}:x@")
    return name


@contextmanager
def _as_administrator(project: Project, postgres: Postgres) -> Iterator[None]:
    before = project.env["DESTINATION__POSTGRES__CREDENTIALS"]
    project.env["DESTINATION__POSTGRES__CREDENTIALS"] = postgres.url
    yield
    project.env["DESTINATION__POSTGRES__CREDENTIALS"] = before


# What the user may do already in a database that the administrator has loaded into, and what must be granted.
RIGHTS: dict[str, tuple[list[str], list[str]]] = {
    "nothing": (
        [],
        [
            "GRANT USAGE ON SCHEMA intercom TO {role}",
            "GRANT USAGE ON SCHEMA intercom_staging TO {role}",
            "GRANT SELECT, INSERT, DELETE ON intercom.calls TO {role}",
            "GRANT SELECT, INSERT, TRUNCATE ON intercom_staging.calls TO {role}",
        ],
    ),
    "reading": (
        ["GRANT USAGE ON SCHEMA intercom TO {role}", "GRANT SELECT ON ALL TABLES IN SCHEMA intercom TO {role}"],
        ["GRANT USAGE ON SCHEMA intercom_staging TO {role}", "GRANT INSERT, DELETE ON intercom.call_errors TO {role}"],
    ),
    "no staging": (
        [
            "DROP SCHEMA intercom_staging CASCADE",
            "GRANT USAGE ON SCHEMA intercom TO {role}",
            "GRANT ALL ON ALL TABLES IN SCHEMA intercom TO {role}",
        ],
        ["GRANT CREATE ON DATABASE {database} TO {role}"],
    ),
    "a table and a column lack": (
        [
            "DROP TABLE intercom.call_errors",
            "ALTER TABLE intercom.calls DROP COLUMN phone",
            "GRANT USAGE ON SCHEMA intercom, intercom_staging TO {role}",
            "GRANT ALL ON ALL TABLES IN SCHEMA intercom, intercom_staging TO {role}",
        ],
        ["GRANT CREATE ON SCHEMA intercom TO {role}", "ALTER TABLE intercom.calls OWNER TO {role}"],
    ),
}


@pytest.mark.parametrize("kind", RIGHTS)
def test_missing_rights_are_named_and_once_granted_the_load_succeeds(
    kind: str, project: Project, api: Sandbox, postgres: Postgres, role: str
) -> None:
    given, lacking = ([line.format(role=role, database=postgres.database) for line in lines] for lines in RIGHTS[kind])
    with _as_administrator(project, postgres):
        assert project.load("1000001", "--destination", "postgres").exit_code == 0
    administer(postgres, given)
    told = refused(project, api, "--destination", "postgres", also=("check",))
    for statement in lacking:
        assert all(statement in each for each in told)
    _run_what_is_told(project, postgres, told)


def test_a_missing_right_in_a_new_database_is_reported_and_once_granted_the_load_succeeds(
    project: Project, api: Sandbox, postgres: Postgres, role: str
) -> None:
    told = refused(project, api, "--destination", "postgres", also=("check",))
    assert f"GRANT CREATE ON DATABASE {postgres.database} TO {role}" in told[0]
    _run_what_is_told(project, postgres, told)


def _run_what_is_told(project: Project, postgres: Postgres, told: list[str]) -> None:
    [statements] = {each.partition("administrator run: ")[2].partition(" (0 calls")[0] for each in told}
    administer(postgres, statements.split("; "))
    assert project.run("check", "--destination", "postgres").exit_code == 0
    done = project.load("1000001", "1000002", "--destination", "postgres")
    assert done.exit_code == 0, done.stderr
    assert postgres.query("SELECT count(*) FROM intercom.calls") == [(2,)]


def test_a_database_that_is_read_only_or_missing_is_reported(
    project: Project, api: Sandbox, postgres: Postgres, role: str
) -> None:
    administer(
        postgres,
        [
            f"GRANT CREATE ON DATABASE {postgres.database} TO {role}",
            f"ALTER ROLE {role} SET default_transaction_read_only = on",
        ],
    )
    for told in refused(project, api, "--destination", "postgres", also=("check",)):
        assert "is read-only: default_transaction_read_only is on (set by: user)" in told
        assert f"ALTER ROLE {role} SET default_transaction_read_only = off" in told
    name = "no_such_database"
    project.env["DESTINATION__POSTGRES__CREDENTIALS"] = postgres.url.replace(f"/{postgres.database}", f"/{name}")
    for told in refused(project, api, "--destination", "postgres"):
        assert f'database "{name}" does not exist' in told
        assert "CREATE DATABASE" in told


@pytest.mark.long  # a server of its own, started twice
def test_a_standby_is_reported(project: Project, api: Sandbox) -> None:
    with postgres_running() as folder:
        as_owner(["touch", f"{folder}/standby.signal"], folder)
        as_owner([str(BIN / "pg_ctl"), "-D", folder, "-w", "-m", "fast", "restart"], folder)
        url = f"postgresql://postgres:x@localhost:5432/postgres?host={folder}"
        project.env["DESTINATION__POSTGRES__CREDENTIALS"] = url
        for told in refused(project, api, "--destination", "postgres", also=("check",)):
            assert "is read-only: it is a standby" in told
            assert "name the primary" in told


# What somebody else may have where a table of ours should be.
FOREIGN = {
    "a table": "CREATE TABLE intercom.call_errors (number INTEGER, who VARCHAR)",
    "dlt's of another source": "CREATE TABLE intercom.calls (id BIGINT, created_at BIGINT, _dlt_load_id VARCHAR)",
    "a view": "CREATE VIEW intercom.load_runs AS SELECT 'x' AS run_id, 1 AS number",
}


@pytest.mark.parametrize("destination", ["duckdb", "postgres"])
@pytest.mark.parametrize("kind", FOREIGN)
def test_a_table_that_someone_else_made_is_reported_and_not_changed(
    kind: str, destination: str, request: pytest.FixtureRequest, project: Project, api: Sandbox
) -> None:
    name = FOREIGN[kind].split()[2]
    if destination == "postgres":
        postgres: Postgres = request.getfixturevalue("postgres")
        administer(postgres, ["CREATE SCHEMA intercom", FOREIGN[kind]])
        query: Any = postgres.query
    else:
        with duckdb.connect(str(project.folder / "intercom_calls.duckdb")) as connection:
            connection.execute(f"CREATE SCHEMA intercom; {FOREIGN[kind]}")
        query = project.query
    columns = (
        "SELECT column_name, data_type FROM information_schema.columns "
        f"WHERE table_schema = 'intercom' AND table_name = '{name.split('.')[1]}'"
    )
    before = query(columns)
    for told in refused(project, api, "--destination", destination, also=("check",)):
        assert f"the table {name.split('.')[1]} in intercom was not made by this command" in told
        assert "--dataset" in told
    assert query(columns) == before
