"""What a clone brings along: the locks, the configuration, and their agreement with what they speak of."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from sources.intercom.settings import Settings

ROOT = Path(__file__).parent.parent
LOCKS = ["runtime.lock", "dev.lock"]


def locked(name: str) -> dict[str, str]:
    """The version of each package in a lock."""
    return dict(re.findall(r"^([a-z0-9-]+)==([^ ]+)", (ROOT / "requirements" / name).read_text(), re.MULTILINE))


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_pins_by_hash_and_names_no_registry(name: str) -> None:
    pin, by_hash = r"[a-z0-9-]+==\S+( ; .+)? \\", r"    --hash=sha256:\w{64}( \\)?"
    lines = (ROOT / "requirements" / name).read_text().splitlines()
    assert [line for line in lines if not re.fullmatch(f"{pin}|{by_hash}", line)] == []


def test_both_locks_agree() -> None:
    assert locked("runtime.lock").items() <= locked("dev.lock").items()


def test_the_runtime_lock_holds_what_pyproject_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    versions = locked("runtime.lock")
    wanted = [Requirement(line) for line in project["dependencies"] + project["optional-dependencies"]["postgres"]]
    assert [str(want) for want in wanted if versions[canonicalize_name(want.name)] not in want.specifier] == []


def test_config_toml_gives_the_defaults() -> None:
    config = tomllib.loads((ROOT / ".dlt" / "config.toml").read_text())
    assert config["sources"]["intercom"] == {
        name: value for name, value in Settings().items() if name not in ("access_token", "base_url")
    }
