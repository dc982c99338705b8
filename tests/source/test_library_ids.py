"""`ids=…` in a dlt pipeline: read when dlt extracts, from anywhere, once a run."""

from __future__ import annotations

from typing import Any

from sandbox import Sandbox
from tests.conftest import Project
from tests.support.library import run_script

PRELUDE = """
import json
import dlt
from sources.intercom import BadIds, ConfigurationError, intercom

READ = []

def pipeline(name):
    return dlt.pipeline(name, destination=dlt.destinations.duckdb("mine.duckdb"), dataset_name=name)

def loaded(name):
    with pipeline(name).sql_client() as client:
        return [row[0] for row in client.execute_sql("SELECT id FROM calls ORDER BY id")]

def refused(action, kind=BadIds):
    try:
        action()
    except Exception as error:
        while error is not None:
            if isinstance(error, kind):
                return str(error)
            error = error.__cause__ or error.__context__
    return None

@dlt.resource(name="tickets")
def tickets(first=1000001):
    READ.append(first)
    yield {"call_id": first, "subject": "a"}
    yield [{"call_id": first + 1}, {"call_id": None}, {"call_id": first}]
"""


def run(project: Project, script: str, **env: str) -> Any:
    return run_script(project, PRELUDE + script, **env)


def test_ids_can_be_another_resource_given_or_piped(own: Project, api: Sandbox) -> None:
    """Read when dlt extracts, once in each run; the resource itself is not loaded."""
    found = run(
        own,
        """
given = intercom(ids=tickets)
built = list(READ)
pipeline("given").run(given)
once = list(READ)
pipeline("given").run(given)
twice = list(READ)
source = intercom()
pipeline("piped").run(tickets(1000003) | source.calls)
whole = intercom(id_column="number")
[{"number": 1000005, "id": 9}, {"number": "ghost1"}] | whole.calls
pipeline("whole").run(whole)
with pipeline("whole").sql_client() as client:
    errors = client.execute_sql("SELECT call_id FROM call_errors")
parallel = intercom()
tickets(1000007) | parallel.calls.parallelize()
pipeline("parallel").run(parallel)
tables = sorted(pipeline("piped").default_schema.data_table_names())
print(json.dumps([
    [built, once, twice], loaded("given"), loaded("piped"), tables, loaded("whole"), errors, loaded("parallel"),
]))
""",
    )
    assert found == [
        [[], [1_000_001], [1_000_001, 1_000_001]],
        ["1000001", "1000002"],
        ["1000003", "1000004"],
        ["calls"],
        ["1000005"],
        [["ghost1"]],
        ["1000007", "1000008"],
    ]


def test_ids_that_can_be_read_once_are_kept_for_the_next_run(own: Project, api: Sandbox) -> None:
    """A retry of the same source object must not find them used up, and load nothing without a word."""
    found = run(
        own,
        """
def numbers():
    READ.append("read")
    yield 1000001
    yield "1000002"

def broken():
    yield 1000003
    raise OSError("the list broke off")

sources = {
    "generator": intercom(ids=numbers()),
    "resource": intercom(ids=dlt.resource(numbers(), name="numbers")),
    "map": intercom(ids=map(str, [1000001, 1000002])),
}
built = list(READ)
for name, source in sources.items():
    pipeline(name).run(source)
    pipeline(name).run(source)
fails = intercom(ids=broken())
first = refused(lambda: pipeline("broken").run(fails), OSError)
print(json.dumps([
    [built, READ],
    [first, refused(lambda: pipeline("broken").run(fails))],
]))
""",
    )
    assert found == [
        [[], ["read", "read"]],
        ["the list broke off", "ids is an iterator, and reading it failed before; make the source anew"],
    ]
    assert api.stats()["by_id"] == {"1000001": 6, "1000002": 6}


def test_a_resource_that_remembers_gives_each_id_to_one_run(own: Project, api: Sandbox) -> None:
    """Dlt keeps the state of an incremental resource with the load that used its ids."""
    found = run(
        own,
        """
@dlt.resource(name="ended")
def ended(since=dlt.sources.incremental("at", initial_value=0)):
    READ.append(since.start_value)
    yield [{"call_id": 1000000 + at, "at": at} for at in (1, 2, 3) if at > since.start_value]

for _ in range(2):
    pipeline("ended").run(intercom(ids=ended))
print(json.dumps([READ, loaded("ended")]))
""",
    )
    assert found == [[0, 3], ["1000001", "1000002", "1000003"]]
    assert set(api.stats()["by_id"].values()) == {1}


