"""Packages that an interrupted load left in dlt's working folder: loaded, or moved out of the way."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from pathlib import Path

import dlt
from dlt.common.destination.exceptions import SqlClientNotAvailable

from ..errors import DestinationFailed, root_cause_text
from ..load_runs import RUNS_TABLE
from .dataset import Rows, select
from .faults import is_permanent
from .private_parts import has_rows_for, loaded_packages, prepared_packages, rewind, unprepared_packages

logger = logging.getLogger("intercom_calls")


class WaitingPackages:
    """The packages in a pipeline's working folder that wait to be loaded.

    Args:
        pipeline: the pipeline.
        is_callers: whether it is a caller's own. Then packages without a row of `load_runs` hold the caller's data,
            which must not be lost.
    """

    def __init__(self, pipeline: dlt.Pipeline, *, is_callers: bool) -> None:
        self._pipeline = pipeline
        self._is_callers = is_callers

    def finish(self) -> bool:
        """Load the waiting packages, each from its beginning; False if nothing was loaded.

        A package that fails for good, or that may be older than a later load, is moved out of the working folder; a
        warning says where to. Its calls are not in the destination, so the run fetches them again.

        Raises:
            DestinationFailed: a package can't be loaded, and blocks all others.
        """
        pipeline = self._pipeline
        self._drop_unprepared()
        self.drop_loaded()
        ours = self._ours()
        for load_id in self._outdated(ours):
            self._set_aside(load_id, "another load came after it")
        if not pipeline.has_pending_data:
            return False
        try:
            for load_id in self._ours():
                # `delete-insert` allows to begin again; rows in staging may be gone: the file was deleted or restored,
                # tables were dropped, another load used them
                rewind(self._folder(load_id))
            # not `pipeline.run()`, which reads the pipeline's state in the destination first: if that is newer, or
            # there is no dataset, dlt throws the waiting packages away
            pipeline.activate()
            pipeline.normalize()
            pipeline.load()
        except Exception as error:
            if not is_permanent(error) or self._ours() != pipeline.list_normalized_load_packages():
                raise
            for load_id in self._ours():
                self._set_aside(load_id, root_cause_text(error))
            return False
        if pipeline.has_pending_data:
            raise DestinationFailed(self._cant_be_finished())
        return True

    def drop(self) -> None:
        """Delete the packages of this run; the run makes them again."""
        self._drop_unprepared()
        for load_id in self._ours():
            shutil.rmtree(self._folder(load_id))

    def forget_loaded(self, load_ids: Sequence[str]) -> None:
        """Delete loaded packages, which nobody needs any more."""
        for load_id in load_ids:
            shutil.rmtree(loaded_packages(self._pipeline.working_dir) / load_id, ignore_errors=True)

    def _cant_be_finished(self) -> str:
        what = f"what an interrupted load left in {self._pipeline.working_dir} can't be finished"
        if not self._is_callers:
            return f"{what}; remove that folder, then run the same command"
        name = self._pipeline.pipeline_name
        return f"{what}; look at it with `dlt pipeline {name} info`, then load it or drop it, and run the same load"

    def _drop_unprepared(self) -> None:
        """Delete what a killed load had not normalized; its calls are fetched again.

        dlt fails on it: a first package without the pipeline's schema is skipped for ever, with all later ones; a
        package that was normalized but is still in `extracted` is normalized twice.
        """
        for package in unprepared_packages(self._pipeline.working_dir):
            if self._is_ours(package):
                shutil.rmtree(package)

    def _is_ours(self, package: Path) -> bool:
        """Whether this package is ours: every one in our own working folder, else those with a row of `load_runs`."""
        return not self._is_callers or has_rows_for(package, RUNS_TABLE)

    def _ours(self) -> list[str]:
        waiting = self._pipeline.list_normalized_load_packages()
        return [load_id for load_id in waiting if self._is_ours(self._folder(load_id))]

    def drop_loaded(self) -> int:
        """Delete packages that were loaded when the load was killed, but not yet moved; return how many.

        dlt would refuse to load them again, or add a second row to `_dlt_loads`, which doubles the rows of every join.
        """
        waiting = self._pipeline.list_normalized_load_packages()
        loaded = {*waiting} & {*self._loads_since(waiting)}
        for load_id in loaded:
            shutil.rmtree(self._folder(load_id))
        return len(loaded)

    def _outdated(self, load_ids: Sequence[str]) -> list[str]:
        """Packages older than the newest load: another machine has loaded since, or the DuckDB file was replaced."""
        newest = max(self._loads_since(load_ids), default="")
        return [load_id for load_id in load_ids if load_id < newest]

    def _loads_since(self, load_ids: Sequence[str]) -> list[str]:
        """The ids of loads in the destination, from the first of these on; an id is a time."""
        if not load_ids:
            return []
        since = f"SELECT load_id WHERE load_id >= '{min(load_ids)}'"
        return [load_id for (load_id,) in _select_loads(self._pipeline, since) or ()]

    def _set_aside(self, load_id: str, reason: str) -> None:
        place = Path(self._pipeline.pipelines_dir).parent / "set_aside" / self._pipeline.pipeline_name
        place.mkdir(parents=True, exist_ok=True)
        place.chmod(0o700)  # they are people's calls
        shutil.move(self._folder(load_id), place / load_id)
        logger.warning(
            "what an interrupted load left can't be loaded any more (%s); it is kept in %s, its calls are planned "
            "again",
            reason,
            place / load_id,
            extra={"fields": {"event": "repair"}},
        )

    def _folder(self, load_id: str) -> Path:
        return prepared_packages(self._pipeline.working_dir) / load_id


def completed_loads(pipeline: dlt.Pipeline) -> int | None:
    """How many packages the dataset has received from anybody; None if the destination has no SQL.

    A lock can be lost: a server restarts, a connection is cut. A higher number shows that another load has written
    meanwhile, and that answers of this run may be older than what is there.
    """
    rows = _select_loads(pipeline, "SELECT count(*)")
    return rows if rows is None else sum(count for (count,) in rows)


def _select_loads(pipeline: dlt.Pipeline, query: str) -> Rows | None:
    """Run `query` on dlt's table of loads; no rows if it is missing, None if the destination has no SQL."""
    try:
        connection = pipeline.sql_client()
    except SqlClientNotAvailable:
        return None
    loads = pipeline.default_schema.loads_table_name if pipeline.schema_names else "_dlt_loads"
    with connection as client:
        return select(client, loads, query) or []
