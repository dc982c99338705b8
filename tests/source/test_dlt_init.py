"""`dlt init intercom duckdb --location CHECKOUT` makes a dlt project that loads."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import duckdb
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from sandbox import Sandbox

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "sources" / "intercom"


def listed(requirements: list[str]) -> dict[str, Requirement]:
    return {requirement.name: requirement for requirement in map(Requirement, requirements)}


def imported() -> set[str]:
    """The packages that the source imports as it is imported itself or loads calls; drivers of URLs are optional."""
    names: set[str] = set()
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names.add(str(node.module).split(".")[0])
    return names - sys.stdlib_module_names


def test_the_source_requires_what_it_imports_within_the_bounds_of_the_project() -> None:
    required = listed((SOURCE / "requirements.txt").read_text("utf-8").splitlines())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    bounds = listed(project["dependencies"])
    # dlt before 1.31 needs numpy to read PostgreSQL
    assert set(required) == imported() - {"sqlalchemy"} | {"numpy"}
    # the command is locked to one dlt and one DuckDB; the source runs on more, which make test-library-ends shows
    wider = {"dlt": ">=1.19.1,<1.32", "duckdb": ">=1.4,<3", "numpy": ">=1.26,<3"}
    assert {name: one.specifier for name, one in required.items()} == {
        name: SpecifierSet(wider[name]) if name in wider else bounds[name].specifier for name in required
    }
    assert "sqlglot" in required
    assert (SOURCE / "py.typed").exists()


def test_dlt_init_makes_a_project_that_loads(api: Sandbox, tmp_path: Path) -> None:
    checkout, project = tmp_path / "checkout", tmp_path / "project"
    shutil.copytree(ROOT / "sources", checkout / "sources", ignore=shutil.ignore_patterns("__pycache__"))
    project.mkdir()
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {
        "DLT_DATA_DIR": str(tmp_path / "dlt"),
        "RUNTIME__DLTHUB_TELEMETRY": "false",
        "GIT_CONFIG_GLOBAL": os.devnull,
    }

    def run(*command: str, cwd: Path = project) -> str:
        done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    for arguments in (
        ["init", "-q"],
        ["add", "."],
        ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "a"],
    ):
        run("git", *arguments, cwd=checkout)
    dlt = str(Path(sys.executable).parent / "dlt")
    told = run(dlt, "--non-interactive", "init", "intercom", "duckdb", "--location", str(checkout))
    assert "Verified source intercom was added to your project!" in told
    requirements = listed((project / "requirements.txt").read_text("utf-8").splitlines())
    assert requirements["dlt"].extras == {"duckdb", "parquet"}
    assert (project / "intercom" / "README.md").exists()

    secrets = project / ".dlt" / "secrets.toml"
    placeholder = "<configure me>"
    assert f'[sources.intercom]\naccess_token = "{placeholder}"' in secrets.read_text("utf-8")
    secrets.write_text(secrets.read_text("utf-8").replace(placeholder, api.token))
    with (project / ".dlt" / "config.toml").open("a") as config:
        config.write(f'\n[sources.intercom]\nbase_url = "{api.url}"\n')
    assert "contains no failed jobs" in run(sys.executable, "intercom_pipeline.py")
    example = "import intercom_pipeline; intercom_pipeline.load_calls_of_tickets()"
    assert "contains no failed jobs" in run(sys.executable, "-c", example)
    with duckdb.connect(str(project / "intercom.duckdb"), read_only=True) as connection:
        rows = connection.execute("SELECT id FROM intercom_data.calls ORDER BY id").fetchall()
    assert rows == [(str(number),) for number in range(1_000_001, 1_000_005)]
