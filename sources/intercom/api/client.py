"""The Calls API over HTTP: one method an endpoint, one attempt a call; knows no tables and never retries."""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
import ssl
from collections.abc import Awaitable, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NamedTuple, Self
from urllib.parse import quote

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from ..errors import ApiUnreachable, ConfigurationError, IntercomError
from ..settings import Settings
from .proxy import proxy_for
from .redact import masked, without

logger = logging.getLogger("intercom_calls")

# A call is about a kilobyte, a page 25 of them.
LARGEST_BODY_BYTES = 8 * 1024 * 1024
# Intercom 2.14, GET /calls: the most that a page holds
CALLS_A_PAGE = 25

# by OpenSSL's X509_V_ERR_… codes: not yet valid, expired, another host's, another address's
_CERTIFICATE_FIXES = dict.fromkeys((9, 10), "check this machine's clock, or wait for its owner to renew it")
_CERTIFICATE_FIXES |= dict.fromkeys((62, 64), "check base_url")
_UNKNOWN_AUTHORITY_FIX = "where a proxy of your own re-signs TLS, set REQUESTS_CA_BUNDLE to its certificate"

# Marks a request that timed out before it had a connection.
_UNSENT = "not sent"
# Of other answers only the beginning is read, for a message.
_LARGEST_ERROR_BYTES = 64 * 1024
_LONGEST_TOKEN = 1024
# What CDNs add may be long (a content security policy) and many; aiohttp would refuse more than 8 kB and 128 of them.
_LARGEST_HEADER_BYTES = 64 * 1024
_MOST_HEADERS = 1_000


class Answer(NamedTuple):
    """An answer of any status; if a server repeats the access token, `***` is in its place."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class NoAnswer(Exception):
    """A request without a complete answer.

    Attributes:
        code: `connection` or `timeout`, as in `call_errors`.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class UnknownName(NoAnswer):
    """No address was found for the host's name; a retry may help, if only this machine's DNS fails."""

    def __init__(self, host: str, reason: str | None, setting: str = "base_url") -> None:
        super().__init__(
            "connection",
            f"{host}: no address is found for this name ({reason}); check {setting}, or this machine's DNS",
        )


class BodyTooLarge(Exception):
    """A 200 larger than any answer can be; the rest of it was not read."""

    def __init__(self, status: int, headers: Mapping[str, str]) -> None:
        super().__init__(f"the answer is larger than {LARGEST_BODY_BYTES} bytes")
        self.status = status
        self.headers = headers


