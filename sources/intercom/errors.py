"""What can go wrong, as one small tree: each exception carries what a caller needs to decide."""

from __future__ import annotations

from collections.abc import Sequence


class IntercomError(Exception):
    """The base of every exception this source raises on purpose."""


class ConfigurationError(IntercomError):
    """A setting is missing or wrong; nothing was requested.

    Attributes:
        setting: the setting, argument or environment variable; None where more than one is involved, or a driver.
    """

    def __init__(self, message: str, setting: str | None = None) -> None:
        super().__init__(message)
        self.setting = setting


class BadIds(IntercomError):
    """A list of ids can't be read, or holds something that can't be a call id; nothing was requested.

    Attributes:
        problems: one text each for the first values that can't be ids; else what is wrong with the list.
    """

    def __init__(self, message: str, problems: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.problems: tuple[str, ...] = tuple(problems) or (message,)


class TokenRefused(IntercomError):
    """The API refused the access token (401) or what it may do (403).

    Attributes:
        status: 401 or 403.
        request_id: what Intercom's support needs; None when the answer had none.
    """

    def __init__(self, message: str, *, status: int, request_id: str | None) -> None:
        super().__init__(message)
        self.status = status
        self.request_id = request_id


class ApiUnreachable(IntercomError):
    """Nothing answered usably for `retry_seconds`; the last fault is in the message and the cause.

    Attributes:
        goes_on: whether the same run goes on later, with nothing changed.
    """

    def __init__(self, message: str, *, goes_on: bool = False) -> None:
        super().__init__(message)
        self.goes_on = goes_on
