"""What a run of the source does in a pipeline of somebody else's: the tables it asks, what it refuses, how it ends."""

from __future__ import annotations

import sys

import pytest

from tests.conftest import Project
from tests.support.library import PIPELINES, run_script

pytestmark = pytest.mark.usefixtures("three_thousand_calls")


def test_each_run_asks_the_tables_that_it_writes(own: Project) -> None:
    found = run_script(
        own,
        PIPELINES
        + """
found = {}
mine = pipeline("mine")
mine.run(intercom(ids=IDS[:5]))
def asked(action):
    before = requested()
    action()
    return requested() - before
found["dataset_name"] = asked(lambda: mine.run(intercom(ids=IDS[:5], refresh="new"), dataset_name="other"))
found["other"] = rows(mine)
mine.dataset_name = "calls_of"

def renamed(count):
    source = intercom(ids=[*IDS[:count], "gone"], refresh="new")
    source.calls.apply_hints(table_name="PhoneCalls")
    source.call_errors.apply_hints(table_name="PhoneFaults")
    mine.run(source)
found["table_name"] = [asked(lambda: renamed(3)), asked(lambda: renamed(4))]
found["table_name"] += rows(mine, "SELECT count(*) FROM phone_calls")
found["faults"] = rows(mine, "SELECT call_id, attempts FROM phone_faults")
found["one table"] = refused(lambda: mine.run(intercom(ids=IDS[:5]), table_name="both"))
source = intercom(ids=IDS[:5], refresh="new")
source.calls.apply_hints(table_name=lambda row: "any")
found["any table"] = refused(lambda: mine.run(source))

appended = pipeline("appended")
def append(count, **options):
    appended.run(intercom(ids=[*IDS[:count], "gone"], **options), write_disposition="append")
append(2)
append(2)
found["append"] = [asked(lambda: append(3, refresh="new")), rows(appended)]
found["append"] += rows(appended, "SELECT max(attempts) FROM call_errors")
print(json.dumps(found))
""",
    )
    both = found.pop("one table")
    assert "calls and call_errors would both go into the table both" in both
    assert "depends on the row" in found.pop("any table")
    assert found == {
        "dataset_name": 5,
        "other": [[5, 5, 5]],
        "table_name": [4, 2, [4]],
        "faults": [["gone", 2]],
        "append": [2, [[5, 3, 5]], [3]],
    }


def test_what_would_lose_rows_is_refused_before_anything_is_requested(own: Project) -> None:
    found = run_script(
        own,
        PIPELINES
        + """
found, scd2 = {}, {"disposition": "merge", "strategy": "scd2"}
for name, options in {
    "replace": {"write_disposition": "replace"},
    "drop_data": {"refresh": "drop_data"},
    "drop_sources": {"refresh": "drop_sources"},
    "drop_resources": {"refresh": "drop_resources"},
}.items():
    mine = pipeline(name)
    mine.run(intercom(ids=IDS[:3]))
    before = requested()
    told = [refused(lambda: mine.run(intercom(ids=IDS[:3], refresh=refresh), **options)) for refresh in ("open", "new")]
    found[name] = [requested() - before, rows(mine)]
    found[name] += ["rows would be lost" in one and 'refresh="all"' in one for one in told]
    mine.run(intercom(ids=IDS[:3], refresh="all"), **options)
    found[name] += rows(mine)

mine = pipeline("scd2")
before = requested()
found["scd2 of tables"] = refused(lambda: mine.run(intercom(ids=IDS[:3]), write_disposition=scd2))
source = intercom(ids=IDS[:3], refresh="new", item_format="object")
found["scd2 of some"] = refused(lambda: mine.run(source, write_disposition=scd2))
found["scd2 requests"] = requested() - before
source = intercom(ids=IDS[:3], item_format="object")
source.calls.apply_hints(write_disposition=scd2)
source.calls.add_map(lambda row: {**row, "_fetched_at": None})  # differs each time
mine.run(source)
mine.run(source)
found["scd2"] = rows(mine)
print(json.dumps(found))
""",
    )
    assert 'item_format="object"' in found.pop("scd2 of tables")
    assert "without a merge_key" in found.pop("scd2 of some")
    assert found.pop("scd2 requests") == 0
    assert found.pop("scd2") == [[3, 3, 3]]
    assert found == {name: [0, [[3, 3, 3]], True, True, [3, 3, 3]] for name in found}
    assert len(found) == 4


