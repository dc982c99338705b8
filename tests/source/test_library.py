"""The source in anybody's dlt pipeline: no command line, no project folder of ours."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import sources.intercom
from sandbox import Sandbox
from tests.conftest import Project
from tests.support import forked
from tests.support.library import run_script

ENDED = 1_740_816_000
SECRET = "dG9rOjAxMjM0NTY3ODlfc2VjcmV0"

PRELUDE = """
import json, dlt
from sources.intercom import intercom, BadIds, ConfigurationError, TokenRefused
def pipeline(dataset):
    return dlt.pipeline("calls_of_" + dataset, destination=dlt.destinations.duckdb("mine.duckdb"), dataset_name=dataset)
def causes(error):
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
"""


def run(project: Project, script: str, **env: str) -> Any:
    return run_script(project, PRELUDE + script, **env)


def bodies(*call_ids: str, **fields: Any) -> dict[str, Any]:
    return {call_id: {"type": "call", "id": call_id, "ended_at": ENDED, **fields} for call_id in call_ids}


def test_a_plain_pipeline_loads_calls_and_what_failed(own: Project, api: Sandbox) -> None:
    api.configure(calls=0, bodies=bodies("007", "7"), statuses={"bad": 400})
    found = run(
        own,
        """
mine = pipeline("loaded")
mine.run(intercom(ids=["007", " 7 ", 7, "bad", "ghost"]))
with mine.sql_client() as client:
    calls = client.execute_sql("SELECT id, epoch(ended_at)::BIGINT, duration, _deleted_at FROM calls ORDER BY id")
    errors = client.execute_sql("SELECT call_id, http_status, code, attempts FROM call_errors ORDER BY call_id")
print(json.dumps([calls, errors]))
""",
    )
    assert found == [
        [["007", ENDED, None, None], ["7", ENDED, None, None]],
        [["bad", 400, "bad_request", 1], ["ghost", 404, "not_found", 1]],
    ]
    assert (api.stats()["by_id"], api.stats()["me_requests"]) == ({"007": 1, "7": 1, "bad": 1, "ghost": 1}, 0)
    assert {path.name for path in own.folder.iterdir()} == {"mine.duckdb", "dlt"}

    # in the same dataset: each value of refresh, and an id that leaves call_errors
    going_on = {"open": {"type": "call", "id": "open", "created_at": int(time.time())}}
    api.reset(limit=None, calls=0, bodies=bodies("007", "7", "bad", state="new") | going_on)
    found = run(
        own,
        """
asked = {}
def load(**options):
    mine = pipeline("loaded")
    mine.run(intercom(ids=["007", "7", "bad", "ghost", "open"], **options))
    with mine.sql_client() as client:
        rows = client.execute_sql("SELECT id, state FROM calls ORDER BY id")
        return [rows, client.execute_sql("SELECT call_id, attempts FROM call_errors")]
print(json.dumps([load(refresh="new"), load(refresh="open", workers=1), load()]))
""",
    )
    some = [["007", None], ["7", None], ["bad", "new"], ["open", None]]
    assert found == [
        [some, [["ghost", 2]]],
        [some, [["ghost", 3]]],
        [[["007", "new"], ["7", "new"], ["bad", "new"], ["open", None]], [["ghost", 4]]],
    ]
    assert api.stats()["by_id"] == {"bad": 2, "ghost": 3, "open": 3, "007": 1, "7": 1}


def test_a_list_that_covers_a_workspace_is_read_by_pages_into_the_same_table(own: Project, api: Sandbox) -> None:
    """Of a call that two pages list, changed in between, in its newest version, though all is one package here."""
    fields = {"state": "changed", "updated_at": 1_900_000_000}
    changes = [(5, str(1_000_001 + number), fields) for number in range(12)]
    api.reset(limit=None, calls=600, list_repeats=[2], changes=changes)
    found = run(
        own,
        """
for dataset, options in (("swept", {}), ("by_id", {"strategy": "by-id"})):
    pipeline(dataset).run(intercom(ids=range(1_000_001, 1_000_601), workers=1, **options))
with pipeline("swept").sql_client() as client:
    def differing(table, what):
        ask = "SELECT {0} FROM {2}.{1} EXCEPT ALL SELECT {0} FROM {3}.{1}"
        return [client.execute_sql(ask.format(what, table, *both)) for both in (("swept", "by_id"), ("by_id", "swept"))]
    print(json.dumps([
        differing("calls", "* EXCLUDE (_fetched_at, _dlt_load_id)"),
        differing("call_errors", "call_id, http_status, code, message, attempts"),
        client.execute_sql("SELECT count(*) FROM swept.calls WHERE state = 'changed'"),
    ]))
""",
    )
    assert found == [[[], []], [[], []], [[12]]]
    assert api.stats()["requests"] < 600 + 80


def test_each_table_can_be_loaded_alone_with_every_column_from_the_first_load(own: Project, api: Sandbox) -> None:
    api.configure(calls=0, bodies=bodies("1"))
    found = run(
        own,
        """
def tables(dataset, ids, *selected):
    mine = pipeline(dataset)
    mine.run(intercom(ids=ids).with_resources(*selected))
    with mine.sql_client() as client:
        names = client.execute_sql(
            "SELECT table_name, count(*) FROM information_schema.columns WHERE table_schema = %s "
            "AND table_name NOT LIKE '\\\\_dlt%%' ESCAPE '\\\\' GROUP BY ALL ORDER BY ALL", dataset)
        counts = {name: client.execute_sql(f"SELECT count(*) FROM {name}")[0][0] for name, _ in names}
        return [names, counts]
