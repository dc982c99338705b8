"""What can go wrong with an answer, by name.

A fault is written `name` or `name:argument`:

| fault | what the client sees |
|---|---|
| `ok` | the right answer |
| `status:NNN` | that status with Intercom's `error.list` body; a 429 with nothing remaining |
| `bare:NNN` | the same without rate-limit headers |
| `html:NNN` | that status with a proxy's HTML page |
| `html200`, `empty200`, `not_json`, `array200` | 200 with HTML, nothing, half a JSON text, a JSON array |
| `other_call` | 200 with the body of another call |
| `unknown_fields`, `odd_values` | 200, the call with fields nobody knows, or values that do not fit |
| `deep[:LEVELS]` | 200, the call with a field of that many nested arrays (default 100,000) |
| `huge[:BYTES]` | 200, the call with a field that makes the body that long (default 100 MB) |
| `broken_gzip` | 200 that says it is gzip and is not |
| `wrong_length:N` | a `Content-Length` N above (below, if negative) the body's, on a connection kept open |
| `redirect[:STATUS]` | 302 (or that) to the setting `redirect_to` |
| `reset` | connection reset before the first byte |
| `reset_mid` | connection reset in the middle of the body |
| `cut` | connection closed in the middle of the body |
| `close` | the right answer, then the connection is closed without a word |
| `drip[:SECONDS]` | the right answer, one byte at a time with that pause (default 0.01) |
| `slow:SECONDS` | the right answer, that much later |
| `hang` | no answer as long as the client waits |
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from http import HTTPStatus
from random import Random
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from .settings import Settings

# What a client may hope to be better the next time; each leaves the call as it is.
PASSING = (
    "status:408", "status:429", "status:500", "status:502", "status:503", "status:504", "bare:429", "bare:503",
    "html:500", "html:502", "html200", "empty200", "not_json", "array200", "deep", "broken_gzip", "wrong_length:10",
    "wrong_length:-10", "reset", "reset_mid", "cut", "hang",
)  # fmt: skip

JSON = "application/json; charset=utf-8"
HTML = "text/html; charset=utf-8"
ERROR_CODES = {
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    408: "request_timeout",
}
ERROR_CODES |= {409: "conflict", 410: "gone", 422: "parameter_invalid", 429: "rate_limit_exceeded"}
ERROR_CODES |= {500: "server_error", 502: "bad_gateway", 503: "service_unavailable", 504: "gateway_timeout"}
# Python 3.13 calls 413, 414, 416 and 422 by the newer names of RFC 9110; the phrase is not to follow the Python.
REASONS = {status.value: status.phrase for status in HTTPStatus} | {
    413: "Content Too Large",
    414: "URI Too Long",
    416: "Range Not Satisfiable",
    422: "Unprocessable Content",
}
HTML_PAGE = b"<html><head><title>%d</title></head><body><h1>Something in between answered</h1></body></html>"


@dataclass(slots=True)
class PlannedAnswer:
    """An answer before it is written: `length` is the `Content-Length` where that is a lie."""

    status: int
    body: bytes
    content_type: str = JSON
    headers: bytes = b""
    rate_headers: bool = True
    length: int | None = None


@dataclass(frozen=True, slots=True)
class InjectedFault:
    """A fault by name, with its argument as a number where it takes one."""

    name: str
    argument: float | None = None

    @classmethod
    @functools.lru_cache(maxsize=256)
    def parse(cls, text: str) -> Self:
        """Read `name` or `name:argument`; ValueError when there is no such fault."""
        name, _, argument = text.partition(":")
        if name not in (*REPLACED, *DELIVERIES):
            raise ValueError(f"{text!r} is no fault; there are {', '.join(sorted((*REPLACED, *DELIVERIES)))}")
        needed = name in ("status", "bare", "html", "wrong_length", "slow")
        try:
            return cls(name, float(argument) if argument or needed else None)
        except ValueError:
            raise ValueError(f"{text!r} needs a number: {name}:NUMBER") from None

    def number(self, default: int) -> int:
        return default if self.argument is None else int(self.argument)


OK = InjectedFault("ok")


def error(status: int, request_id: str, message: str | None = None, code: str | None = None) -> PlannedAnswer:
    """Intercom's `error.list` answer of this status."""
    item = {"code": code or ERROR_CODES.get(status, "error"), "message": message or REASONS.get(status)}
    return PlannedAnswer(status, dump({"type": "error.list", "request_id": request_id, "errors": [item]}))


