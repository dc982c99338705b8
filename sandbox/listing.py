"""`GET /calls`: the workspace page by page, in any order, and what happens to it while it is read."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

from .calls import Workspace
from .faults import dump, loads
from .settings import LARGEST_PAGE, Settings

Make = Callable[[str], bytes | None]


class Listing:
    """The calls that are there at a request, counted from 1, and the pages they fill.

    What comes, goes and changes (`arriving`, `deletions`, `changes`) holds for `GET /calls/{id}` as well.
    """

    def __init__(self, settings: Settings, workspace: Workspace) -> None:
        self._settings = settings
        self._workspace = workspace
        self._missing = frozenset(settings.missing)
        self._deleted_at = {call_id: request for request, call_id in reversed(settings.deletions)}
        self._changes: dict[str, list[tuple[int, Mapping[str, Any]]]] = {}
        for request, call_id, fields in settings.changes:
            self._changes.setdefault(call_id, []).append((request, fields))
        self._oldest_first: Sequence[str] | None = None
        self._ordered = functools.lru_cache(maxsize=2)(self._order)

    def has(self, call_id: str, request: int) -> bool:
        """Whether the call is there, as far as the settings say; the workspace has a say of its own."""
        if request >= self._deleted_at.get(call_id, math.inf):
            return False
        arrived_at = self._arrives_at(call_id) if self._settings.arriving else 0
        return request >= arrived_at

    def changed(self, call_id: str, body: bytes, request: int) -> bytes:
        """The call's body with what has changed of it so far."""
        fields: dict[str, Any] = {}
        for changed_at, changes in self._changes.get(call_id, ()):
            if request >= changed_at:
                fields |= changes
        return dump(loads(body) | fields) if fields else body

    def page(self, number: int, per_page: int, request: int, make: Make) -> bytes:
        """The body of one page; `make` gives a call's body, None where it is not there."""
        settings = self._settings
        per_page = min(per_page, settings.list_per_page)
        ids = self._visible(request)
        shown = number - 1 if number in settings.list_repeats else number
        start = (shown - 1) * per_page
        of_page = ids[start : start + per_page]
        if number in settings.list_skips:
            of_page = of_page[::2]
        items = [self._item(body) for call_id in of_page if (body := make(call_id)) is not None]
        total = len(ids) if settings.list_total is None else settings.list_total
        told = {"type": "pages", "page": number, "per_page": per_page, "total_pages": math.ceil(total / per_page)}
        end = b'],"total_count":%d,"pages":%s}' % (total, dump(told))
        return b'{"type":"list","data":[' + b",".join(items) + end

    def _item(self, body: bytes) -> bytes:
        settings = self._settings
        if not (settings.list_fields or settings.list_without):
            return body
        call = loads(body) | settings.list_fields
        return dump({field: value for field, value in call.items() if field not in settings.list_without})

    def _visible(self, request: int) -> Sequence[str]:
        settings = self._settings
        arrived = settings.calls - max(0, settings.arriving - request // settings.arriving_every)
        deleted = frozenset(call_id for call_id, at in self._deleted_at.items() if request >= at)
        return self._ordered(arrived, deleted, request if settings.list_order == "reshuffled" else 0)

    def _order(self, arrived: int, deleted: frozenset[str], shuffle: int) -> Sequence[str]:
        settings = self._settings
        if self._oldest_first is None:
            self._oldest_first = self._alive()
        ids = list(self._oldest_first)
        if arrived < settings.calls:
            newest = settings.first_id + arrived
            ids = [call_id for call_id in ids if not (call_id.isdecimal() and int(call_id) >= newest)]
        if deleted:
            ids = [call_id for call_id in ids if call_id not in deleted]
        match settings.list_order:
            case "text":
                ids.sort()
            case "none" | "reshuffled":
                # By each call's own draw, so that one more or less leaves the others in their places.
                ids.sort(key=lambda call_id: Random(f"{settings.seed}:{shuffle}:{call_id}").random())
            case "created_at" if settings.list_disorder:
                reach = settings.list_disorder
                places = [(place + Random(call_id).random() * reach, call_id) for place, call_id in enumerate(ids)]
                ids = [call_id for _, call_id in sorted(places)]
        if settings.list_descending:
            ids.reverse()
        return ids

    def _alive(self) -> Sequence[str]:
        """Every call that is ever there, oldest first; stated bodies of other ids last."""
        settings, workspace = self._settings, self._workspace
        ids = workspace.ids()
        if workspace.missing_share:
            ids = [call_id for call_id in ids if call_id in settings.bodies or workspace.holds(call_id)]
        known = range(settings.first_id, settings.first_id + settings.calls)
        others = [call_id for call_id in settings.bodies if not (call_id.isdecimal() and int(call_id) in known)]
        unlisted = self._missing - settings.bodies.keys()
        unlisted |= {call_id for call_id, body in settings.bodies.items() if not isinstance(body, Mapping)}
        return [call_id for call_id in (*ids, *others) if call_id not in unlisted]

    def _arrives_at(self, call_id: str) -> int:
        if not call_id.isdecimal():
            return 0
        late = int(call_id) - (self._settings.first_id + self._settings.calls - self._settings.arriving) + 1
        return max(0, late) * self._settings.arriving_every


def page_of(query: Mapping[str, str]) -> tuple[int, int]:
    """`page` and `per_page` of a query, each at least 1; what is no number, or too large a page, as if left out."""
    page, per_page = query.get("page", ""), query.get("per_page", "")
    return (
        max(1, int(page) if page.isdecimal() else 1),
        max(1, min(LARGEST_PAGE, int(per_page) if per_page.isdecimal() else LARGEST_PAGE)),
    )
