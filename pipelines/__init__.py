"""The chunked, resumable load of Intercom phone calls, as a function: `load(pipeline, ids)`.

The command `intercom-calls` is built on it. Importing this package does not import dlt, so that `--help` is instant.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .errors import UsageError as UsageError
    from .library import load as load
    from .summary import Summary as Summary

_MODULES = {"Summary": "summary", "UsageError": "errors", "load": "library"}
__all__ = ["Summary", "UsageError", "load"]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULES[name]}", __name__), name)
