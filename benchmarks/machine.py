"""Where and when figures were taken."""

from __future__ import annotations

import os
import platform
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LOCKS = (ROOT / "requirements" / "runtime.lock", ROOT / "benchmarks" / "requirements.lock")
TOLD = ("dlt", "duckdb", "pyarrow", "aiohttp", "requests", "python-intercom", "airbyte-cdk")


def described() -> dict[str, Any]:
    """The machine, its Python and the locked versions of what is compared."""
    locked: dict[str, str] = {}
    for lock in reversed(LOCKS):
        locked |= dict(re.findall(r"^([a-z0-9-]+)==(\S+)", lock.read_text(), re.MULTILINE))
    return {
        "taken_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": os.cpu_count(),
        "cpu": _cpu(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "versions": {name: locked[name] for name in TOLD if name in locked},
    }


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    found = re.search(r"^model name\s*:\s*(.+)$", info.read_text(), re.MULTILINE) if info.exists() else None
    return found[1] if found else platform.processor()
