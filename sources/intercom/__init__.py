"""Intercom phone calls as a dlt source: `GET /calls/{id}` (Intercom 2.14) for each of a list of ids.

Example:
    pipeline = dlt.pipeline("calls", destination="duckdb", dataset_name="intercom")
    pipeline.run(intercom(ids=["123", "456"]))
"""

from __future__ import annotations

import dlt
from dlt.common.schema.typing import TTableSchemaColumns
from dlt.common.typing import TSecretStrValue
from dlt.extract import DltResource

from . import descriptions
from .errors import ApiUnreachable, BadIds, ConfigurationError, IntercomError, TokenRefused
from .extract.extraction import Extraction, ItemFormat
from .extract.given_ids import BadIdsChoice, Ids
from .extract.resources import ErrorsResource, calls_type
from .fetch import Strategy
from .plan import Refresh
from .settings import SourceArguments, resolve_source_settings
from .tables import CALL_ERRORS_COLUMNS, CALLS_COLUMNS, CONTRACT, MERGE, with_row_ids

__all__ = ["ApiUnreachable", "BadIds", "ConfigurationError", "IntercomError", "TokenRefused", "intercom"]


@dlt.source(name="intercom", section="intercom", spec=SourceArguments)
def intercom(
    ids: Ids | None = None,
    refresh: Refresh = "all",
    strategy: Strategy = "auto",
    workers: int | None = None,
    share: float = 1.0,
    id_column: str | None = None,
    bad_ids: BadIdsChoice = "refuse",
    item_format: ItemFormat = "arrow",
    access_token: TSecretStrValue = dlt.secrets.value,
    region: str | None = dlt.config.value,
    base_url: str | None = dlt.config.value,
    api_version: str | None = dlt.config.value,
) -> tuple[DltResource, ...]:
    """Fetch each call once and hand it to dlt.

    Args:
        ids: call ids: an iterable of text and integers, an Arrow array or column, a column of pandas or polars, rows
            or a frame with `id_column`, a dlt resource; or leave it out and pipe one in: `other | source.calls`. Read,
            checked and united when dlt extracts, before anything is requested.
        refresh: `all` requests every id, `new` those without a row in `calls`, `open` new ids, failed ids and calls
            that may still change. What is loaded is read from the running pipeline's destination.
        strategy: `by-id`; `sweep`: pages of calls first, the rest by id; `auto`: the cheaper one.
        workers: maximum number of requests in flight; None adapts to the measured latency.
        share: share of the API's rate limit to use, 0 < share <= 1.
        id_column: of rows and frames, the column with the ids; by default `call_id`, else `id`, else the only one.
        bad_ids: `refuse`: a value that can't be an id ends the run before any request; `skip`: it is left out.
        item_format: `arrow`: tables of about a thousand rows; `object`: dicts, with several times the CPU and memory.
        access_token: by default `access_token` of the source's section, else INTERCOM_ACCESS_TOKEN.
        region: `us`, `eu` or `au`; by default the section's, else `us`.
        base_url: overrides the region; by default the section's.
        api_version: sent as `Intercom-Version`; by default the section's, else 2.14.

    Yields:
        `calls`, one row per call, and `call_errors`, one row per id that could not be loaded (missing ones too). A call
        that changes while pages are read may be yielded twice; merging keeps its newest version.

    Raises:
        BadIds, ConfigurationError: before anything is requested.
        TokenRefused, ApiUnreachable: while extracting; dlt wraps them in `PipelineStepFailed`.
    """
    extraction = Extraction(
        ids=ids,
        settings=resolve_source_settings(
            access_token=access_token, region=region, base_url=base_url, api_version=api_version
        ),
        id_column=id_column,
        bad_ids=bad_ids,
        refresh=refresh,
        strategy=strategy,
        workers=workers,
        share=share,
        item_format=item_format,
    )
    of_items = with_row_ids if item_format == "object" else dict
    # all items are one package here: of a call that a sweep saw twice the newest version counts
    newest: TTableSchemaColumns = {**CALLS_COLUMNS, "updated_at": {**CALLS_COLUMNS["updated_at"], "dedup_sort": "desc"}}
    calls = dlt.resource(
        extraction.of("calls"),
        _impl_cls=calls_type(extraction.given.pipe),
        name="calls",
        primary_key="id",
        write_disposition=MERGE,
        columns=of_items(newest),
        schema_contract=CONTRACT,
    )
    call_errors = dlt.resource(
        extraction.of("call_errors"),
        _impl_cls=ErrorsResource,
        name="call_errors",
        primary_key="call_id",
        write_disposition=MERGE,
        columns=of_items(CALL_ERRORS_COLUMNS),
        schema_contract=CONTRACT,
    )
    return (
        calls.apply_hints(additional_table_hints={"description": descriptions.CALLS_TABLE}),
        call_errors.apply_hints(additional_table_hints={"description": descriptions.CALL_ERRORS_TABLE}),
    )
