"""Removes a secret from what a server sent back, however it is escaped."""

from __future__ import annotations

import re

MASK = "***"

# An ASCII character as JSON (at any depth of JSON within JSON), URLs and HTML may write it.
_ESCAPED = re.compile(rb"""\\\\*(?:u00([2-7][0-9a-fA-F])|([/"']))|%([2-7][0-9a-fA-F])|&#x0*([2-7][0-9a-fA-F]);""")
# The first characters of a secret are secret too, from so many on.
_SHORTEST_PART = 12


def without(secret: str, content: bytes) -> bytes:
    r"""The content with `***` for each occurrence of the secret; the same object where there is none.

    Escapes count as what they stand for (`\/`, `\u003d`, `%3D`, `&#x3D;`), so that JSON stays JSON and no reader finds
    the secret in it again.
    """
    plain = secret.encode()
    if plain in content:
        content = content.replace(plain, MASK.encode())
    may_be_escaped = b"\\" in content or b"%" in content or b"&#x" in content
    if may_be_escaped and plain in _ESCAPED.sub(_unescaped, content):
        return _without_escaped(plain, content)
    return content


def masked(secret: str, text: str) -> str:
    """A message with `***` for the secret, also where the message cut it off."""
    for length in range(len(secret), min(len(secret), _SHORTEST_PART) - 1, -1):
        text = text.replace(secret[:length], MASK)
    return text


def _unescaped(match: re.Match[bytes]) -> bytes:
    quoted, digits = match[2], match[1] or match[3] or match[4]
    return quoted or bytes([int(digits, 16)])


def _without_escaped(secret: bytes, content: bytes) -> bytes:
    plain = bytearray()
    begins: list[int] = []  # where in the content each byte of `plain` begins
    end = 0
    for match in _ESCAPED.finditer(content):
        plain += content[end : match.start()]
        begins += range(end, match.start())
        plain += _unescaped(match)
        begins.append(match.start())
        end = match.end()
    plain += content[end:]
    begins += range(end, len(content) + 1)
    kept, end = [], 0
    while (place := plain.find(secret, end)) >= 0:
        kept.append(content[begins[end] : begins[place]])
        end = place + len(secret)
    kept.append(content[begins[end] :])
    return MASK.encode().join(kept)
