"""Each part of dlt that is not public and that this project uses, tried with the installed dlt.

A version of dlt that moves one fails here, by its name.
"""

from __future__ import annotations

import ast
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dlt
import pytest
from dlt.extract import DltResource, DltSource

from pipelines.destinations.private_parts import (
    has_rows_for,
    loaded_packages,
    prepared_packages,
    rewind,
    unprepared_packages,
)
from sources.intercom import intercom
from sources.intercom.extract.run_target import table_of
from sources.intercom.private_parts import dataset_of_run, hint, named_as_in_run, reads_once, source_section

ROOT = Path(__file__).resolve().parents[2]
# Modules of dlt's inner life that have no underscore to show it.
_INNER_MODULES = ("dlt.common.configuration.container", "dlt.common.storages.load_storage")
# Public though they begin with an underscore: of named tuples, and of Python's `os`.
_PUBLIC = {"_replace", "_fields", "_asdict", "_exit"}


def a_pipeline(folder: Path, **arguments: Any) -> dlt.Pipeline:
    destination = dlt.destinations.duckdb(str(folder / "rows.duckdb"))
    pipelines = str(folder / "pipelines")
    pipeline: dlt.Pipeline = dlt.pipeline("private", pipelines_dir=pipelines, destination=destination, **arguments)
    return pipeline


def numbers() -> DltResource:
    return dlt.resource([{"n": 1}], name="numbers")


def test_the_config_section_context_in_the_container_has_a_source_s_section_and_name() -> None:
    seen: list[tuple[str, str]] = []

    @dlt.source(name="calls", section="intercom")
    def source() -> DltResource:
        seen.append(source_section())
        return numbers()

    source()
    source.clone(name="europe", section="eu")()
    assert seen == [("intercom", "calls"), ("eu", "europe")]


def test_set_dataset_name_names_the_dataset_as_a_run_does(tmp_path: Path) -> None:
    pipeline = a_pipeline(tmp_path, dataset_name="own")
    with named_as_in_run(pipeline, "given"):
        assert pipeline.dataset_name == "given"
    with named_as_in_run(pipeline, None):
        assert pipeline.dataset_name == "own"
    assert pipeline.dataset_name == "own"


@pytest.mark.parametrize("given", ["given", None])
def test_the_frame_of_pipeline_run_has_its_dataset_name(tmp_path: Path, given: str | None) -> None:
    seen: list[str | None] = []

    @dlt.resource
    def rows() -> Iterator[dict[str, int]]:
        seen.append(dataset_of_run(dlt.current.pipeline()))
        yield {"n": 1}

    pipeline = a_pipeline(tmp_path, dataset_name="own")
    pipeline.run(rows(), dataset_name=given)  # type: ignore[arg-type]  # dlt's default is None
    assert seen == [given]


def test_hints_hold_what_a_resource_was_given() -> None:
    resource = numbers().apply_hints(merge_key="n", file_format="jsonl")
    assert (hint(resource, "merge_key"), hint(resource, "file_format")) == ("n", "jsonl")
    assert hint(numbers(), "merge_key") is None


def test_a_pipe_and_its_parents_show_whether_a_resource_reads_an_iterator() -> None:
    @dlt.resource
    def again() -> Iterator[int]:
        yield 1

    @dlt.transformer
    def plus_one(n: int) -> Iterator[int]:
        yield n + 1

    assert reads_once(dlt.resource(iter([1]), name="once"))
    assert not reads_once(again())
    assert not reads_once(again() | plus_one)
    assert reads_once(dlt.resource(iter([1]), name="once") | plus_one)


def test_impl_cls_is_the_type_of_a_resource_and_of_its_clones() -> None:
    source: DltSource = intercom([], access_token="token", base_url="http://localhost:1")
    for resource in source.resources.values():
        renamed = resource.with_name(f"our_{resource.name}")
        assert table_of(resource) == table_of(renamed) == resource.name
    assert table_of(numbers()) is None


def test_the_command_finds_packages_in_dlt_s_working_folder(tmp_path: Path) -> None:
    pipeline = a_pipeline(tmp_path)
    folder = Path(pipeline.working_dir)
    pipeline.extract(numbers())
    [extracted] = unprepared_packages(folder)
    assert extracted.name in pipeline.list_extracted_load_packages()
    assert has_rows_for(extracted, "numbers")
    assert not has_rows_for(extracted, "number")
    pipeline.normalize()
    [load_id] = pipeline.list_normalized_load_packages()
    assert [*unprepared_packages(folder)] == []
    assert has_rows_for(prepared_packages(folder) / load_id, "numbers")
    pipeline.load()
    assert (loaded_packages(folder) / load_id).is_dir()
    assert pipeline.list_completed_load_packages() == [load_id]


def test_the_command_rewinds_a_package_that_was_loaded_in_part(tmp_path: Path) -> None:
    pipeline = a_pipeline(tmp_path)
    pipeline.extract(numbers())
    pipeline.normalize()
    [load_id] = pipeline.list_normalized_load_packages()
    package = prepared_packages(pipeline.working_dir) / load_id
    as_it_was = tmp_path / "as it was"
    shutil.copytree(package, as_it_was)
    pipeline.load()
    (tmp_path / "rows.duckdb").unlink()
    shutil.move(loaded_packages(pipeline.working_dir) / load_id, package)
    (package / "package_completed.json").unlink()  # it was never completed
    rewind(package)
    names = [{path.name for path in folder.glob("*_jobs/*")} for folder in (package, as_it_was)]
    assert names[0] == names[1] != set()
    pipeline.load()
    with pipeline.sql_client() as client:
        assert client.execute_sql("SELECT n FROM numbers") == [(1,)]


@pytest.mark.parametrize("folder", ["sources", "pipelines"])
def test_no_other_module_uses_what_is_not_public_of_another_package(folder: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line} {name}"
        for path in sorted((ROOT / folder).rglob("*.py"))
        if path.name != "private_parts.py"
        for line, name in _not_public(ast.parse(path.read_text("utf-8")))
    ]
    assert found == []


def test_what_is_not_public_is_recognised() -> None:
    code = """
from dlt.common.configuration.container import Container
from dlt.common.storages.load_package import _thing
import duckdb._duckdb
class A:
    def __init__(self) -> None:
        self._own = 1
    def other(self, other: A, pipeline: dlt.Pipeline) -> None:
        other._own = self._inherited + pipeline._state.__class__ + row._replace()
"""
    assert [name for _, name in _not_public(ast.parse(code))] == [
        "dlt.common.configuration.container.Container",
        "dlt.common.storages.load_package._thing",
        "duckdb._duckdb",
        "_state",
    ]


def _not_public(module: ast.Module) -> Iterator[tuple[int, str]]:
    """Lines and names: attributes with an underscore that are not the module's own, and imports of inner parts."""
    nodes = [*ast.walk(module)]
    own = {node.attr for node in nodes if isinstance(node, ast.Attribute) and _is_self(node.value)} | {
        node.name for node in nodes if isinstance(node, ast.FunctionDef)
    }
    for node in nodes:
        if isinstance(node, ast.Attribute) and not _is_self(node.value):
            if _is_private(node.attr) and node.attr not in own | _PUBLIC:
                yield node.lineno, node.attr
        elif isinstance(node, ast.ImportFrom | ast.Import):
            within = f"{node.module}." if isinstance(node, ast.ImportFrom) and not node.level else ""
            for name in (f"{within}{alias.name}" for alias in node.names):
                if any(map(_is_private, name.split("."))) or name.startswith(_INNER_MODULES):
                    yield node.lineno, name


def _is_self(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in ("self", "cls")


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")
