"""The source in each of the ways that dlt's documentation shows: it works, or is refused with a reason."""

from __future__ import annotations

import pytest

from sandbox import Sandbox
from tests.conftest import Project
from tests.support.library import PIPELINES, run_script

pytestmark = pytest.mark.usefixtures("three_thousand_calls")


def test_a_source_runs_again_in_parallel_and_in_part(own: Project) -> None:
    found = run_script(
        own,
        PIPELINES
        + """
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
    found = run_script(
        own,
        PIPELINES
        + """
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


def test_names_schemas_and_formats_of_pipelines_can_be_anything_dlt_allows(own: Project) -> None:
    found = run_script(
        own,
        PIPELINES
        + """
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
