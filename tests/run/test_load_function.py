"""`load(pipeline, ids)`: the command's run as a function, in a project and a pipeline of somebody else's."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import Any

import pytest

from sandbox import Sandbox
from tests.conftest import Postgres, Project
from tests.support import forked

PRELUDE = """
import json, os, signal, sys, threading, time
import dlt
from pipelines import Summary, UsageError, load
from sources.intercom import BadIds, ConfigurationError
DESTINATION, DATASET = sys.argv[1], "theirs"
def pipeline(name="shop", **options):
    at = dlt.destinations.duckdb("mine.duckdb") if DESTINATION == "duckdb" else DESTINATION
    return dlt.pipeline(name, destination=at, dataset_name=DATASET, **options)
def rows(mine, sql):
    with mine.sql_client() as client:
        return client.execute_sql(sql)
def shown(summary):
    assert type(summary) is Summary
    return summary.as_json()
def refused(action):
    try:
        return shown(action())
    except Exception as error:
        return [type(error).__name__, str(error)]
IDS = [str(1_000_001 + number) for number in range(200)]
"""


@pytest.fixture
def own(project: Project) -> Project:
    """A project in which the command never ran: dlt's own working folder, and its telemetry switched off."""
    project.env |= {"DLT_DATA_DIR": str(project.folder / "dlt"), "RUNTIME__DLTHUB_TELEMETRY": "false"}
    return project


def start(project: Project, script: str, destination: str = "duckdb", **env: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PRELUDE + script, destination],
        cwd=project.folder,
        env=project.environment(**env),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(project: Project, script: str, destination: str = "duckdb", **env: str) -> Any:
    """Run a script in the project folder and read the JSON it prints."""
    argv = [sys.executable, "-c", PRELUDE + script, destination]
    done = forked.run(argv, cwd=project.folder, env=project.environment(**env))
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout.splitlines()[-1])


def test_importing_it_imports_no_dlt() -> None:
    script = "import sys, pipelines; assert not {'dlt', 'pyarrow'} & {*sys.modules}; assert pipelines.load.__doc__"
    assert forked.run([sys.executable, "-c", script], cwd=forked.ROOT, env={}, plain=True).returncode == 0


KILLED = """
mine = pipeline()
if "FIRST" in os.environ:
    mine.run([{"item": 1}], table_name="orders", schema=dlt.Schema("shop"))
    mine.extract([{"item": 2}], table_name="orders", schema=dlt.Schema("shop"))
summary = load(mine, IDS, chunk_size=40, strategy="by-id")
print(json.dumps([
    shown(summary),
    rows(mine, "SELECT count(*), count(DISTINCT id) FROM calls"),
    rows(mine, "SELECT count(*) FROM calls JOIN _dlt_loads ON _dlt_load_id = load_id"),
    rows(mine, "SELECT item FROM orders ORDER BY item"),
    rows(mine, "SELECT count(*) FROM load_runs WHERE exit_code = 0 AND finished_at IS NOT NULL"),
    os.listdir(mine.working_dir + "/load/normalized") + os.listdir(mine.working_dir + "/normalize/extracted"),
    [mine.pipeline_name, mine.dataset_name, mine.default_schema_name],
]))
"""


