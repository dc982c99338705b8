"""The options of a load, typed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class LoadRequest:
    """The options of `intercom-calls load`, named as there."""

    call_ids: tuple[str, ...] = ()
    locations: tuple[str, ...] = ()
    ids_format: str | None = None
    id_column: str | None = None
    no_header: bool = False
    ids_sql: str | None = None
    ids_db: str | None = None
    bad_ids: Literal["refuse", "skip"] = "refuse"
    allow_empty: bool = False
    refresh: Literal["open", "new", "all"] = "open"
    limit: int | None = None
    destination: str = "duckdb"
    dataset: str = "intercom"
    project: str | None = None
    strategy: Literal["auto", "by-id", "sweep"] = "auto"
    workers: int | None = None
    share: float = 1.0
    chunk_size: int | None = None
    dry_run: bool = False
    wait: float = 0.0
    as_json: bool = False
    progress: Literal["auto", "rich", "log", "none"] = "auto"
    log_format: Literal["text", "json"] = "text"
    quiet: int = 0
    verbose: int = 0
