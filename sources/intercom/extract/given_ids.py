"""The argument `ids` of the source: checked at once, read when dlt extracts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from copy import copy
from typing import Any, Literal, Protocol, TypeAlias

import pyarrow as pa
from dlt.extract import DltResource, DltSource

from ..errors import BadIds, ConfigurationError
from ..ids.objects import refuse_kind
from ..ids.read import IdList, read_given
from ..private_parts import reads_once
from .run_target import current_source


class ArrowStream(Protocol):
    """Arrow's PyCapsule interface: tables and columns of pyarrow, polars, pandas, DuckDB, ibis and others."""

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        """The data as an Arrow stream."""


class ArrowArray(Protocol):
    """Arrow's PyCapsule interface of one array."""

    def __arrow_c_array__(self, requested_schema: Any = None) -> Any:
        """The data as an Arrow array."""


# Iterables hold text, integers or rows (mappings); a dlt resource is one too. A text also is an iterable of texts,
# which types can't exclude: it is refused at run time.
Ids: TypeAlias = Iterable[Any] | ArrowStream | ArrowArray
BadIdsChoice: TypeAlias = Literal["refuse", "skip"]


class GivenIds:
    """The ids that were given to a source, or are piped into its `calls`; the arguments are the source's.

    Raises:
        BadIds: `ids` does not hold ids; the message says what to write instead.
        ConfigurationError: `id_column` is not text.
    """

    def __init__(self, ids: Ids | None, id_column: str | None = None, bad_ids: BadIdsChoice = "refuse") -> None:
        column: object = id_column
        if column is not None and not (isinstance(column, str) and column.strip()):
            raise ConfigurationError(f"id_column = {column!r} is not the name of a column", "id_column")
        if ids is not None:
            _refuse_kind(ids, id_column)
        self._ids = ids
        self._id_column = id_column
        self._bad_ids: BadIdsChoice = bad_ids
        self._piped: DltResource | None = None
        self._kept: IdList | BaseException | None = None

    def pipe(self, resource: DltResource) -> None:
        """Take the ids from a dlt resource: `other | source.calls`.

        Raises:
            BadIds: ids were given already.
        """
        if self._ids is not None:
            raise BadIds(f"ids were given, so {resource.name!r} can't be piped into calls; leave out one of the two")
        _refuse_kind(resource, self._id_column)
        self._piped, self._kept = resource, None

    def read(self) -> IdList:
        """The ids, read again each time; those of an iterator, which can be read only once, are kept.

        Raises:
            BadIds: a value can't be an id, nothing was given, or an iterator failed when it was read before.
        """
        ids = self._ids if self._piped is None else self._piped
        if ids is None:
            raise BadIds("no ids were given; write intercom(ids=[…]), or pipe a resource in: other | source.calls")
        if isinstance(self._kept, IdList):
            return self._kept
        if self._kept is not None:
            raise BadIds("ids is an iterator, and reading it failed before; make the source anew") from self._kept
        try:
            given = _items(ids) if isinstance(ids, DltResource) else ids
            listed = read_given(given, self._id_column, self._bad_ids)
        except BaseException as error:
            self._kept = error if _reads_once(ids) else None
            raise
        self._kept = listed if _reads_once(ids) else None
        return listed


def _refuse_kind(ids: object, id_column: str | None) -> None:
    if isinstance(ids, DltSource):
        names = ", ".join(f"ids=source.{name}" for name in ids.resources)
        raise BadIds(f"ids is the dlt source {ids.name!r}; give one of its resources: {names}")
    if isinstance(ids, DltResource):
        if ids.requires_args:
            raise BadIds(f"ids is the dlt resource {ids.name!r}, which needs arguments; call it with them")
        return
    refuse_kind(ids, id_column)


def _items(resource: DltResource) -> Iterator[Any]:
    """The items of a resource; its state, such as that of an incremental, is kept with the source that reads it."""
    source = current_source()
    if resource.source_name is None and source is not None:
        # else dlt names the state after the pipeline in the first run and after its schema in the next
        resource = copy(resource)
        resource.source_name = source.name
    return iter(resource)


def _reads_once(ids: object) -> bool:
    return reads_once(ids) if isinstance(ids, DltResource) else isinstance(ids, (Iterator, pa.RecordBatchReader))
