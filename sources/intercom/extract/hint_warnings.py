"""Silences dlt's warning that `extra` is text in Arrow but json by its hint: this is intended."""

from __future__ import annotations

import logging

from ..tables import CALL_ERRORS_COLUMNS, CALLS_COLUMNS
from .run_target import current_source, table_of

_DECLARED = {"calls": CALLS_COLUMNS, "call_errors": CALL_ERRORS_COLUMNS}


class _Expected(logging.Filter):
    """Drops the warning about this source's own tables, unless a user changed their types."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno != logging.WARNING or "when merging arrow schema with dlt schema" not in str(record.msg):
            return True
        source = current_source()
        for name, resource in source.resources.items() if source else ():
            if str(record.msg).startswith(f"In resource: {name},"):
                declared = _DECLARED.get(table_of(resource) or name)
                columns = resource.columns
                if declared is None or not isinstance(columns, dict):
                    return True
                return any(columns.get(one, {}).get("data_type") != declared[one]["data_type"] for one in declared)
        return True


def drop_expected() -> None:
    """Keep dlt from this warning in each run."""
    logger = logging.getLogger("dlt")
    if not any(isinstance(there, _Expected) for there in logger.filters):
        logger.addFilter(_Expected())
