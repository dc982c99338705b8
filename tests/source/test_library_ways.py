"""The source in each of the ways that dlt's documentation shows: it works, or is refused with a reason."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from sandbox import Sandbox
from tests.conftest import Project
from tests.support import forked
from tests.support.leaks import TOKEN

PRELUDE = """
import gc, json, logging, os, sys, threading, time, urllib.request
import dlt
from sources.intercom import BadIds, ConfigurationError, TokenRefused, intercom

IDS = [str(number) for number in range(1000001, 1003001)]

def pipeline(name, **options):
    file = dlt.destinations.duckdb(f"file_{name}.duckdb")
    return dlt.pipeline(name, destination=file, **({"dataset_name": "calls_of"} | options))

def rows(pipeline, query="SELECT count(*), count(DISTINCT id), count(_dlt_load_id) FROM calls"):
    with pipeline.sql_client() as client:
        return [list(row) for row in client.execute_sql(query)]

def causes(error):
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__

def refused(action, kind=ConfigurationError):
    try:
        action()
    except Exception as error:
        return next((str(cause) for cause in causes(error) if isinstance(cause, kind)), f"else: {error!r}")
    return "not refused"

def requested():
    with urllib.request.urlopen(os.environ["SANDBOX_STATS"]) as answer:
        return json.load(answer)["requests"]

def goes_on():
    deadline = time.monotonic() + 20
    while any(thread.name == "fetch" for thread in threading.enumerate()):
        if time.monotonic() > deadline:
            return True
        time.sleep(0.05)
    before = requested()
    time.sleep(0.3)
    return requested() > before
"""


@pytest.fixture
def own(project: Project, api: Sandbox) -> Project:
    """A project in which the command never ran, with a sandbox of 3,000 calls."""
    api.reset(limit=None, calls=3_000, missing_share=0)
    project.env |= {
        "DLT_DATA_DIR": str(project.folder / "dlt"),
        "RUNTIME__DLTHUB_TELEMETRY": "false",
        "SANDBOX_STATS": f"{api.url}/_sandbox/stats",
    }
    return project


def run(project: Project, script: str, **env: str) -> Any:
    """Run a script in the project folder and read the JSON it prints."""
    done = forked.run([sys.executable, "-c", PRELUDE + script], cwd=project.folder, env=project.environment(**env))
    assert done.returncode == 0, done.stderr.decode()
    assert TOKEN not in done.stderr.decode()
    return json.loads(done.stdout.splitlines()[-1])


def test_a_source_runs_again_in_parallel_and_in_part(own: Project) -> None:
    found = run(
        own,
        """
found = {}
twice, source = pipeline("twice"), intercom(ids=iter(IDS[:5]))
twice.run(source)
twice.run(source)
found["the same object twice"] = rows(twice)

parallel = pipeline("parallel")
parallel.run(intercom(ids=[*IDS, "gone"]).parallelize())
found["parallelize"] = rows(parallel) + rows(parallel, "SELECT call_id FROM call_errors")

limited = pipeline("limited")
before = requested()
limited.run(intercom(ids=IDS, strategy="by-id").add_limit(1))
# an item holds what has come by then, and no more than two items' worth is requested ahead
found["add_limit"] = [1000 <= rows(limited)[0][0] <= 2000, requested() - before <= 2000, goes_on()]

alone = pipeline("alone")
alone.run(intercom(ids=[*IDS[:20], "gone"]).with_resources("call_errors"))
alone.run(intercom(ids=IDS[:20]).calls)
source = intercom(ids=[*IDS[:22], "gone"], refresh="new")
alone.run([source.calls.with_name("renamed"), source.call_errors])
found["alone"] = rows(alone) + rows(alone, "SELECT count(*) FROM renamed")
found["alone"] += rows(alone, "SELECT call_id, attempts FROM call_errors")
print(json.dumps(found))
""",
    )
    assert found == {
        "the same object twice": [[5, 5, 5]],
        "parallelize": [[3000, 3000, 3000], ["gone"]],
        "add_limit": [True, True, False],
        "alone": [[20, 20, 20], [22], ["gone", 2]],
    }


def test_rows_can_be_mapped_and_filtered_as_tables_and_as_dicts(own: Project, api: Sandbox) -> None:
    api.configure(bodies={"7": {"type": "call", "id": "7", "phone": "+1", "updated_at": 1, "new": [1.50]}})
    found = run(
        own,
        """
