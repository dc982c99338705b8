"""The plan, asked of a real DuckDB whose tables are written here: what is wanted, to the second, and what is known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dlt
import duckdb
import pyarrow as pa
import pytest

from sources.intercom.errors import ConfigurationError
from sources.intercom.plan import Known, Plan, Refresh

CALLS = """
    CREATE SCHEMA IF NOT EXISTS intercom;
    CREATE TABLE intercom.calls (id VARCHAR, created_at TIMESTAMPTZ, ended_at TIMESTAMPTZ, updated_at TIMESTAMPTZ,
        _fetched_at TIMESTAMPTZ, _deleted_at TIMESTAMPTZ, initiated_at TIMESTAMPTZ)
"""
ERRORS = """
    CREATE SCHEMA IF NOT EXISTS intercom;
    CREATE TABLE intercom.call_errors (call_id VARCHAR, http_status BIGINT, code VARCHAR, attempts BIGINT,
        first_failed_at TIMESTAMPTZ, _resolved BOOLEAN, _dlt_load_id VARCHAR)
"""
# What is loaded: created, ended, fetched, and where that is not enough initiated and updated.
LOADED = {
    "ended-a-day-before": (None, "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"),
    "ended-a-second-less": (None, "2026-01-01T00:00:00Z", "2026-01-01T23:59:59Z"),
    "ended-after-its-fetch": (None, "2026-01-09T00:00:00Z", "2026-01-08T00:00:00Z"),
    "created-thirty-days-before": ("2026-01-01T00:00:00Z", None, "2026-01-31T00:00:00Z"),
    "created-a-second-less": ("2026-01-01T00:00:00Z", None, "2026-01-30T23:59:59Z"),
    "created-long-ago-just-ended": ("2026-01-01T00:00:00Z", "2026-03-01T00:00:00Z", "2026-03-01T01:00:00Z"),
    "without-any-time": (None, None, "2026-03-01T00:00:00Z"),
    "ends-at-the-end-of-time": (None, "9999-12-31T23:59:59Z", "2026-03-01T00:00:00Z"),
    "initiated-thirty-days-before": (None, None, "2026-01-31T00:00:00Z", "2026-01-01T00:00:00Z"),
    "initiated-a-second-less": (None, None, "2026-01-30T23:59:59Z", "2026-01-01T00:00:00Z"),
    "updated-thirty-days-before": (None, None, "2026-01-31T00:00:00Z", None, "2026-01-01T00:00:00Z"),
    "updated-a-second-less": (None, None, "2026-01-30T23:59:59Z", None, "2026-01-01T00:00:00Z"),
    # the first that is there counts
    "created-just-now": ("2026-03-01T00:00:00Z", None, "2026-03-01T00:00:00Z", *["2026-01-01T00:00:00Z"] * 2),
    "initiated-just-now": (None, None, "2026-03-01T00:00:00Z", "2026-03-01T00:00:00Z", "2026-01-01T00:00:00Z"),
    "updated-just-now": (None, None, "2026-03-01T00:00:00Z", "2026-01-01T00:00:00Z", "2026-03-01T00:00:00Z"),
}
SETTLED = {
    "ended-a-day-before", "created-thirty-days-before", "without-any-time", "initiated-thirty-days-before",
    "updated-thirty-days-before", "updated-just-now",
}  # fmt: skip


class Destination:
    """A DuckDB file with the tables that are given, and dlt's pipeline to it."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "calls.duckdb"
        self.pipeline = dlt.pipeline(
            "planning",
            pipelines_dir=str(folder / "work"),
            destination=dlt.destinations.duckdb(str(self.file)),
            dataset_name="intercom",
        )

    def execute(self, sql: str, rows: Sequence[Sequence[object]] = ()) -> None:
        with duckdb.connect(str(self.file)) as connection:
            if rows:
                connection.executemany(sql, rows)
            else:
                connection.execute(sql)

    def load(self, call_id: str, *, ended_at: str = "2026-01-01T00:00:00Z", deleted_at: str | None = None) -> None:
        """A settled row, unless the arguments say otherwise."""
        self.execute(
            "INSERT INTO intercom.calls VALUES (?, NULL, ?, '2026-01-02T03:04:05Z', '2026-02-01T06:07:08Z', ?, NULL)",
            [(call_id, ended_at, deleted_at)],
        )

    def fail(self, call_id: str, status: int | None, code: str | None, *, ago: timedelta = timedelta(0)) -> datetime:
        """A row of call_errors, of the third attempt; gives since when."""
        since = (datetime.now(UTC) - ago).replace(microsecond=0)
        self.execute(
            "INSERT INTO intercom.call_errors VALUES (?, ?, ?, 3, ?, false, '1')", [(call_id, status, code, since)]
        )
        return since

    def plan(self, *call_ids: str, refresh: Refresh = "open", settle_hours: float = 24) -> Plan:
        plan = Plan(pa.array(call_ids, pa.string()), refresh, settle_hours)
        plan.ask(self.pipeline)
        return plan


