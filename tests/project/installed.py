"""What a user of the wheel does, by `make test-wheel`: run with the Python that has it, in an empty folder.

Beside it are folders `sources`, `pipelines` and `sandbox` of somebody else's, first on the path, as in another project.
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import files
from pathlib import Path

LOAD = """
import dlt
from intercom_calls import BadIds, Summary, intercom, load
from intercom_calls.sandbox import Sandbox

with Sandbox(calls=20, missing_share=0) as api:
    token = {"base_url": api.url, "access_token": api.token}
    pipeline = dlt.pipeline("phone_calls", destination="duckdb", dataset_name="intercom")
    summary: Summary = load(pipeline, ids=range(1_000_001, 1_000_011), **token)
    assert (summary.exit_code, summary.loaded) == (0, 10), summary
    pipeline.run(intercom(ids=["1000011"], **token))
    try:
        load(pipeline, ids=["not an id"], **token)
    except BadIds:
        print(pipeline.dataset()["calls"].arrow().num_rows, "calls")
"""


def main() -> None:
    """Check what was installed, and use it.

    Raises:
        AssertionError: something is not as it should be.
    """
    installed = files("intercom-calls") or []
    [metadata] = {file.parts[0] for file in installed if file.parts[0].endswith(".dist-info")}
    of_script = {file.parts[0] for file in installed if file.name == "intercom-calls"}
    assert {file.parts[0] for file in installed} - of_script == {"intercom_calls", metadata}
    assert "intercom_calls/py.typed" in map(str, installed)

    for name in ("sources", "pipelines", "sandbox"):
        Path(name).mkdir()
        Path(name, "__init__.py").write_text(f"raise ImportError('the {name} of another project')\n", "utf-8")
    os.environ |= {"PYTHONPATH": str(Path.cwd()), "RUNTIME__DLTHUB_TELEMETRY": "false"}
    command = str(Path(sys.executable).with_name("intercom-calls"))
    assert "1,496 calls in intercom.calls" in output(command, "demo")
    assert "calls        1,496" in output(sys.executable, "-m", "intercom_calls", "status", "--project", "demo")
    os.environ["DLT_DATA_DIR"] = str(Path("dlt").absolute())
    assert output(sys.executable, "-c", LOAD) == "11 calls\n"


def output(*command: str) -> str:
    """What it prints; it must end well."""
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


if __name__ == "__main__":
    main()