print(json.dumps([
    tables("only_calls", ["1", "ghost"], "calls"),
    tables("only_errors", ["1", "ghost"], "call_errors"),
    tables("nothing_found", ["ghost"], "calls", "call_errors"),
    tables("nothing_failed", ["1"], "calls", "call_errors"),
]))
""",
    )
    calls, errors = ["calls", 27], ["call_errors", 10]
    assert found == [
        [[calls], {"calls": 1}],
        [[errors], {"call_errors": 1}],
        [[errors, calls], {"calls": 0, "call_errors": 1}],
        [[errors, calls], {"calls": 1, "call_errors": 0}],
    ]


def test_what_cant_work_is_an_exception_of_the_source_with_fields_to_decide_by(own: Project, api: Sandbox) -> None:
    api.configure(token=SECRET)
    found = run(
        own,
        f"SECRET = {SECRET!r}"
        """
def refused(action):
    try:
        action()
    except Exception as error:
        mine = [cause for cause in causes(error) if type(cause).__module__ == "sources.intercom.errors"]
        return [type(mine[0]).__name__, vars(mine[0]), str(mine[0])]
print(json.dumps([
    refused(lambda: pipeline("refused").run(intercom(ids=["a b", "1", "c d"]))),
    refused(lambda: intercom(ids=["1"], refresh="some")),
    refused(lambda: intercom(ids=["1"], base_url="ftp://there")),
    refused(lambda: pipeline("refused").run(intercom(ids=["1"], access_token="another"))),
    len(list(intercom(ids=["1000001"], access_token=SECRET).calls)),
]))
""",
    )
    problems = found[0][1].pop("problems")
    assert [problem[: len("id 1 given: 'a b'")] for problem in problems] == ["id 1 given: 'a b'", "id 3 given: 'c d'"]
    request_id = found[3][1].pop("request_id")
    assert request_id in found[3][2]
    assert [one[:2] for one in found[:4]] == [
        ["BadIds", {}],
        ["ConfigurationError", {"setting": "refresh"}],
        ["ConfigurationError", {"setting": "base_url"}],
        ["TokenRefused", {"status": 401}],
    ]
    assert "; ".join(problems) in found[0][2]
    assert "'some'" in found[1][2]
    assert found[4] == 1


def test_without_a_token_dlt_says_where_it_looked_and_nothing_is_requested(own: Project, api: Sandbox) -> None:
    del own.env["SOURCES__INTERCOM__ACCESS_TOKEN"]
    script = """
from dlt.common.configuration.exceptions import ConfigFieldMissingException
try:
    pipeline("nothing").run(intercom(ids=["1"]))
    print(json.dumps("ran"))
except ConfigFieldMissingException as error:
    print(json.dumps(str(error)))
"""
    assert "SOURCES__INTERCOM__ACCESS_TOKEN" in run(own, script)
    assert api.stats()["requests"] == 0
    assert run(own, script, INTERCOM_ACCESS_TOKEN=api.token) == "ran"
    assert api.stats()["requests"] == 1


def test_a_destination_without_sql_gets_the_calls_too(own: Project, api: Sandbox) -> None:
    """`all` needs to know nothing of what is loaded; other values of `refresh` are refused."""
    api.configure(calls=0, bodies=bodies("1", "2"))
    found = run(
        own,
        """
taken = []
@dlt.destination(batch_size=10, loader_file_format="parquet")
def sink(batch, table):
    if table["name"] == "calls":
        taken.extend(batch.column("id").to_pylist())
dlt.pipeline("sunk", destination=sink, dataset_name="sunk").run(intercom(ids=["1", "2"]))
try:
    dlt.pipeline("sunk", destination=sink, dataset_name="sunk").run(intercom(ids=["3"], refresh="new"))
except Exception as error:
    told = [str(cause) for cause in causes(error) if isinstance(cause, ConfigurationError)]
print(json.dumps([sorted(taken), *told]))
""",
    )
    assert found == [
        ["1", "2"],
        'refresh = "new" asks the destination what is loaded, but it answers no SQL; use "all"',
    ]


def test_the_source_imports_nothing_of_the_command(tmp_path: Path) -> None:
    """Copied into another dlt project it works there: `sources/intercom` alone, relatively imported."""
    package = Path(str(sources.intercom.__file__)).parent
    shutil.copytree(package, tmp_path / "theirs" / "calls", ignore=shutil.ignore_patterns("__pycache__"))
    script = "import json, sys; from theirs.calls import intercom; print(json.dumps(list(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    imported = {name.split(".")[0] for name in json.loads(done.stdout)}
    assert "theirs" in imported
    assert not imported & {"sources", "pipelines", "sandbox"}


def test_a_library_load_fits_into_the_tables_of_the_command(project: Project, api: Sandbox) -> None:
    api.configure(bodies=bodies("1", "2"))
    assert project.load("1").exit_code == 0
    script = PRELUDE.replace("mine.duckdb", "intercom_calls.duckdb") + (
        "pipeline('intercom').run(intercom(ids=['1', '2', 'gone'], refresh='new'))"
    )
    # dlt remembers in its working folder where a relative database was first
    env = project.environment(DLT_DATA_DIR=str(project.folder / "dlt"), RUNTIME__DLTHUB_TELEMETRY="false")
    done = forked.run([sys.executable, "-c", script], cwd=project.folder, env=env)
    assert done.returncode == 0, done.stderr
    assert project.query("SELECT id FROM intercom.calls ORDER BY id") == [("1",), ("2",)]
    assert project.query("SELECT call_id, http_status FROM intercom.call_errors") == [("gone", 404)]