@pytest.fixture
def destination(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Destination]:
    monkeypatch.setenv("RUNTIME__DLTHUB_TELEMETRY", "false")
    one = Destination(tmp_path)
    yield one
    one.pipeline.deactivate()


def counts(plan: Plan) -> tuple[int, int, int, int]:
    """Requested, already loaded, missing, to fetch: the first is the sum of the others."""
    assert plan.requested == plan.already_loaded + plan.missing + plan.to_fetch
    assert plan.to_fetch == len(list(plan.call_ids()))
    return plan.requested, plan.already_loaded, plan.missing, plan.to_fetch


def test_a_loaded_call_is_settled_to_the_second(destination: Destination) -> None:
    destination.execute(CALLS)
    rows = [(name, *times, *[None] * (5 - len(times))) for name, times in LOADED.items()]
    columns = "id, created_at, ended_at, _fetched_at, initiated_at, updated_at"
    destination.execute(f"INSERT INTO intercom.calls ({columns}) VALUES (?, ?, ?, ?, ?, ?)", rows)
    plan = destination.plan(*LOADED)
    assert set(plan.call_ids()) == LOADED.keys() - SETTLED
    assert counts(plan) == (15, 6, 0, 9)
    # the sooner it settles, the less is asked for
    assert set(destination.plan(*LOADED, settle_hours=23.5).call_ids()) == LOADED.keys() - SETTLED - {
        "ended-a-second-less"
    }
    assert counts(destination.plan(*LOADED, refresh="new")) == (15, 15, 0, 0)
    assert counts(destination.plan(*LOADED, refresh="all")) == (15, 0, 0, 15)


def test_a_missing_call_is_requested_until_it_has_had_time_to_settle(destination: Destination) -> None:
    destination.execute(ERRORS)
    destination.fail("missing-for-less-than-a-day", 404, "not_found", ago=timedelta(hours=23, minutes=58))
    destination.fail("missing-for-a-day", 404, "not_found", ago=timedelta(hours=24, minutes=2))
    destination.fail("a-404-of-somebody-elses", 404, None, ago=timedelta(days=9))
    destination.fail("refused", 400, "bad_request", ago=timedelta(days=9))
    destination.fail("never-answered", None, "timeout", ago=timedelta(days=9))
    names = (
        "missing-for-less-than-a-day", "missing-for-a-day", "a-404-of-somebody-elses", "refused", "never-answered"
    )  # fmt: skip
    plan = destination.plan(*names)
    assert list(plan.call_ids()) == [name for name in names if name != "missing-for-a-day"]
    assert counts(plan) == (5, 0, 1, 4)
    assert set(destination.plan(*names, settle_hours=25).call_ids()) == set(names)
    assert set(destination.plan(*names, refresh="new").call_ids()) == set(names)


def test_a_row_with_a_404_is_undecided_and_a_deleted_one_is_finished(destination: Destination) -> None:
    destination.execute(CALLS + ";" + ERRORS)
    for name in ("settled", "failed-since", "gone-since"):
        destination.load(name)
    for name in ("deleted", "deleted-and-forgotten"):
        destination.load(name, deleted_at="2026-02-02T00:00:00Z")
    destination.fail("failed-since", 500, "server_error", ago=timedelta(days=9))
    destination.fail("gone-since", 404, "not_found", ago=timedelta(days=9))
    destination.fail("deleted", 404, "not_found", ago=timedelta(days=9))
    names = ("deleted-and-forgotten", "deleted", "gone-since", "failed-since", "settled", "new")
    plan = destination.plan(*names)
    assert list(plan.call_ids()) == ["gone-since", "failed-since", "new"]
    assert counts(plan) == (6, 1, 2, 3)
    plan = destination.plan(*names, refresh="new")
    assert list(plan.call_ids()) == ["new"]
    assert counts(plan) == (6, 3, 2, 1)
    assert list(destination.plan(*names, refresh="all").call_ids()) == list(names)


