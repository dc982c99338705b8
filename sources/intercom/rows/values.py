"""The rules for a single value: from the API's JSON into a column, or back into JSON for `extra`.

Numbers keep every digit that the API wrote: nothing here goes through a float.
"""

from __future__ import annotations

import json
import re
from codecs import BOM_UTF8
from datetime import UTC, datetime, timedelta
from decimal import MAX_PREC, Context, Decimal
from typing import Any, Final, TypeAlias

# A call nests two levels. The limit keeps every recursion over a parsed value within Python's own limit.
MAX_DEPTH: Final = 200

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_FIRST_MICROSECOND: Final = -62_135_596_800_000_000  # 0001-01-01T00:00:00Z
_LAST_MICROSECOND: Final = 253_402_300_799_999_999  # 9999-12-31T23:59:59.999999Z
_LARGEST_IN_SECONDS: Final = 253_402_300_799  # a number beyond it is milliseconds

# PostgreSQL 18, "Numeric Types": the most digits a `numeric`, and so a number in jsonb, can have.
_NUMERIC_DIGITS_BEFORE_POINT: Final = 131_072
_NUMERIC_DIGITS_AFTER_POINT: Final = 16_383

_NUMBER: Final = re.compile(r"[+-]?(\d+)(?:\.(\d*))?(?:[eE]([+-]?\d+))?", re.ASCII)
# Narrower than `fromisoformat`, which accepts more in newer Pythons (such as 24:00): the same result in all of them.
_ISO_8601: Final = re.compile(
    r"\d{4}-\d\d-\d\d"
    r"(?:[T ](?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:[.,](\d+))?)?"
    r"(?:Z|[+-](?:[01]\d|2[0-3])(?::?[0-5]\d)?)?)?",
    re.ASCII,
)
# PostgreSQL can't store NUL, UTF-8 no surrogate. JSON's surrogate pairs are decoded before: any left is a lone one.
_UNSTORABLE: Final = re.compile("[\0\ud800-\udfff]")
_STRING_OR_BRACKET: Final = re.compile(r'"(?:[^"\\]+|\\.)*+"?|[][{}]', re.DOTALL)

# By default Decimal rounds to 28 digits.
_EXACT: Final = Context(prec=MAX_PREC)
# A number whose exponent has more digits fits no column, and may overflow Decimal's arithmetic.
_LONGEST_EXPONENT: Final = 4

# A reading is the column's value, and whether it holds all of the API's value: if not, that goes to `extra` as well.
# (None, False) is a value that the column can't hold at all.
TextReading: TypeAlias = tuple[str | None, bool]
IntegerReading: TypeAlias = tuple[int | None, bool]
_NULL: Final = (None, True)
_UNREADABLE: Final = (None, False)


class Number(str):
    """A JSON number as its literal: `1.10` stays `1.10`, forty digits stay forty."""

    __slots__ = ()


def _refuse_constant(literal: str) -> Any:
    raise ValueError(f"{literal} is not JSON")


_DECODER: Final = json.JSONDecoder(parse_int=Number, parse_float=Number, parse_constant=_refuse_constant)
_ENCODER: Final = json.JSONEncoder(ensure_ascii=False)


def parse_json(body: bytes) -> Any:
    """Read a JSON text in UTF-8 (a BOM is allowed) without losing a digit.

    Returns dict, list, str, `Number`, bool or None. The last value of a repeated key counts. The escape of a lone
    surrogate becomes a lone surrogate in the str.

    Raises:
        ValueError: not UTF-8, not JSON (which has no NaN or Infinity), or nested deeper than `MAX_DEPTH`.
    """
    text = body.removeprefix(BOM_UTF8).decode()
    if text.count("[") + text.count("{") > MAX_DEPTH:
        _refuse_depth(text)
    return _DECODER.decode(text)


def _refuse_depth(text: str) -> None:
    depth = 0
    for token in _STRING_OR_BRACKET.finditer(text):
        if token[0] in ("[", "{"):
            depth += 1
        elif token[0] in ("]", "}"):
            depth -= 1
        if depth > MAX_DEPTH:
            raise ValueError(f"JSON nested deeper than {MAX_DEPTH} levels at character {token.start()}")


