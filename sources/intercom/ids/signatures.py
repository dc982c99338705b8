"""What a file is by its first bytes, if its name says something else."""

from __future__ import annotations

import re

MAGIC = {"gzip": b"\x1f\x8b", "zstd": b"\x28\xb5\x2f\xfd", "parquet": b"PAR1"}
UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")

# The first bytes, what they are, the fix.
_BINARY = (
    (MAGIC["gzip"], "gzip", "end its name in .gz"),
    (MAGIC["zstd"], "Zstandard", "end its name in .zst"),
    (MAGIC["parquet"], "Parquet", "end its name in .parquet"),
    (b"PK\x03\x04", "an Excel workbook or a zip archive", "save the sheet as CSV, or unpack the archive"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook", "save the sheet as CSV"),
    (b"BZh", "bzip2", "unpack it"),
    (b"\xfd7zXZ\x00", "xz", "unpack it"),
    (b"SQLite format 3\x00", "an SQLite database", "ask it by --ids-sql and --ids-db"),
    (b"%PDF-", "PDF", "give a text file"),
    (b"ARROW1", "an Arrow file", "write it as Parquet"),
    (b"ORC\x0a", "ORC", "write it as Parquet"),
    (b"Obj\x01", "Avro", "write it as Parquet"),
)
_MARKUP = (
    (re.compile(rb"\s*<(!doctype\s+html|html|head|body)\b", re.IGNORECASE), "an HTML page (of a login or an error?)"),
    (re.compile(rb"\s*<\?xml\b"), "XML"),
)
_JSON = re.compile(rb'\s*(\{\s*["}]|\[\s*[\["{\]])')
_SEEN_BYTES = 64


def wrong_content(head: bytes, format_name: str) -> tuple[str, str] | None:
    """What the first bytes look like, and the fix, if that can't be the format; else None.

    `head` is without a UTF-8 byte order mark.
    """
    for magic, looks, fix in _BINARY:
        if head.startswith(magic):
            return None if looks == "Parquet" and format_name == "parquet" else (looks, fix)
    for pattern, looks in _MARKUP:
        if pattern.match(head):
            return looks, "fetch or save the list itself"
    if format_name == "parquet":
        return ("text" if head.isascii() else "something else") if head else "an empty file", "name it by what it is"
    if format_name in ("txt", "csv", "tsv") and _JSON.match(head):
        return "JSON", "end its name in .json or .jsonl, or pass it as - with --ids-format jsonl"
    return _unmarked_utf16(head)


def _unmarked_utf16(head: bytes) -> tuple[str, str] | None:
    seen = head[:_SEEN_BYTES]
    for half in (seen[::2], seen[1::2]):
        if len(half) > 1 and not any(half) and any(seen):
            return "UTF-16 without a byte order mark", "save it as UTF-8"
    return None
