"""The environment's proxy: what other tools understand works, what can't work is refused before any request."""

from __future__ import annotations

import pytest

from sources.intercom.api.proxy import proxy_for
from sources.intercom.errors import ConfigurationError
from tests.conftest import Project
from tests.support.hosts import Host

VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
PASSWORD = "h4rd-t0-gu3ss"
API = "https://api.intercom.io"


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.mark.parametrize(
    ("address", "proxy"),
    [
        ("proxy.example:3128", "http://proxy.example:3128"),
        ("10.0.0.1:3128", "http://10.0.0.1:3128"),
        ("proxy.example", "http://proxy.example"),
        ("http://proxy.example:3128/", "http://proxy.example:3128"),
        ("HTTP://proxy.example:3128", "http://proxy.example:3128"),
        ("https://proxy.example:443", "https://proxy.example"),
        ('"http://proxy.example:3128"', "http://proxy.example:3128"),
        ("http://[::1]:3128", "http://[::1]:3128"),
        ("me:p%40ss%2Fw@proxy.example:3128", "http://me:p%40ss%2Fw@proxy.example:3128"),
        ("http://me:p@ss@proxy.example:3128", "http://me:p%40ss@proxy.example:3128"),
        ("", None),
    ],
)
def test_an_address_is_read_as_other_tools_do(monkeypatch: pytest.MonkeyPatch, address: str, proxy: str | None) -> None:
    for name in ("HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, address)
        found = proxy_for(API)
        assert (None if found is None else str(found)) == proxy
        monkeypatch.delenv(name)


@pytest.mark.parametrize("scheme", ["socks5", "socks5h", "SOCKS4", "socks"])
def test_a_socks_proxy_is_refused(monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    monkeypatch.setenv("ALL_PROXY", f"{scheme}://me:{PASSWORD}@proxy.example:1080")
    with pytest.raises(ConfigurationError, match="ALL_PROXY names a SOCKS proxy") as refused:
        proxy_for(API)
    assert PASSWORD not in str(refused.value)


@pytest.mark.parametrize(
    "address",
    [
        "http://",
        "http://:3128",
        "ftp://proxy.example:3128",
        "http://proxy.example:port",
        "http://proxy.example:99999",
        "http://proxy example:3128",
        "http://proxy.example:3128/path",
        f"http://me:{PASSWORD}/x@proxy.example:3128",
        f"http://me:12/{PASSWORD}@proxy.example:3128",
        f"http://me:{PASSWORD}#x@proxy.example:3128",
        f"http://me:?{PASSWORD}@proxy.example:3128",
        f"me:{PASSWORD}[@proxy.example:3128",
    ],
)
def test_what_is_no_address_is_refused_without_a_part_of_its_password(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", address)
    with pytest.raises(
        ConfigurationError, match="HTTPS_PROXY is no proxy's address: write it as http://host:port"
    ) as no:
        proxy_for(API)
    frame = no.traceback[-1].frame
    shown = f"{no.value!r} {no.value.__cause__!r} {no.value.__context__!r} {frame.f_locals!r}"
    assert not any(PASSWORD[start : start + 5] in shown for start in range(len(PASSWORD) - 4))


def test_hosts_in_no_proxy_and_this_machine_are_requested_directly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://proxy.example")
    assert proxy_for("http://127.0.0.1:8080") is None
    monkeypatch.setenv("NO_PROXY", "intercom.io")
    assert proxy_for(API) is None


def test_a_load_goes_through_a_proxy_named_without_a_scheme_and_refuses_socks_at_once(project: Project) -> None:
    env = {"SOURCES__INTERCOM__BASE_URL": "https://api.intercom.invalid", "SOURCES__INTERCOM__RETRY_SECONDS": "0.5"}
    with Host(407) as proxy:
        result = project.load("a", env=env | {"HTTPS_PROXY": f"me:{PASSWORD}@127.0.0.1:{proxy.port}"})
        assert proxy.asked[0].startswith("CONNECT api.intercom.invalid:443")
        assert (result.exit_code, "407" in result.summary["error"]) == (1, True)
        asked = len(proxy.asked)
        refused = project.load("a", env=env | {"HTTPS_PROXY": f"socks5h://me:{PASSWORD}@127.0.0.1:{proxy.port}"})
        assert len(proxy.asked) == asked
    assert refused.exit_code == 2
    assert "HTTPS_PROXY names a SOCKS proxy" in refused.summary["error"]
    assert PASSWORD not in result.stdout + result.stderr + refused.stdout + refused.stderr


def test_a_proxy_with_an_unknown_name_is_not_reported_as_the_api(project: Project) -> None:
    env = {"SOURCES__INTERCOM__BASE_URL": "https://api.intercom.invalid", "SOURCES__INTERCOM__RETRY_SECONDS": "0.1"}
    result = project.load("a", env=env | {"HTTPS_PROXY": f"me:{PASSWORD}@proxy.invalid:3128"})
    assert result.exit_code == 1
    assert "proxy.invalid: no address is found for this name" in result.summary["error"]
    assert "check HTTPS_PROXY" in result.summary["error"]
    assert PASSWORD not in result.stdout + result.stderr
