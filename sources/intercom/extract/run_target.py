"""The tables that a run of dlt is about to write, and what happens to the rows in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import dlt
from dlt.common.storages.exceptions import CurrentLoadPackageStateNotAvailable
from dlt.extract import DltResource
from dlt.extract.exceptions import CurrentSourceNotAvailable
from dlt.extract.source import DltSource

from ..errors import ConfigurationError
from ..plan import Refresh
from ..private_parts import hint
from .resources import FetchedResource


@dataclass(frozen=True)
class Target:
    """The tables of a source's resources.

    Attributes:
        calls, errors: their names; None if the table is emptied before the load, or its name depends on the row.
        losses: settings that would lose rows which a run does not write again.
    """

    calls: str | None
    errors: str | None
    losses: tuple[str, ...]

    @classmethod
    def of(cls, source: DltSource | None, item_format: str) -> Target:
        """The target of the current extraction.

        Raises:
            ConfigurationError: both tables are one, or dlt can't write Arrow data as the hints want it.
        """
        names: dict[str, str | None] = {"calls": "calls", "call_errors": "call_errors"}
        losses: list[str] = []
        emptied = _emptied()
        for resource in source.resources.values() if source else ():
            table = table_of(resource)
            if table is None:
                continue
            name = resource.table_name if isinstance(resource.table_name, str) else None
            names[table] = name
            if resource.selected and item_format == "arrow":
                _refuse_scd2_without_version(resource)
            loss = _loss(resource) if resource.selected else None
            if name is None:
                losses.append(f"the table of {resource.name} depends on the row, so nobody can ask it what is loaded")
            elif loss or (source is not None and source.schema.naming.normalize_table_identifier(name) in emptied):
                losses.append(loss or f"dlt's refresh empties the table {name}")
                names[table] = None
        if names["calls"] == names["call_errors"] is not None:
            raise ConfigurationError(
                f"calls and call_errors would both go into the table {names['calls']}; rename one resource's table "
                "with apply_hints(table_name=…) instead of run(…, table_name=…)"
            )
        return cls(names["calls"], names["call_errors"], tuple(losses))

    def refuse_loss(self, refresh: Refresh) -> None:
        """Refuse a run that writes only some of the calls into tables that lose the others."""
        if refresh != "all" and self.losses:
            raise ConfigurationError(
                f'{self.losses[0]}, and refresh = "{refresh}" writes only some of the calls again: rows would be lost; '
                'use refresh="all"'
            )


def may_be_empty(source: DltSource | None, table: str) -> bool:
    """Whether dlt can load a table without rows: as jsonl it is an empty file, which DuckDB can't read."""
    resources = source.resources.values() if source else ()
    return not any(table_of(resource) == table and hint(resource, "file_format") == "jsonl" for resource in resources)


def table_of(resource: DltResource) -> str | None:
    """Which of the source's tables a resource is for, whatever its name; None for a resource of others."""
    return resource.table if isinstance(resource, FetchedResource) else None


def current_source() -> DltSource | None:
    """The source that dlt extracts; None outside an extraction."""
    try:
        return dlt.current.source()
    except CurrentSourceNotAvailable:
        return None


def _loss(resource: DltResource) -> str | None:
    disposition = _disposition(resource)
    if disposition.get("disposition") == "replace":
        return f'write_disposition="replace" empties the table of {resource.name}'
    if disposition.get("strategy") == "scd2" and not hint(resource, "merge_key"):
        return f"scd2 without a merge_key retires the rows of {resource.name} that a run does not write"
    return None


def _refuse_scd2_without_version(resource: DltResource) -> None:
    """Dlt computes a row's version only for dicts; with Arrow data it fails after everything has been requested."""
    disposition = _disposition(resource)
    if disposition.get("strategy") == "scd2" and not disposition.get("row_version_column_name"):
        raise ConfigurationError(
            f'scd2 of {resource.name}: dlt computes the version of a row for dicts alone; use item_format="object", '
            "or add a column with a hash of each row by add_map and name it as row_version_column_name"
        )


def _disposition(resource: DltResource) -> dict[str, Any]:
    disposition: Any = resource.write_disposition
    return disposition if isinstance(disposition, dict) else {"disposition": disposition}


def _emptied() -> set[str]:
    """The tables that dlt drops or empties before it loads this package (`refresh=` of its `run`)."""
    try:
        state: Any = dlt.current.load_package_state()["state"]
    except CurrentLoadPackageStateNotAvailable:
        return set()
    tables = [*state.get("dropped_tables", []), *state.get("truncated_tables", [])]
    return {table["name"] for table in tables}
