"""Builds the wheel: `sources`, `pipelines` and `sandbox` become parts of the one package `intercom_calls`.

So an installation takes no name that a user's project may have. pyproject.toml says where each folder goes; here the
imports by the names in the checkout are rewritten. A new module needs no change here.
"""

from __future__ import annotations

import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PACKAGE = "intercom_calls"
IMPORT = re.compile(r"^(\s*(?:from|import) )(?=(?:sources|pipelines|sandbox)\b)", re.MULTILINE)
COMMAND = re.compile(r"(?<=python -m )(?=sandbox\b)")


class OnePackage(BuildHookInterface[Any]):
    """Replaces modules by rewritten ones; an editable install keeps those of the checkout."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Rewrite the modules with such imports into a temporary folder."""
        if version == "editable":
            return
        self._folder = TemporaryDirectory()
        for number, file in enumerate(list(self.build_config.builder.recurse_included_files())):
            if not file.path.endswith(".py"):
                continue
            text = Path(file.path).read_text("utf-8")
            new = COMMAND.sub(f"{PACKAGE}.", IMPORT.sub(rf"\1{PACKAGE}.", text))
            if new != text:
                rewritten = Path(self._folder.name, f"{number}.py")
                rewritten.write_text(new, "utf-8")
                build_data["force_include"][str(rewritten)] = file.distribution_path

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove the temporary folder."""
        if version != "editable":
            self._folder.cleanup()
