"""The command `intercom-calls`, and `python -m intercom_calls`."""

from __future__ import annotations

import sys
from pathlib import Path

_here = Path(__file__).resolve().parent
if not (_here / "sources").is_dir():
    # In a checkout its own `sources` and `pipelines` come first on the path.
    sys.path.insert(0, str(_here.parent))

from pipelines.intercom_calls import main  # noqa: E402

if __name__ == "__main__":
    main(prog_name="intercom-calls")