def test_what_can_not_be_ids_is_refused_at_once_and_bad_ids_when_dlt_extracts(own: Project, api: Sandbox) -> None:
    found = run(
        own,
        """
given = intercom(ids=["1000001"])
bad = intercom(ids=["1000001", "a b"])
many = dlt.source(lambda: (tickets, dlt.resource([1], name="other")), name="desk")()
@dlt.resource
def paged(page): yield page
print(json.dumps([
    refused(lambda: intercom(ids="12345")),
    refused(lambda: intercom(ids={"1": 1})),
    refused(lambda: intercom(ids=many)),
    refused(lambda: intercom(ids=paged)),
    refused(lambda: tickets | given.calls),
    refused(lambda: pipeline("bad").run(bad)),
    refused(lambda: pipeline("none").run(intercom())),
    refused(lambda: intercom(ids=[1], strategy="by_id"), ConfigurationError),
    refused(lambda: intercom(ids=[1], refresh="ALL"), ConfigurationError),
    refused(lambda: intercom(ids=[1], item_format="dict"), ConfigurationError),
    refused(lambda: intercom(ids=[1], bad_ids="ignore"), ConfigurationError),
    refused(lambda: intercom(ids=[1], id_column=2), ConfigurationError),
    refused(lambda: intercom(ids=[1], id_column=" "), ConfigurationError),
    refused(lambda: intercom(ids=[1], workers="3"), ConfigurationError),
    refused(lambda: intercom(ids=[1], workers=2.5), ConfigurationError),
    refused(lambda: intercom(ids=[1], workers=0), ConfigurationError),
    refused(lambda: intercom(ids=[1], share="half"), ConfigurationError),
    refused(lambda: intercom(ids=[1], share=1.1), ConfigurationError),
    refused(lambda: intercom(ids=[1], region=3), ConfigurationError),
    refused(lambda: intercom(ids=[1], access_token=b"hidden"), ConfigurationError),
]))
""",
    )
    assert found == [
        "ids = '12345' is one text, not a list of ids; write ids=['12345']",
        "ids is a dict; write ids=[…] of its keys or values, or ids=[row] where it is one row",
        "ids is the dlt source 'desk'; give one of its resources: ids=source.tickets, ids=source.other",
        "ids is the dlt resource 'paged', which needs arguments; call it with them",
        "ids were given, so 'tickets' can't be piped into calls; leave out one of the two",
        "id 2 given: 'a b' can't be a call id (white space inside); correct that, or skip it by bad_ids=\"skip\"",
        "no ids were given; write intercom(ids=[…]), or pipe a resource in: other | source.calls",
        "strategy = 'by_id' is not one of auto, by-id, sweep; did you mean 'by-id'?",
        "refresh = 'ALL' is not one of open, new, all; did you mean 'all'?",
        "item_format = 'dict' is not one of arrow, object",
        "bad_ids = 'ignore' is not one of refuse, skip",
        "id_column = 2 is not the name of a column",
        "id_column = ' ' is not the name of a column",
        "workers = '3' must be a whole number, 1 or more",
        "workers = 2.5 must be a whole number, 1 or more",
        "workers = 0 must be a whole number, 1 or more",
        "share = 'half' must be a number above 0 and at most 1",
        "share = 1.1 must be a number above 0 and at most 1",
        "region is int, not text",
        "access_token is bytes, not text",
    ]
    assert api.stats()["requests"] == 0


def test_bad_ids_are_skipped_if_configured(own: Project, api: Sandbox) -> None:
    found = run(
        own,
        """
rows = [{"call_id": "1000001"}, {"call_id": "a b"}, {"call_id": 1.5}, {"call_id": 1000002.0}]
pipeline("some").run(intercom(ids=rows, bad_ids="skip"))
print(json.dumps(loaded("some")))
""",
    )
    assert found == ["1000001", "1000002"]
