"""The source, `load` and the exceptions, as their users write them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, assert_type

import dlt
import pyarrow as pa
from dlt.extract import DltResource

from intercom_calls import ApiUnreachable, BadIds, ConfigurationError, Summary, TokenRefused, UsageError, intercom, load


@dlt.resource
def tickets() -> Iterator[list[dict[str, object]]]:
    yield [{"ticket": 7, "call_id": "1000001"}]


def sources() -> None:
    for ids in (["1", 2, None], range(3), (str(number) for number in range(3)), pa.array(["1"]), {"1"}):
        assert_type(intercom(ids=ids).resources["calls"], DltResource)
    intercom(ids=tickets, id_column="call_id", bad_ids="skip", item_format="object")
    intercom(refresh="open", strategy="sweep", workers=8, share=0.5, access_token="t", region="eu")
    intercom.clone(name="intercom_eu", section="intercom_eu")(ids=["1"])


def refused(pipeline: dlt.Pipeline) -> None:
    intercom(ids=["1"], strategy="by_id")  # type: ignore[arg-type]
    intercom(ids=["1"], refresh="everything")  # type: ignore[arg-type]
    intercom(ids=["1"], colour="red")  # type: ignore[call-arg]
    intercom(ids=7)  # type: ignore[arg-type]
    load(pipeline)  # type: ignore[call-arg]
    load(pipeline, ["1"], "open")  # type: ignore[call-arg]


def loads(pipeline: dlt.Pipeline) -> None:
    try:
        summary = load(pipeline, ids=["1", 2, None], limit=1, chunk_size=1000, allow_empty=True)
    except BadIds as error:
        assert_type(error.problems, tuple[str, ...])
    except ConfigurationError as error:
        assert_type(error.setting, str | None)
    except UsageError as error:
        assert_type(int(error.exit_code), int)
    else:
        assert_type(summary, Summary)
        assert_type(summary.loaded, int)
        assert_type(summary.error, str | None)
        assert_type(summary.as_json(), dict[str, Any])


def refusals(error: Exception) -> None:
    if isinstance(error, TokenRefused):
        assert_type(error.status, int)
        assert_type(error.request_id, str | None)
    if isinstance(error, ApiUnreachable):
        assert_type(error, ApiUnreachable)
