"""Puts an answer on the wire byte by byte, so that it can also be cut, reset, dripped or withheld."""

from __future__ import annotations

import asyncio
import socket
import struct

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from .faults import InjectedFault, PlannedAnswer

CHUNK = b"x" * 65_536
LINGER_NONE = struct.pack("ii", 1, 0)


class _Sent(web.StreamResponse):
    """Tells aiohttp that the answer is sent already: its own header machinery costs more than all else."""

    def __init__(self, *, keep_alive: bool) -> None:
        super().__init__()
        self._keeps_alive = keep_alive

    @property
    def keep_alive(self) -> bool:
        return self._keeps_alive

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        return None


KEPT = _Sent(keep_alive=True)
CLOSED = _Sent(keep_alive=False)


async def deliver(
    request: web.BaseRequest, head: bytes, answer: PlannedAnswer, fault: InjectedFault
) -> web.StreamResponse:
    """Send `head` (status line, headers, blank line) and the answer's body the way the fault says."""
    transport = request.transport
    if transport is None:
        return CLOSED
    whole = head + answer.body
    middle = len(head) + len(answer.body) // 2
    kept = KEPT if request.keep_alive else CLOSED
    match fault.name:
        case "reset":
            _reset(transport)
            return CLOSED
        case "reset_mid":
            transport.write(whole[:middle])
            # The client should get to see the first half before the reset throws away what is unread.
            await asyncio.sleep(0.05)
            _reset(transport)
            return CLOSED
        case "cut":
            transport.write(whole[:middle])
            return CLOSED
        case "close":
            transport.write(whole)
            return CLOSED
        case "drip":
            for index in range(len(whole)):
                await request.writer.write(whole[index : index + 1])
                await asyncio.sleep(0.01 if fault.argument is None else fault.argument)
            return kept
        case "huge":
            await _huge(request, whole, fault.number(100_000_000))
            return kept
        case "hang":
            await asyncio.Event().wait()
    transport.write(whole)
    return kept


def declared_length(answer: PlannedAnswer, fault: InjectedFault) -> int:
    """What `Content-Length` says."""
    if fault.name == "huge":
        return fault.number(100_000_000)
    return len(answer.body) if answer.length is None else answer.length


async def _huge(request: web.BaseRequest, whole: bytes, length: int) -> None:
    """The JSON object, with one more field that fills the body up to `length` bytes."""
    head, _, body = whole.partition(b"\r\n\r\n")
    body = body.rstrip(b"}") + b',"padding":"'
    await request.writer.write(head + b"\r\n\r\n" + body)
    left = length - len(body) - 2
    while left > 0:
        await request.writer.write(CHUNK[:left])
        await request.writer.drain()
        left -= len(CHUNK)
    await request.writer.write(b'"}')


def _reset(transport: asyncio.Transport) -> None:
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NONE)
    transport.abort()
