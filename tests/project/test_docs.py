"""README and docs do what they say: every command, query and script in them is run as it is written."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import click
import pytest

from pipelines.commands import questions
from pipelines.intercom_calls import main
from sandbox import Sandbox
from tests.conftest import COMMAND, Postgres, Project

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
DATABASE_IN_README = "postgresql://loader:password@db.example.com:5432/warehouse"
HOME_IN_DOCS = "/srv/calls"
# They set up what these tests run in, or run these tests.
MAKE = re.compile(r"make (setup|demo|test|lint)\b")


def blocks(page: str, language: str) -> list[str]:
    """The fenced blocks of one language."""
    text = (ROOT / page).read_text("utf-8")
    return [match[1] for match in re.finditer(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)]


@pytest.fixture
def newcomer(project: Project, postgres: Postgres) -> Project:
    """A folder as the README has it: set up, with the token, the list and the script it shows."""
    (project.folder / ".venv").symlink_to(Path(COMMAND).parent.parent)
    (project.folder / ".dlt").mkdir()
    [secrets], [ids], [script] = (blocks("README.md", language) for language in ("toml", "csv", "python"))
    (project.folder / ".dlt" / "secrets.toml").write_text(secrets)
    (project.folder / "calls.csv").write_text(ids)
    (project.folder / "script.py").write_text(script)
    return project


def shell(project: Project, commands: str, **env: str) -> str:
    """Run a block of commands to its end and give back what it printed."""
    done = subprocess.run(
        ["/bin/sh", "-euc", commands],
        cwd=project.folder,
        env=project.environment(**env),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{commands}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def test_the_readme_works_as_it_is_written(newcomer: Project, postgres: Postgres) -> None:
    printed = ""
    for block in blocks("README.md", "sh"):
        lines = [line for line in block.splitlines() if not MAKE.match(line)]
        printed += shell(newcomer, "\n".join(lines).replace(DATABASE_IN_README, postgres.url))
    assert "3 to fetch: 3 requests" in printed
    assert newcomer.query("SELECT id FROM intercom.calls ORDER BY id") == [("1000001",), ("1000002",), ("1000003",)]
    assert postgres.query("SELECT count(*) FROM intercom.calls") == [(3,)]
    [query] = blocks("README.md", "sql")
    assert sum(calls for _, calls, _ in newcomer.query(query)) == 3
    assert newcomer.query(query) == postgres.query(query)

    assert "LOADED and contains no failed jobs" in shell(
        newcomer,
        ".venv/bin/python script.py",
        DLT_DATA_DIR=str(newcomer.folder / "dlt"),  # else in the home folder
    )

    schedule = {line for page in ("README.md", "docs/scheduling.md") for line in blocks(page, "cron")}
    [line] = schedule
    command = line.split(maxsplit=5)[5].replace(HOME_IN_DOCS, ".")
    shell(newcomer, command)
    assert (newcomer.folder / "load.log").read_text() == ""
    [(runs,)] = newcomer.query("SELECT count(*) FROM intercom.load_runs WHERE exit_code = 0")
    assert runs == 2


def test_the_service_runs_the_line_of_the_schedule() -> None:
    [unit] = blocks("docs/scheduling.md", "ini")
    [line] = blocks("docs/scheduling.md", "cron")
    assert unit.split("ExecStart=")[1].splitlines()[0] == line.split(maxsplit=5)[5].split(" -q")[0]


def rounded(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Rows of either database, times in UTC and decimals as floats."""

    def plain(value: object) -> object:
        if isinstance(value, Decimal):
            return float(value)
        return value.timestamp() if isinstance(value, datetime) else value

    return [tuple(plain(value) for value in row) for row in rows]