class CallsApi:
    """Intercom's Calls API on kept-alive connections; use as `async with CallsApi(settings) as api`.

    The access token stays in `settings`; a request's headers hold it only until the answer's headers are received.

    Raises:
        ConfigurationError: no access token, a CA bundle that can't be read, or a proxy that can't be used.
    """

    def __init__(self, settings: Settings) -> None:
        self._root = settings.url
        self._settings = settings
        settings.token  # noqa: B018  raises where there is none
        # one timer a request: aiohttp's others (connect, sock_read) cost a tenth of a request's CPU and say no more
        self._timeout = aiohttp.ClientTimeout(
            total=settings.read_timeout_seconds, sock_connect=settings.connect_timeout_seconds
        )
        self._tls = _tls_context() if self._root.startswith("https:") else None
        self._proxy = proxy_for(self._root)
        self._has_warned = False

    async def __aenter__(self) -> Self:
        limits: dict[str, Any] = {"max_line_size": _LARGEST_HEADER_BYTES, "max_field_size": _LARGEST_HEADER_BYTES}
        if "max_headers" in inspect.signature(aiohttp.ClientSession).parameters:  # from 3.13.4 on
            limits["max_headers"] = _MOST_HEADERS
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=True if self._tls is None else self._tls),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={
                "Intercom-Version": self._settings.api_version,
                "Accept": "application/json",
                "User-Agent": f"intercom-calls/{_version()}",
            },
            timeout=self._timeout,
            middlewares=(self._send,),
            **limits,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    def get_call(self, call_id: str) -> Awaitable[Answer]:
        """`GET /calls/{id}`, once.

        Raises:
            NoAnswer: the connection failed, or the answer was cut or late.
            BodyTooLarge: the answer is larger than any call.
            ApiUnreachable: the host's certificate is not trusted; a retry can't help.
        """
        return self._get(f"/calls/{quote(call_id, safe='')}")

    def get_calls(self, page: int) -> Awaitable[Answer]:
        """`GET /calls`, once: a page of calls, counted from 1. Raises as `get_call` does."""
        return self._get(f"/calls?page={page}&per_page={CALLS_A_PAGE}")

    def get_me(self) -> Awaitable[Answer]:
        """`GET /me`, once: the token's admin and its workspace (`app`). Raises as `get_call` does."""
        return self._get("/me")

    async def _get(self, path: str) -> Answer:
        failure: Exception
        try:
            async with self._session.get(
                URL(self._root + path, encoded=True), allow_redirects=False, proxy=self._proxy
            ) as response:
                body = await _read(response)
                answer = self._without_token(path, response, body or b"")
                if body is None:
                    raise BodyTooLarge(answer.status, answer.headers)
                return answer
        except (BodyTooLarge, NoAnswer, ApiUnreachable) as error:
            failure = error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            failure = self._explained(error)
        # Without aiohttp's frames, which hold all that it sent and received.
        failure.__traceback__ = failure.__context__ = None
        try:
            raise failure
        finally:
            del failure

    async def _send(self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        """Add the token until the answer begins.

        aiohttp itself repeats a GET after some of its exceptions (a kept-alive connection was closed). They are
        replaced here: each request must pass the rate budget and be counted, so only the retry policy repeats.
        """
        request.headers["Authorization"] = f"Bearer {self._settings.token}"
        try:
            return await handler(request)
        except asyncio.CancelledError as error:
            if request.response is None:
                error.args = (_UNSENT,)
            raise
        except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
            raise self._explained(error) from None
        finally:
            request.headers.popall("Authorization", None)

    def _without_token(self, path: str, response: aiohttp.ClientResponse, body: bytes) -> Answer:
        whole = b"\n".join([body, *[value for _, value in response.raw_headers]])
        if without(self._settings.token, whole) is whole:
            return Answer(response.status, response.headers, body)
        if not self._has_warned:
            self._has_warned = True
            logger.warning(
                "the API's answers repeat the access token (first: GET %s), which no API should; *** is written in its "
                "place. See what stands between this machine and the API",
                path,
            )
        headers = CIMultiDict(
            (name, without(self._settings.token, value.encode("utf-8", "replace")).decode("utf-8", "replace"))
            for name, value in response.headers.items()
        )
        return Answer(response.status, headers, without(self._settings.token, body))

    def _explained(self, error: Exception) -> NoAnswer | IntercomError:
        """Replace aiohttp's exception by ours, without the token and the proxy's password."""
        if isinstance(error, aiohttp.ClientConnectorCertificateError):
            return ApiUnreachable(f"{self._root}: the certificate is refused: {_describe_certificate(error)}")
        if isinstance(error, aiohttp.ConnectionTimeoutError):
            return NoAnswer("timeout", f"no connection within {self._timeout.sock_connect:g} seconds")
        if isinstance(error, TimeoutError):
            if isinstance(error.__cause__, asyncio.CancelledError) and _UNSENT in error.__cause__.args:
                return NoAnswer("timeout", f"no connection within {self._timeout.total:g} seconds")
            return NoAnswer("timeout", f"no whole answer within {self._timeout.total:g} seconds")
        if isinstance(error, aiohttp.ClientConnectorDNSError):
            is_proxy = self._proxy is not None and error.host == self._proxy.host
            return UnknownName(error.host, error.strerror, "HTTPS_PROXY" if is_proxy else "base_url")
        if isinstance(error, aiohttp.ClientHttpProxyError):  # whose text has the proxy's URL, and the password in it
            message = f"the proxy refuses: {error.status} {error.message}"
        else:
            message = f"{type(error).__name__}: {error}"
        for secret in (self._settings.token, self._proxy and self._proxy.password):
            message = masked(secret, message) if secret else message
        return NoAnswer("connection", message)


async def _read(response: aiohttp.ClientResponse) -> bytes | None:
    """The body, or the beginning of an error's; None if a 200 is too large."""
    parts: list[bytes] = []
    size = 0
    most = LARGEST_BODY_BYTES if response.status == 200 else _LARGEST_ERROR_BYTES
    async for part in response.content.iter_any():
        parts.append(part)
        size += len(part)
        if size > most:
            response.close()
            return None if response.status == 200 else b"".join(parts)[:-_LONGEST_TOKEN]  # it may be cut off there
    return b"".join(parts)


def _describe_certificate(error: aiohttp.ClientConnectorCertificateError) -> str:
    refused = error.certificate_error
    if not isinstance(refused, ssl.SSLCertVerificationError):
        return str(refused)
    fix = _CERTIFICATE_FIXES.get(refused.verify_code, _UNKNOWN_AUTHORITY_FIX)
    return f"{refused.verify_message.rstrip('.')}; {fix}"


def _tls_context() -> ssl.SSLContext:
    # The variables of `requests`: operators have set them already.
    bundle = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
    try:
        if bundle and os.path.isdir(bundle):
            return ssl.create_default_context(capath=bundle)
        return ssl.create_default_context(cafile=bundle)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(
            f"REQUESTS_CA_BUNDLE = {bundle!r} can't be read: {error}", "REQUESTS_CA_BUNDLE"
        ) from None


def _version() -> str:
    try:
        return version("intercom-calls")
    except PackageNotFoundError:  # copied into another project
        return "0"
