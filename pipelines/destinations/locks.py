"""One load at a time into a destination and dataset. A lock ends with its holder, even one that is killed."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dlt
from dlt.destinations.exceptions import DatabaseException
from dlt.destinations.sql_client import SqlClientBase
from filelock import FileLock, Timeout

from ..errors import AnotherLoad, DestinationFailed
from .postgres import require_utf8

logger = logging.getLogger("intercom_calls")

# The server notices after a minute that a holder's machine is gone; by default it takes two hours.
_NOTICE_DEATH = "SET tcp_keepalives_idle = 30; SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 3"
_LOCK = """
SELECT pg_try_advisory_lock(%s), pg_backend_pid(),
    (SELECT backend_start::text FROM pg_stat_activity WHERE pid = pg_backend_pid())
"""
# A tenth of a second each: a session that was ended does not release its lock at once.
_ENDING_ATTEMPTS = 30


def another_load(location: str, dataset: str) -> AnotherLoad:
    """The error for a lock that another load holds."""
    return AnotherLoad(f"another load is at work on {location}, dataset {dataset}; wait for it or stop it")


@contextmanager
def file_lock(path: Path, location: str, dataset: str) -> Iterator[None]:
    """Hold the lock on a file of this machine.

    Raises:
        AnotherLoad: another load holds it.
        DestinationFailed: the file can't be written.
    """
    lock = FileLock(path, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise another_load(location, dataset) from None
    except OSError as error:
        raise DestinationFailed(
            f"{path} can't be written ({error.strerror}); whoever runs this needs the right to write there"
        ) from None
    try:
        yield
    finally:
        lock.release()


class PostgresLock:
    """A session's advisory lock, which loads from other machines and working folders see too.

    It has a connection of its own, outside any transaction. It does not work behind a pooler that changes the session
    with each transaction (PgBouncer's `transaction`).
    """

    def __init__(self, pipeline: dlt.Pipeline, location: str, dataset: str) -> None:
        self._pipeline = pipeline
        self._location = location
        self._dataset = dataset
        self._client: SqlClientBase[Any] | None = None
        self._session: tuple[int, str] | None = None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock.

        Raises:
            AnotherLoad: another load holds it.
        """
        try:
            if not self._take():
                raise another_load(self._location, self._dataset)
            yield
        finally:
            self._close()

    def renew(self) -> None:
        """Take the lock again if its connection was cut: a restarted server has forgotten it.

        Raises:
            DestinationFailed: another load holds it now.
        """
        try:
            if self._client is not None:
                self._client.execute_sql("SELECT 1")
                return
        except DatabaseException:
            fields = {"event": "repair"}
            logger.warning("the connection that holds the lock was cut; it is taken again", extra={"fields": fields})
        self._close()
        if not self._take():
            raise DestinationFailed(
                f"the connection to {self._location} was cut and another load is at work there now; wait for it, "
                "then run the same command"
            )

    def _take(self) -> bool:
        client = self._pipeline.sql_client()
        client.open_connection()
        self._client = client  # only now: `renew` runs again while the server is down
        require_utf8(client.native_connection, self._location)
        client.execute_sql(_NOTICE_DEATH)
        if self._session is not None:
            # the server may not know yet that our former session was cut, and hold the lock for it
            ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = %s AND backend_start::text = %s"
            client.execute_sql(ended, *self._session)
        digest = hashlib.sha256(f"intercom_calls {client.dataset_name}".encode()).digest()
        key = int.from_bytes(digest[:8], "big", signed=True)
        for _ in range(1 if self._session is None else _ENDING_ATTEMPTS):
            rows = client.execute_sql(_LOCK, key)
            if rows and rows[0][0]:
                self._session = (rows[0][1], rows[0][2])
                return True
            time.sleep(0.1)
        return False

    def _close(self) -> None:
        client, self._client = self._client, None
        if client is not None and client.native_connection is not None:
            client.close_connection()