def test_the_plan_gives_what_is_stored_of_each_id_to_request(destination: Destination) -> None:
    destination.execute(CALLS + ";" + ERRORS)
    destination.load("open", ended_at="2026-02-01T06:00:00Z")
    destination.load("gone", ended_at="2026-02-01T06:00:00Z")
    destination.load("settled")
    since = destination.fail("gone", 404, "not_found", ago=timedelta(hours=1))
    destination.fail("refused", 400, "bad_request")
    updated, fetched = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), datetime(2026, 2, 1, 6, 7, 8, tzinfo=UTC)
    plan = destination.plan("open", "gone", "settled", "refused", "new")
    assert plan.knows_any
    known = plan.known(["gone", "settled", "open", "new"])
    assert known == {
        "open": Known("open", updated, fetched, None, None, None),
        "gone": Known("open", updated, fetched, True, 3, since),
    }
    assert plan.known(["refused"])["refused"].is_missing is False
    assert plan.known([]) == {}


def test_where_nothing_is_known_everything_is_requested_in_order(destination: Destination) -> None:
    names = [f"c{number}" for number in range(9, 0, -1)]
    plan = destination.plan(*names)
    assert list(plan.call_ids()) == names
    assert (counts(plan), plan.knows_any, plan.known(names)) == ((9, 0, 0, 9), False, {})
    destination.execute(CALLS + ";" + ERRORS)
    plan = destination.plan(*names)
    assert list(plan.call_ids()) == names
    assert (counts(plan), plan.knows_any, plan.known(names)) == ((9, 0, 0, 9), False, {})


def test_rows_of_other_ids_change_nothing(destination: Destination) -> None:
    destination.execute(CALLS + ";" + ERRORS)
    destination.load("theirs", ended_at="2026-02-01T06:00:00Z")
    destination.fail("theirs-too", 400, "bad_request")
    for names in (["ours"], [f"c{number}" for number in range(600)]):
        plan = destination.plan(*names)
        assert (counts(plan), plan.knows_any) == ((len(names), 0, 0, len(names)), False)
        assert plan.known(["theirs", "theirs-too"]) == {}


@pytest.mark.parametrize("others", [0, 600])
def test_ids_are_compared_to_the_letter_in_short_lists_and_long_ones(destination: Destination, others: int) -> None:
    destination.execute(CALLS)
    for name in ("o'brien", "007", "É"):
        destination.load(name)
    rest = [f"c{number}" for number in range(others, 0, -1)]
    plan = destination.plan("o'brien", "7", "007", "é", "É", *rest)
    assert list(plan.call_ids()) == ["7", "é", *rest]
    assert counts(plan) == (5 + others, 3, 0, 2 + others)


def test_without_an_id_the_destination_is_not_queried(destination: Destination) -> None:
    plan = destination.plan()
    assert counts(plan) == (0, 0, 0, 0)
    assert not destination.file.exists()


def test_an_unknown_refresh_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="refresh = 'some' is not one of open, new, all"):
        Plan(pa.array(["1"]), "some", 24)  # type: ignore[arg-type]


def test_a_destination_that_answers_no_sql_can_only_be_given_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNTIME__DLTHUB_TELEMETRY", "false")
    pipeline = dlt.pipeline("blind", pipelines_dir=str(tmp_path), destination="dummy", dataset_name="intercom")
    plan = Plan(pa.array(["1", "2"]), "all", 24)
    plan.ask(pipeline)
    assert counts(plan) == (2, 0, 0, 2)
    with pytest.raises(ConfigurationError, match='refresh = "open" asks the destination what is loaded'):
        Plan(pa.array(["1"]), "open", 24).ask(pipeline)
    pipeline.deactivate()


@pytest.mark.parametrize("listed", [5_000, 5_001, 100_001])
def test_a_list_of_any_length_is_planned_by_what_is_there_of_it_alone(destination: Destination, listed: int) -> None:
    """Some ids at a time, or all at once: the first, the last and those between count; others are not copied."""
    destination.execute(CALLS)
    destination.execute(ERRORS)
    destination.execute(
        "INSERT INTO intercom.calls SELECT i::VARCHAR, NULL, TIMESTAMPTZ '2026-01-01', NULL, "
        f"TIMESTAMPTZ '2026-02-01', NULL, NULL FROM range(-1000, {listed}, 2) t(i)"
    )
    destination.fail("1", 500, None)
    plan = Plan(pa.array([str(number) for number in range(listed)]), "open", 24.0)
    plan.ask(destination.pipeline)
    assert plan.already_loaded == (listed + 1) // 2
    assert list(plan.call_ids()) == [str(number) for number in range(1, listed, 2)]
    assert list(plan.known(["0", "1", "2", str(listed - 1), "-2"])) == ["1"]
