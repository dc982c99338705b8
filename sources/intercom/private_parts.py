"""The parts of dlt that are not public and that this source needs: here only, each with the reason.

`tests/test_private_parts.py` tries each with the installed dlt, so that a version that moves one says so by name.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import dlt
from dlt.common.configuration.container import Container
from dlt.common.configuration.specs.config_section_context import ConfigSectionContext
from dlt.extract import DltResource


def source_section() -> tuple[str, str]:
    """The section and name of the source that is being made; `clone()` can change both, dlt shows only the name.

    Uses `Container()[ConfigSectionContext].sections`.
    """
    _, section, name = Container()[ConfigSectionContext].sections
    return section, name


@contextmanager
def named_as_in_run(pipeline: dlt.Pipeline, dataset: str | None) -> Iterator[None]:
    """Give the pipeline the dataset that its run will load into; dlt adds its default, suffix and layout.

    Uses `Pipeline._set_dataset_name`.
    """
    before = pipeline.dataset_name
    pipeline._set_dataset_name(dataset)
    try:
        yield
    finally:
        pipeline.dataset_name = before


def dataset_of_run(pipeline: dlt.Pipeline) -> str | None:
    """The `dataset_name` of the `pipeline.run(…)` in progress, if it has one.

    Uses the frame of `Pipeline.run`: while dlt extracts, the pipeline still has the dataset of the previous run.
    """
    frame = inspect.currentframe()
    while frame is not None:
        names = frame.f_code.co_varnames[: frame.f_code.co_argcount + frame.f_code.co_kwonlyargcount]
        if frame.f_code.co_name == "run" and "dataset_name" in names and frame.f_locals.get("self") is pipeline:
            return cast("str | None", frame.f_locals["dataset_name"])
        frame = frame.f_back
    return None


def hint(resource: DltResource, name: str) -> object:
    """A hint of a resource, such as `file_format`; dlt's own table needs a row if a hint is a function.

    Uses `DltResource._hints`.
    """
    return (resource._hints or {}).get(name)


def reads_once(resource: DltResource) -> bool:
    """Whether a resource can be read only once: it was made from an iterator.

    Uses `DltResource._pipe`, its `parent` and `gen`.
    """
    pipe = resource._pipe
    while pipe.parent is not None:
        pipe = pipe.parent
    return isinstance(pipe.gen, Iterator)
