"""Sends requests: waits for the rate budget, retries by the policy, notices a dead API. Knows no endpoint."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import NoReturn, TypeAlias, TypeVar

from ..errors import ApiUnreachable
from ..settings import Settings
from .answers import first_words, read_error, request_id_of
from .budget import RateBudget
from .client import Answer, BodyTooLarge, NoAnswer, UnknownName
from .concurrency import Concurrency
from .retry import Fault, retry

logger = logging.getLogger("intercom_calls")

# Do not give up because other apps used up a window or two, however short `retry_seconds` is.
_REFUSALS_BEFORE_GIVING_UP = 3
# To check whether the API is alive, repeat a request that was answered before: so often, with this pause between.
_PROBES = 2
_PROBE_PAUSE_SECONDS = 1.0
# How long to wait for these answers: a tenth of `retry_seconds`, within these bounds.
_SHORTEST_PROBE_SECONDS, _LONGEST_PROBE_SECONDS = 3.0, 30.0
# How long the first answer may take, if `retry_seconds` is shorter.
_FIRST_ANSWER_SECONDS = 5.0
# After this many answers of a firewall and no others, the firewall blocks the API.
_BLOCKED_BEFORE_GIVING_UP = 20
# Report this long without a usable answer; the next time twice as long, so that a slow API does not fill the log.
_SILENCE_REPORTED_SECONDS = 5.0
_WATCH_EVERY_SECONDS = 1.0

T = TypeVar("T")
Send: TypeAlias = Callable[[], Awaitable[Answer]]
Read: TypeAlias = Callable[[Answer], T]


@dataclass
class RequestCounts:
    """Numbers of requests; `rate_limited` are answers of 429."""

    requests: int = 0
    retries: int = 0
    rate_limited: int = 0


class Requester:
    """Sends requests by the rate budget and the retry policy; all in one asyncio loop.

    Args:
        on_sleep: called when a request begins to wait for its next attempt.

    Attributes:
        sleeping: requests that wait for their next attempt.
        faults_in_a_row: attempts that failed since the last success.
    """

    def __init__(
        self,
        settings: Settings,
        budget: RateBudget,
        concurrency: Concurrency,
        counts: RequestCounts,
        on_sleep: Callable[[], None],
    ) -> None:
        self.sleeping = 0
        self.faults_in_a_row = 0
        self._settings = settings
        self._budget = budget
        budget.on_wait = _log_wait
        self._concurrency = concurrency
        self._counts = counts
        self._on_sleep = on_sleep
        self._refusals_in_a_row = 0  # answers of 429, each to a request made after the one before
        self._refused_at = 0.0
        self._last_usable_at = time.monotonic()
        self._last_usable: tuple[Send, Read[object]] | None = None  # the request that was answered then
        self._silent_since: float | None = None  # when the first request was sent that nothing usable came after
        self._last_fault: Fault | None = None
        self._report_silence_after = _SILENCE_REPORTED_SECONDS
        self._reported_silence_since: float | None = None  # set while a silence that was reported lasts
        self._blocked: int | None = 0  # answers of a firewall; None once another came
        self._probing = asyncio.Lock()

    async def ask(self, send: Send, read: Read[T], *, retry_seconds: float | None = None) -> T:
        """Send a request until `read` accepts its answer.

        Args:
            send: makes one attempt, such as `partial(api.get_call, call_id)`.
            read: turns an answer of any status into an outcome; raises `Fault` if a retry may help.
            retry_seconds: give up this request earlier than `settings.retry_seconds`, which says nothing of the API.

        Raises:
            Fault: this request failed for good; others may work.
            TokenRefused, ApiUnreachable: the run can't go on.
        """
        try:
            return await retry(
                partial(self._attempt, send, read),
                retry_seconds=min(self._settings.retry_seconds, inf if retry_seconds is None else retry_seconds),
                give_up_on_rate_limit=self._nothing_usable,
                sleep=self._sleep,
            )
        except BodyTooLarge as error:
            request_id = request_id_of(error.headers)
            raise Fault("invalid_json", str(error), http_status=error.status, request_id=request_id) from None
        except Fault as fault:
            if retry_seconds is None and not await self._is_alive(fault.began_at):
                raise self._unreachable(fault) from fault
            raise

    async def watch(self) -> NoReturn:
        """End the run when no usable answer arrives for `retry_seconds`; cancel this when the run ends.

        Retries alone do not notice: while one request probes, all others wait for the budget, and each would then
        spend its own `retry_seconds`, one after another.

        Raises:
            ApiUnreachable: no usable answer for `retry_seconds` since a request was sent.
        """
        # a first answer may take a few seconds, however short `retry_seconds` is
        patience = max(self._settings.retry_seconds, min(self._settings.read_timeout_seconds, _FIRST_ANSWER_SECONDS))
        while True:
            since, now = self._silent_since, time.monotonic()
            if since is not None and now - since >= self._report_silence_after:
                self._report_silence(since, patience - (now - since))
            # nothing is in flight: a request sent from now on has all of this time
            left = patience if since is None else since + patience - now
            if left > 0:
                await asyncio.sleep(min(left, _WATCH_EVERY_SECONDS))
            elif 0 < self._refusals_in_a_row < _REFUSALS_BEFORE_GIVING_UP:
                await asyncio.sleep(_PROBE_PAUSE_SECONDS)
            elif since is not None and not await self._is_alive(since):
                raise self._unreachable(self._last_fault) from self._last_fault

    async def _sleep(self, fault: Fault, seconds: float) -> None:
        """Wait before a retry."""
        self._counts.retries += 1
        if logger.isEnabledFor(logging.DEBUG):
            _log_fault(fault, "retry", f"asked again in {seconds:.1f} s")
        self.sleeping += 1
        self._on_sleep()
        try:
            await asyncio.sleep(seconds)
        finally:
            self.sleeping -= 1

    async def _attempt(self, send: Send, read: Read[T], *, at_once: bool = False) -> T:
        began_at = time.monotonic()
        permit = self._budget.acquire_regardless() if at_once else await self._budget.acquire()
        sent_at = time.monotonic()
        if self._silent_since is None:
            self._silent_since = sent_at
        self._counts.requests += 1
        status = None
        try:
            try:
                answer = await send()
                status, headers = answer.status, answer.headers
            except BodyTooLarge as error:
                status, headers = error.status, error.headers
                raise
            except NoAnswer as error:
                raise Fault(error.code, str(error)) from error
            finally:  # the budget and the concurrency learn every outcome
                if status is None:
                    self._budget.failed(permit)
                else:
                    self._budget.answered(permit, status, headers)
                seconds = time.monotonic() - sent_at
                self._concurrency.observe(seconds, status=status, target_rate=self._budget.target_rate())
            self._counts.rate_limited += status == 429
            outcome = read(answer)
        except BodyTooLarge:
            self._blocked = None
            self._saw_usable(send, read)
            raise
        except Fault as fault:
            self._saw_fault(fault, began_at, sent_at)
            raise
        self._saw_usable(send, read)
        if self._blocked is not None:
            self._check_for_firewall(answer)
        return outcome

    def _check_for_firewall(self, answer: Answer) -> None:
        """End the run if its first answers are all a 403 that is not Intercom's."""
        if answer.status != 403 or read_error(answer).is_intercoms:
            self._blocked = None
            return
        self._blocked = (self._blocked or 0) + 1
        if self._blocked >= _BLOCKED_BEFORE_GIVING_UP:
            raise ApiUnreachable(
                f"the first {self._blocked} answers are HTTP 403, and not in Intercom's form: a firewall or proxy "
                f"seems to answer; allow this machine to reach {self._settings.url}, or check base_url and "
                f"HTTPS_PROXY. The last: {first_words(answer)}"
            )

    def _saw_usable(self, send: Send, read: Read[object]) -> None:
        self.faults_in_a_row = self._refusals_in_a_row = 0
        self._last_usable_at = time.monotonic()
        self._last_usable = send, read
        if self._reported_silence_since is not None:
            self._report_answers()
        self._last_fault = None
        self._silent_since = self._last_usable_at if self._budget.in_flight else None

    def _saw_fault(self, fault: Fault, began_at: float, sent_at: float) -> None:
        self.faults_in_a_row += 1
        self._last_fault = fault
        fault.began_at, fault.waited_seconds = began_at, sent_at - began_at
        if not fault.rate_limited:
            self._refusals_in_a_row = 0
        elif sent_at >= self._refused_at:
            self._refusals_in_a_row += 1
            self._refused_at = time.monotonic()

    def _nothing_usable(self) -> bool:
        return (
            self._refusals_in_a_row >= _REFUSALS_BEFORE_GIVING_UP
            and time.monotonic() - self._last_usable_at > self._settings.retry_seconds
        )

    async def _is_alive(self, since: float) -> bool:
        """Whether any request was answered since then, or a probe is answered now.

        A probe does not wait for the budget, which may be waiting for the same silent API.
        """
        async with self._probing:
            if self._last_usable_at <= since and self._last_usable is not None:
                tenth = self._settings.retry_seconds / 10
                with suppress(TimeoutError):
                    async with asyncio.timeout(min(_LONGEST_PROBE_SECONDS, max(_SHORTEST_PROBE_SECONDS, tenth))):
                        await self._probe(*self._last_usable, since)
            return self._last_usable_at > since

    async def _probe(self, send: Send, read: Read[object], since: float) -> None:
        for probe in range(_PROBES):
            if probe:
                await asyncio.sleep(_PROBE_PAUSE_SECONDS)
            if self._last_usable_at > since:
                return
            try:
                with suppress(BodyTooLarge):
                    await self._attempt(send, read, at_once=True)
            except Fault as fault:
                _log_fault(fault, "probe", "no sign of life")

    def _report_silence(self, since: float, left: float) -> None:
        """Warn once that nothing answers; waits for the rate limit are reported elsewhere."""
        fault = self._last_fault
        if self._reported_silence_since is not None or left <= 0 or (fault is not None and fault.rate_limited):
            return
        self._reported_silence_since = since
        self._report_silence_after *= 2
        why = "no answer to any request" if fault is None else _describe(fault)
        fields = {"event": "wait", "for": "api", "seconds": round(left, 1)}
        message = f"no usable answer for {time.monotonic() - since:.0f} s ({why}); trying for {left:.0f} s more"
        logger.warning("%s: %s", self._settings.url, message, extra={"fields": fields})

    def _report_answers(self) -> None:
        assert self._reported_silence_since is not None
        seconds = self._last_usable_at - self._reported_silence_since
        self._reported_silence_since = None
        fields = {"event": "back", "for": "api", "seconds": round(seconds, 1)}
        logger.warning("%s answers again, after %.0f s", self._settings.url, seconds, extra={"fields": fields})

    def _unreachable(self, fault: Fault | None) -> ApiUnreachable:
        last = "no answer to any request" if fault is None else f"the last: {_describe(fault)}"
        # a name that was never found is a wrong one
        is_wrong = fault is not None and isinstance(fault.__cause__, UnknownName) and self._last_usable is None
        message = f"nothing answered usably for {self._settings.retry_seconds:g} seconds; {last}"
        return ApiUnreachable(message, goes_on=not is_wrong)


def _log_wait(seconds: float, reason: str) -> None:
    # using up a window ourselves is normal, and no news
    level = logging.INFO if "429" in reason or "most of it" in reason else logging.DEBUG
    fields = {"event": "wait", "for": "rate limit", "seconds": round(seconds, 1)}
    logger.log(level, "waiting %.0f s: %s", seconds, reason, extra={"fields": fields})


def _log_fault(fault: Fault, event: str, what: str) -> None:
    fields = {"event": event, "http_status": fault.http_status, "code": fault.code, "request_id": fault.request_id}
    logger.debug("%s: %s", what, _describe(fault), extra={"fields": fields})


def _describe(fault: Fault) -> str:
    status = f"HTTP {fault.http_status}" if fault.http_status else fault.code
    request_id = f" (request id {fault.request_id})" if fault.request_id else ""
    return f"{status}: {fault.message}{request_id}"
