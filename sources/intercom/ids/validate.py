"""What can be a call id: unchanged text, without the white space around it."""

from __future__ import annotations

from typing import cast

import pyarrow as pa
import pyarrow.compute as pc

MAX_CHARACTERS = 128

# Python's str.isspace(), and the characters of no width that come along when text is copied from web pages.
_AROUND = (
    "\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
    "\u180e\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069\ufeff"
)

# RE2 patterns: a text with a match can't be an id.
_RULES = (
    (r"^\.{1,2}$", "a path of dots"),
    (r"[/?#%\\]", "it holds one of / ? # % \\"),
    (r"[\t-\r\x1c-\x1f\x{85}\p{Z}]", "white space inside"),
    (r"[\p{Cc}\p{Cf}]", "a control or invisible character inside"),
)
_ANY_RULE = "|".join(pattern for pattern, _ in _RULES)

_SHOWN_CHARACTERS = 60


def trimmed(values: pa.StringArray) -> pa.StringArray:
    """The values without the white space around them."""
    return pc.utf8_trim(values, characters=_AROUND)


def trim(text: str) -> str:
    """`trimmed` for one text."""
    return text.strip(_AROUND)


def unfit(values: pa.StringArray) -> pa.BooleanArray:
    """True where a trimmed value can't be an id; empty and null ones count as blank, not as unfit."""
    too_long = pc.greater(pc.utf8_length(values), pa.scalar(MAX_CHARACTERS))
    found = pc.or_(too_long, pc.match_substring_regex(values, _ANY_RULE))
    return cast(pa.BooleanArray, found.fill_null(False))


def empty(values: pa.StringArray) -> pa.BooleanArray:
    """True where a trimmed value is empty or null."""
    return cast(pa.BooleanArray, pc.equal(values, pa.scalar("")).fill_null(True))


def reason(value: str) -> str:
    """Why a trimmed value can't be an id; empty when it can."""
    if len(value) > MAX_CHARACTERS:
        return f"{len(value)} characters, more than {MAX_CHARACTERS}"
    text = pa.array([value], pa.string())
    for pattern, why in _RULES:
        if pc.match_substring_regex(text, pattern)[0].as_py():
            return why
    return ""


def decoded(values: pa.StringArray | pa.BinaryArray) -> tuple[pa.StringArray, list[int]]:
    """The values as text, and the indices of those that are not UTF-8 (null in the text)."""
    try:
        return cast(pa.StringArray, values.cast(pa.string())), []
    except pa.ArrowInvalid:
        known = [_utf8(value) for value in values.to_pylist()]
        broken = [at for at, text in enumerate(known) if text is None and values[at].is_valid]
        return pa.array(known, pa.string()), broken


def _utf8(value: bytes | str | None) -> str | None:
    try:
        return value.decode() if isinstance(value, bytes) else value
    except UnicodeDecodeError:
        return None


def shown(value: object) -> str:
    """A value for a message: quoted, control characters spelled out, shortened."""
    if isinstance(value, str) and len(value) > _SHOWN_CHARACTERS:
        return repr(value[:_SHOWN_CHARACTERS]) + "…"
    return repr(value)


def printable(text: str) -> str:
    """A name for a message: unchanged, unless a character in it would disturb a terminal."""
    return text if text.isprintable() else repr(text)
