"""The public names: those that the docs list, each of them there, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import intercom_calls
import pipelines
from sources import intercom as source

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "library.md").read_text("utf-8")
ERRORS = ["ApiUnreachable", "BadIds", "ConfigurationError", "IntercomError", "TokenRefused"]


def test_these_are_the_public_names() -> None:
    assert source.__all__ == [*ERRORS, "intercom"]
    assert pipelines.__all__ == ["Summary", "UsageError", "load"]
    assert intercom_calls.__all__ == sorted([*source.__all__, *pipelines.__all__])
    with pytest.raises(AttributeError, match="no attribute 'Loader'"):
        intercom_calls.Loader  # noqa: B018


@pytest.mark.parametrize("name", intercom_calls.__all__)
def test_a_public_name_is_the_same_object_wherever_it_is_imported_from(name: str) -> None:
    of_part = source if name in source.__all__ else pipelines
    assert getattr(intercom_calls, name) is getattr(of_part, name)
    assert getattr(intercom_calls, name).__doc__


def test_the_exceptions_are_one_tree() -> None:
    for name in ERRORS:
        assert issubclass(getattr(source, name), source.IntercomError)


def test_the_docs_list_the_public_names_with_their_fields() -> None:
    section = PAGE.split("## All names\n")[1].split("\n## ")[0]
    listed = dict(re.findall(r"^\| `(\w+)` \| [^|]* \| ([^|]*)\|$", section, re.MULTILINE))
    assert sorted(listed) == intercom_calls.__all__
    for name, fields in listed.items():
        documented = getattr(intercom_calls, name).__doc__
        for field in re.findall(r"`([a-z_]+)`", fields) if name in ERRORS else []:
            assert f"{field}: " in documented, (name, field)
