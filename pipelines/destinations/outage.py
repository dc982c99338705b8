"""A destination that can't be used for a while: two lines of the log, when it begins and when it is over."""

from __future__ import annotations

import logging
import time

logger = logging.getLogger("intercom_calls")


class Outage:
    """A destination that can't be used for a while: said once when that begins, and once when it is over."""

    def __init__(self) -> None:
        self._began_at: float | None = None

    def begin(self, message: str) -> None:
        """Say that it can't be used, unless that was said."""
        if self._began_at is None:
            self._began_at = time.monotonic()
            logger.warning("%s", message, extra={"fields": {"event": "wait", "for": "destination"}})

    def end(self) -> None:
        """Say that it can be used again, if it was said that it can't."""
        if self._began_at is not None:
            seconds, self._began_at = time.monotonic() - self._began_at, None
            fields = {"event": "back", "for": "destination", "seconds": round(seconds, 1)}
            logger.warning("the destination can be used again, after %.0f s", seconds, extra={"fields": fields})
