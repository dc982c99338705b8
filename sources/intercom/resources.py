"""The resources as dlt holds them: what is piped into `calls`, and why none of them needs dlt's threads."""

from __future__ import annotations

from typing import Any, Self

from dlt.extract import DltResource


class FetchedResource(DltResource):
    """A resource whose rows are fetched in the background."""

    def parallelize(self) -> Self:
        """Change nothing: the rows are fetched in the background as it is, beside all other resources.

        In dlt's pool of threads a list of ids that is a dlt resource itself could not be read: it and the main thread
        would take each other's place in dlt's contexts.
        """
        return self


class CallsResource(FetchedResource):
    """The resource `calls`; what is piped into it are its ids: `other | source.calls`.

    It is no transformer, whose data dlt would hand over page by page: a list of ids is planned and fetched as a whole.
    """

    def pipe_data_from(self, data_from: Any) -> Any:
        """Called by dlt for `data_from | self`."""
        self._pipe.gen.given.pipe(data_from)  # type: ignore[union-attr]
        return self