@pytest.mark.parametrize(("destination", "load_id"), [("duckdb", "true"), ("postgres", "false")])
def test_after_a_kill_the_same_call_continues_next_to_the_caller_s_own_tables_and_pending_data(
    own: Project, api: Sandbox, postgres: Postgres, destination: str, load_id: str
) -> None:
    own.env["NORMALIZE__PARQUET_NORMALIZER__ADD_DLT_LOAD_ID"] = load_id
    api.configure(missing_share=0, faults={"1000150": ["hang"]})
    with start(own, KILLED, destination, FIRST="1") as process:
        try:
            for _ in range(1200):
                if api.stats()["requests"] >= 150 or process.poll() is not None:
                    break
                time.sleep(0.05)
            assert process.poll() is None, process.communicate()[1]
        finally:
            process.kill()
    api.configure(faults={})
    asked = api.stats()["requests"]

    summary, calls, joined, orders, runs, waiting, names = run(own, KILLED, destination)
    assert summary["exit_code"] == 0
    assert summary["destination"] == destination
    assert summary["dataset"] == "theirs"
    assert summary["already_loaded"] >= 40
    assert summary["already_loaded"] + summary["loaded"] == 200
    assert summary["requests"] <= 200 - summary["already_loaded"] + 2
    assert calls == [[200, 200]]
    assert joined == [[200]]
    assert orders == [[1], [2]]
    assert runs == [[1]]
    assert waiting == []
    assert names == ["shop", "theirs", "shop"]

    before = api.all_requests()
    assert before > asked
    again, *_ = run(own, KILLED, destination)
    assert again["already_loaded"] == 200
    assert api.all_requests() - before == again["requests"] <= 2
    assert api.stats()["by_id"]["1000001"] == 1


def test_a_second_load_at_once_leaves_with_5_in_its_summary(own: Project, api: Sandbox) -> None:
    """From a thread, too, and by another pipeline: what is locked is the dataset."""
    api.configure(missing_share=0, latency_seconds=0.3)
    first, others = run(
        own,
        """
done = []
mine = pipeline()
thread = threading.Thread(target=lambda: done.append(load(mine, IDS, workers=20)))
thread.start()
deadline = time.monotonic() + 60
while not os.path.exists("mine.duckdb") and not any(f.endswith(".lock") for f in os.listdir(".")):
    assert time.monotonic() < deadline
    time.sleep(0.01)
time.sleep(0.5)
second = [load(pipeline("shop"), IDS), load(pipeline("another"), IDS)]
thread.join()
print(json.dumps([shown(done[0]), [shown(one) for one in second]]))
""",
    )
    assert [first["exit_code"], first["loaded"]] == [0, 200]
    for other in others:
        assert other["exit_code"] == 5
        assert "another load is at work" in other["error"]
        assert other["requests"] == other["loaded"] == 0


def test_it_raises_where_the_command_ends_with_2_and_reports_the_rest_in_the_summary(
    own: Project, api: Sandbox
) -> None:
    found = run(
        own,
        """
mine = pipeline()
raised = [refused(action) for action in (
    lambda: load(mine, ["1", "a b"]),
    lambda: load(mine, []),
    lambda: load(mine, ["1"], region="mars"),
    lambda: load(mine, ["1"], share=float("nan")),
    lambda: load(mine, ["1"], chunk_size=0),
    lambda: load(dlt.pipeline("nowhere"), ["1"]),
    lambda: load(pipeline("dropping", refresh="drop_data"), ["1"]),
    lambda: load(dlt.pipeline("same", destination=dlt.destinations.duckdb("theirs.duckdb"), dataset_name=DATASET), [1]),
)]
refused_token = load(mine, IDS[:2], access_token="another")
empty = load(mine, [], allow_empty=True)
skipped = load(mine, ["a b", IDS[0]], bad_ids="skip")
print(json.dumps([raised, shown(refused_token), shown(empty), shown(skipped)]))
""",
    )
    raised, refused_token, empty, skipped = found
    assert [kind for kind, _ in raised] == [
        *("BadIds", "BadIds", "ConfigurationError"),
        *["UsageError"] * 5,
    ]
    assert "'a b'" in raised[0][1]
    assert "allow_empty" in raised[1][1]
    assert "'mars'" in raised[2][1]
    assert "nan" in raised[3][1]
    assert "nowhere" in raised[5][1]
    assert "drop_data" in raised[6][1]
    assert refused_token["exit_code"] == 4
    assert refused_token["error"]
    assert refused_token["loaded"] == 0
    assert empty["exit_code"] == 0
    assert [skipped["exit_code"], skipped["loaded"], skipped["skipped"]] == [3, 1, 1]