def test_the_fetch_ends_when_its_rows_are_closed_by_an_error_a_signal_or_the_caller(own: Project) -> None:
    found = run_script(
        own,
        PIPELINES
        + """
found = {}
def fails(item):
    raise ValueError("later in the pipeline")
for table in ("calls", "call_errors"):
    for parallel in (False, True):
        source = intercom(ids=["gone", *IDS], strategy="by-id")
        source.resources[table].add_map(fails)
        told = refused(lambda: pipeline("failed").run(source.parallelize() if parallel else source), ValueError)
        found[f"{table} {parallel}"] = [told, goes_on()]

def interrupts(item):
    raise KeyboardInterrupt
source = intercom(ids=IDS, strategy="by-id")
source.calls.add_map(interrupts)
try:
    pipeline("interrupted").run(source)
except BaseException as error:
    found["Ctrl-C"] = [type(error).__name__ in ("KeyboardInterrupt", "PipelineStepFailed"), goes_on()]

def first(rows):
    next(rows)
    return rows
rows_ = first(iter(intercom(ids=IDS, strategy="by-id")))
rows_.close()
gc.collect()  # dlt's own iterator of a source is in a cycle
found["close"] = goes_on()
first(iter(intercom(ids=IDS, strategy="by-id").calls))
gc.collect()
found["forgotten"] = goes_on()
print(json.dumps(found))
""",
    )
    failed = ["later in the pipeline", False]
    tables = {f"{table} {parallel}": failed for table in ("calls", "call_errors") for parallel in (False, True)}
    assert found == {**tables, "Ctrl-C": [True, False], "close": False, "forgotten": False}


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="collects in steps and has no such setting")
def test_full_garbage_collections_are_rarer_until_the_last_fetch_has_ended(own: Project) -> None:
    found = run_script(
        own,
        PIPELINES
        + """
def begun():
    rows = iter(intercom(ids=IDS[:2100], strategy="by-id").calls)  # more than two items, so that it waits for the next
    next(rows)
    return rows

found = []
def look():
    found.append(gc.get_threshold()[2])

look()
one = begun()
look()
other = begun()
look()
list(one)
look()
list(other)
look()
print(json.dumps(found))
""",
    )
    assert found == [10, 110, 210, 110, 10]


def test_no_run_warns_of_what_is_declared_and_every_table_and_column_is_described(own: Project) -> None:
    found = run_script(
        own,
        PIPELINES
        + """
class Kept(logging.Handler):
    said = []
    def emit(self, record):
        self.said.append(record.getMessage())
mine = pipeline("quiet")
logging.getLogger("dlt").addHandler(Kept(logging.WARNING))
mine.run(intercom(ids=[*IDS[:3], "gone"]))
mine.run(intercom(ids=[*IDS[:3], "gone"]))
tables = {name: mine.default_schema.tables[name] for name in ("calls", "call_errors")}
mute = [f"{name}.{column}" for name, table in tables.items() for column, hints in table["columns"].items()
        if not hints.get("description")]
told = [table["description"] for table in tables.values()]
quiet = list(Kept.said)
source = intercom(ids=IDS[:3])
source.calls.apply_hints(columns={"duration": {"data_type": "double"}})
pipeline("loud").run(source)
print(json.dumps([quiet, mute, told, len(Kept.said) > 0]))
""",
        RUNTIME__LOG_LEVEL="WARNING",
    )
    assert found[:2] == [[], []]
    assert all(len(description) > 20 for description in found[2])
    assert found[3]
