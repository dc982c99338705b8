"""The HTTP server: calls, pages of calls and `/me` as Intercom answers them, `/_sandbox/…` to steer and watch it."""

from __future__ import annotations

import asyncio
import functools
import hmac
import itertools
import json
import math
import time
import uuid
from dataclasses import dataclass
from email.utils import formatdate
from random import Random
from typing import Any
from urllib.parse import parse_qsl, unquote

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from .calls import Workspace
from .delivery import declared_length, deliver
from .faults import OK, REASONS, Context, Faults, InjectedFault, PlannedAnswer, dump, error, replaced
from .listing import Listing, page_of
from .settings import API_VERSIONS, Settings
from .stats import Stats
from .windows import Windows

CALLS = "/calls/"
ME = "/me"
CONTROL = "/_sandbox/"
PAGE = "?page="
DEFAULT_VERSION = "2.14"  # what an app gets that sends no Intercom-Version
UNTOUCHED = frozenset({"reset", "hang"})  # faults that send no status line
NOT_FOUND = "Resource Not Found"


@dataclass(frozen=True, slots=True)
class Asked:
    """One request: the `number`th of all and the `attempt`th for its call, both from 1.

    A page goes by the name `?page=N`, which no call's id can be, and has a size.
    """

    call_id: str
    page_size: int | None
    authorization: str | None
    version: str | None
    number: int
    attempt: int
    request_id: str


