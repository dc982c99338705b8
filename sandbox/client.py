"""A plain HTTP client that hides nothing: one connection a request, no proxy, no retry, no redirect."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit


class ReceivedAnswer(NamedTuple):
    """What came back, to the byte."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def request(
    method: str, url: str, *, headers: Mapping[str, str] | None = None, json_body: object = None
) -> ReceivedAnswer:
    """Send one request and read its answer whole.

    Raises:
        OSError: the connection failed; `ConnectionResetError` where it was reset.
        http.client.HTTPException: the answer is not HTTP, or was cut (`IncompleteRead`).
    """
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.netloc, timeout=60)
    path = (address.path or "/") + (f"?{address.query}" if address.query else "")
    body = None if json_body is None else json.dumps(json_body)
    try:
        connection.request(method, path, body, dict(headers or {}))
        response = connection.getresponse()
        return ReceivedAnswer(response.status, response.headers, response.read())
    finally:
        connection.close()
