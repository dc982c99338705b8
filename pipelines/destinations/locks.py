"""One load at a time into a destination and dataset: locks that end with their holder, however that dies."""

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

from ..errors import DestinationFailed
from .postgres import require_utf8

logger = logging.getLogger("intercom_calls")

# After this the server takes a holder whose machine vanished for dead; without it, after two hours.
_NOTICE_DEATH = "SET tcp_keepalives_idle = 30; SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 3"
_LOCK = """
SELECT pg_try_advisory_lock(%s), pg_backend_pid(),
    (SELECT backend_start::text FROM pg_stat_activity WHERE pid = pg_backend_pid())
"""
# a tenth of a second each: a session that is ended gives its lock back soon, not at once
_ENDING_ATTEMPTS = 30


class Taken(Exception):
    """Somebody else holds the lock."""


@contextmanager
def file_lock(path: Path) -> Iterator[None]:
    """Hold the lock on a file of this machine.

    Raises:
        Taken
        DestinationFailed: the file can't be written.
    """
    lock = FileLock(path, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise Taken from None
    except OSError as error:
        raise DestinationFailed(
            f"{path} can't be written ({error.strerror}); whoever runs this needs the right to write there"
        ) from None
    try:
        yield
    finally:
        lock.release()


class PostgresLock:
    """A session's advisory lock, so that loads from other machines and working folders see it too.

    The connection is kept for it alone, outside any transaction. Behind a pooler that hands each transaction
    another session (PgBouncer's `transaction`) it holds nobody off.
    """

    def __init__(self, pipeline: dlt.Pipeline, location: str) -> None:
        self._pipeline = pipeline
        self._location = location
        self._client: SqlClientBase[Any] | None = None
        self._session: tuple[int, str] | None = None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock.

        Raises:
            Taken
        """
        try:
            self._take()
            yield
        finally:
            self._close()

    def renew(self) -> None:
        """Take the lock again where its connection was cut.

        Raises:
            Taken
        """
        try:
            if self._client is not None:
                self._client.execute_sql("SELECT 1")
                return
        except DatabaseException:
            fields = {"event": "repair"}
            logger.warning("the connection that holds the lock was cut; it is taken again", extra={"fields": fields})
        self._close()
        self._take()

    def _take(self) -> None:
        client = self._pipeline.sql_client()
        client.open_connection()
        self._client = client  # not before: the server may not be back yet, and is tried again
        require_utf8(client.native_connection, self._location)
        client.execute_sql(_NOTICE_DEATH)
        if self._session is not None:
            # the server may not know yet that our session before was cut, and hold the lock for it
            ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = %s AND backend_start::text = %s"
            client.execute_sql(ended, *self._session)
        digest = hashlib.sha256(f"intercom_calls {client.dataset_name}".encode()).digest()
        key = int.from_bytes(digest[:8], "big", signed=True)
        for _ in range(1 if self._session is None else _ENDING_ATTEMPTS):
            rows = client.execute_sql(_LOCK, key)
            if rows and rows[0][0]:
                self._session = (rows[0][1], rows[0][2])
                return
            time.sleep(0.1)
        raise Taken

    def _close(self) -> None:
        client, self._client = self._client, None
        if client is not None and client.native_connection is not None:
            client.close_connection()
