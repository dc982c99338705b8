"""Where the rows go: a dlt pipeline for each destination and dataset, one load at a time."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from copy import copy
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import dlt
from dlt.common.destination import Destination
from dlt.common.destination.client import DestinationClientDwhConfiguration
from dlt.common.destination.exceptions import SqlClientNotAvailable
from dlt.common.pipeline import LoadInfo, get_dlt_pipelines_dir
from dlt.destinations.exceptions import DatabaseUndefinedRelation
from dlt.extract import DltResource
from sqlglot import exp

from .faults import explained
from .location import Location, former_pipeline_name, location_of, pipeline_name
from .locks import PostgresLock, Taken, file_lock
from .outcome import AnotherLoad, DestinationFailed, UsageError
from .runs import RUNS_TABLE

logger = logging.getLogger("intercom_calls")

# The schema of the source, and so of every load into a caller's own pipeline.
SCHEMA = "intercom"


class Target:
    """A destination and dataset, with dlt's pipeline for it.

    Attributes:
        destination: the destination's name, for messages.
        dataset: its dataset, as it is called there.
        file: the DuckDB file, where that is the destination.
        location: where the data goes, to be shown; holds no password.

    Raises:
        UsageError: DuckDB could not tell the dataset from the file.
    """

    def __init__(
        self,
        destination: str,
        factory: Destination[Any, Any],
        location: Location,
        dataset: str,
        pipeline: dlt.Pipeline | None = None,
    ) -> None:
        self.destination = destination
        self.dataset = dataset
        self.file = location.file
        self.location = location.shown
        self._factory = factory
        self._name = pipeline_name(location, dataset)
        self._former_name = former_pipeline_name(location, dataset)
        self._former_is_exact = location.former_is_exact
        self._callers = pipeline
        self._database_lock: PostgresLock | None = None
        if self.file is not None and self.file.stem.lower() == dataset.lower():
            raise UsageError(
                f"dataset {dataset} is also the name of {self.file}, and DuckDB can't tell the two apart; rename one "
                "of them"
            )

    @classmethod
    def named(cls, destination: str, dataset: str) -> Self:
        """A destination by its name, with a pipeline of our own.

        The pipeline's name, and with it the working folder, is made from where the data goes: a package that a killed
        load left behind can't be finished into another database.

        Raises:
            UsageError: no such destination, its driver is missing, or its configuration is.
        """
        with explained(destination):
            factory = Destination.from_reference(destination)
            assert factory is not None
            location = location_of(factory.configuration(factory.spec(), accept_partial=True), factory.destination_name)
            # says what is missing, driver or configuration
            dlt.dataset(factory, dataset, schema=dlt.Schema("intercom_calls")).destination_client  # noqa: B018
        return cls(destination, factory, location, dataset)

    @classmethod
    def of_pipeline(cls, pipeline: dlt.Pipeline) -> Self:
        """Where the caller's own pipeline loads to, with that pipeline.

        Raises:
            UsageError: it can't be loaded into by chunks; its destination's driver or configuration is missing.
        """
        factory = pipeline.destination
        if factory is None:
            raise UsageError(f"pipeline {pipeline.pipeline_name} has no destination; give dlt.pipeline one")
        if pipeline.refresh is not None:
            raise UsageError(
                f"pipeline {pipeline.pipeline_name} has refresh={pipeline.refresh!r}: each chunk would drop the ones "
                "before it; make the pipeline without refresh"
            )
        if not pipeline.config.use_single_dataset:
            raise UsageError(
                f"pipeline {pipeline.pipeline_name} has use_single_dataset = false; "
                "load needs all tables in one dataset"
            )
        name = factory.destination_name
        with explained(name):
            config = pipeline.destination_client().config
            dataset = pipeline.dataset_name or ""
            if isinstance(config, DestinationClientDwhConfiguration):
                dataset = config.normalize_dataset_name(dlt.Schema(SCHEMA)) or ""
        return cls(name, factory, location_of(config, name), dataset, pipeline)

    @cached_property
    def pipeline(self) -> dlt.Pipeline:
        """Ours is made when first used, under the lock: dlt empties a working folder that it finds half made."""
        if self._callers is not None:
            return self._callers
        with explained(self.destination):
            pipeline = dlt.pipeline(self._name, destination=self._factory, dataset_name=self.dataset)
            # what waits there to be loaded are people's calls
            Path(pipeline.working_dir).chmod(0o700)
        return pipeline

    @property
    def is_new(self) -> bool:
        """Whether there is no database yet, so that asking it would only make an empty one."""
        return self.file is not None and not self.file.exists()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the only load into this destination and dataset; the lock ends with its holder, however that dies.

        Raises:
            AnotherLoad: somebody holds it.
            DestinationFailed: it can't be asked for.
        """
        with ExitStack() as stack:
            try:
                for path in self._lock_files():
                    stack.enter_context(file_lock(path))
                if self._factory.destination_type == "dlt.destinations.postgres":
                    self._database_lock = PostgresLock(self.pipeline)
                    with explained(self.destination):
                        stack.enter_context(self._database_lock.held())
            except Taken:
                raise AnotherLoad(
                    f"another load is at work on {self.location}, dataset {self.dataset}; wait for it or stop it"
                ) from None
            yield

    def load(self, resources: list[DltResource], *, replacing: bool) -> None:
        """Load these as one package, or finish it where an attempt before has failed.

        Args:
            resources: the tables' rows.
            replacing: whether rows that are there may be replaced, so that there may be something to tidy up.

        Raises:
            DestinationFailed: the lock was lost and another load has taken it.
        """
        self._keep_locked()
        with self._file_open(tidy=replacing):
            if self.finish_pending():
                loaded = []
            elif self._callers is None:
                loaded = _load_ids(self.pipeline.run(resources))
            else:  # as the source does; the pipeline's default schema may be another source's
                loaded = _load_ids(self.pipeline.run(resources, schema=dlt.Schema(SCHEMA)))
            self._forget(self.pipeline.list_completed_load_packages() if self._callers is None else loaded)

    def finish_former(self) -> None:
        """Load what a killed load of an earlier version left in the working folder that it had for this place.

        Raises:
            DestinationFailed: as `finish_pending`.
        """
        folder = Path(get_dlt_pipelines_dir(), self._former_name)
        if self._callers is not None or self._former_name == self._name or not folder.is_dir():
            return
        if self._former_is_exact:
            former = copy(self)
            former._name = former._former_name
            former.__dict__.pop("pipeline", None)  # made again, by that name
            former.finish_pending()
            shutil.rmtree(folder)
        elif any(folder.glob("load/normalized/*/")):
            logger.warning(
                "%s holds calls that a load of an earlier version was interrupted with; they may have been meant for "
                "another database there, so it is left alone. Remove that folder: the calls are fetched again",
                folder,
                extra={"fields": {"event": "repair"}},
            )

    def finish_pending(self) -> bool:
        """Load the package that was left behind; False when there was none.

        Raises:
            DestinationFailed: it can't be finished, and nothing else could be loaded before it is.
        """
        pipeline = self.pipeline
        self._drop_unprepared()
        self._drop_loaded()
        if not pipeline.has_pending_data:
            return False
        # what `pipeline.run()` does with them, but for asking the destination for a newer state: where it finds one,
        # or no dataset, dlt throws away what waits
        pipeline.activate()
        pipeline.normalize()
        pipeline.load()
        if pipeline.has_pending_data:
            raise DestinationFailed(self._cant_be_finished())
        return True

    def _cant_be_finished(self) -> str:
        what = f"what an interrupted load left in {self.pipeline.working_dir} can't be finished"
        if self._callers is None:
            return f"{what}; remove that folder, then run the same command"
        name = self.pipeline.pipeline_name
        return f"{what}; look at it with `dlt pipeline {name} info`, then load it or drop it, and run the same load"

    @contextmanager
    def _file_open(self, *, tidy: bool) -> Iterator[None]:
        """Hold a DuckDB file open for a whole package: dlt opens and closes it at each step, with a checkpoint.

        Where nothing was replaced a checkpoint has nothing to tidy up; merging what is there would cost 300 MB.
        """
        if self.file is None:
            yield
            return
        with self.pipeline.sql_client() as client:
            if not tidy:
                client.execute_sql("SET GLOBAL max_vacuum_tasks = 0")
            yield

    def _drop_unprepared(self) -> None:
        """Throw away what a killed load had not prepared for loading; its calls are fetched again.

        dlt stumbles over it: a first package without the pipeline's schema is passed over for ever, and with it all
        that comes later; one that was prepared but not yet taken from `extracted` is prepared twice and fails.
        """
        working_folder = Path(self.pipeline.working_dir)
        for folder in (
            working_folder / "normalize",
            working_folder / "normalize/extracted",
            working_folder / "load/new",
        ):
            for left in folder.glob("*/"):
                if left.name != "extracted" and left.is_dir() and self._is_ours(left):
                    shutil.rmtree(left)

    def _is_ours(self, package: Path) -> bool:
        """Whether a load made this package: all of them in our own working folder, else those with a run's row.

        A caller's pipeline may hold data of the caller's own, that must not be lost.
        """
        return self._callers is None or any(package.glob(f"new_jobs/{RUNS_TABLE}.*"))

    def _drop_loaded(self) -> None:
        """Throw away what was loaded whole, of which the working folder had not been told when the load was killed.

        dlt would refuse to complete it again, or note it in `_dlt_loads` a second time, and so double every join.
        """
        for load_id in _loaded(self.pipeline, self.pipeline.list_normalized_load_packages()):
            shutil.rmtree(Path(self.pipeline.working_dir, "load/normalized", load_id))

    def _forget(self, load_ids: Sequence[str]) -> None:
        """Keep the working folder from growing: what is loaded is of no use there."""
        for load_id in load_ids:
            shutil.rmtree(Path(self.pipeline.working_dir, "load/loaded", load_id), ignore_errors=True)

    def _keep_locked(self) -> None:
        """Make sure that the lock is still held: a server that was restarted has forgotten it."""
        try:
            if self._database_lock is not None:
                self._database_lock.renew()
        except Taken:
            raise DestinationFailed(
                f"the connection to {self.location} was cut and another load is at work there now; wait for it, "
                "then run the same command"
            ) from None

    def _lock_files(self) -> list[Path]:
        # beside a DuckDB file, since two working folders can lead to one file
        if self.file is not None:
            of_location = self.file.with_name(f".{self.file.name}.{self.dataset}.lock")
        else:
            of_location = Path(get_dlt_pipelines_dir(), f"{self._name}.lock")
        if self._callers is None:
            return [of_location]
        # two loads at once in one working folder would take each other's packages
        of_folder = Path(self._callers.pipelines_dir, f"{self._callers.pipeline_name}.lock")
        return list(dict.fromkeys((of_location, of_folder)))


def _load_ids(info: LoadInfo | None) -> list[str]:
    return info.loads_ids if info else []


def _loaded(pipeline: dlt.Pipeline, load_ids: Sequence[str]) -> list[str]:
    """Those of these packages that the destination has noted as loaded."""
    if not load_ids:
        return []
    try:
        with pipeline.sql_client() as client:
            dialect = client.capabilities.sqlglot_dialect
            loads = pipeline.default_schema.loads_table_name
            table = exp.to_table(client.make_qualified_table_name(loads), dialect=dialect)
            query = exp.select("load_id").from_(table).where(exp.column("load_id").isin(*load_ids))
            with client.execute_query(query.sql(dialect)) as cursor:
                return [load_id for (load_id,) in cursor.fetchall()]
    except (DatabaseUndefinedRelation, SqlClientNotAvailable):
        return []
