"""A list's file as a stream of UTF-8 bytes: unpacked, decoded, limited in size."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import pyarrow as pa

from ..errors import BadIds
from .signatures import MAGIC, UTF16_MARKS, wrong_content

Compression = Literal["gzip", "zstd"]

LINE_BYTES = 1 << 20
UNPACKED_BYTES = 4 << 30
# Lists of ids pack 3 to 50 times; a bomb of one repeated byte 1,000 times and more.
_RATIO = 100
_RATIO_FROM_BYTES = 32 << 20

_UTF8_MARK = b"\xef\xbb\xbf"
_HEAD_BYTES = 4096


def _plain(text: bytes) -> bytes:
    return text.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in text else text


@dataclass(frozen=True)
class ListFile:
    """A list as a local file that can be read more than once; `name` is for messages."""

    path: Path
    name: str
    format: str
    compression: Compression | None

    @cached_property
    def head(self) -> bytes:
        """The first 4 KiB, unpacked."""
        with self._open_bytes() as stream:
            return bytes(stream.read(_HEAD_BYTES))

    def refuse_wrong_content(self) -> None:
        """Refuse a file that is not what its name says."""
        if self.compression:
            with open(self.path, "rb") as packed:
                if not packed.read(4).startswith(MAGIC[self.compression]):
                    raise BadIds(f"{self.name}: not {self.compression}, whatever its name says; name it by what it is")
            if self.format == "parquet":
                raise BadIds(f"{self.name}: Parquet packs itself; unpack it and give the .parquet")
        if found := wrong_content(self.head.removeprefix(_UTF8_MARK), self.format):
            looks, fix = found
            raise BadIds(f"{self.name}: read as {self.format}, but it looks like {looks}; {fix}")

    def open_text(self) -> pa.NativeFile:
        """The text as UTF-8 without a byte order mark; whether it is valid UTF-8 is not checked."""
        stream = self._open_bytes()
        if self.head.startswith(UTF16_MARKS):
            return pa.transcoding_input_stream(stream, "utf-16", "utf-8")
        if self.head.startswith(_UTF8_MARK):
            stream.read(len(_UTF8_MARK))
        return stream

    def blocks(self) -> Iterator[tuple[int, bytes]]:
        """Whole lines of the text, about 1 MiB of them at a time, each with the number of its first line.

        Lines are separated by one LF, whatever the file's line ends are; there is none after the last.

        Raises:
            BadIds: a line is longer than 1 MiB, or the file is a bomb.
        """
        first, rest, unpacked_bytes = 1, b"", 0
        with self.open_text() as stream:
            while read := stream.read(LINE_BYTES):
                unpacked_bytes += len(read)
                self.refuse_bomb(unpacked_bytes)
                read = rest + read
                # A CR at the very end may be the first half of a CRLF.
                cut = max(read.rfind(b"\n"), read.rfind(b"\r", 0, -1)) + 1
                block, rest = _plain(read[:cut]), read[cut:]
                for number, length in ((first, block.find(b"\n")), (first + block.count(b"\n"), len(rest))):
                    if length > LINE_BYTES:
                        raise BadIds(f"{self.name} line {number}: longer than 1 MiB; an id list has one id a line")
                if block:
                    yield first, block[:-1]
                    first += block.count(b"\n")
        if rest:
            yield first, _plain(rest).removesuffix(b"\n")

    def refuse_bomb(self, unpacked_bytes: int) -> None:
        """Refuse a packed file that unpacks to far more than a list of ids can be."""
        if self.compression is None:
            return
        ratio = unpacked_bytes / max(self.path.stat().st_size, 1)
        if unpacked_bytes > UNPACKED_BYTES or (unpacked_bytes > _RATIO_FROM_BYTES and ratio > _RATIO):
            raise BadIds(
                f"{self.name}: unpacks to more than {unpacked_bytes >> 20} MiB ({ratio:.0f} times its size), "
                "which no list of ids does; unpack and look at it, or split it"
            )

    def _open_bytes(self) -> pa.NativeFile:
        if self.compression is None:
            return pa.OSFile(os.fspath(self.path), "rb")
        return pa.input_stream(os.fspath(self.path), compression=self.compression)
