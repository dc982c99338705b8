"""Where rows go: a dlt pipeline for a destination and dataset, one load at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import dlt
from dlt.common.configuration.specs import ConnectionStringCredentials
from dlt.common.destination.client import DestinationClientConfiguration, DestinationClientDwhConfiguration
from dlt.common.pipeline import LoadInfo, get_dlt_pipelines_dir
from dlt.extract import DltResource

from ..errors import DestinationFailed, UsageError
from .dataset import resolve
from .duckdb_file import compact, require_file
from .faults import Outage, Overtaken, readable_errors
from .location import Location, location_of, pipeline_name
from .locks import PostgresLock, file_lock
from .postgres import SilenceWatch
from .rights import require_usable
from .tables import restore_tables
from .working_folder import WaitingPackages, completed_loads

# The schema of the source, and so of every load into a caller's own pipeline.
SCHEMA = "intercom"


class Target:
    """A destination and dataset, with dlt's pipeline for it.

    Attributes:
        destination: the destination's name, for messages.
        dataset: its dataset, as it is called there.
        location: where the data goes.
        outage: whether the destination can't be used at the moment.
    """

    def __init__(
        self,
        destination: str,
        dataset: str,
        location: Location,
        config: DestinationClientConfiguration,
        make_pipeline: Callable[[], dlt.Pipeline],
        callers: dlt.Pipeline | None = None,
    ) -> None:
        self.destination = destination
        self.dataset = dataset
        self.location = location
        self.outage = Outage()
        self._config = config
        self._make_pipeline = make_pipeline
        self._callers = callers
        self._database_lock: PostgresLock | None = None
        self._completed: int | None = 0

    @classmethod
    def named(cls, destination: str, dataset: str) -> Self:
        """A destination by its name, with a pipeline of our own.

        The location is part of the pipeline's name, and so of its working folder: a package that a killed load left
        behind can't go into another database.

        Raises:
            UsageError: see `resolve`.
        """
        factory, client, location = resolve(destination, dataset, to_write=True)

        def make_pipeline() -> dlt.Pipeline:
            name = pipeline_name(location, dataset)
            pipeline: dlt.Pipeline = dlt.pipeline(name, destination=factory, dataset_name=dataset)
            Path(pipeline.working_dir).chmod(0o700)  # what waits there to be loaded are people's calls
            return pipeline

        return cls(destination, dataset, location, client.config, make_pipeline)

    @classmethod
    def of_pipeline(cls, pipeline: dlt.Pipeline) -> Self:
        """Where the caller's own pipeline loads to, with that pipeline.

        Raises:
            UsageError: it can't be loaded into by chunks; its destination's driver or configuration is missing; its
                DuckDB file can't be used.
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
        with readable_errors(name):
            config = pipeline.destination_client().config
            dataset = pipeline.dataset_name or ""
            if isinstance(config, DestinationClientDwhConfiguration):
                dataset = config.normalize_dataset_name(dlt.Schema(SCHEMA)) or ""
            location = location_of(config, name)
        require_file(location, dataset, to_write=True)
        return cls(name, dataset, location, config, lambda: pipeline, callers=pipeline)

    @cached_property
    def pipeline(self) -> dlt.Pipeline:
        """Ours is made on first use, under the lock: dlt empties a working folder that another load is making."""
        with readable_errors(self.destination):
            return self._make_pipeline()

    @contextmanager
    def ending_silent_waits(
        self, is_stopping: Callable[[], bool], give_up: Callable[[DestinationFailed], None]
    ) -> Iterator[None]:
        """End the waits for a PostgreSQL server that has stopped answering; see `SilenceWatch`."""
        if not self.location.is_postgres:
            yield
            return
        assert isinstance(self._config.credentials, ConnectionStringCredentials)
        with SilenceWatch(self._config.credentials, is_stopping, give_up, self.outage).watching():
            yield

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Be the only load into this destination and dataset.

        Raises:
            AnotherLoad: another load is at work.
            DestinationFailed: the lock can't be requested.
        """
        with ExitStack() as stack:
            for path in self._lock_files():
                stack.enter_context(file_lock(path, self.location.shown, self.dataset))
            if self.location.is_postgres:
                self._database_lock = PostgresLock(self.pipeline, self.location.shown, self.dataset)
                with readable_errors(self.destination, before_load=True):
                    stack.enter_context(self._database_lock.held())
            yield

    def _lock_files(self) -> list[Path]:
        # beside a DuckDB file, since two working folders can lead to one file
        if (file := self.location.file) is not None:
            of_location = file.with_name(f".{file.name}.{self.dataset}.lock")
        else:
            of_location = Path(get_dlt_pipelines_dir(), f"{pipeline_name(self.location, self.dataset)}.lock")
        if self._callers is None:
            return [of_location]
        # two loads at once in one working folder would take each other's packages
        of_folder = Path(self._callers.pipelines_dir, f"{self._callers.pipeline_name}.lock")
        return list(dict.fromkeys((of_location, of_folder)))

    def require_usable(self) -> None:
        """Refuse a DuckDB file or PostgreSQL database that can't be loaded into; nothing is written.

        Raises:
            UsageError
        """
        if not self.location.is_new and (self.location.is_postgres or self.location.file is not None):
            with self.pipeline.sql_client() as client:
                require_usable(client, self.location)

    def prepare(self, resources: Sequence[DltResource]) -> None:
        """Create missing tables, and load what an interrupted load left.

        Args:
            resources: the tables that the run is about to load.

        Raises:
            UsageError: a table of that name is not ours.
            DestinationFailed: what was left can't be loaded.
        """
        if self.location.is_new and not self.pipeline.has_pending_data:
            return
        with self._file_open():
            restore_tables(self.pipeline, self._schema_name, resources)
            self._waiting.finish()

    def note_loads(self) -> None:
        """Remember how many loads the dataset has received: what is read from it now holds until there are more."""
        self._completed = 0 if self.location.is_new else completed_loads(self.pipeline)

    def load(self, resources: list[DltResource]) -> None:
        """Load these tables' rows as one package, or finish it if an attempt before has failed.

        Raises:
            DestinationFailed: the lock was lost, and another load holds it now.
            Overtaken: the lock was lost, and another load has written since `note_loads`.
        """
        if self._database_lock is not None:
            self._database_lock.renew()
        with self._file_open():
            self._require_no_other_load()
            info: LoadInfo | None = None
            if not self._waiting.finish():
                # a caller's default schema may be another source's
                options: dict[str, Any] = {"schema": dlt.Schema(SCHEMA)} if self._callers else {}
                info = self.pipeline.run(resources, **options)
            loaded = info.loads_ids if info else []
            if self._completed is not None:
                self._completed = self._completed + len(loaded) if loaded else completed_loads(self.pipeline)
            self._waiting.forget_loaded(loaded if self._callers else self.pipeline.list_completed_load_packages())

    def _require_no_other_load(self) -> None:
        """Throw away this run's waiting package if another load has written since `note_loads`."""
        completed = completed_loads(self.pipeline)
        # our own package may have been loaded, and only the answer lost
        ours = self._waiting.drop_loaded()
        if completed is not None and completed != (self._completed or 0) + ours:
            self._waiting.drop()
            raise Overtaken
        self._completed = completed

    def compact(self) -> None:
        """Make a DuckDB file smaller that is mostly free space."""
        if self.location.file is not None and self._callers is None:  # a caller may have it open, too
            compact(self.location.file)

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

        A checkpoint merges the few rows of each package with those before, else the file would grow with the packages.
        Merging one table at a time needs 10 MB of memory, all at once 26 MB.
        """
        if self.location.file is None:
            yield
            return
        with self.pipeline.sql_client() as client:
            client.execute_sql("SET GLOBAL max_vacuum_tasks = 1")
            yield
