"""The Calls API over HTTP: one method an endpoint, one attempt a call; knows no tables and never retries."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import NamedTuple, Self
from urllib.parse import quote, urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from yarl import URL

from .errors import ApiUnreachable, ConfigurationError
from .settings import Settings, is_loopback

# A call is about a kilobyte; what is thousands of times larger is not one.
LARGEST_BODY_BYTES = 8 * 1024 * 1024


# Intercom 2.14, GET /calls: the most that a page holds
CALLS_A_PAGE = 25

# by OpenSSL's X509_V_ERR_… codes: not yet valid, expired, another host's, another address's
_CERTIFICATE_MENDS = dict.fromkeys((9, 10), "check this machine's clock, or wait for its owner to renew it")
_CERTIFICATE_MENDS |= dict.fromkeys((62, 64), "check base_url")
_UNKNOWN_AUTHORITY_MEND = "where a proxy of your own re-signs TLS, set REQUESTS_CA_BUNDLE to its certificate"

# What is read of an answer that is no call; a message needs no more.
_LARGEST_ERROR_BYTES = 64 * 1024


class Answer(NamedTuple):
    """What came back, whatever its status.

    `secret` is the token it was asked with: some servers repeat it in their errors, and nothing that is quoted from
    an answer may.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    secret: str


class NoAnswer(Exception):
    """A request that got no whole answer.

    Attributes:
        code: `connection` or `timeout`, as in `call_errors`.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class UnknownName(NoAnswer):
    """The host's name has no address; or this machine can't find it, so that asking again may help."""

    def __init__(self, host: str, reason: str | None) -> None:
        super().__init__(
            "connection",
            f"{host}: no address is found for this name ({reason}); check base_url, or this machine's DNS",
        )


class BodyTooLarge(Exception):
    """A 200 larger than any call can be; the rest of it was not read."""

    def __init__(self, status: int, headers: Mapping[str, str]) -> None:
        super().__init__(f"the answer is larger than {LARGEST_BODY_BYTES} bytes")
        self.status = status
        self.headers = headers


class CallsApi:
    """Intercom's Calls API on kept-alive connections; use as `async with CallsApi(settings) as api`.

    Raises:
        ConfigurationError: no access token, or a CA bundle that can't be read.
    """

    def __init__(self, settings: Settings) -> None:
        self._root = settings.url
        self._secret = settings.token
        self._headers = {
            "Authorization": f"Bearer {self._secret}",
            "Intercom-Version": settings.api_version,
            "Accept": "application/json",
            "User-Agent": f"intercom-calls/{_version()}",
        }
        # one timer a request: aiohttp's others (connect, sock_read) cost a tenth of a request's CPU and say no more
        self._timeout = aiohttp.ClientTimeout(
            total=settings.read_timeout_seconds, sock_connect=settings.connect_timeout_seconds
        )
        self._tls = _tls_context() if self._root.startswith("https:") else None
        self._proxy = _proxy(self._root)

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=True if self._tls is None else self._tls),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=self._headers,
            timeout=self._timeout,
        )
        # aiohttp repeats a GET by itself when a kept-alive connection was closed; each request must pass the
        # rate budget and be counted, so the retry policy alone repeats.
        self._session._retry_connection = False
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def get_call(self, call_id: str) -> Answer:
        """`GET /calls/{id}`, once.

        Raises:
            NoAnswer: the connection failed, or the answer was cut or late.
            BodyTooLarge: see there.
            ApiUnreachable: the host's certificate is not to be trusted; asking again can't mend it.
        """
        return await self._get(f"/calls/{quote(call_id, safe='')}")

    async def get_calls(self, page: int) -> Answer:
        """`GET /calls`, once: a page of calls, counted from 1. Raises as `get_call` does."""
        return await self._get(f"/calls?page={page}&per_page={CALLS_A_PAGE}")

    async def get_me(self) -> Answer:
        """`GET /me`, once: the token's admin and its workspace (`app`). Raises as `get_call` does."""
        return await self._get("/me")

    async def _get(self, path: str) -> Answer:
        try:
            async with self._session.get(
                URL(self._root + path, encoded=True), allow_redirects=False, proxy=self._proxy
            ) as response:
                return Answer(response.status, response.headers, await _read(response), self._secret)
        except aiohttp.ClientConnectorCertificateError as error:
            raise ApiUnreachable(f"{self._root}: the certificate is refused: {_told(error)}") from None
        except TimeoutError:
            raise NoAnswer("timeout", f"no whole answer within {self._timeout.total:g} seconds") from None
        except aiohttp.ClientConnectorDNSError as error:
            raise UnknownName(error.host, error.strerror) from None
        except aiohttp.ClientHttpProxyError as error:  # whose text has the proxy's URL, and the password in it
            raise NoAnswer("connection", f"the proxy refuses: {error.status} {error.message}") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            message = f"{type(error).__name__}: {error}".replace(self._secret, "***")
            raise NoAnswer("connection", message) from None


async def _read(response: aiohttp.ClientResponse) -> bytes:
    parts: list[bytes] = []
    size = 0
    most = LARGEST_BODY_BYTES if response.status == 200 else _LARGEST_ERROR_BYTES
    async for part in response.content.iter_any():
        parts.append(part)
        size += len(part)
        if size > most:
            response.close()
            if response.status == 200:
                raise BodyTooLarge(response.status, response.headers)
            break
    return b"".join(parts)


def _told(error: aiohttp.ClientConnectorCertificateError) -> str:
    """What is wrong with a certificate, and the mend."""
    refused = error.certificate_error
    if not isinstance(refused, ssl.SSLCertVerificationError):
        return str(refused)
    mend = _CERTIFICATE_MENDS.get(refused.verify_code, _UNKNOWN_AUTHORITY_MEND)
    return f"{refused.verify_message.rstrip('.')}; {mend}"


def _tls_context() -> ssl.SSLContext:
    # the names that `requests` reads, since operators have them set already
    bundle = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
    try:
        if bundle and os.path.isdir(bundle):
            return ssl.create_default_context(capath=bundle)
        return ssl.create_default_context(cafile=bundle)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(f"REQUESTS_CA_BUNDLE = {bundle!r} can't be read: {error}") from None


def _proxy(root: str) -> str | None:
    """The proxy of the environment; by hand, since aiohttp's `trust_env` also lets ~/.netrc replace the token."""
    url = urlsplit(root)
    host = url.hostname or ""
    if is_loopback(host) or proxy_bypass(host):
        return None
    proxies = getproxies()
    return proxies.get(url.scheme) or proxies.get("all")


def _version() -> str:
    try:
        return version("intercom-calls")
    except PackageNotFoundError:  # copied into another project
        return "0"