import pyarrow.compute as pc
found = {}
arrow, source = pipeline("arrow"), intercom(ids=["7", *IDS[:3]])
source.calls.add_map(lambda table: table.drop_columns(["phone"])).add_filter(lambda table: table.num_rows > 0)
source.calls.add_map(lambda table: table.filter(pc.not_equal(table["id"], "1000002")))
arrow.run(source)
found["arrow"] = rows(arrow, "SELECT id, phone FROM calls WHERE id <= '1000003' ORDER BY id")

dicts, source = pipeline("dicts"), intercom(ids=["7", *IDS[:3], "gone"], item_format="object")
source.calls.add_map(lambda row: {**row, "phone": "•"}).add_filter(lambda row: row["id"] != "1000002")
dicts.run(source)
found["object"] = rows(dicts, "SELECT id, phone FROM calls ORDER BY id")
found["extra"] = rows(dicts, "SELECT extra->>'new', epoch(updated_at)::BIGINT FROM calls WHERE id = '7'")
found["errors"] = rows(dicts, "SELECT call_id, http_status FROM call_errors JOIN _dlt_loads ON load_id = _dlt_load_id")
columns = "SELECT count(*) FROM information_schema.columns WHERE table_name = 'calls' AND table_schema = 'calls_of'"
nothing = pipeline("nothing")
nothing.run(intercom(ids=["gone"], item_format="object"))
found["columns"] = [rows(arrow, columns), rows(dicts, columns), rows(nothing, columns)]

arrow.run(intercom(ids=["7", IDS[5]], item_format="object"))
dicts.run(intercom(ids=["7", IDS[5]]))
found["one after the other"] = [rows(arrow), rows(dicts)]
found["iterated"] = [
    type(next(iter(intercom(ids=["7"]).calls))).__name__,
    next(iter(intercom(ids=["7"], item_format="object").calls))["id"],
]
print(json.dumps(found))
""",
    )
    kept = ["1000001", "1000003", "7"]
    assert found == {
        "arrow": [["1000001", None], ["1000003", None]],
        "object": [[call_id, "•"] for call_id in kept],
        "extra": [["[1.5]", 1]],
        "errors": [["gone", 404]],
        "columns": [[[27]], [[28]], [[28]]],  # dicts have dlt's own id of each row
        "one after the other": [[[4, 4, 4]], [[4, 4, 4]]],
        "iterated": ["Table", "7"],
    }


def test_pipelines_names_schemas_and_formats_are_dlt_s_to_choose(own: Project) -> None:
    found = run(
        own,
        """
found, again = {}, "SELECT count(*), count(DISTINCT id) FROM calls"
def plans(name, first=None, then=None, **options):
    mine = pipeline(name, **options)
    mine.run(intercom(ids=IDS[:3]), **(first or {}))
    before = requested()
    mine.run(intercom(ids=IDS[:4], refresh="new"), **(then or first or {}))
    return rows(mine) + [requested() - before]

for name in ("phone-calls", "1calls"):
    found[name] = plans(name, dataset_name=None)
found["dev_mode"] = plans("dev", dev_mode=True)
for naming in ("direct", "sql_cs_v1", "duck_case"):
    os.environ["SCHEMA__NAMING"] = naming
    found[naming] = plans(naming)
del os.environ["SCHEMA__NAMING"]
for file_format in ("jsonl", "insert_values"):
    found[file_format] = plans(file_format, {"loader_file_format": file_format})
for mode in ("evolve", {"columns": "freeze"}, {"columns": "discard_value"}):
    found[f"contract {mode}"] = plans(f"contract{len(found)}", {"schema_contract": mode})
found["frozen later"] = plans("frozen", {}, {"schema_contract": "freeze"})

flat, source = pipeline("flat"), intercom(ids=IDS[:3])
source.max_table_nesting = 0
flat.run(source)
found["max_table_nesting"] = rows(flat)

dropped = pipeline("dropped")
dropped.run(intercom(ids=IDS[:3]))
dropped.drop()
dropped.sync_destination()
before = requested()
dropped.run(intercom(ids=IDS[:4], refresh="new"))
found["drop and sync_destination"] = rows(dropped) + [requested() - before]
print(json.dumps(found))
""",
    )
    assert found.pop("max_table_nesting") == [[3, 3, 3]]
    assert found == {name: [[4, 4, 4], 1] for name in found}
    assert len(found) == 13


def test_each_run_asks_the_tables_that_it_writes(own: Project) -> None:
    found = run(
        own,
        """
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
    found = run(
        own,
        """
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


def test_the_fetch_ends_whoever_closes_its_rows(own: Project) -> None:
    found = run(
        own,
        """
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
    found = run(
        own,
        """
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
    found = run(
        own,
        """
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
