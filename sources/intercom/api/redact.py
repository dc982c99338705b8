"""Takes a secret out of what a server sent back, in whatever disguise."""

from __future__ import annotations

import re

MASK = "***"

# A character of ASCII as JSON (at any depth of JSON within JSON), URLs and HTML may write it.
_DISGUISED = re.compile(rb"""\\\\*(?:u00([2-7][0-9a-fA-F])|([/"']))|%([2-7][0-9a-fA-F])|&#x0*([2-7][0-9a-fA-F]);""")
# Of a secret that was cut off, so many characters are still one.
_SHORTEST_PART = 12


def without(secret: str, content: bytes) -> bytes:
    r"""The content with `***` for each occurrence of the secret; the same object where there is none.

    Escapes count as what they stand for (`\/`, `\u003d`, `%3D`, `&#x3D;`), so that JSON stays JSON and no reader finds
    the secret in it again.
    """
    plain = secret.encode()
    if plain in content:
        content = content.replace(plain, MASK.encode())
    may_be_disguised = b"\\" in content or b"%" in content or b"&#x" in content
    if may_be_disguised and plain in _DISGUISED.sub(_meant, content):
        return _without_disguised(plain, content)
    return content


def masked(secret: str, text: str) -> str:
    """A message with `***` for the secret, also where the message cut it off."""
    for length in range(len(secret), min(len(secret), _SHORTEST_PART) - 1, -1):
        text = text.replace(secret[:length], MASK)
    return text


def _meant(match: re.Match[bytes]) -> bytes:
    quoted, digits = match[2], match[1] or match[3] or match[4]
    return quoted or bytes([int(digits, 16)])


def _without_disguised(secret: bytes, content: bytes) -> bytes:
    meant = bytearray()
    begins: list[int] = []  # where in the content each byte of `meant` begins
    end = 0
    for match in _DISGUISED.finditer(content):
        meant += content[end : match.start()]
        begins += range(end, match.start())
        meant += _meant(match)
        begins.append(match.start())
        end = match.end()
    meant += content[end:]
    begins += range(end, len(content) + 1)
    kept, end = [], 0
    while (place := meant.find(secret, end)) >= 0:
        kept.append(content[begins[end] : begins[place]])
        end = place + len(secret)
    kept.append(content[begins[end] :])
    return MASK.encode().join(kept)
