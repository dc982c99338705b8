"""Requests a call or a page from the API: waits for the rate budget, retries by the policy, notices a dead API."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import NoReturn, TypeVar

from ..errors import ApiUnreachable
from ..pages.page import Page, PagesRefused, read_page
from ..rows.calls import CallRow
from ..settings import Settings
from .answers import CallError, read_call, request_id_of
from .budget import RateBudget
from .client import Answer, BodyTooLarge, CallsApi, NoAnswer, UnknownName
from .concurrency import Concurrency
from .retry import Fault, retry

logger = logging.getLogger("intercom_calls")

# Do not give up because other apps used up a window or two, however short `retry_seconds` is.
_REFUSALS_BEFORE_GIVING_UP = 3
# To check whether the API is alive, request a call that was answered before: so often, with this pause between.
_SIGNS_OF_LIFE = 2
_SIGN_OF_LIFE_PAUSE_SECONDS = 1.0
# How long to wait for these answers: a tenth of `retry_seconds`, within these bounds.
_SHORTEST_SIGN_SECONDS, _LONGEST_SIGN_SECONDS = 3.0, 30.0
# How long the first answer may take, if `retry_seconds` is shorter.
_FIRST_ANSWER_SECONDS = 5.0
# After this many answers of a firewall and no others, the firewall blocks the API.
_BLOCKED_BEFORE_GIVING_UP = 20
# Report this long without a usable answer; the next time twice as long, so that a slow API does not fill the log.
_SILENCE_REPORTED_SECONDS = 5.0
_WATCH_EVERY_SECONDS = 1.0
# Skip a page that fails for this long: its calls can be requested by id.
_PAGE_SECONDS = 20.0

T = TypeVar("T")


@dataclass
class Counts:
    """Numbers of requests and results, for the summary."""

    requests: int = 0
    retries: int = 0
    rate_limited: int = 0
    fetched: int = 0
    missing: int = 0
    failed: int = 0
    unreadable_values: int = 0

    @property
    def answered(self) -> int:
        """Calls with a final result."""
        return self.fetched + self.missing + self.failed


class Requester:
    """Sends requests by the rate budget and the retry policy; all in one asyncio loop.

    Args:
        on_sleep: called when a call or page begins to wait for its next attempt.

    Attributes:
        sleeping: calls and pages that wait for their next attempt.
        faults_in_a_row: attempts that failed since the last success.
    """

    def __init__(
        self,
        api: CallsApi,
        settings: Settings,
        budget: RateBudget,
        concurrency: Concurrency,
        counts: Counts,
        on_sleep: Callable[[], None],
    ) -> None:
        self.sleeping = 0
        self.faults_in_a_row = 0
        self._api = api
        self._settings = settings
        self._budget = budget
        budget.on_wait = _tell_wait
        self._concurrency = concurrency
        self._counts = counts
        self._on_sleep = on_sleep
        self._refusals_in_a_row = 0  # answers of 429, each to a request made after the one before
        self._refused_at = 0.0
        self._last_usable_at = time.monotonic()
        self._silent_since: float | None = None  # when the first request was sent that nothing usable came after
        self._last_fault: Fault | None = None
        self._report_silence_after = _SILENCE_REPORTED_SECONDS
        self._reported_silence_since: float | None = None  # set while a silence that was reported lasts
        self._blocked: int | None = 0  # answers of a firewall; None once another came
        self._usable_id: str | None = None
        self._probing = asyncio.Lock()

    async def call(self, call_id: str) -> CallRow | CallError:
        """Request one call; a failure becomes a `CallError`.

        Raises:
            TokenRefused, ApiUnreachable: the run can't go on.
        """
        attempts = 0
        asked_at = 0.0

        async def attempt() -> CallRow | CallError:
            nonlocal attempts, asked_at
            attempts += 1
            asked_at = time.monotonic()
            return await self._attempt_call(call_id, attempts)

        try:
            return await self._retry(attempt, self._settings.retry_seconds)
        except Fault as fault:
            if not await self._is_alive(asked_at):
                raise self._unreachable(fault) from fault
            return CallError(call_id, fault.http_status, fault.code, fault.message, fault.request_id, attempts, _now())

    async def page(self, number: int) -> Page:
        """Request one page of calls.

        Raises:
            TokenRefused: the run can't go on.
            PagesRefused: the API gives no pages.
            Fault: this page failed.
        """
        try:
            return await self._retry(
                lambda: self._attempt(partial(self._api.get_calls, number), lambda answer: read_page(answer, _now())),
                min(_PAGE_SECONDS, self._settings.retry_seconds),
            )
        except BodyTooLarge as error:
            raise Fault("invalid_json", str(error), http_status=error.status) from None

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
                await asyncio.sleep(_SIGN_OF_LIFE_PAUSE_SECONDS)
            elif since is not None and not await self._is_alive(since):
                raise self._unreachable(self._last_fault) from self._last_fault

    def _retry(self, attempt: Callable[[], Awaitable[T]], retry_seconds: float) -> Awaitable[T]:
        return retry(
            attempt, retry_seconds=retry_seconds, give_up_on_rate_limit=self._nothing_usable, sleep=self._sleep
        )

    async def _sleep(self, fault: Fault, seconds: float) -> None:
        """Wait before a retry."""
        self._counts.retries += 1
        if logger.isEnabledFor(logging.DEBUG):
            _tell(fault, "retry", f"asked again in {seconds:.1f} s")
        self.sleeping += 1
        self._on_sleep()
        try:
            await asyncio.sleep(seconds)
        finally:
            self.sleeping -= 1

    async def _attempt_call(self, call_id: str, attempts: int, *, at_once: bool = False) -> CallRow | CallError:
        def read(answer: Answer) -> CallRow | CallError:
            return read_call(call_id, answer, attempts=attempts, at=_now())

        try:
            outcome = await self._attempt(partial(self._api.get_call, call_id), read, at_once=at_once)
        except BodyTooLarge as error:
            request_id = request_id_of(error.headers)
            outcome = CallError(call_id, error.status, "invalid_json", str(error), request_id, attempts, _now())
        self._usable_id = call_id
        if self._blocked is not None:
            self._watch_for_firewall(outcome)
        return outcome

    def _watch_for_firewall(self, outcome: CallRow | CallError) -> None:
        """End the run if its first answers are all a 403 that is not Intercom's."""
        if not isinstance(outcome, CallError) or outcome.http_status != 403:
            self._blocked = None
            return
        self._blocked = (self._blocked or 0) + 1
        if self._blocked >= _BLOCKED_BEFORE_GIVING_UP:
            raise ApiUnreachable(
                f"the first {self._blocked} answers are HTTP 403, and not in Intercom's form: a firewall or proxy "
                f"seems to answer; allow this machine to reach {self._settings.url}, or check base_url and "
                f"HTTPS_PROXY. The last: {outcome.message}"
            )

    async def _attempt(
        self, send: Callable[[], Awaitable[Answer]], read: Callable[[Answer], T], *, at_once: bool = False
    ) -> T:
        asked_at = time.monotonic()
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
        except (BodyTooLarge, PagesRefused):
            self._saw_usable()
            raise
        except Fault as fault:
            self._saw_fault(fault, asked_at, sent_at)
            raise
        self._saw_usable()
        return outcome

    def _saw_usable(self) -> None:
        self.faults_in_a_row = self._refusals_in_a_row = 0
        self._last_usable_at = time.monotonic()
        if self._reported_silence_since is not None:
            self._report_answers()
        self._last_fault = None
        self._silent_since = self._last_usable_at if self._budget.in_flight else None

    def _saw_fault(self, fault: Fault, asked_at: float, sent_at: float) -> None:
        self.faults_in_a_row += 1
        self._last_fault = fault
        fault.waited_seconds = sent_at - asked_at
        if not fault.rate_limited:
            self._refusals_in_a_row = 0
        elif sent_at >= self._refused_at:
            self._refusals_in_a_row += 1
            self._refused_at = time.monotonic()

    def _report_silence(self, since: float, left: float) -> None:
        """Warn once that nothing answers; waits for the rate limit are reported elsewhere."""
        fault = self._last_fault
        if self._reported_silence_since is not None or left <= 0 or (fault is not None and fault.rate_limited):
            return
        self._reported_silence_since = since
        self._report_silence_after *= 2
        why = "no answer to any request" if fault is None else _describe(fault)
        fields = {"event": "wait", "for": "api", "seconds": round(left, 1)}
        told = (self._settings.url, time.monotonic() - since, why, left)
        logger.warning("%s: no usable answer for %.0f s (%s); trying for %.0f s more", *told, extra={"fields": fields})

    def _report_answers(self) -> None:
        assert self._reported_silence_since is not None
        seconds = self._last_usable_at - self._reported_silence_since
        self._reported_silence_since = None
        fields = {"event": "back", "for": "api", "seconds": round(seconds, 1)}
        logger.warning("%s answers again, after %.0f s", self._settings.url, seconds, extra={"fields": fields})

    def _nothing_usable(self) -> bool:
        return (
            self._refusals_in_a_row >= _REFUSALS_BEFORE_GIVING_UP
            and time.monotonic() - self._last_usable_at > self._settings.retry_seconds
        )

    async def _is_alive(self, since: float) -> bool:
        """Whether another call was answered since then, or is answered now: if so, the API works.

        This request does not wait for the budget, which may be waiting for the same silent API.
        """
        async with self._probing:
            if self._last_usable_at > since:
                return True
            if self._usable_id is None:
                return False
            seconds = min(_LONGEST_SIGN_SECONDS, max(_SHORTEST_SIGN_SECONDS, self._settings.retry_seconds / 10))
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._ask_for_signs(self._usable_id, since)
            return self._last_usable_at > since

    async def _ask_for_signs(self, call_id: str, since: float) -> None:
        for sign in range(_SIGNS_OF_LIFE):
            if sign:
                await asyncio.sleep(_SIGN_OF_LIFE_PAUSE_SECONDS)
            if self._last_usable_at > since:
                return
            try:
                await self._attempt_call(call_id, 1, at_once=True)
            except Fault as fault:
                _tell(fault, "probe", "no sign of life")

    def _unreachable(self, fault: Fault | None) -> ApiUnreachable:
        last = "no answer to any request" if fault is None else f"the last: {_describe(fault)}"
        # a name that was never found is a wrong one
        is_wrong = fault is not None and isinstance(fault.__cause__, UnknownName) and self._usable_id is None
        message = f"nothing answered usably for {self._settings.retry_seconds:g} seconds; {last}"
        return ApiUnreachable(message, goes_on=not is_wrong)


def _now() -> datetime:
    return datetime.now(UTC)


def _tell_wait(seconds: float, reason: str) -> None:
    # using up a window ourselves is normal, and no news
    level = logging.INFO if "429" in reason or "most of it" in reason else logging.DEBUG
    fields = {"event": "wait", "for": "rate limit", "seconds": round(seconds, 1)}
    logger.log(level, "waiting %.0f s: %s", seconds, reason, extra={"fields": fields})


def _tell(fault: Fault, event: str, what: str) -> None:
    fields = {"event": event, "http_status": fault.http_status, "code": fault.code, "request_id": fault.request_id}
    logger.debug("%s: %s", what, _describe(fault), extra={"fields": fields})


def _describe(fault: Fault) -> str:
    status = f"HTTP {fault.http_status}" if fault.http_status else fault.code
    request_id = f" (request id {fault.request_id})" if fault.request_id else ""
    return f"{status}: {fault.message}{request_id}"
