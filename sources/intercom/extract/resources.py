"""The resources as dlt holds them: what is piped into `calls`, and why none of them needs dlt's threads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Self

from dlt.extract import DltResource


class FetchedResource(DltResource):
    """A resource whose rows are fetched in the background; `table` is which of the source's, whatever it is called."""

    table: ClassVar[str]

    def parallelize(self) -> Self:
        """Change nothing: the rows are fetched in the background as it is, beside all other resources.

        In dlt's pool of threads a list of ids that is a dlt resource itself could not be read: it and the main thread
        would take each other's place in dlt's contexts.
        """
        return self


class ErrorsResource(FetchedResource):
    """The resource `call_errors`."""

    table = "call_errors"


def calls_type(take_ids: Callable[[DltResource], None]) -> type[FetchedResource]:
    """The type of the resource `calls`: what is piped into it are its ids: `other | source.calls`.

    It is no transformer, whose data dlt would hand over page by page: a list of ids is planned and fetched as a whole.
    A type, since dlt clones a resource by it.
    """

    class CallsResource(FetchedResource):
        table = "calls"

        def pipe_data_from(self, data_from: Any) -> Any:
            """Called by dlt for `data_from | self`."""
            take_ids(data_from)
            return self

    return CallsResource