def test_nothing_of_the_process_is_changed_and_a_signal_ends_it_in_order(own: Project, api: Sandbox) -> None:
    api.configure(missing_share=0, latency_seconds=0.2)
    state, first, second, warned = run(
        own,
        """
import logging
class Kept(logging.Handler):
    said = []
    def emit(self, record):
        self.said.append(record.getMessage())
def state():
    ours = [dlt.config.get(key) for key in ("load.truncate_staging_dataset", "restore_from_destination")]
    return [dict(os.environ), signal.getsignal(signal.SIGINT) is mine_too, signal.getsignal(signal.SIGTERM) is mine_too,
            len(logging.getLogger("intercom_calls").handlers), ours, mine.config.runtime.intercept_signals]
def mine_too(number, frame):
    raise AssertionError("the signal was the load's")
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, mine_too)
mine = pipeline()
logging.getLogger("dlt").addHandler(Kept(logging.WARNING))
before = state()
threading.Timer(1.5, os.kill, (os.getpid(), signal.SIGTERM)).start()
first = load(mine, IDS, workers=2, chunk_size=10)
same = state() == before
second = load(mine, IDS[:first.loaded + 10])
print(json.dumps([same and before[-1] is True, shown(first), shown(second), Kept.said]))
""",
        RUNTIME__LOG_LEVEL="WARNING",
    )
    assert warned == []  # of types that are so by intention
    assert state is True
    assert first["exit_code"] == 143
    assert 0 < first["loaded"] < 200
    assert first["not_reached"] == 200 - first["loaded"]
    assert second["exit_code"] == 0
    assert second["already_loaded"] == first["loaded"]
    assert second["loaded"] == 10


def test_tables_that_were_dropped_are_created_again_in_the_caller_s_dataset(own: Project, api: Sandbox) -> None:
    api.configure(missing_share=0)
    found = run(
        own,
        """
mine = pipeline()
mine.run([{"item": 1}], table_name="orders", schema=dlt.Schema("shop"))
load(mine, IDS[:2])
codes = []
drops = (
    "DROP TABLE theirs.calls", "DROP TABLE theirs._dlt_version", "DROP TABLE theirs._dlt_pipeline_state",
    "ALTER TABLE theirs.load_runs DROP COLUMN seconds", "DROP TABLE theirs_staging.call_errors",
)
for number, drop in enumerate(drops):
    rows(mine, drop)
    codes.append(load(mine, IDS[:3 + number]).exit_code)
    codes.append(load(mine, IDS[:3 + number]).exit_code)
print(json.dumps([
    codes,
    rows(mine, "SELECT count(*), count(DISTINCT id) FROM calls"),
    rows(mine, "SELECT item FROM orders"),
    rows(mine, "SELECT count(*) FROM _dlt_pipeline_state"),
]))
""",
    )
    assert found == [[0] * 10, [[7, 7]], [[1]], [[0]]]


PLANS = """
import duckdb
from sources.intercom import intercom
opened, connect = [], duckdb.connect
def noted(*arguments, **options):
    connection = connect(*arguments, **options)
    if not arguments:  # in memory, as plans are
        opened.append(connection)
    return connection
duckdb.connect = noted
def is_open(connection):
    try:
        return bool(connection.execute("SELECT 1"))
    except duckdb.ConnectionException:
        return False
def left():
    found = [len(opened) > 0, sum(map(is_open, opened))]
    opened.clear()
    return found
mine, found = pipeline(), {}
for name, options in {"first": {}, "again": {}, "a refused token": {"access_token": "another"}}.items():
    load(mine, IDS[:30], refresh="all", **options)
    found[name] = left()
mine.run(intercom(ids=IDS[:30], refresh="open"))
found["the source"] = left()
rows(mine, "ALTER TABLE calls ALTER _fetched_at TYPE VARCHAR")
assert refused(lambda: mine.run(intercom(ids=IDS[:30], refresh="open")))[0] == "PipelineStepFailed"
found["a plan that fails"] = left()
print(json.dumps(found))
"""


def test_the_database_of_a_plan_is_closed_however_the_run_ends(own: Project, api: Sandbox) -> None:
    found = run(own, PLANS)
    assert [*found] == ["first", "again", "a refused token", "the source", "a plan that fails"]
    assert all(left == [True, 0] for left in found.values()), found
