"""Where the rows go: a dlt pipeline for each destination and dataset, one load at a time."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path

import dlt
from dlt.common.destination import Destination
from dlt.common.destination.exceptions import SqlClientNotAvailable
from dlt.common.pipeline import get_dlt_pipelines_dir
from dlt.destinations.exceptions import DatabaseUndefinedRelation
from dlt.extract import DltResource
from sqlglot import exp

from .faults import explained
from .location import location_of, pipeline_name
from .locks import PostgresLock, Taken, file_lock
from .outcome import AnotherLoad, DestinationFailed


class Target:
    """A destination and dataset, with dlt's pipeline for it.

    The pipeline's name, and with it the working folder, is made from where the data goes: a package that a killed
    load left behind can't be finished into another database.

    Attributes:
        file: the DuckDB file, where that is the destination.
        location: where the data goes, to be shown; holds no password.

    Raises:
        UsageError: no such destination, its driver is missing, or its configuration is.
    """

    def __init__(self, destination: str, dataset: str) -> None:
        self.destination = destination
        self.dataset = dataset
        with explained(destination):
            factory = Destination.from_reference(destination)
            assert factory is not None
            location = location_of(factory)
            # says what is missing, driver or configuration
            dlt.dataset(factory, dataset, schema=dlt.Schema("intercom_calls")).destination_client  # noqa: B018
        self._factory = factory
        self._name = pipeline_name(location, dataset)
        self.file = location.file
        self._database_lock: PostgresLock | None = None
        self.location = location.shown

    @cached_property
    def pipeline(self) -> dlt.Pipeline:
        """Made when first used, by a load under the lock: dlt empties a working folder that it finds half made."""
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
                stack.enter_context(file_lock(self._lock_file()))
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
            if not self.finish_pending():
                self.pipeline.run(resources)
            self._forget_loaded()

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
        pipeline.run()
        if pipeline.has_pending_data:
            raise DestinationFailed(
                f"what an interrupted load left in {pipeline.working_dir} can't be finished; remove that folder, "
                "then run the same command"
            )
        return True

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
                if left.name != "extracted" and left.is_dir():
                    shutil.rmtree(left)

    def _drop_loaded(self) -> None:
        """Throw away what was loaded whole, of which the working folder had not been told when the load was killed.

        dlt would refuse to complete it again, or note it in `_dlt_loads` a second time, and so double every join.
        """
        for load_id in _loaded(self.pipeline, self.pipeline.list_normalized_load_packages()):
            shutil.rmtree(Path(self.pipeline.working_dir, "load/normalized", load_id))

    def _forget_loaded(self) -> None:
        """Keep the working folder from growing: what is loaded is of no use there."""
        for load_id in self.pipeline.list_completed_load_packages():
            shutil.rmtree(Path(self.pipeline.working_dir, "load/loaded", load_id))

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

    def _lock_file(self) -> Path:
        # beside a DuckDB file, since two working folders can lead to one file
        if self.file is not None:
            return self.file.with_name(f".{self.file.name}.{self.dataset}.lock")
        return Path(get_dlt_pipelines_dir(), f"{self._name}.lock")


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
