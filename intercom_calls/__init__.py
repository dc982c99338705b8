"""Intercom phone calls into DuckDB, PostgreSQL or any dlt destination: `from intercom_calls import intercom, load`.

Installed, this package holds `sources`, `pipelines` and `sandbox` (hatch_build.py); in a checkout they are next to it.
Importing it does not import dlt, so that `--help` is instant.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipelines import Summary, UsageError, load
    from sources.intercom import ApiUnreachable, BadIds, ConfigurationError, IntercomError, TokenRefused, intercom

__all__ = [
    "ApiUnreachable",
    "BadIds",
    "ConfigurationError",
    "IntercomError",
    "Summary",
    "TokenRefused",
    "UsageError",
    "intercom",
    "load",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import pipelines as run

    if name in run.__all__:
        return getattr(run, name)
    from sources import intercom as source

    return getattr(source, name)
