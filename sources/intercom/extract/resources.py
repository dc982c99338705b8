"""The types of the resources: `calls` takes ids by `|`, and none of them needs dlt's threads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Self

from dlt.extract import DltResource


class FetchedResource(DltResource):
    """A resource whose rows are fetched in the background; `table` says which of the source's tables it fills."""

    table: ClassVar[str]

    def parallelize(self) -> Self:
        """Change nothing: the rows are fetched in the background anyway.

        In dlt's thread pool, ids that are a dlt resource could not be read: dlt's contexts would be mixed up.
        """
        return self


class ErrorsResource(FetchedResource):
    """The resource `call_errors`."""

    table = "call_errors"


def calls_type(take_ids: Callable[[DltResource], None]) -> type[FetchedResource]:
    """The type of the resource `calls`, whose ids may be piped in: `other | source.calls`.

    Not a transformer, which gets its data page by page: a list of ids is planned and fetched as a whole.
    """

    class CallsResource(FetchedResource):
        table = "calls"

        def pipe_data_from(self, data_from: Any) -> Any:
            """Called by dlt for `data_from | self`."""
            take_ids(data_from)
            return self

    return CallsResource
