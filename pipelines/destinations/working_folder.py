"""Packages that an interrupted load left in dlt's working folder: finished, or put aside."""

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
from .faults import is_lasting
from .private_parts import has_rows_for, loaded_packages, prepared_packages, rewind, unprepared_packages

logger = logging.getLogger("intercom_calls")


class WaitingPackages:
    """What waits in a pipeline's working folder.

    Args:
        pipeline: the pipeline.
        is_callers: whether it is a caller's own, so that packages without a run's row hold the caller's own data,
            which must not be lost.
    """

    def __init__(self, pipeline: dlt.Pipeline, *, is_callers: bool) -> None:
        self._pipeline = pipeline
        self._is_callers = is_callers

    def finish(self) -> bool:
        """Load what waits, from its beginning; False where nothing was loaded.

        A package that can't be loaded any more, or that a later load may have made out of date, is moved out of the
        working folder, with a warning that names where to. The destination does not have its calls, so they are
        planned again.

        Raises:
            DestinationFailed: it can't be finished, and nothing else could be loaded before it is.
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
                # from the beginning, which `delete-insert` allows: what it had put into staging may be gone, with a
                # file that was deleted or restored, tables that were dropped, or through another load
                rewind(self._folder(load_id))
            # what `pipeline.run()` does with them, but for asking the destination for a newer state: where it finds
            # one, or no dataset, dlt throws away what waits
            pipeline.activate()
            pipeline.normalize()
            pipeline.load()
        except Exception as error:
            if not is_lasting(error) or self._ours() != pipeline.list_normalized_load_packages():
                raise
            for load_id in self._ours():
                self._set_aside(load_id, root_cause_text(error))
            return False
        if pipeline.has_pending_data:
            raise DestinationFailed(self._cant_be_finished())
        return True

    def drop(self) -> None:
        """Throw away what a run in this process prepared and could not load; the run prepares it again."""
        self._drop_unprepared()
        for load_id in self._ours():
            shutil.rmtree(self._folder(load_id))

    def forget_loaded(self, load_ids: Sequence[str]) -> None:
        """Keep the working folder from growing: what is loaded is of no use there."""
        for load_id in load_ids:
            shutil.rmtree(loaded_packages(self._pipeline.working_dir) / load_id, ignore_errors=True)

    def _cant_be_finished(self) -> str:
        what = f"what an interrupted load left in {self._pipeline.working_dir} can't be finished"
        if not self._is_callers:
            return f"{what}; remove that folder, then run the same command"
        name = self._pipeline.pipeline_name
        return f"{what}; look at it with `dlt pipeline {name} info`, then load it or drop it, and run the same load"

    def _drop_unprepared(self) -> None:
        """Throw away what a killed load had not prepared for loading; its calls are fetched again.

        dlt stumbles over it: a first package without the pipeline's schema is passed over for ever, and with it all
        that comes later; one that was prepared but not yet taken from `extracted` is prepared twice and fails.
        """
        for left in unprepared_packages(self._pipeline.working_dir):
            if self._is_ours(left):
                shutil.rmtree(left)

    def _is_ours(self, package: Path) -> bool:
        """Whether a load made this package: all of them in our own working folder, else those with a run's row."""
        return not self._is_callers or has_rows_for(package, RUNS_TABLE)

    def _ours(self) -> list[str]:
        waiting = self._pipeline.list_normalized_load_packages()
        return [load_id for load_id in waiting if self._is_ours(self._folder(load_id))]

    def drop_loaded(self) -> int:
        """Throw away what was loaded whole, of which the working folder had not been told when the load was killed.

        dlt would refuse to complete it again, or note it in `_dlt_loads` a second time, and so double every join.
        """
        waiting = self._pipeline.list_normalized_load_packages()
        loaded = {*waiting} & {*self._loads_since(waiting)}
        for load_id in loaded:
            shutil.rmtree(self._folder(load_id))
        return len(loaded)

    def _outdated(self, load_ids: Sequence[str]) -> list[str]:
        """Packages after which another load came: from another machine, or in a file put in the place of this one.

        Their answers may be older than what is there now.
        """
        newest = max(self._loads_since(load_ids), default="")
        return [load_id for load_id in load_ids if load_id < newest]

    def _loads_since(self, load_ids: Sequence[str]) -> list[str]:
        """The loads that the destination noted, as `load_id`, which is a time, from the first of these on."""
        if not load_ids:
            return []
        since = f"SELECT load_id WHERE load_id >= '{min(load_ids)}'"
        return [load_id for (load_id,) in _select_loads(self._pipeline, since) or ()]

    def _set_aside(self, load_id: str, why: str) -> None:
        place = Path(self._pipeline.pipelines_dir).parent / "set_aside" / self._pipeline.pipeline_name
        place.mkdir(parents=True, exist_ok=True)
        place.chmod(0o700)  # they are people's calls
        shutil.move(self._folder(load_id), place / load_id)
        logger.warning(
            "what an interrupted load left can't be loaded any more (%s); it is kept in %s, its calls are planned "
            "again",
            why,
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