class Api:
    """The state behind the endpoints. A new endpoint is a method here and a line in `handle`."""

    def __init__(self, settings: Settings) -> None:
        self._initial = settings
        self.unused: set[RequestHandler] = set()  # connections that asked for no call yet
        self._request_ids = itertools.count()
        self._request_id_prefix = str(uuid.uuid4())[:24]
        self._apply(settings)
        self._restart()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        path, _, query = request.raw_path.partition("?")
        if path.startswith(CONTROL):
            return await self._control(request, path.removeprefix(CONTROL))
        call_id = path.removeprefix(CALLS)
        if request.method == "GET" and call_id != path and "/" not in call_id:
            return await self._asked(request, unquote(call_id))
        if request.method == "GET" and path == CALLS.rstrip("/"):
            number, size = page_of(dict(parse_qsl(query)))
            return await self._asked(request, f"{PAGE}{number}", size)
        if request.method == "GET" and path == ME:
            return await self._asked_me(request)
        request_id = self._request_id()
        return await self._send(request, error(404, request_id, NOT_FOUND), OK, b"", request_id)

    async def _asked(self, request: web.BaseRequest, call_id: str, page_size: int | None = None) -> web.StreamResponse:
        """Record the request, let it take its time on the wire, answer it."""
        stats = self.stats
        if request.protocol in self.unused:
            self.unused.discard(request.protocol)
            stats.connections += 1
        authorization, version = request.headers.get("Authorization"), request.headers.get("Intercom-Version")
        number, attempt = stats.begin(call_id, authorization, version, time.time())
        asked = Asked(call_id, page_size, authorization, version, number, attempt, self._request_id())
        latency = self._latency(number)
        status = 0
        try:
            # The limit is counted where the request arrives: half-way between question and answer.
            if latency:
                await asyncio.sleep(latency / 2)
            answer, fault, headers = self._decide(asked)
            if fault.name != OK.name:
                stats.by_fault[fault.name] += 1
            delay = latency / 2 + (fault.argument or 0 if fault.name == "slow" else 0)
            if delay:
                await asyncio.sleep(delay)
            if fault.name not in UNTOUCHED:
                status = answer.status
            return await self._send(request, answer, fault, headers, asked.request_id, version)
        finally:
            stats.end(call_id, status, time.time())

    async def _asked_me(self, request: web.BaseRequest) -> web.StreamResponse:
        authorization, version = request.headers.get("Authorization"), request.headers.get("Intercom-Version")
        attempt = self.stats.begin_me(authorization)
        asked = Asked(ME, None, authorization, version, 0, attempt, self._request_id())
        latency = self.settings.latency_seconds
        await asyncio.sleep(latency if isinstance(latency, int | float) else 0)
        answer, fault, headers = self._decide(asked)
        await asyncio.sleep(fault.argument or 0 if fault.name == "slow" else 0)
        return await self._send(request, answer, fault, headers, asked.request_id, version)

    def _decide(self, asked: Asked) -> tuple[PlannedAnswer, InjectedFault, bytes]:
        """The answer, the fault that strikes it, and the rate-limit header lines."""
        settings, call_id, request_id = self.settings, asked.call_id, asked.request_id
        if asked.authorization is None or not self._authorized(asked.authorization):
            return error(401, request_id, "Access Token Invalid"), OK, b""
        if asked.version is not None and asked.version not in API_VERSIONS:
            message = f"The requested version ({asked.version[:40]}) is not supported"
            return error(400, request_id, message, "intercom_version_invalid"), OK, b""
        admission = self.windows.admit(self.clock())
        headers = admission.headers
        if settings.forbidden and call_id != ME:
            message = "Your token does not have the scope read_conversations"
            return error(403, request_id, message), OK, headers
        if not admission.admitted:
            return error(429, request_id, self.windows.refusal(admission.window)), OK, headers
        answer = self._right(asked)
        fault = self.faults.strikes(call_id, asked.number, asked.attempt)
        if fault.name != OK.name:
            context = Context(request_id, functools.partial(self._other_call, call_id), settings.redirect_to)
            answer = replaced(fault, answer, context)
        if answer.status == 429:
            headers = self.windows.spent(admission.window, self.clock())
        admission.window.ok += answer.status == 200 and fault.name not in UNTOUCHED
        return answer, fault, headers if answer.rate_headers else b""

    def _right(self, asked: Asked) -> PlannedAnswer:
        settings, call_id = self.settings, asked.call_id
        status = settings.statuses.get(call_id, 200)
        if asked.page_size is not None and status == 200:
            status = settings.list_status
        if status != 200:
            stated = self._stated(call_id)
            return error(status, asked.request_id) if stated is None else PlannedAnswer(status, stated)
        body: bytes | None
        if call_id == ME:
            body = self._stated(ME) or self._me()
        else:
            body = self._call(call_id, asked) if asked.page_size is None else self._page(asked)
        return error(404, asked.request_id, NOT_FOUND) if body is None else PlannedAnswer(200, body)

    def _me(self) -> bytes:
        """The token's admin and its workspace (Intercom 2.14, `GET /me`)."""
        settings = self.settings
        app = {
            "type": "app",
            "id_code": settings.workspace_id,
            "name": settings.workspace_name,
            "created_at": 1_600_000_000,
            "secure": False,
            "identity_verification": False,
            "timezone": settings.workspace_timezone,
            "region": settings.workspace_region,
        }
        admin = {"type": "admin", "id": "7410020", "name": "The sandbox's admin", "email": "admin@example.com"}
        return dump(admin | {"email_verified": True, "app": app, "avatar": None, "has_inbox_seat": True})

    def _page(self, asked: Asked) -> bytes:
        assert asked.page_size is not None
        if (stated := self._stated(asked.call_id)) is not None:
            return stated
        number = int(asked.call_id.removeprefix(PAGE))
        return self.listing.page(number, asked.page_size, asked.number, lambda call_id: self._call(call_id, asked))

    def _call(self, call_id: str, asked: Asked) -> bytes | None:
        """The call as it is at this request; None where there is none."""
        if not self.listing.has(call_id, asked.number):
            return None
        body = self._stated(call_id)
        if body is None and call_id not in self._missing:
            body = self._made(call_id, asked.version == "Preview")
        return None if body is None else self.listing.changed(call_id, body, asked.number)

    def _stated(self, call_id: str) -> bytes | None:
        if call_id not in self.settings.bodies:
            return None
        body = self.settings.bodies[call_id]
        return body.encode() if isinstance(body, str) else dump(body)

    def _other_call(self, call_id: str) -> Any:
        other = str(self.settings.first_id + (call_id == str(self.settings.first_id)))
        return self.workspace.call(other) or {"type": "call", "id": other}

    def _authorized(self, authorization: str) -> bool:
        return hmac.compare_digest(authorization.encode(errors="surrogateescape"), self._authorization)

    def _latency(self, number: int) -> float:
        latency = self.settings.latency_seconds
        if not isinstance(latency, int | float):
            latency = latency[min(number, len(latency)) - 1]
        if latency and self.settings.latency_sigma:
            return Random(self.settings.seed * 1_000_003 + number).lognormvariate(
                math.log(latency), self.settings.latency_sigma
            )
        return latency

    def clock(self) -> float:
        """Unix seconds as this server's clock has them."""
        return time.time() + self.settings.clock_skew_seconds

    def _request_id(self) -> str:
        return f"{self._request_id_prefix}{next(self._request_ids):012x}"

    async def _send(
        self,
        request: web.BaseRequest,
        answer: PlannedAnswer,
        fault: InjectedFault,
        headers: bytes,
        request_id: str,
        version: str | None = None,
    ) -> web.StreamResponse:
        head = (
            f"HTTP/1.1 {answer.status} {REASONS.get(answer.status, 'Unknown')}\r\n"
            f"Content-Type: {answer.content_type}\r\nContent-Length: {declared_length(answer, fault)}\r\n"
            f"Date: {_http_date(int(self.clock()))}\r\nX-Request-Id: {request_id}\r\n"
            f"Intercom-Version: {version if version in API_VERSIONS else DEFAULT_VERSION}\r\n"
        )
        return await deliver(request, head.encode() + headers + answer.headers + b"\r\n", answer, fault)

    async def _control(self, request: web.BaseRequest, action: str) -> web.StreamResponse:
        match request.method, action:
            case "GET", "stats":
                windows = self.windows.seen()
                return _json(self.stats.as_json() | {"windows": windows})
            case "GET", "log":
                return _json(list(self.stats.log))
            case "POST", "config" | "reset":
                try:
                    changes = json.loads(await request.text() or "{}")
                    self._change(changes, afresh=action == "reset")
                except (ValueError, TypeError) as exc:
                    return _json({"error": str(exc)}, 400)
                return _json({})
        return _json({"error": f"{request.method} {CONTROL}{action} is nothing the sandbox knows"}, 404)

    def _change(self, changes: dict[str, Any], *, afresh: bool) -> None:
        """Merge settings while running; `afresh` starts from the first settings and forgets what was seen."""
        self._apply((self._initial if afresh else self.settings).changed(changes))
        if afresh:
            self._restart()
        elif any(name == "seed" or name.startswith("fault") for name in changes):
            self.faults = Faults(self.settings)
        self.windows.settings = self.settings

    def _apply(self, settings: Settings) -> None:
        self.settings = settings
        self._authorization = f"Bearer {settings.token}".encode()
        self._missing = frozenset(settings.missing)
        workspace = Workspace.of(settings)
        if getattr(self, "workspace", None) != workspace:
            self.workspace = workspace
            self._made = functools.lru_cache(maxsize=65_536)(functools.partial(_made, workspace))
        self.listing = Listing(settings, workspace)

    def _restart(self) -> None:
        self.stats = Stats()
        self.windows = Windows(self.settings)
        self.faults = Faults(self.settings)


def _made(workspace: Workspace, call_id: str, preview: bool) -> bytes | None:
    call = workspace.call(call_id, preview=preview)
    return None if call is None else dump(call)


def _json(value: object, status: int = 200) -> web.Response:
    return web.json_response(value, status=status)


@functools.lru_cache(maxsize=4)
def _http_date(seconds: int) -> str:
    return formatdate(seconds, usegmt=True)


class _Server(web.Server):
    """aiohttp's low-level server, telling the API of its connections."""

    def __init__(self, api: Api) -> None:
        # Cancelling lets go of an answer whose client has gone, a hung one above all.
        super().__init__(api.handle, handler_cancellation=True, access_log=None)
        self._api = api

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        self._api.unused.add(handler)
        super().connection_made(handler, transport)

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        self._api.unused.discard(handler)
        super().connection_lost(handler, exc)


async def serve(settings: Settings, port: int) -> tuple[web.ServerRunner, str]:
    """Start serving on 127.0.0.1; port 0 takes a free one. Gives the runner, to clean up, and the URL."""
    runner = web.ServerRunner(_Server(Api(settings)), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=1024).start()
    return runner, f"http://127.0.0.1:{runner.addresses[0][1]}"
