"""dlt's warning that Arrow's type of `extra` is text and its hint is json: so declared, and nothing to warn of."""

from __future__ import annotations

import logging

import dlt
from dlt.extract.exceptions import CurrentSourceNotAvailable

from ..tables import CALL_ERRORS_COLUMNS, CALLS_COLUMNS
from .run_target import table_of

_DECLARED = {"calls": CALLS_COLUMNS, "call_errors": CALL_ERRORS_COLUMNS}


class _Expected(logging.Filter):
    """Drops the warning about this source's own tables while their types are as they are declared."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno != logging.WARNING or "when merging arrow schema with dlt schema" not in str(record.msg):
            return True
        try:
            resources = dlt.current.source().resources
        except CurrentSourceNotAvailable:
            return True
        for name, resource in resources.items():
            if str(record.msg).startswith(f"In resource: {name},"):
                declared = _DECLARED.get(table_of(resource) or name)
                return declared is None or not _has_types(resource.columns, declared)
        return True


def _has_types(columns: object, declared: object) -> bool:
    if not (isinstance(columns, dict) and isinstance(declared, dict)):
        return False
    return all(columns.get(name, {}).get("data_type") == column["data_type"] for name, column in declared.items())


def drop_expected() -> None:
    """Keep dlt from warning in each run of what is so by intention."""
    logger = logging.getLogger("dlt")
    if not any(isinstance(there, _Expected) for there in logger.filters):
        logger.addFilter(_Expected())
