"""An unknown host name or an untrusted certificate: each is reported as what it is, and no token is sent."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.conftest import Project
from tests.support.hosts import Authority, Host

CALL = '{"type":"call","id":"a"}'
# Without a proxy of the machine's, which would do what is tried here.
DIRECT = {"NO_PROXY": "*", "no_proxy": "*", "SOURCES__INTERCOM__RETRY_SECONDS": "0.5"}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    if shutil.which("openssl") is None:
        pytest.skip("the program openssl, which makes the certificates, is not installed")
    return Authority(tmp_path_factory.mktemp("authority"))


def _one_error(project: Project, command: str, env: dict[str, str]) -> str:
    """The one line with which the command fails; `load` as loud as it gets leaves no traceback either."""
    if command == "check":
        checked = project.run("check", env=env)
        assert checked.exit_code == 1, checked.stdout
        (line,) = [line for line in checked.stdout.splitlines() if line.startswith("wrong")]
        return line
    loaded = project.load("a", env=env)
    assert loaded.exit_code == 1, loaded.stderr
    assert "Traceback" not in loaded.stderr
    assert loaded.stderr.count("error: ") == 1
    assert (loaded.summary["not_reached"], loaded.summary["failed"]) == (1, 0)
    assert project.query("SELECT count(*) FROM intercom.call_errors") == [(0,)]
    return str(loaded.summary["error"])


@pytest.mark.parametrize("command", ["load", "check"])
def test_an_unknown_host_name_is_reported(project: Project, command: str) -> None:
    error = _one_error(project, command, DIRECT | {"SOURCES__INTERCOM__BASE_URL": "https://api.intercom.invalid"})
    assert "api.intercom.invalid" in error
    assert "no address is found for this name" in error
    assert error.endswith("check base_url, or this machine's DNS")


# The certificate's host and days, whether its authority is trusted, and what the line must say: the fault, the fix.
REFUSED = {
    "expired": ("IP:127.0.0.1", -1, True, ["certificate has expired", "this machine's clock"]),
    "another host's": ("DNS:api.intercom.io", 30, True, ["not valid for '127.0.0.1'", "check base_url"]),
    "of an unknown authority": ("IP:127.0.0.1", 30, False, ["issuer certificate", "set REQUESTS_CA_BUNDLE"]),
}


@pytest.mark.parametrize("command", ["load", "check"])
@pytest.mark.parametrize("kind", REFUSED)
def test_an_untrusted_certificate_is_reported_with_the_fix(
    project: Project, authority: Authority, kind: str, command: str
) -> None:
    host, days, trusted, told = REFUSED[kind]
    env = DIRECT | ({"REQUESTS_CA_BUNDLE": str(authority.bundle)} if trusted else {})
    with Host(200, CALL, tls=authority.certify("refused", host, days=days)) as server:
        error = _one_error(project, command, env | {"SOURCES__INTERCOM__BASE_URL": server.url})
        assert server.asked == []
    assert server.url in error
    for part in ["the certificate is refused", *told]:
        assert part in error
    others = [words for other, (*_, words) in REFUSED.items() if other != kind]
    assert not any(part in error for words in others for part in words)


def test_a_private_authority_is_trusted_if_requests_ca_bundle_names_it(
    project: Project, authority: Authority, tmp_path: Path
) -> None:
    """As a file and as a folder (named as openssl does); what names no certificates is a wrong setting."""
    with Host(200, CALL, tls=authority.certify("good", "IP:127.0.0.1")) as server:
        env = DIRECT | {"SOURCES__INTERCOM__BASE_URL": server.url}
        loaded = project.load("a", env=env | {"REQUESTS_CA_BUNDLE": str(authority.bundle)})
        assert loaded.exit_code == 0, loaded.stderr
        assert len(server.asked) == 2  # GET /me, and the call
        broken = tmp_path / "broken.pem"
        broken.write_text("no certificate")
        for bundle in (broken, tmp_path / "nowhere.pem"):
            refused = project.load("b", env=env | {"REQUESTS_CA_BUNDLE": str(bundle)})
            assert refused.exit_code == 2, refused.stderr
            assert f"REQUESTS_CA_BUNDLE = '{bundle}' can't be read" in refused.summary["error"]
        assert len(server.asked) == 2
    assert project.query("SELECT id FROM intercom.calls") == [("a",)]
