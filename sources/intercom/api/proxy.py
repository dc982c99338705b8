"""The HTTP proxy of the environment, as other tools read it; an unusable one is an error at once."""

from __future__ import annotations

from contextlib import suppress
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from yarl import URL

from ..errors import ConfigurationError
from ..settings import is_loopback


def proxy_for(root: str) -> URL | None:
    """The proxy for requests to `root`, from `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`; None without one.

    Not by aiohttp's `trust_env`, which also lets ~/.netrc replace the token. An address without a scheme is http, as in
    curl and requests. Requests to this machine never use a proxy.

    Raises:
        ConfigurationError: it is a SOCKS proxy or no address; the message has the variable, never its value.
    """
    variable, proxy = _of_environment(root)
    if isinstance(proxy, str):  # raised from here, where no local holds the address and the password in it
        raise ConfigurationError(f"{variable} {proxy}", variable)
    return proxy


def _of_environment(root: str) -> tuple[str, URL | str | None]:
    """The variable's name, and its proxy or what is wrong with it."""
    url = urlsplit(root)
    host = url.hostname or ""
    if is_loopback(host) or proxy_bypass(host):
        return "", None
    proxies = getproxies()
    kind = url.scheme if proxies.get(url.scheme) else "all"
    address = proxies.get(kind, "").strip().strip("\"'")
    return f"{kind.upper()}_PROXY", _read(address) if address else None


def _read(address: str) -> URL | str:
    if "://" not in address:
        address = f"http://{address}"
    scheme = address.partition("://")[0].lower()
    if scheme.startswith("socks"):
        return "names a SOCKS proxy, which can't be used: name an HTTP proxy as http://host:port, or unset it"
    with suppress(ValueError):
        url = urlsplit(address)
        host, port = url.hostname, url.port
        is_plain = (
            address.isprintable() and " " not in address and not (url.path.strip("/") or url.query or url.fragment)
        )
        if scheme in ("http", "https") and host and is_plain:
            user, password = (None if part is None else unquote(part) for part in (url.username, url.password))
            return URL.build(scheme=scheme, user=user, password=password, host=host, port=port)
    return (
        "is no proxy's address: write it as http://host:port, and special characters in a user's name or password as "
        "%40 for @, %2F for /, %23 for #, %3A for :"
    )
