"""Checks that token and dataset are of the same workspace: one dataset holds one workspace."""

from __future__ import annotations

from typing import Any

import dlt
from dlt.common.destination.exceptions import SqlClientNotAvailable
from dlt.destinations.sql_client import SqlClientBase

from sources.intercom.workspace import Workspace

from ..destinations.dataset import column_names, select
from ..errors import AnotherWorkspace

_COLUMNS = ("workspace", "workspace_name", "workspace_timezone")
# A run that wrote no call proves nothing: its token may have been wrong, and must not lock the right one out.
_NEWEST = f"SELECT {', '.join(_COLUMNS)} WHERE workspace IS NOT NULL AND loaded > 0 ORDER BY started_at DESC LIMIT 1"


def read_workspace(client: SqlClientBase[Any]) -> Workspace | None:
    """The workspace of the newest run that knew it and wrote a call; None without one."""
    if not column_names(client, "load_runs").issuperset(_COLUMNS):
        return None
    rows = select(client, "load_runs", _NEWEST)
    return Workspace(*rows[0]) if rows else None


def workspace_of(pipeline: dlt.Pipeline) -> Workspace | None:
    """The same for a pipeline's dataset; None where the destination answers no SQL."""
    try:
        with pipeline.sql_client() as client:
            return read_workspace(client)
    except SqlClientNotAvailable:
        return None


def refuse_another(dataset: str, there: Workspace | None, token: Workspace | None) -> None:
    """Raise `AnotherWorkspace` where the dataset holds calls of another workspace than the token's."""
    if there is not None and token is not None and there.id_code != token.id_code:
        raise AnotherWorkspace(
            f"the access token is of workspace {token}, but dataset {dataset} holds calls of workspace {there}; "
            "nothing was written. Give the token of that workspace, or another dataset (--dataset)"
        )
