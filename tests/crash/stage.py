"""Where a run takes place: a project folder, a database, a list of ids, the sandbox as its API."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path

from sandbox import Sandbox
from tests.conftest import Project

from .databases import Database, DuckDb, Postgres
from .processes import Ended, Kill, run


class Stage:
    """A project and a database of its own, with a sandbox that nothing else uses meanwhile.

    Args:
        postgres: the socket folder of the server; needed for that destination alone.
    """

    def __init__(self, folder: Path, sandbox: Sandbox, destination: str, postgres: str | None, chunk_size: int) -> None:
        self.project = Project(
            folder,
            {
                "SOURCES__INTERCOM__BASE_URL": sandbox.url,
                "SOURCES__INTERCOM__ACCESS_TOKEN": sandbox.token,
                "SOURCES__INTERCOM__RETRY_SECONDS": "60",
            },
        )
        self.database: Database = DuckDb(folder)
        if destination == "postgres":
            assert postgres is not None
            self.database = database = Postgres.create(postgres)
            self.project.env["DESTINATION__POSTGRES__CREDENTIALS"] = database.url
        self.args = ["load", "--json", "--ids", "ids.txt", "--chunk-size", str(chunk_size), "--progress", "none"]
        # what was asked for again is counted by id
        self.args += ["--destination", destination, "--strategy", "by-id"]
        self.destination = destination

    def run(self, *more: str, kill: Kill | None = None, passages: Path | None = None, plain: bool = False) -> Ended:
        """Load the list, with `more` options, to the end or to the death by `kill`."""
        args = [*self.args, *more]
        return run(self.project, args, kill, destination=self.destination, passages=passages, plain=plain)

    def list(self, call_ids: Iterable[str]) -> None:
        """Write the list that the next run is to load."""
        (self.project.folder / "ids.txt").write_text("".join(f"{call_id}\n" for call_id in call_ids))

    def working_files(self) -> int:
        """How many files the working folder holds."""
        return sum(len(names) for _, _, names in os.walk(self.project.folder / ".dlt"))


def settled_log(sandbox: Sandbox) -> list[tuple[float, str, int]]:
    """Every answer since the sandbox was reset, also those to runs that are gone."""
    while sandbox.stats()["in_flight"]:
        time.sleep(0.01)
    return sandbox.log()
