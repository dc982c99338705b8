"""List after list loaded into one database by runs that are killed, until so many kills are done."""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from sandbox import Sandbox

from .checker import Checker
from .processes import Ended, Kill
from .stage import Stage, settled_log
from .world import World

CHUNK_SIZE = 40
LIST_SIZES = (120, 240)
# Of the kills, so many are at a named point; of the rest, one in so many strikes a plain process, not a forked one.
NAMED_SHARE = 0.55
ONE_PLAIN_IN = 6
# Of the lists, so many are loaded by pages where these hold their calls.
SWEPT_SHARE = 0.3


@dataclass
class Report:
    """What was done and what was found."""

    kills: int = 0
    named_kills: int = 0
    plain_kills: int = 0
    runs: int = 0
    lists: int = 0
    calls: int = 0
    fetched_again: int = 0
    most_fetched_again: int = 0
    slowest_seconds: float = 0.0
    working_files: tuple[int, int] = (0, 0)
    points: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def add(self, other: Report) -> None:
        """Take another campaign's figures in."""
        for name in ("kills", "named_kills", "plain_kills", "runs", "lists", "calls", "fetched_again"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.most_fetched_again = max(self.most_fetched_again, other.most_fetched_again)
        self.slowest_seconds = max(self.slowest_seconds, other.slowest_seconds)
        if other.working_files[1] - other.working_files[0] >= self.working_files[1] - self.working_files[0]:
            self.working_files = other.working_files
        self.points += other.points
        self.faults += other.faults


@dataclass(frozen=True)
class Census:
    """What a load passes and how long it takes, counted before any kill.

    Attributes:
        first: passages by point, in a load that makes the tables.
        later: the same of a load into tables that are there.
        seconds: such a load of a list of middling length takes, forked.
        start_seconds: a plain process needs before it does anything.
    """

    first: dict[str, int]
    later: dict[str, int]
    seconds: float
    start_seconds: float

    @property
    def points(self) -> list[str]:
        """Every point."""
        return sorted(self.first.keys() | self.later.keys())


def take_census(sandbox: Sandbox, destination: str, postgres: str | None, seed: int) -> Census:
    """Count points and time in loads that are not killed."""
    with TemporaryDirectory(prefix="crash") as name:
        stage = Stage(Path(name), sandbox, destination, postgres, CHUNK_SIZE)
        world = World(Random(seed), int(time.time()))
        counted: list[dict[str, int]] = []
        for size in (2 * CHUNK_SIZE + 10, sum(LIST_SIZES) // 2):
            call_ids = world.arrive(size)
            stage.list(call_ids)
            sandbox.reset(limit=None, **world.settings(call_ids))
            passages = stage.project.folder / "passages.json"
            ended = stage.run(passages=passages)
            counted.append(json.loads(passages.read_text()))
        return Census(counted[0], counted[1], ended.seconds, stage.run("--dry-run", plain=True).seconds)


class Campaign:
    """Kills in one project, by a seed."""

    def __init__(
        self,
        sandbox: Sandbox,
        destination: str,
        postgres: str | None,
        *,
        seed: int,
        kills: int,
        census: Census,
        turn: int,
    ) -> None:
        self.report = Report()
        self._sandbox = sandbox
        self._destination = destination
        self._postgres = postgres
        self._seed = seed
        self._kills = kills
        self._census = census
        self._chance = Random(f"{seed} {turn} {destination}")
        points = census.points
        Random(seed).shuffle(points)
        start = turn * kills % len(points)
        self._points = points[start:] + points[:start]
        self._log_length = 0

    def run(self) -> Report:
        """Load until the kills are done and the last list is through."""
        with TemporaryDirectory(prefix="crash") as name:
            stage = Stage(Path(name), self._sandbox, self._destination, self._postgres, CHUNK_SIZE)
            world = World(self._chance, int(time.time()))
            checker = Checker(world, stage.database, CHUNK_SIZE)
            while self.report.kills < self._kills and not self.report.faults:
                self._load_list(stage, world, checker)
            self.report.fetched_again = sum(checker.lost_by_run.values())
            self.report.most_fetched_again = max(checker.lost_by_run.values(), default=0)
            self.report.calls = len(world.calls)
        return self.report

    def _load_list(self, stage: Stage, world: World, checker: Checker) -> None:
        chance, report = self._chance, self.report
        before = list(world.calls)
        call_ids = world.arrive(chance.randint(*LIST_SIZES)) + chance.sample(before, len(before) // 4)
        chance.shuffle(call_ids)
        stage.list(call_ids)
        share = chance.choice((0.0, 0.0, 0.03))
        options = ["--strategy", "sweep"] if chance.random() < SWEPT_SHARE else []
        # the first load into a new database passes points that no other does
        self._sandbox.reset(
            limit=None, latency_seconds=chance.choice((0.0, 0.01, 0.03)), fault_share=share, **world.settings(call_ids)
        )
        self._log_length = 0
        while True:
            kill = self._next_kill(is_first=report.runs == 0)
            is_plain = False
            if kill is not None and kill.after_seconds is not None and not chance.randrange(ONE_PLAIN_IN):
                kill, is_plain = Kill(after_seconds=kill.after_seconds + 0.7 * self._census.start_seconds), True
            ended = stage.run(*options, kill=kill, plain=is_plain)
            wrong = self._judge(call_ids, checker, ended, kill)
            if ended.was_killed and kill is not None:
                report.kills += 1
                report.plain_kills += is_plain
                report.named_kills += kill.point is not None
                report.points[kill.point or "by the clock"] += 1
            report.faults += [f"[seed {self._seed}] run {report.runs} ({kill}): {each}" for each in wrong]
            if wrong or not ended.was_killed:
                break
            if chance.random() < 0.4:
                world.change(call_ids, chance.randint(1, 12))
                self._sandbox.configure(**world.settings(call_ids))
        report.lists += 1
        files = stage.working_files()
        report.working_files = (report.working_files[0] or files, files)
        if files > report.working_files[0] + 10:
            report.faults.append(f"[seed {self._seed}] the working folder grows: {report.working_files} files")

    def _judge(self, call_ids: list[str], checker: Checker, ended: Ended, kill: Kill | None) -> list[str]:
        report = self.report
        report.runs += 1
        report.slowest_seconds = max(report.slowest_seconds, ended.seconds)
        if ended.stuck:
            return [f"stuck: {ended.stderr}"]
        if ended.exit_code not in (0, 3) and not ended.was_killed:
            return [f"ended with {ended.exit_code}: {ended.stdout} {ended.stderr}"]
        log = settled_log(self._sandbox)
        new, self._log_length = log[self._log_length :], len(log)
        wrong = checker.heard(new, ended)
        if not ended.was_killed:
            return wrong + checker.completed(call_ids, ended)
        # not always looked at in between: a reader might repair what the next run should meet
        return wrong + (checker.always() if self._chance.random() < 0.5 else [])

    def _next_kill(self, *, is_first: bool) -> Kill | None:
        if self.report.kills >= self._kills:
            return None
        if self._chance.random() >= NAMED_SHARE:
            return Kill(after_seconds=self._chance.uniform(0.03, 0.8 * self._census.seconds))
        census = self._census.first if is_first else self._census.later
        for _ in range(len(self._points)):
            point = self._points.pop(0)
            self._points.append(point)
            if passages := census.get(point):
                return Kill(point, 1 + int((passages - 1) * self._chance.random() ** 2))
        return None
