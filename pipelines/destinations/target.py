"""Where the rows go: a dlt pipeline for each destination and dataset, one load at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import dlt
from dlt.common.configuration.specs import ConnectionStringCredentials
from dlt.common.destination import Destination
from dlt.common.destination.client import DestinationClientDwhConfiguration
from dlt.common.pipeline import LoadInfo, get_dlt_pipelines_dir
from dlt.extract import DltResource

from ..errors import AnotherLoad, DestinationFailed, UsageError
from .completed_loads import Overtaken, completed_loads
from .duckdb_file import compact
from .faults import explained
from .location import Location, location_of, pipeline_name
from .locks import PostgresLock, Taken, file_lock
from .missing_tables import restore_tables
from .outage import Outage
from .postgres import SilenceWatch, limit_waits
from .preflight import require_dataset_name, require_file, require_loadable, require_sql
from .rights import require_usable
from .working_folder import WaitingPackages

# The schema of the source, and so of every load into a caller's own pipeline.
SCHEMA = "intercom"


class Target:
    """A destination and dataset, with dlt's pipeline for it.

    Attributes:
        destination: the destination's name, for messages.
        dataset: its dataset, as it is called there.
        file: the DuckDB file, where that is the destination.
        location: where the data goes, to be shown; holds no password.
        outage: whether it can't be used for a while, as far as that was said.

    Raises:
        UsageError: the DuckDB file is none, can't be written, or DuckDB could not tell the dataset from it.
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
        self.outage = Outage()
        self._factory = factory
        self._name = pipeline_name(location, dataset)
        self._callers = pipeline
        self._database_lock: PostgresLock | None = None
        self._completed: int | None = 0
        self._is_postgres = factory.destination_type == "dlt.destinations.postgres"
        require_file(location, dataset, to_write=True)

    @classmethod
    def named(cls, destination: str, dataset: str) -> Self:
        """A destination by its name, with a pipeline of our own.

        The pipeline's name, and with it the working folder, is made from where the data goes: a package that a killed
        load left behind can't be finished into another database.

        Raises:
            UsageError: no such destination, its driver is missing, or its configuration is; it can't be loaded into.
        """
        require_dataset_name(dataset)
        with explained(destination):
            factory = Destination.from_reference(destination)
            assert factory is not None
            require_loadable(destination, factory)
            location = location_of(factory.configuration(factory.spec(), accept_partial=True), factory.destination_name)
            if factory.destination_type == "dlt.destinations.postgres":
                limit_waits(factory)
            # says what is missing, driver or configuration
            named = dlt.dataset(factory, dataset, schema=dlt.Schema("intercom_calls"))
            require_sql(destination, named.destination_client)
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
    def watched(self, hurried: Callable[[], bool], give_up: Callable[[DestinationFailed], None]) -> Iterator[None]:
        """End the waiting for a PostgreSQL server that has gone silent; see `SilenceWatch`."""
        if not self._is_postgres:
            yield
            return
        with explained(self.destination):
            factory = self._factory
            client = self._callers.destination_client() if self._callers else None
            config = client.config if client else factory.configuration(factory.spec(), accept_partial=True)
        assert isinstance(config.credentials, ConnectionStringCredentials)
        with SilenceWatch(config.credentials, hurried, give_up, self.outage).watching():
            yield

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
                if self._is_postgres:
                    self._database_lock = PostgresLock(self.pipeline, self.location)
                    with explained(self.destination, before_load=True):
                        stack.enter_context(self._database_lock.held())
            except Taken:
                raise AnotherLoad(
                    f"another load is at work on {self.location}, dataset {self.dataset}; wait for it or stop it"
                ) from None
            yield

    def require_usable(self) -> None:
        """Refuse a DuckDB file or PostgreSQL database that can't be loaded into; nothing is written.

        Raises:
            UsageError
        """
        if not self.is_new and (self._is_postgres or self.file is not None):
            with self.pipeline.sql_client() as client:
                require_usable(client, self.location, is_postgres=self._is_postgres)

    def prepare(self, resources: Sequence[DltResource]) -> None:
        """Make the destination ready for a run: no table is missing, nothing waits from an interrupted load.

        Args:
            resources: the tables that the run is about to load.

        Raises:
            UsageError: a table of that name is somebody else's.
            DestinationFailed: what waits can't be finished.
        """
        if self.is_new and not self.pipeline.has_pending_data:
            return
        with self._file_open():
            restore_tables(self.pipeline, self._schema_name, resources)
            self._waiting.finish()

    def load(self, resources: list[DltResource]) -> None:
        """Load these as one package, or finish it where an attempt before has failed.

        Args:
            resources: the tables' rows.

        Raises:
            DestinationFailed: the lock was lost and another load has taken it.
            Overtaken: the lock was lost, and another load has come and gone.
        """
        self._keep_locked()
        with self._file_open():
            self._expect_nobody()
            if self._waiting.finish():
                loaded = []
            elif self._callers is None:
                loaded = _load_ids(self.pipeline.run(resources))
            else:  # as the source does; the pipeline's default schema may be another source's
                loaded = _load_ids(self.pipeline.run(resources, schema=dlt.Schema(SCHEMA)))
            if self._completed is not None:
                self._completed = self._completed + len(loaded) if loaded else completed_loads(self.pipeline)
            self._waiting.forget_loaded(
                self.pipeline.list_completed_load_packages() if self._callers is None else loaded
            )

    def look(self) -> None:
        """Note what the dataset has had: what is asked of it now holds until another load writes there."""
        self._completed = 0 if self.is_new else completed_loads(self.pipeline)

    def _expect_nobody(self) -> None:
        """Make sure that nobody has written since `look`; else throw away this run's package that is waiting."""
        completed = completed_loads(self.pipeline)
        # our own package may be there though the answer that it is was lost
        ours = self._waiting.drop_loaded()
        if completed is not None and completed != (self._completed or 0) + ours:
            self._waiting.drop()
            raise Overtaken
        self._completed = completed

    def tidy(self) -> None:
        """Give back what a DuckDB file takes on the disk far beyond what it holds."""
        if self.file is not None and self._callers is None:  # a caller may have it open, too
            compact(self.file)

    @property
    def _schema_name(self) -> str:
        if self._callers is not None:
            return SCHEMA
        return self.pipeline.default_schema.name if self.pipeline.schema_names else self.pipeline.pipeline_name

    @cached_property
    def _waiting(self) -> WaitingPackages:
        return WaitingPackages(self.pipeline, is_callers=self._callers is not None)

    @contextmanager
    def _file_open(self) -> Iterator[None]:
        """Hold a DuckDB file open for a whole package: dlt opens and closes it at each step, with a checkpoint.

        A checkpoint merges the few rows that each package adds with those before; without that, the file would grow
        with the packages. Merging one table after the other costs 10 MB of memory, all at once 26 MB.
        """
        if self.file is None:
            yield
            return
        with self.pipeline.sql_client() as client:
            client.execute_sql("SET GLOBAL max_vacuum_tasks = 1")
            yield

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
