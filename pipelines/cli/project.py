"""The project folder: where configuration, the default database and the working files are.

`enter` must run before dlt is imported, since dlt reads the environment on import.
"""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import UsageError

DUCKDB_FILE = "intercom_calls.duckdb"


def enter(folder: str | None, *, verbose: bool = False) -> Path:
    """Make `folder` (else DLT_PROJECT_DIR, else the current one) the project of this process.

    Raises:
        UsageError: there is no such folder.
    """
    project = Path(folder or os.environ.get("DLT_PROJECT_DIR") or ".").expanduser().resolve()
    if not project.is_dir():
        raise UsageError(f"--project {project} is no folder; make it, or name another")
    os.environ["DLT_PROJECT_DIR"] = os.environ["DLT_LOCAL_DIR"] = str(project)
    data = Path(os.environ.setdefault("DLT_DATA_DIR", str(project / ".dlt" / "data"))).expanduser()
    os.environ["DLT_DATA_DIR"] = str(data if data.is_absolute() else project / data)
    # Users get one line from the exception; dlt would log tracebacks. It sets up its logging on import, before any
    # provider is registered.
    os.environ.setdefault("RUNTIME__LOG_LEVEL", "INFO" if verbose else "CRITICAL")
    # Its telemetry starts on import, too.
    os.environ.setdefault("RUNTIME__DLTHUB_TELEMETRY", "false")
    return project


def register_defaults(project: Path) -> None:
    """Give dlt this command's defaults; the environment, config.toml and secrets.toml override each of them.

    Raises:
        UsageError: one of the two files can't be read.
    """
    import dlt
    from dlt.common.configuration.exceptions import ConfigProviderException
    from dlt.common.configuration.providers import CustomLoaderDocProvider

    defaults = {
        "runtime": {
            # the command handles Ctrl-C and SIGTERM: it stops requesting and loads what was received
            "intercept_signals": False,
        },
        # this pipeline keeps no state at the destination
        "restore_from_destination": False,
        "normalize": {"parquet_normalizer": {"add_dlt_load_id": True}},
        "load": {"delete_completed_jobs": True, "truncate_staging_dataset": True},
        "destination": {"duckdb": {"credentials": str(project / DUCKDB_FILE)}},
    }
    try:
        dlt.config.register_provider(CustomLoaderDocProvider("intercom_calls", lambda: defaults, locations=[]))
    except ConfigProviderException as error:
        raise UsageError(f"{' '.join(str(error).split())}; correct the file") from None
