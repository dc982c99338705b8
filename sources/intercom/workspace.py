"""`GET /me`: the workspace that a token belongs to. A call's id is unique only within one."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

from .api.answers import read_error, refusal
from .api.client import Answer, BodyTooLarge, CallsApi, NoAnswer
from .api.rate_headers import HeaderReader
from .api.retry import is_retryable
from .errors import ApiUnreachable
from .rows.calls import parse_json
from .rows.values import read_text
from .settings import Settings

logger = logging.getLogger("intercom_calls")

TRIES = 3
MOST_SECONDS = 15.0
_PAUSE_SECONDS = 0.5
_LONGEST_TEXT = 200


class Workspace(NamedTuple):
    """A workspace: `app` of the answer to `GET /me` (Intercom 2.14). `timezone` is a name of the IANA's database."""

    id_code: str
    name: str | None = None
    timezone: str | None = None
    region: str | None = None

    def __str__(self) -> str:
        return f"{self.name} ({self.id_code})" if self.name else self.id_code


@dataclass
class Asked:
    """The result of asking, also while it goes on.

    Attributes:
        workspace: None if it is not known.
        reason: why it is not known.
        requests: how many were sent.
    """

    workspace: Workspace | None = None
    reason: str = ""
    requests: int = 0


def ask_workspace(settings: Settings, asked: Asked, on_start: Callable[[Callable[[], None]], None]) -> None:
    """Ask the API for the workspace: up to three tries within 15 seconds; the result is in `asked`.

    Args:
        settings: where the API is, and the token.
        asked: updated with each request, so that those of a refused token are counted too.
        on_start: called with a function that ends it early, from any thread or signal handler.

    Raises:
        TokenRefused: 401.
    """
    loop = asyncio.new_event_loop()

    def stop() -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(task.cancel)

    task = loop.create_task(_ask(settings, asked))
    on_start(stop)
    try:
        # in a thread of its own: a notebook's has a running loop already
        with ThreadPoolExecutor(1) as pool:
            pool.submit(loop.run_until_complete, task).result()
    except asyncio.CancelledError:
        asked.reason = "stopped"
    finally:
        loop.close()


async def _ask(settings: Settings, asked: Asked) -> None:
    ends_at = time.monotonic() + min(MOST_SECONDS, max(settings.retry_seconds, 1.0))
    async with CallsApi(settings) as api:
        for left in range(TRIES, 0, -1):
            pause_seconds = _PAUSE_SECONDS * (TRIES - left + 1)
            try:
                # a try that hangs leaves time for the others
                async with asyncio.timeout((ends_at - time.monotonic()) / left):
                    asked.requests += 1
                    answer = await api.get_me()
            except TimeoutError:
                asked.reason = "no answer in time"
            except (NoAnswer, BodyTooLarge) as error:
                asked.reason = str(error)
            except ApiUnreachable as error:
                asked.reason = str(error)
                return
            else:
                asked.workspace, asked.reason = read_workspace(answer)
                if not is_retryable(answer.status):
                    return
                pause_seconds = _window_ends_in_seconds(answer) or pause_seconds
            left_seconds = ends_at - time.monotonic()
            if left == 1 or left_seconds <= 0:
                return
            await asyncio.sleep(min(pause_seconds, left_seconds / left))


def read_workspace(answer: Answer) -> tuple[Workspace | None, str]:
    """Read the answer to `GET /me`: the workspace, or None and why it is not known.

    Raises:
        TokenRefused: 401.
    """
    if answer.status != 200:
        error = read_error(answer)
        if answer.status == 401 and (refused := refusal(answer, error)) is not None:
            raise refused
        return None, f"HTTP {answer.status}" + (f", {error.message}" if error.message else "")
    try:
        body = parse_json(answer.body)
    except ValueError as error:
        return None, f"the answer can't be read ({error})"
    app = body.get("app") if isinstance(body, Mapping) else None
    if not isinstance(app, Mapping):
        app = {}
    texts = {name: _text(app.get(name)) for name in Workspace._fields}
    id_code = texts.pop("id_code")
    if id_code is None:
        return None, "the answer has no id_code"
    return Workspace(id_code, **texts), ""


def _text(value: object) -> str | None:
    """A text as every destination can hold it."""
    return read_text(value.strip()[:_LONGEST_TEXT])[0] if isinstance(value, str) else None


def _window_ends_in_seconds(answer: Answer) -> float | None:
    """After a 429: the seconds until the window ends; None if the answer does not say."""
    if answer.status != 429:
        return None
    now, headers = time.monotonic(), HeaderReader()
    headers.remaining(answer.headers, now, time.time())
    if headers.reset is None:
        return headers.retry_after_seconds(answer.headers, now)
    return max(0.1, headers.reset - headers.server_clock.unix(now) + 0.2)
