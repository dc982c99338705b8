"""Other servers on this machine, plain or with TLS, and the authority that certifies them."""

from __future__ import annotations

import ssl
import subprocess
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class Host:
    """A server on a port of its own: keeps the requests and gives one fixed answer.

    Args:
        body: what it answers, with the request's `Authorization` for HEADERS.
        headers: what it sends besides.
        echo: whether it repeats `Authorization` in a header of its answer.
        tls: its certificate and key; None for plain http.

    Attributes:
        asked: request line and headers of each request.
        url: `http://127.0.0.1:PORT`, or https.
    """

    def __init__(
        self,
        status: int,
        body: str = "",
        *,
        headers: Mapping[str, str] | None = None,
        echo: bool = False,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        asked: list[str] = []
        self.asked = asked

        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                asked.append(f"{self.requestline}\n{self.headers}")
                content = (body.replace("HEADERS", str(self.headers["Authorization"]))).encode()
                self.send_response(status)
                if echo:
                    self.send_header("X-Request-Id", f"r {self.headers['Authorization']}")
                for name, value in (headers or {}).items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_CONNECT = do_POST = _answer  # noqa: N815

            def log_message(self, *_: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            def handle_error(self, *_: Any) -> None:  # a client that turns away is what some tests want
                pass

            def finish_request(self, request: Any, client_address: Any) -> None:
                # here, in the connection's own thread, since a handshake can fail or hang
                super().finish_request(tls.wrap_socket(request, server_side=True) if tls else request, client_address)

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def __enter__(self) -> Host:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class Authority:
    """A private authority that certifies hosts, by the program openssl.

    Attributes:
        bundle: its own certificate, for `REQUESTS_CA_BUNDLE`.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.bundle = folder / "authority.pem"
        self._new_key("authority", "-x509", "-out", self.bundle, "-days", 30, "-subj", "/CN=the tests' authority",
                      "-addext", "keyUsage=critical,keyCertSign,cRLSign")  # fmt: skip

    def certify(self, name: str, host: str, *, days: int = 30) -> ssl.SSLContext:
        """A server's certificate for `host` (`IP:127.0.0.1`, `DNS:…`), valid for so many days from now."""
        request, certificate, extensions = (self._folder / f"{name}.{kind}" for kind in ("csr", "pem", "ext"))
        self._new_key(name, "-out", request, "-subj", f"/CN={name}")
        extensions.write_text(f"subjectAltName={host}\nauthorityKeyIdentifier=keyid\nbasicConstraints=CA:FALSE\n")
        _openssl("x509", "-req", "-in", request, "-out", certificate, "-days", days, "-extfile", extensions,
                 "-CA", self.bundle, "-CAkey", self._folder / "authority.key", "-CAcreateserial")  # fmt: skip
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, self._folder / f"{name}.key")
        return context

    def _new_key(self, name: str, *options: object) -> None:
        key = self._folder / f"{name}.key"
        _openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key, *options)


def _openssl(*arguments: object) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)
