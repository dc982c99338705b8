"""PostgreSQL: its encoding must be UTF-8; waits for a server that has stopped answering are ended."""

from __future__ import annotations

import gc
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from dlt.common.configuration.specs import ConnectionStringCredentials
from dlt.common.destination import Destination

from ..errors import DestinationFailed, UsageError
from .faults import Outage

# libpq's own parameters, which a pooler does not see: https://www.postgresql.org/docs/current/libpq-connect.html
_LIMITS = {
    "connect_timeout": "10",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "60000",  # milliseconds
}
# After so long without an accepted connection the waits for the server are ended.
SILENT_SECONDS = 60.0
_PROBE_EVERY_SECONDS = 30.0
_PROBE_SECONDS = 10
# Shorter after a signal: the user is waiting.
_STOPPING_PROBE_SECONDS = 3
_STOPPING_PROBES = 2


def limit_waits(factory: Destination[Any, Any]) -> None:
    """Let connections notice within about a minute that the server is gone. The user's URL overrides these limits."""
    credentials = factory.configuration(factory.spec(), accept_partial=True).credentials
    if credentials is None or not credentials.is_resolved():
        return  # reported when the whole configuration is resolved
    credentials.query = {**_LIMITS, **(credentials.query or {})}
    credentials.connect_timeout = int(credentials.query["connect_timeout"])
    factory.config_params["credentials"] = credentials


def require_utf8(connection: Any, location: str) -> None:
    """Refuse a database, or a connection, that can't hold every text.

    Args:
        connection: psycopg2's.
        location: of the database, for the message.

    Raises:
        UsageError
    """
    encoding = connection.get_parameter_status("server_encoding")
    if encoding != "UTF8":
        raise UsageError(
            f"{location} is encoded in {encoding}, which can't hold every text of a call; name a database that was "
            "made with ENCODING 'UTF8'"
        )
    encoding = connection.get_parameter_status("client_encoding")
    if encoding != "UTF8":
        raise UsageError(
            f"{location} is reached with client_encoding = {encoding}, which can't hold every text of a call; "
            "remove client_encoding from the URL, PGCLIENTENCODING, or the role's settings"
        )


class SilenceWatch:
    """Ends the waits for a server that has stopped answering: a VPN that is down, a host that hangs.

    psycopg2 waits in C code, where Python handles no signals; only a closed connection ends the wait. So a thread
    connects to the server now and then. While it can connect, a statement may take any time. If it can't for
    `SILENT_SECONDS`, or for a few seconds after a signal, it shuts down the sockets of waiting connections, and the
    load goes on as after any lost connection.

    Args:
        credentials: of the server and database.
        is_stopping: whether a signal was received.
        give_up: called after a signal if the server does not answer; may end the process.
        outage: reports when it begins and ends.
    """

    def __init__(
        self,
        credentials: ConnectionStringCredentials,
        is_stopping: Callable[[], bool],
        give_up: Callable[[DestinationFailed], None],
        outage: Outage,
    ) -> None:
        self._outage = outage
        self._dsn = credentials.to_native_representation()
        self._location = f"{credentials.host}:{credentials.port}/{credentials.database}"
        self._is_stopping = is_stopping
        self._give_up = give_up
        self._ended = threading.Event()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch until the context ends."""
        threading.Thread(target=self._watch, name="silence watch", daemon=True).start()
        try:
            yield
        finally:
            self._ended.set()

    def _watch(self) -> None:
        answered_at = time.monotonic()
        missed = 0
        while not self._ended.wait(0.5):
            is_stopping, silent_seconds = self._is_stopping(), time.monotonic() - answered_at
            if not (is_stopping or silent_seconds >= _PROBE_EVERY_SECONDS):
                continue
            if self._answers(_STOPPING_PROBE_SECONDS if is_stopping else _PROBE_SECONDS):
                if missed:
                    self._outage.end()
                answered_at, missed = time.monotonic(), 0
                self._ended.wait(2)
                continue
            missed += 1
            if self._ended.is_set():
                return
            if self._is_stopping() and missed >= _STOPPING_PROBES:
                self._give_up(DestinationFailed(f"postgres: {self._location} does not answer"))
                self._end_waiting()
            if is_stopping:
                continue
            silent_seconds = time.monotonic() - answered_at
            self._outage.begin(f"{self._location} has not answered for {silent_seconds:.0f} s")
            if silent_seconds >= SILENT_SECONDS:
                self._end_waiting()
                answered_at = time.monotonic()

    def _answers(self, seconds: int) -> bool:
        """Whether the server answers a new connection, even if it refuses it."""
        import psycopg2

        began_at = time.monotonic()
        try:
            psycopg2.connect(self._dsn, connect_timeout=seconds).close()
        except psycopg2.Error:
            return time.monotonic() - began_at < seconds
        return True

    def _end_waiting(self) -> None:
        """Shut down the sockets of all connections to this database that wait for an answer."""
        from psycopg2.extensions import TRANSACTION_STATUS_ACTIVE, connection, parse_dsn

        ours = parse_dsn(self._dsn)
        # psycopg2 has no list of its connections, and dlt opens them in many places
        for each in [found for found in gc.get_objects() if issubclass(type(found), connection)]:
            with suppress(Exception):  # its thread may have closed it
                theirs = each.get_dsn_parameters()
                if each.info.transaction_status != TRANSACTION_STATUS_ACTIVE or any(
                    theirs.get(name) != ours.get(name) for name in ("host", "port", "dbname")
                ):
                    continue
                with socket.socket(fileno=os.dup(each.fileno())) as shared:
                    shared.shutdown(socket.SHUT_RDWR)