def dump(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def loads(body: bytes) -> Any:
    return json.loads(body)


class Faults:
    """Which fault strikes a request. Scripts by id come first, then ranges of requests, then chance."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._scripts = {call_id: iter(script) for call_id, script in settings.faults.items()}
        self._weights = list(settings.fault_weights.values())
        self._drawn = list(settings.fault_weights)

    def strikes(self, call_id: str, request: int, attempt: int) -> InjectedFault:
        """The fault of the `request`th of all requests, the `attempt`th for this id; `OK` for none.

        `GET /me` is struck by its script alone.
        """
        if script := self._scripts.get(call_id):
            for fault in script:
                return InjectedFault.parse(fault)
        if request == 0:  # GET /me, which has no number among the others
            return OK
        for first, last, fault in self.settings.fault_ranges:
            if first <= request and (last is None or request <= last):
                return InjectedFault.parse(fault)
        if self.settings.fault_share:
            digest = blake2b(f"{self.settings.seed}:{call_id}:{attempt}".encode(), digest_size=8).digest()
            chance = Random(int.from_bytes(digest))
            if chance.random() < self.settings.fault_share:
                return InjectedFault.parse(chance.choices(self._drawn, self._weights)[0])
        return OK


@dataclass(frozen=True, slots=True)
class Context:
    """What a faulty answer is made of besides the right one."""

    request_id: str
    other_call: Callable[[], Any]
    redirect_to: str


Replace = Callable[[InjectedFault, PlannedAnswer, Context], PlannedAnswer]


def _status(fault: InjectedFault, answer: PlannedAnswer, context: Context) -> PlannedAnswer:
    return error(fault.number(500), context.request_id)


def _bare(fault: InjectedFault, answer: PlannedAnswer, context: Context) -> PlannedAnswer:
    bare = error(fault.number(429), context.request_id)
    bare.rate_headers = False
    return bare


def _html(fault: InjectedFault, answer: PlannedAnswer, context: Context) -> PlannedAnswer:
    status = fault.number(200)
    return PlannedAnswer(status, HTML_PAGE % status, content_type=HTML, rate_headers=status == 200)


def _redirect(fault: InjectedFault, answer: PlannedAnswer, context: Context) -> PlannedAnswer:
    return PlannedAnswer(fault.number(302), b"", headers=f"Location: {context.redirect_to}\r\n".encode())


def _broken_gzip(fault: InjectedFault, answer: PlannedAnswer, context: Context) -> PlannedAnswer:
    return PlannedAnswer(200, b"\x1f\x8b\x08\x00" + answer.body, headers=b"Content-Encoding: gzip\r\n")


def _wrong_length(fault: InjectedFault, answer: PlannedAnswer, context: Context) -> PlannedAnswer:
    answer.length = max(0, len(answer.body) + fault.number(0))
    return answer


def _with_fields(answer: PlannedAnswer, fields: dict[str, Any]) -> PlannedAnswer:
    if answer.status != 200:
        return answer
    return PlannedAnswer(200, dump(json.loads(answer.body) | fields))


def _unknown_fields(fault: InjectedFault, answer: PlannedAnswer, context: Context) -> PlannedAnswer:
    fields = {
        "sentiment": {"score": -3, "labels": ["angry", "tired"]},
        "cost_in_cents": 123456789012345678901234567890,
        "_fetched_at": "2020-01-01T00:00:00Z",
        "extra": {"extra": 1},
        "Naïve Field 'x'": "zoë",
        "wrap_up": None,
    }
    return _with_fields(answer, fields)


def _odd_values(fault: InjectedFault, answer: PlannedAnswer, context: Context) -> PlannedAnswer:
    fields = {
        "state": "comp\u0000leted",
        "ended_reason": "half \ud800 a pair",
        "initiated_at": True,
        "answered_at": "+52024-01-01T00:00:00Z",
        "phone": {"number": "+15550100"},
        "direction": 7.0,
        "call_type": "",
        "admin_id": 12345678901234567890,
    }
    return _with_fields(answer, fields)


def _deep(fault: InjectedFault, answer: PlannedAnswer, context: Context) -> PlannedAnswer:
    levels = fault.number(100_000)
    return PlannedAnswer(200, answer.body.rstrip(b"}") + b',"deep":' + b"[" * levels + b"]" * levels + b"}")


def _same(fault: InjectedFault, answer: PlannedAnswer, context: Context) -> PlannedAnswer:
    return answer


def _body(body: bytes, content_type: str = JSON) -> Replace:
    return lambda fault, answer, context: PlannedAnswer(200, body, content_type)


# Faults of what is said, and faults of how it is delivered (sandbox.delivery).
REPLACED: dict[str, Replace] = {
    "status": _status,
    "bare": _bare,
    "html": _html,
    "html200": _html,
    "empty200": _body(b""),
    "not_json": _body(b'{"type":"call","id":'),
    "array200": _body(b'[{"type":"call"}]'),
    "other_call": lambda fault, answer, context: PlannedAnswer(200, dump(context.other_call())),
    "unknown_fields": _unknown_fields,
    "odd_values": _odd_values,
    "deep": _deep,
    "broken_gzip": _broken_gzip,
    "wrong_length": _wrong_length,
    "redirect": _redirect,
}
DELIVERIES = ("ok", "reset", "reset_mid", "cut", "close", "drip", "slow", "hang", "huge")


def replaced(fault: InjectedFault, answer: PlannedAnswer, context: Context) -> PlannedAnswer:
    """The answer as the fault makes it; a fault of delivery leaves it as it is."""
    return REPLACED.get(fault.name, _same)(fault, answer, context)
