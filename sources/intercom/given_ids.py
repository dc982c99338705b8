"""Call ids given to the source from Python."""

from __future__ import annotations

from typing import Any, Literal

from .ids import IdList, read_ids


def read_given_ids(ids: Any, id_column: str | None, bad_ids: Literal["refuse", "skip"]) -> IdList:
    """Read what was passed as `ids`, when dlt extracts.

    Args:
        ids: an iterable of text and integers.
        id_column: the column with the ids, of rows and frames.
        bad_ids: whether a value that can't be a call id refuses everything, or is skipped and counted.

    Raises:
        BadIds: a value can't be a call id; names the value and its place.
    """
    return read_ids(ids, [], column=id_column, bad=bad_ids)