def test_every_question_has_the_same_answer_in_both_databases(
    project: Project, postgres: Postgres, api: Sandbox
) -> None:
    ids = "\n".join(str(call_id) for call_id in range(1_000_001, 1_000_601))
    api.configure(statuses={"1000007": 410})
    for destination in ("duckdb", "postgres"):
        loaded = project.load("--ids", "-", "--strategy", "by-id", "--destination", destination, stdin=ids)
        assert loaded.exit_code == 3
    [complete] = project.query("SELECT started_at FROM intercom.load_runs")
    api.configure(fault_ranges=[(1, None, "status:500")])
    assert project.load("1000601", env={"SOURCES__INTERCOM__RETRY_SECONDS": "0"}).exit_code == 1
    queries = blocks("docs/questions.md", "sql")
    assert len(queries) >= 12
    for query in queries:
        answer = project.query(query)
        assert answer, query
        if "data_as_of" in query:
            assert answer == [complete]
        if "load_runs" not in query and "last_failed_at" not in query:
            assert rounded(answer) == rounded(postgres.query(query)), query
        else:
            assert len(answer) == len(postgres.query(query))


def test_the_questions_of_the_demo_stand_in_the_docs() -> None:
    asked = [questions.CALLS_A_DAY, questions.SHARE_ANSWERED, questions.TIME_TO_ANSWER, questions.BUSIEST_HOURS]
    assert [query.strip() for query in blocks("docs/questions.md", "sql")[:4]] == asked


@pytest.mark.parametrize("name", ["load", "check", "status", "demo"])
def test_the_docs_list_the_options_that_help_has(name: str) -> None:
    text = (ROOT / "docs" / "configuration.md").read_text("utf-8")
    [section] = re.findall(rf"^### `intercom-calls {name}`\n(.*?)^#+ ", text, re.MULTILINE | re.DOTALL)
    rows = [line for line in section.splitlines() if line.startswith("| `")]
    assert "\n".join(rows) == "\n".join(option_rows(name))


def option_rows(name: str) -> Iterator[str]:
    command = main.commands[name]
    context = click.Context(command, info_name=name)
    for parameter in command.params:
        record = parameter.get_help_record(context)
        if isinstance(parameter, click.Option) and record:
            option, meaning = (" ".join(text.split()).replace("|", r"\|") for text in record)
            yield f"| `{option}` | {meaning} |"


def test_the_docs_list_the_settings_and_their_defaults() -> None:
    from sources.intercom.settings import Settings

    text = (ROOT / "docs" / "configuration.md").read_text("utf-8")
    section = text.split("| `[sources.intercom]` |")[1].split("\n\n")[0]
    documented = dict(re.findall(r"^\| `(\w+)` \| `?(.*?)`? \|", section, re.MULTILINE))
    settings = Settings()
    [example] = blocks("docs/configuration.md", "toml")
    assert tomllib.loads(example) == {"sources": {"intercom": {"region": "eu", "settle_hours": 48}}}
    assert documented == {name: str(getattr(settings, name) or "none") for name in settings.get_resolvable_fields()}


def test_help_opens_with_an_example_and_loads_no_dlt() -> None:
    program = """
import sys
import tomllib
from pipelines.intercom_calls import main
for name in ("load", "check", "status", "demo"):
    print(f"== {name}")
    main([name, "--help"], standalone_mode=False)
print([name for name in ("dlt", "duckdb", "pyarrow", "aiohttp") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    for name in ("load", "check", "status", "demo"):
        assert f"== {name}\nExample:\n  intercom-calls {name}" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"


def test_links_lead_to_files_that_are_there() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_make_has_the_targets_that_the_docs_name() -> None:
    text = "".join(page.read_text("utf-8") for page in PAGES)
    named = {*re.findall(r"^make ([\w-]+)", text, re.MULTILINE), *re.findall(r"`make ([\w-]+)`", text)}
    assert {"demo", "test", "test-long", "setup", "lint"} <= named
    makefile = "".join(
        path.read_text("utf-8") for path in (ROOT / "Makefile", *ROOT.glob("*/*.mk"), *ROOT.glob("tests/*/*.mk"))
    )
    assert [target for target in named if not re.search(rf"^{target}:", makefile, re.MULTILINE)] == []
