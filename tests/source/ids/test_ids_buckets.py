"""Lists in a bucket: the real client of S3 against an endpoint on a socket."""

from __future__ import annotations

import http.server
import sys
import threading
from collections.abc import Iterator

import pytest

from sources.intercom.errors import BadIds, ConfigurationError
from sources.intercom.ids.read import read_ids

LIST = b"call_id\n007\n12345678901234567890\n"
DENIED = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"


class Bucket(http.server.BaseHTTPRequestHandler):
    """`calls` holds ids.csv and denies the rest; only what is signed is answered."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        signed = "AWS4-HMAC-SHA256 Credential=ann/" in self.headers.get("Authorization", "")
        found = signed and self.path.partition("?")[0] == "/calls/ids.csv"
        body = LIST if found else DENIED
        self.send_response(200 if found else 403)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Last-Modified", "Mon, 02 Nov 2026 10:00:00 GMT")
        self.send_header("ETag", '"1"')
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Tests print nothing."""


@pytest.fixture(autouse=True)
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whatever this machine knows of S3 is out of reach; what is asked goes to `Bucket`."""
    import s3fs  # type: ignore[import-untyped]

    s3fs.S3FileSystem.clear_instance_cache()
    for name in ("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/nonexistent")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Bucket)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    yield
    server.shutdown()
    server.server_close()


@pytest.fixture
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "ann")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")


@pytest.mark.usefixtures("_credentials")
def test_a_list_in_a_bucket() -> None:
    assert read_ids([], ["s3://calls/ids.csv"]).ids.to_pylist() == ["007", "12345678901234567890"]


def test_a_bucket_without_credentials_is_refused() -> None:
    with pytest.raises(BadIds, match=r"^s3://calls/ids\.csv: .*credentials"):
        read_ids([], ["s3://calls/ids.csv"])


@pytest.mark.usefixtures("_credentials")
def test_a_bucket_that_denies_is_refused_without_the_secret() -> None:
    with pytest.raises(BadIds, match=r"^s3://calls/others\.csv: .*; check the URL and the credentials") as refused:
        read_ids([], ["s3://calls/others.csv"])
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("scheme", "extra", "driver"), [("s3", "s3", "s3fs"), ("gs", "gs", "gcsfs"), ("az", "az", "adlfs")]
)
def test_a_missing_driver_is_named_by_its_extra(
    scheme: str, extra: str, driver: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fsspec.registry import _registry  # type: ignore[import-untyped]

    monkeypatch.delitem(_registry, scheme, raising=False)
    monkeypatch.setitem(sys.modules, driver, None)
    with pytest.raises(
        ConfigurationError, match=rf"{scheme}://bucket/a.csv: .*pip install 'intercom-calls\[{extra}\]'"
    ):
        read_ids([], [f"{scheme}://bucket/a.csv"])
