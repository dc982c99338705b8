"""The chunked, resumable load of Intercom phone calls, as a function: `load(pipeline, ids)`.

The command `intercom-calls` is built on it. Importing this package imports nothing of dlt: `--help` is to be instant.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .library import load as load
    from .outcome import Summary as Summary
    from .outcome import UsageError as UsageError

__all__ = ["Summary", "UsageError", "load"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "load":
        from .library import load

        return load
    from . import outcome

    return getattr(outcome, name)
