"""Configuration by dlt: where it is found, what is refused, and that the token is never shown."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import duckdb
import pytest

from sandbox import Sandbox
from tests.conftest import Postgres, Project

TOKEN = "SOURCES__INTERCOM__ACCESS_TOKEN"
ROOT = Path(__file__).parents[2]
SECRET = "dG9rOjAxMjM0NTY3ODlfc2VjcmV0"


def setting(name: str, value: str) -> dict[str, str | None]:
    return {f"SOURCES__INTERCOM__{name}": value}


# What is different in the environment, the options, and what the one line on stderr must say.
FAULTS: dict[str, tuple[dict[str, str | None], list[str], list[str]]] = {
    "no token": ({TOKEN: None}, [], ["no access token", TOKEN, "INTERCOM_ACCESS_TOKEN", ".dlt/secrets.toml"]),
    "a blank token": ({TOKEN: "  "}, [], ["no access token"]),
    "a token of two lines": ({TOKEN: f"{SECRET}\nx"}, [], ["access_token", "copy it again"]),
    "a token with its scheme": ({TOKEN: f"Bearer {SECRET}"}, [], ["access_token", "white space"]),
    "a token in curly quotes": ({TOKEN: f"“{SECRET}”"}, [], ["access_token", "copy it again"]),
    "a region that is none": (setting("REGION", "uk"), [], ["region = 'uk'", "us, eu, au"]),
    "http to another host": (setting("BASE_URL", "http://api.intercom.io"), [], ["base_url", "unencrypted", "https"]),
    "credentials in the URL": (setting("BASE_URL", f"https://u:{SECRET}@h/"), [], ["base_url", "credentials"]),
    "another scheme": (setting("BASE_URL", "ftp://127.0.0.1"), [], ["base_url = 'ftp://127.0.0.1'", "https://"]),
    "no scheme": (setting("BASE_URL", "api.intercom.io"), [], ["base_url = 'api.intercom.io'", "https://"]),
    "no host": (setting("BASE_URL", "https://"), [], ["base_url = 'https://'", "https://api.intercom.io"]),
    "a query": (setting("BASE_URL", "https://h/?a=1"), [], ["base_url", "query"]),
    "an address with half a bracket": (setting("BASE_URL", "https://[::1"), [], ["base_url", "https://"]),
    "a port that is none": (setting("BASE_URL", "https://h:99999"), [], ["base_url", "https://"]),
    "a version that is none": (setting("API_VERSION", "2.14\r\nX: y"), [], ["api_version", '"2.14"']),
    "seconds in words": (setting("RETRY_SECONDS", "long"), [], ["retry_seconds", "long"]),
    "no number": (setting("RETRY_SECONDS", "nan"), [], ["retry_seconds = nan", "0 or more"]),
    "no end": (setting("LOCK_WAIT_SECONDS", "inf"), [], ["lock_wait_seconds = inf"]),
    "less than nothing": (setting("SETTLE_HOURS", "-1"), [], ["settle_hours = -1", "0 or more"]),
    "no time to connect": (setting("CONNECT_TIMEOUT_SECONDS", "0"), [], ["connect_timeout_seconds", "more than 0"]),
    "no time to read": (setting("READ_TIMEOUT_SECONDS", "-3"), [], ["read_timeout_seconds", "more than 0"]),
    "an unknown destination": ({}, ["--destination", "nonsense"], ["--destination nonsense", "duckdb, postgres"]),
    "a destination without credentials": (
        {},
        ["--destination", "postgres"],
        ["--destination postgres", "credentials", "DESTINATION__POSTGRES__CREDENTIALS"],
    ),
    "credentials that are none": (
        {"DESTINATION__POSTGRES__CREDENTIALS": f"not a url {SECRET}"},
        ["--destination", "postgres"],
        ["--destination postgres"],
    ),
    "a driver that is not installed": (
        {"DESTINATION__SNOWFLAKE__CREDENTIALS": f"snowflake://user:{SECRET}@account/db"},
        ["--destination", "snowflake"],
        ["--destination snowflake", "driver", "pip install 'dlt[snowflake]'"],
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_one_line_and_no_request(fault: str, project: Project, api: Sandbox) -> None:
    changes, options, told = FAULTS[fault]
    changed = {**project.env, TOKEN: SECRET, **changes}
    project.env = {name: value for name, value in changed.items() if value is not None}
    result = project.load("1", *options)
    assert result.exit_code == 2, result.stderr
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    for part in told:
        assert part in line
    assert SECRET not in result.stdout + result.stderr
    assert result.summary["exit_code"] == 2
    assert list(project.folder.iterdir()) == []
    assert api.stats()["requests"] == 0


def test_toml_files_that_cant_be_read_are_named(project: Project, api: Sandbox) -> None:
    (project.folder / ".dlt").mkdir()
    for name in ("secrets.toml", "config.toml"):
        file = project.folder / ".dlt" / name
        file.write_text(f'[sources.intercom]\naccess_token = "{SECRET}\n')
        result = project.load("1")
        assert result.exit_code == 2, result.stderr
        (line,) = result.stderr.splitlines()
        assert str(file) in line
        assert SECRET not in line
        file.unlink()
    assert api.stats()["requests"] == 0


def test_a_secret_in_config_toml_is_refused_with_where_it_goes(project: Project, api: Sandbox) -> None:
    (project.folder / ".dlt").mkdir()
    for setting, value in {"sources.intercom.access_token": SECRET, "destination.duckdb.credentials": "a.db"}.items():
        section, name = setting.rsplit(".", 1)
        (project.folder / ".dlt" / "config.toml").write_text(f'[{section}]\n{name} = "{value}"\n')
        result = Project(project.folder, {}).load("1", "--dry-run")
        assert result.exit_code == 2, result.stderr
        (line,) = result.stderr.splitlines()
        for part in (setting, "config.toml", ".dlt/secrets.toml", setting.replace(".", "__").upper()):
            assert part in line
        assert value not in line
    assert api.stats()["requests"] == 0


def test_what_the_shipped_files_invite_to_works(project: Project, api: Sandbox, postgres: Postgres) -> None:
    """The files of `.dlt` with each comment that is a setting made one."""
    api.configure(calls=0, token=SECRET, bodies={"1": {"type": "call", "id": "1"}})
    (project.folder / ".dlt").mkdir()
    for shipped, name in {"config.toml": "config.toml", "example.secrets.toml": "secrets.toml"}.items():
        text = (ROOT / ".dlt" / shipped).read_text("utf-8")
        text = re.sub(r"^# (?=\[[\w.]+\]$|\w+ = )", "", text, flags=re.MULTILINE)
        for example, real in {
            "https://…": api.url,
            "…": SECRET,
            "intercom_calls.duckdb": "mine.duckdb",
            "postgresql://loader:password@localhost:5432/warehouse": postgres.url,
        }.items():
            text = text.replace(f'"{example}"', f'"{real}"')
        assert "…" not in text
        (project.folder / ".dlt" / name).write_text(text, "utf-8")
    of_its_own = Project(project.folder, {})
    for destination, place in {"duckdb": "mine.duckdb", "postgres": "postgres"}.items():
        result = of_its_own.load("1", "--destination", destination)
        assert (result.exit_code, result.summary["loaded"]) == (0, 1), result.stderr
        assert place in result.stderr
    checked = of_its_own.run("check")
    assert checked.exit_code == 0, checked.stderr
    assert str(project.folder / "mine.duckdb") in checked.stdout


def test_all_is_found_in_the_project_folder_from_wherever_the_command_runs(
    project: Project, api: Sandbox, tmp_path: Path
) -> None:
    """config.toml and secrets.toml, a relative DuckDB file, the working files; and where each goes by default."""
    api.configure(calls=0, token=SECRET, bodies={"1": {"type": "call", "id": "1"}})
    elsewhere = Project(tmp_path / "elsewhere", {})
    elsewhere.folder.mkdir()
    dlt = project.folder / ".dlt"
    dlt.mkdir()
    (dlt / "secrets.toml").write_text(f'[sources.intercom]\naccess_token = "{SECRET}"\n')
    (dlt / "config.toml").write_text(f'[sources.intercom]\nbase_url = "{api.url}"\n')
    result = elsewhere.load("1", "--project", "../a project")
    assert result.exit_code == 0, result.stderr
    assert str(project.folder / "intercom_calls.duckdb") in result.stderr
    assert project.query("SELECT id FROM intercom.calls") == [("1",)]
    assert list((dlt / "data" / "pipelines").iterdir())

    # the environment goes before the files, DLT_PROJECT_DIR is the same as --project
    (dlt / "config.toml").write_text('[sources.intercom]\nbase_url = "https://127.0.0.1:1"\n')
    with (dlt / "secrets.toml").open("a") as secrets:
        secrets.write('[destination.duckdb]\ncredentials = "other.duckdb"\n')
    result = elsewhere.load(
        "1",
        env={
            "DLT_PROJECT_DIR": str(project.folder),
            "DLT_DATA_DIR": "working files",
            "SOURCES__INTERCOM__BASE_URL": api.url,
        },
    )
    assert result.exit_code == 0, result.stderr
    assert str(project.folder / "other.duckdb") in result.stderr
    with duckdb.connect(str(project.folder / "other.duckdb"), read_only=True) as database:
        assert database.execute("SELECT id FROM intercom.calls").fetchall() == [("1",)]
    assert list((project.folder / "working files" / "pipelines").iterdir())
    assert list(elsewhere.folder.iterdir()) == []


def test_intercom_access_token_is_used_if_dlt_finds_no_token(project: Project, api: Sandbox) -> None:
    del project.env[TOKEN]
    project.env["INTERCOM_ACCESS_TOKEN"] = SECRET
    api.configure(calls=0, token=SECRET, bodies={"1": {"type": "call", "id": "1"}, "2": {"type": "call", "id": "2"}})
    assert project.load("1").exit_code == 0
    api.configure(token="of-dlt")
    result = project.load("2", env={TOKEN: "of-dlt"})
    assert result.exit_code == 0, result.stderr
    assert api.stats()["authorizations"] == {
        hashlib.sha256(f"Bearer {token}".encode()).hexdigest()[:32]: 2 for token in (SECRET, "of-dlt")
    }


@pytest.mark.parametrize(("forbidden", "status", "mend"), [(False, 401, "region"), (True, 403, "read_conversations")])
def test_a_refused_token_is_reported_with_the_fix(
    forbidden: bool, status: int, mend: str, project: Project, api: Sandbox
) -> None:
    api.configure(token=project.env[TOKEN] if forbidden else "another", forbidden=forbidden)
    result = project.load("1000001")
    assert (result.exit_code, result.summary["loaded"], result.summary["not_reached"]) == (4, 0, 1)
    error = result.stderr.splitlines()[-1]
    for part in (str(status), "token", mend, "request id"):
        assert part in error
    assert project.query("SELECT exit_code, finished_at IS NOT NULL FROM intercom.load_runs") == [(4, True)]


def test_no_secret_is_in_any_file_or_output(project: Project, api: Sandbox, postgres: Postgres) -> None:
    password = "cGFzczpob3JzZS1iYXR0ZXJ5"
    project.env["DESTINATION__POSTGRES__CREDENTIALS"] = postgres.url.replace(":x@", f":{password}@")
    project.env[TOKEN] = SECRET
    bodies = {name: {"type": "call", "id": name} for name in ("1", "2")}
    api.configure(calls=0, token=SECRET, bodies=bodies, statuses={"bad": 400}, faults={"1": ["status:503", "reset"]})
    runs = [
        project.load("1", "bad", "gone", "--destination", "postgres", "-v", "-v"),
        project.load("2", "-v", "-v"),
    ]
    assert [run.exit_code for run in runs] == [3, 0], runs
    api.configure(token="another")
    runs.append(project.load("3", "-v", "-v", "--destination", "postgres"))
    assert runs[2].exit_code == 4
    for run in runs:
        for secret in (SECRET, password):
            assert secret not in run.stdout + run.stderr
    files = [path for path in project.folder.rglob("*") if path.is_file()]
    assert len(files) > 5
    for path in files:
        for secret in (SECRET, password):
            assert secret.encode() not in path.read_bytes(), path
