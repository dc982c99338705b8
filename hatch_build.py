"""Builds the wheel: `sources`, `pipelines` and `sandbox` become parts of the one package `intercom_calls`.

So an installation takes no name that a project of its user's may have. Where each folder goes is in pyproject.toml;
here the modules that import one of them by its name in the checkout are rewritten. A new module needs nothing.
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
    """Puts the rewritten modules in the place of those of the checkout; an editable install keeps the checkout's."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Rewrite each module that needs it into a folder that lasts until the wheel is built."""
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
        """Remove that folder."""
        if version != "editable":
            self._folder.cleanup()
