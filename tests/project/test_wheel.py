"""What `pip install` puts on a machine: one package, whose modules find each other; and the checkout's command."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Project
from tests.support.forked import ROOT

NAMES = {"sources", "pipelines", "sandbox"}


def build(folder: Path, target: str, into: Path) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "--target", target, "--directory", str(into)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    [made] = into.glob("*.whl" if target == "wheel" else "*.tar.gz")
    return made


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(ROOT, "wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def unpacked(wheel: Path) -> Path:
    """The wheel as it is installed, without its command and what it requires."""
    folder = wheel.parent / "installed"
    shutil.unpack_archive(wheel, folder, "zip")
    return folder


def imported(module: ast.Module) -> Iterator[str]:
    """What a module imports; `import sources.intercom`, which is another name once it is rewritten, as it was."""
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name if alias.asname else alias.name.removeprefix("intercom_calls.")
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield str(node.module)


def test_an_installation_takes_one_name_and_says_its_types(unpacked: Path) -> None:
    assert {path.name for path in unpacked.iterdir()} == {"intercom_calls", "intercom_calls-0.1.0.dist-info"}
    assert {path.name for path in (unpacked / "intercom_calls").iterdir()} == {
        "__init__.py", "__main__.py", "py.typed", *NAMES
    }  # fmt: skip


def test_each_module_is_installed_and_imports_the_others_in_the_package(unpacked: Path) -> None:
    ours = {path.relative_to(ROOT) for name in NAMES for path in (ROOT / name).rglob("*.py")}
    ours.remove(Path("sources/intercom_pipeline.py"))
    installed = {path.relative_to(unpacked / "intercom_calls") for path in unpacked.rglob("*.py")}
    assert installed - ours == {Path("__init__.py"), Path("__main__.py")}
    assert ours <= installed
    for path in unpacked.rglob("*.py"):
        names = list(imported(ast.parse(path.read_text("utf-8"))))
        assert not {name.partition(".")[0] for name in names} & NAMES, path


def test_the_source_archive_makes_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    with tarfile.open(build(ROOT, "sdist", tmp_path)) as archive:
        archive.extractall(tmp_path, filter="data")
    again = build(tmp_path / "intercom_calls-0.1.0", "wheel", tmp_path)
    assert again.read_bytes() == wheel.read_bytes()


@pytest.fixture
def other_project(tmp_path: Path) -> Path:
    """A folder with packages of the names that ours have in a checkout."""
    for name in NAMES:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f"raise ImportError('the {name} of another project')\n")
    return tmp_path


def test_next_to_folders_of_the_same_names_the_library_uses_its_own_modules(
    unpacked: Path, other_project: Path
) -> None:
    script = "from intercom_calls import intercom, load; print(intercom.__module__, load.__module__)"
    path = {"PYTHONPATH": f"{other_project}:{unpacked}"}
    done = subprocess.run([sys.executable, "-c", script], env=path, cwd=other_project, capture_output=True, check=False)
    assert done.stderr.decode() == ""
    assert done.stdout.decode().split()[1] == "intercom_calls.pipelines.library"


def test_next_to_folders_of_the_same_names_the_command_of_the_checkout_works(
    project: Project, other_project: Path
) -> None:
    env = project.environment(PYTHONPATH=f"{other_project}:{ROOT}")
    command = [sys.executable, "-m", "intercom_calls", "demo", "--project", "demo"]
    done = subprocess.run(command, cwd=other_project, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "1,496 calls in intercom.calls" in done.stdout
