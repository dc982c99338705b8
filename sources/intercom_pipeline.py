"""Load Intercom phone calls: a start to change, which `dlt init intercom duckdb` copies into a project."""

from collections.abc import Iterator

import dlt
from intercom import intercom


def load_calls() -> None:
    """Load some calls by id. A second run requests only those that may still change."""
    pipeline = dlt.pipeline(pipeline_name="intercom", destination="duckdb", dataset_name="intercom_data")
    print(pipeline.run(intercom(ids=["1000001", "1000002", "1000003"], refresh="open")))


def load_calls_of_tickets() -> None:
    """Load the calls that another dlt resource names: any source, a table of a database, a file."""
    pipeline = dlt.pipeline(pipeline_name="intercom", destination="duckdb", dataset_name="intercom_data")
    print(pipeline.run(intercom(ids=tickets, id_column="call_id", refresh="open")))


@dlt.resource
def tickets() -> Iterator[list[dict[str, object]]]:
    """Rows with a column of call ids; a row without one is passed over."""
    yield [{"ticket": 1, "call_id": "1000004"}, {"ticket": 2, "call_id": None}]


if __name__ == "__main__":
    load_calls()
