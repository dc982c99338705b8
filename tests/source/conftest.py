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


@pytest.fixture
def three_thousand_calls(api: Sandbox) -> None:
    """The sandbox has 3,000 calls, and each of them is there."""
    api.reset(limit=None, calls=3_000, missing_share=0)