def json_text(value: Any) -> str:
    r"""Write a value of `parse_json` as compact JSON that DuckDB's JSON and PostgreSQL's jsonb both accept.

    NUL and lone surrogates are spelled out as the six characters of their escape (`\u0000`); if this makes two keys
    equal, one gets underscores at its end. A number beyond PostgreSQL's `numeric` is a string of its digits.
    """
    if isinstance(value, Number):
        return value if _fits_numeric(value) else f'"{value}"'
    if isinstance(value, str):
        return _ENCODER.encode(_spelled_out(value))
    if isinstance(value, list):
        return "[" + ",".join([json_text(item) for item in value]) + "]"
    if isinstance(value, dict):
        names: dict[str, str] = {}
        for key in value:
            name = _spelled_out(key)
            while name in names or (name != key and name in value):
                name += "_"
            names[name] = key
        members = [f"{_ENCODER.encode(name)}:{json_text(value[key])}" for name, key in names.items()]
        return "{" + ",".join(members) + "}"
    return _ENCODER.encode(value)


def _spelled_out(text: str) -> str:
    return _UNSTORABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _fits_numeric(literal: str) -> bool:
    match = _NUMBER.fullmatch(literal)
    assert match is not None
    whole, fraction, exponent = match[1], match[2] or "", match[3] or "0"
    if len(exponent) > 7:  # past both limits; `int` would refuse thousands of digits
        return False
    shift = int(exponent)
    return len(whole) + shift <= _NUMERIC_DIGITS_BEFORE_POINT and len(fraction) - shift <= _NUMERIC_DIGITS_AFTER_POINT


def read_text(value: Any) -> TextReading:
    """Text unchanged, a number as its digits, empty as NULL, U+FFFD for each NUL and lone surrogate."""
    if not isinstance(value, str):
        return _UNREADABLE
    storable = _UNSTORABLE.sub("\ufffd", str(value))
    return storable or None, storable == value


def read_timestamp(value: Any) -> IntegerReading:
    """Microseconds since the epoch, from unix seconds (or milliseconds) or ISO-8601; empty and zero as NULL.

    Digits beyond the microsecond are cut off and kept in `extra`. Years outside 1 to 9999 (UTC) are unreadable.
    """
    if type(value) is Number and len(value) == 10 and value.isdigit():  # 2001 to 2286, without Decimal's cost
        return int(value) * 1_000_000, True
    if not isinstance(value, str):
        return _UNREADABLE
    if not value:
        return _NULL
    iso_8601 = _ISO_8601.fullmatch(value)
    return _read_unix_time(value) if iso_8601 is None else _read_iso_8601(iso_8601)


def read_seconds(value: Any) -> IntegerReading:
    """Seconds in 64 bits, from a number or numeric string of whole value (`12.0`, `"1e3"`); empty as NULL."""
    if not isinstance(value, str):
        return _UNREADABLE
    if not value:
        return _NULL
    number = _decimal(value)
    if number is None or not -(2**63) <= number < 2**63:
        return _UNREADABLE
    seconds = int(number)
    return (seconds, True) if seconds == number else _UNREADABLE


def _decimal(text: str) -> Decimal | None:
    """The exact value of a number's text; None for other text and for exponents beyond ±9999."""
    match = _NUMBER.fullmatch(text)
    if match is None:
        return None
    whole, fraction, exponent = match[1], match[2] or "", match[3] or ""
    if not (whole + fraction).strip("0"):  # zero has any exponent
        return Decimal(0)
    if len(exponent.lstrip("+-0")) > _LONGEST_EXPONENT:
        return None
    return Decimal(text)


def _read_unix_time(text: str) -> IntegerReading:
    number = _decimal(text)
    if number is None:
        return _UNREADABLE
    if not number:
        return _NULL
    in_seconds = -_LARGEST_IN_SECONDS <= number <= _LARGEST_IN_SECONDS
    microseconds = number.scaleb(6 if in_seconds else 3, _EXACT)
    if not _FIRST_MICROSECOND <= microseconds < _LAST_MICROSECOND + 1:
        return _UNREADABLE
    return int(microseconds), int(microseconds) == microseconds


def _read_iso_8601(match: re.Match[str]) -> IntegerReading:
    try:
        moment = datetime.fromisoformat(match[0])
    except ValueError:  # a day that no calendar has
        return _UNREADABLE
    microseconds = microseconds_since_epoch(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    if not _FIRST_MICROSECOND <= microseconds <= _LAST_MICROSECOND:  # its offset leads out of the calendar
        return _UNREADABLE
    return microseconds, match[1] is None or not match[1][6:].strip("0")


def microseconds_since_epoch(moment: datetime) -> int:
    """An aware datetime as the integer that a timestamp column is made of."""
    return (moment - _EPOCH) // _MICROSECOND
