"""What the tests of the source as a library share."""

from __future__ import annotations

import pytest

from sandbox import Sandbox
from tests.conftest import Project


@pytest.fixture
def own(project: Project, api: Sandbox) -> Project:
    """A project in which the command never ran: dlt's own working folder, and its telemetry switched off."""
    project.env |= {
        "DLT_DATA_DIR": str(project.folder / "dlt"),
        "RUNTIME__DLTHUB_TELEMETRY": "false",
        "SANDBOX_STATS": f"{api.url}/_sandbox/stats",
    }
    return project
