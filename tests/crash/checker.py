"""What must hold after every run, and what after a run that was not killed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from .databases import DATASET, Database
from .processes import Ended
from .world import COLUMNS, SECONDS, TEXTS, TIMES, Row, World

COUNTS = ("already_loaded", "loaded", "missing", "failed", "not_reached")
PAGE = "?page="  # a page of calls in the sandbox's log
_FIGURES = ("requested", *COUNTS, "fetched", "requests", "exit_code")


class Checker:
    """Follows a dataset through its runs; each method gives a sentence for each thing that is wrong.

    Args:
        chunk_size: of the runs: a kill may cost two.

    Attributes:
        lost_by_run: how many settled calls a run was given that were asked for again later.
    """

    def __init__(self, world: World, database: Database, chunk_size: int) -> None:
        self.world = world
        self.lost_by_run: Counter[int] = Counter()
        self._database = database
        self._chunk_size = chunk_size
        self._served: dict[str, set[int]] = {}
        self._asked: Counter[str] = Counter()
        self._floor: dict[str, int] = {}
        self._given_in: dict[str, int] = {}
        self._killed: set[int] = set()
        self._run = 0
        self._runs_begun = 0
        self._runs_done: set[str] = set()

    def heard(self, log: Iterable[tuple[float, str, int]], *ended: Ended, refresh: str = "open") -> list[str]:
        """Note what the API was asked in a run, or in several at once, before anything changes there."""
        self._run += 1
        self._runs_begun += len(ended)
        if any(each.was_killed for each in ended):
            self._killed.add(self._run)
        entries = list(log)
        asked: dict[str, set[int]] = {}
        for _, name, status in entries:
            asked.setdefault(name, set()).add(status)
            self._asked[name] += 1
        if any(name.startswith(PAGE) for name in asked):
            self._listed()
        for name, statuses in asked.items():
            if name.startswith(PAGE):
                continue
            call = self.world.calls[name]
            if name in self._given_in and refresh == "open":
                self.lost_by_run[self._given_in[name]] += 1
            self._given_in.pop(name, None)
            if call.status == "answers" and statuses & {0, 200}:
                self._served.setdefault(name, set()).add(call.version)
                call.loaded_once = True
                if call.is_settled:
                    self._given_in[name] = self._run
        if self._run in self._killed:
            return []
        # the log has no GET /me, of which each run that got so far makes one
        counted = sum(max(0, each.summary["requests"] - 1) for each in ended)
        return [f"{counted} requests were counted, the API had {len(entries)}"] if counted != len(entries) else []

    def _listed(self) -> None:
        """Note that a run was given pages, on which any call may have been."""
        for name, call in self.world.calls.items():
            if call.status == "answers":
                self._served.setdefault(name, set()).add(call.version)
                call.loaded_once = True

    def always(self) -> list[str]:
        """What holds after a kill, too: no id twice, each row a version that was answered, none older than before."""
        wrong = list(self._check_rows())
        twice = "SELECT call_id FROM {} GROUP BY call_id HAVING count(*) > 1"
        wrong += [f"{name} is twice in call_errors" for (name,) in self._rows("call_errors", twice)]
        twice = "SELECT run_id FROM {} GROUP BY run_id HAVING count(*) > 1"
        wrong += [f"run {name} is twice in load_runs" for (name,) in self._rows("load_runs", twice)]
        twice = "SELECT load_id FROM {} GROUP BY load_id HAVING count(*) > 1"
        wrong += [
            f"load {name} is twice in _dlt_loads, which doubles joins" for (name,) in self._rows("_dlt_loads", twice)
        ]
        for run, lost in self.lost_by_run.items():
            if run not in self._killed:
                wrong.append(f"{lost} settled calls of run {run}, which was not killed, were asked for again")
            elif lost > 2 * self._chunk_size:
                wrong.append(f"{lost} calls of run {run} were asked for again: more than two chunks")
        self.lost_by_run = Counter({run: lost for run, lost in self.lost_by_run.items() if run in self._killed})
        return wrong

    def completed(self, call_ids: Sequence[str], *ended: Ended) -> list[str]:
        """What holds when runs of this list were not killed, and nothing changed while they ran."""
        self._runs_done |= {each.summary["run_id"] for each in ended}
        wrong = [*self.always(), *(fault for each in ended for fault in self._check_end(call_ids, each))]
        found = {row[0]: deleted for row, deleted in self._calls()}
        errors = {row[0]: row[1:] for row in self._rows("call_errors", self._errors_query())}
        for name in call_ids:
            call = self.world.calls[name]
            match call.status:
                case "answers":
                    if name not in found:
                        wrong.append(f"{name} is lost")
                    elif self._floor.get(name) != call.version:
                        wrong.append(f"{name} is version {self._floor.get(name)}, the API has {call.version}")
                    elif found[name] is not None:
                        wrong.append(f"{name} is marked deleted and is there")
                    if name in errors:
                        wrong.append(f"{name} is loaded and in call_errors: {errors[name]}")
                case "missing":
                    wrong += self._check_error(name, errors.get(name), 404, "not_found")
                    if name in found and (found[name] is None or found[name] != errors.get(name, (0,) * 4)[3]):
                        wrong.append(f"{name} answered 404 and is not marked deleted since then: {found[name]}")
                case "refused":
                    wrong += self._check_error(name, errors.get(name), 400, "bad_request")
        strangers = (found.keys() | errors.keys()) - self.world.calls.keys()
        wrong += [f"{name} is nobody's" for name in strangers]
        return wrong

    def _calls(self) -> list[tuple[Row, int | None]]:
        """Each row as the API decides it, and when it was marked deleted."""
        micro = self._database.microseconds.format
        columns = (*TEXTS, *map(micro, TIMES), *SECONDS, "CAST(extra AS text)", micro("_deleted_at"))
        rows = self._rows("calls", f"SELECT {', '.join(columns)} FROM {{}}")
        return [((*row[:-2], None if row[-2] is None else json.loads(row[-2])), row[-1]) for row in rows]

    def _check_rows(self) -> Iterable[str]:
        rows = [row for row, _ in self._calls()]
        for name, count in Counter(row[0] for row in rows).items():
            if count > 1:
                yield f"{name} is there {count} times"
        for name in self._floor.keys() - {row[0] for row in rows}:
            yield f"{name} was there and is gone"
        for row in rows:
            name, state = row[0], str(row[COLUMNS.index("state")])
            version = int(state.removeprefix("version ") or 0) if state.startswith("version ") else 0
            if version not in self._served.get(name, ()):
                yield f"{name} is version {version}, which was never answered"
                continue
            for column, found, expected in zip(COLUMNS, row, self.world.row(name, version), strict=True):
                if found != expected:
                    yield f"{name} version {version}: {column} is {found!r}, not {expected!r}"
            if version < self._floor.get(name, 0):
                yield f"{name} went back from version {self._floor[name]} to {version}"
            self._floor[name] = version
        loose = (
            "SELECT count(*) FROM {} c WHERE _fetched_at IS NULL OR _dlt_load_id NOT IN (SELECT load_id FROM {loads})"
        )
        for (count,) in self._rows("calls", loose):
            # the row of a package is there a moment before the package is marked complete
            if count > self._chunk_size * 2:
                yield f"{count} rows belong to no complete load"

    def _check_error(self, name: str, error: tuple[Any, ...] | None, status: int, code: str) -> Iterable[str]:
        if error is None:
            return [f"{name} answers {status} and is not in call_errors"]
        found_status, found_code, attempts, first, last, request_id = error
        if (found_status, found_code) != (status, code) or not request_id:
            return [f"{name} is in call_errors with {error}, not {status} {code}"]
        if not (1 <= attempts <= self._asked[name] and first <= last):
            return [f"{name} was asked for {self._asked[name]} times, call_errors says {error}"]
        return []

    def _check_end(self, call_ids: Sequence[str], ended: Ended) -> Iterable[str]:
        summary = ended.summary
        refused = sum(self.world.calls[name].status == "refused" for name in call_ids)
        code = 3 if refused else 0
        if ended.exit_code != code or summary["exit_code"] != code or summary["failed"] != refused:
            yield f"exit code {ended.exit_code}, {summary['failed']} failed; expected {code}, {refused}: {ended.stderr}"
        if "Traceback" in ended.stderr:
            yield f"a traceback: {ended.stderr}"
        if summary["requested"] != len(set(call_ids)) or summary["not_reached"]:
            yield f"requested {summary['requested']}, not reached {summary['not_reached']}"
        names = ("run_id", *_FIGURES, "finished_at IS NULL", "started_at IS NULL")
        rows = self._rows("load_runs", f"SELECT {', '.join(names)} FROM {{}}")
        for row in rows:
            figures = dict(zip(_FIGURES, row[1:-2], strict=True))
            if figures["requested"] != sum(figures[name] for name in COUNTS) or row[-1]:
                yield f"load_runs does not add up: {row}"
            if row[0] == summary["run_id"] and (row[-2] or figures != {name: summary[name] for name in _FIGURES}):
                yield f"load_runs says {row}, the summary {summary}"
        if summary["run_id"] not in {row[0] for row in rows}:
            yield f"run {summary['run_id']} left no row in load_runs"
        finished = sum(not row[-2] for row in rows)
        done = len(self._runs_done)
        if not done <= finished <= done + len(self._killed) or len(rows) > self._runs_begun:
            runs = f"{self._runs_begun} runs, {done} ended"
            yield f"load_runs has {len(rows)} rows, {finished} finished; {runs}"

    def _errors_query(self) -> str:
        micro = self._database.microseconds.format
        times = ", ".join(map(micro, ("first_failed_at", "last_failed_at")))
        return f"SELECT call_id, http_status, code, attempts, {times}, request_id FROM {{}}"

    def _rows(self, table: str, query: str) -> list[tuple[Any, ...]]:
        """What `query` gives of a table, nothing where there is none yet."""
        there = self._database.query(
            f"SELECT 1 FROM information_schema.tables WHERE table_schema = '{DATASET}' AND table_name = '{table}'"
        )
        if not there:
            return []
        return self._database.query(query.format(f"{DATASET}.{table}", loads=f"{DATASET}._dlt_loads"))
