"""What a clone brings along: the locks, the declared packages, the configuration, and that each is true."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import distribution, packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from sources.intercom.settings import Settings

ROOT = Path(__file__).parents[2]
LOCKS = ["runtime.lock", "dev.lock", "lowest.lock"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
# The last as dlt init copies it.
OURS = {"intercom_calls", "sources", "pipelines", "sandbox", "tests", "benchmarks", "docs", "intercom"}
PRODUCT = ["sources", "pipelines", "sandbox"]


def locked(name: str) -> dict[str, Version]:
    """The version of each package in a lock."""
    pins = re.findall(r"^([a-z0-9-]+)==([^ ]+)", (ROOT / "requirements" / name).read_text(), re.MULTILINE)
    return {package: Version(version) for package, version in pins}


def declared(*extras: str) -> list[Requirement]:
    """What pyproject.toml asks for with these extras."""
    project = PROJECT["project"]
    lines: list[str] = [*project["dependencies"]]
    for extra in extras:
        lines += project["optional-dependencies"][extra]
    return [Requirement(line) for line in lines]


def imported(*folders: str) -> set[str]:
    """The packages, as a registry names them, that the code in these folders imports."""
    modules: set[str] = set()
    for path in (path for folder in folders for path in (ROOT / folder).rglob("*.py") if ".venv" not in path.parts):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                modules |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                modules.add(node.module.split(".")[0])
    providers = packages_distributions()
    foreign = modules - set(sys.stdlib_module_names) - OURS
    return {canonicalize_name(providers.get(module, [module])[0]) for module in foreign}


def names(requirements: list[Requirement]) -> set[str]:
    return {canonicalize_name(requirement.name) for requirement in requirements}


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_pins_by_hash_and_names_no_registry(name: str) -> None:
    pin, by_hash = r"[a-z0-9-]+==\S+( ; .+)? \\", r"    --hash=sha256:\w{64}( \\)?"
    lines = (ROOT / "requirements" / name).read_text().splitlines()
    assert [line for line in lines if not re.fullmatch(f"{pin}|{by_hash}", line)] == []


def test_both_locks_agree() -> None:
    assert locked("runtime.lock").items() <= locked("dev.lock").items()


@pytest.mark.parametrize(
    ("name", "extras"), [("runtime.lock", ["postgres"]), ("dev.lock", ["postgres", "sql", "s3", "dev"])]
)
def test_a_lock_holds_all_that_it_is_made_of(name: str, extras: list[str]) -> None:
    """The locks are installed without resolving: what one leaves out would be missing."""
    versions = locked(name)
    build = [Requirement(line) for line in PROJECT["dependency-groups"]["build"]]
    assert [wanted for wanted in needed([*declared(*extras), *build]) if not held(wanted, versions)] == []


def held(wanted: Requirement, versions: dict[str, Version]) -> bool:
    version = versions.get(canonicalize_name(wanted.name))
    return version is not None and wanted.specifier.contains(version, prereleases=True)


def needed(wanted: list[Requirement]) -> Iterator[Requirement]:
    """These requirements and theirs, and so on, by what the installed packages say of themselves, extras included."""
    seen: set[str] = set()
    while wanted:
        requirement = wanted.pop()
        if str(requirement) in seen:
            continue
        seen.add(str(requirement))
        yield requirement
        for line in distribution(requirement.name).requires or []:
            further = Requirement(line)
            if not further.marker or any(further.marker.evaluate({"extra": one}) for one in ("", *requirement.extras)):
                wanted.append(further)


def test_the_lowest_lock_holds_the_lowest_of_all_that_is_declared() -> None:
    """So `make test-lowest` proves each bound in pyproject.toml."""
    versions = locked("lowest.lock")
    lowest: dict[str, Version] = {}
    for requirement in declared("postgres", "sql", "s3", "dev"):
        [bound] = [one.version for one in requirement.specifier if one.operator in (">=", "~=")]
        name = canonicalize_name(requirement.name)
        lowest[name] = max(Version(bound), lowest.get(name, Version("0")))
    assert {name: versions[name] for name in lowest} == lowest


def test_what_the_product_imports_is_declared_and_nothing_else() -> None:
    optional = names(declared("postgres", "sql", "s3", "gs", "az")) - names(declared())
    assert imported(*PRODUCT) - optional == names(declared())


def test_what_tests_and_tools_import_is_declared() -> None:
    assert imported("tests", "docs") <= names(declared("postgres", "sql", "s3", "dev"))


def test_no_major_release_is_installed_unexpectedly() -> None:
    unbounded = [
        str(requirement)
        for requirement in declared("postgres", "sql")
        if not any(one.operator in ("<", "~=") for one in requirement.specifier)
    ]
    assert unbounded == []


def test_config_toml_gives_the_defaults() -> None:
    config = tomllib.loads((ROOT / ".dlt" / "config.toml").read_text())
    assert config["sources"]["intercom"] == {
        name: value for name, value in Settings().items() if name not in ("access_token", "base_url")
    }
