"""Which column of a list holds the ids."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import BadIds
from .validate import shown, trim

USUAL_NAMES = ("call_id", "id")
_LISTED_COLUMNS = 20


def position(names: Sequence[str], wanted: str | None, origin: str, option: str = "--id-column") -> int:
    """The index of the column that holds the ids: `wanted`, else `call_id`, else `id`, else the only one.

    Names are compared exactly, without the white space around them. `option` names the choice in messages.

    Raises:
        BadIds: no such column, or more than one of that name.
    """
    tidy = [trim(name) for name in names]
    for candidate in USUAL_NAMES if wanted is None else (trim(wanted),):
        if tidy.count(candidate) > 1:
            raise BadIds(f"{origin}: the column {shown(candidate)} is there twice; rename or remove one of them")
        if candidate in tidy:
            return tidy.index(candidate)
    if wanted is None and len(tidy) == 1:
        return 0
    raise BadIds(f"{origin}: {_no_column(tidy, wanted, option)}")


def _no_column(names: Sequence[str], wanted: str | None, option: str) -> str:
    listed = ", ".join(map(shown, names[:_LISTED_COLUMNS])) or "none"
    if len(names) > _LISTED_COLUMNS:
        listed += f" and {len(names) - _LISTED_COLUMNS} more"
    sought = USUAL_NAMES if wanted is None else (wanted,)
    near = [name for name in names if name.casefold() in {one.casefold() for one in sought}]
    hint = f" (it has {shown(near[0])}: case matters)" if near else ""
    what = "'call_id' or 'id'" if wanted is None else shown(wanted)
    return f"no column {what}{hint}; its columns are {listed}; name the one with the ids by {option}"
