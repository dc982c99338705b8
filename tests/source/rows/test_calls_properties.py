"""Whatever the API answers: no exception, no silent loss, always a row that every destination takes.

The oracle below is written from the specification with the standard library alone (Fraction for exact
numbers) and shares no code with what it judges.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

import pyarrow as pa
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sources.intercom.rows.calls import SCHEMA, call_id, normalise, parse_json, to_batch
from tests.support.examples import up_to

FETCHED_AT = datetime(2026, 3, 1, 12, 30, 15, 250_000, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

TIMES = ["initiated_at", "answered_at", "ended_at", "created_at", "updated_at"]
SECONDS = ["duration", "talk_time", "queue_time", "hold_time"]
OURS = ["extra", "_fetched_at", "_deleted_at"]
TEXTS = [name for name in SCHEMA.names if name not in TIMES + SECONDS + OURS]
FIELDS = TEXTS + TIMES + SECONDS

BACKSLASH = "\\"


class Literal(str):
    """A number of the body, by its literal."""


# --- bodies: JSON texts written by hand, so that literals and escapes are ours


def json_string(text: str) -> str:
    return json.dumps(text)  # escapes lone surrogates and NUL


nasty = st.sampled_from(["\0", "\ud800", "\udfff", BACKSLASH, '"', "_", "u0000", r"\u0000", "\x85", "é", "😀"])
texts = st.lists(nasty | st.characters(codec=None), max_size=4).map("".join)
digits = st.text("0123456789", max_size=12)
# Decimal's own limits are at 999999999999999999 and 1999999999999999997
exponents = (
    st.sampled_from(["", "", "", "e0", "E3", "e-2", "e+15", "e-400", "e99999", "e-9999", "e007", "e-00099999"])
    | st.integers(-(10**20), 10**20).map("e{}".format)
    | st.builds("{}{}".format, st.sampled_from(["e", "e-", "E+"]), st.integers(10**18 - 20, 10**18 + 20))
    | st.builds("{}{}".format, st.sampled_from(["e", "e-"]), st.integers(2 * 10**18 - 20, 2 * 10**18 + 20))
)
numbers = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["", "-"]),
    st.integers(0, 10**25).map(str)
    | st.sampled_from(["0", "1700000000", "1700000000123", "253402300799", "253402300800", "9223372036854775807"]),
    st.just("") | digits.map(lambda fraction: f".{fraction}0"),
    exponents,
)
not_numbers = st.sampled_from(["NaN", "nan", "sNaN", "-nan", "Infinity", "inf", "-inf", "+Infinity", "1e", "e5", "--1"])
two_digits = st.integers(0, 61).map("{:02}".format)
iso_times = st.builds(
    "{:04}-{}{}{}:{}{}{}".format,
    st.sampled_from([0, 1, 1969, 2023, 2024, 9999, 10000]),
    st.sampled_from(["01-01", "12-31", "02-29", "06-31", "11-14"]),
    st.sampled_from(["T", " "]),
    st.integers(0, 25).map("{:02}".format),
    two_digits,
    st.just("") | two_digits.map(":{}".format) | st.builds(":{}{}{}".format, two_digits, st.sampled_from(".,"), digits),
    st.sampled_from(["", "Z", "+00:00", "-0330", "+14", "+05:45"]),
)
scalars = (
    numbers
    | texts.map(json_string)
    | (numbers | numbers.map("+{}".format) | not_numbers).map(json_string)
    | iso_times.map(json_string)
    | st.sampled_from(["null", "true", "false", '""', '"2023-11-14"'])
)


def arrays_and_objects(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.lists(values, max_size=3).map(lambda items: f"[{','.join(items)}]") | objects(texts, values)


def objects(keys: st.SearchStrategy[str], values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.dictionaries(keys, values, max_size=6).map(
        lambda members: "{" + ",".join(f"{json_string(key)}:{value}" for key, value in members.items()) + "}"
    )


json_values = st.recursive(scalars, arrays_and_objects, max_leaves=3)
field_names = st.sampled_from([*FIELDS, *OURS, "_dlt_id", "team"]) | texts
calls = objects(field_names, scalars | json_values)


# --- the oracle


def refuse(constant: str) -> Any:
    raise AssertionError(f"{constant} is not JSON")


def read(text: str) -> Any:
    return json.loads(text, parse_int=Literal, parse_float=Literal, parse_constant=refuse)


def spelled(text: str) -> str:
    return "".join(
        f"{BACKSLASH}u{ord(character):04x}" if character == "\0" or 0xD800 <= ord(character) <= 0xDFFF else character
        for character in text
    )


def exact(text: str) -> Fraction | None:
    """The value of a number's text; None where it is none, or so far off that no column could hold it."""
    if not re.fullmatch(r"[+-]?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]+)?", text):
        return None
    mantissa, _, exponent = text.lower().partition("e")
    if Fraction(mantissa) == 0:
        return Fraction(0)
    return Fraction(text) if len(exponent.lstrip("+-0")) < 5 else None


def expected_text(value: Any) -> tuple[str | None, bool]:
    if not isinstance(value, str):
        return None, False
    storable = "".join("\ufffd" if spelled(character) != character else character for character in value)
    return storable or None, storable == value


def expected_seconds(value: Any) -> tuple[int | None, bool]:
    if value == "":
        return None, True
    number = exact(value) if isinstance(value, str) else None
    if number is None or number.denominator != 1 or not -(2**63) <= number < 2**63:
        return None, False
    return int(number), True


def expected_time(value: Any) -> tuple[int | None, bool]:
    if value == "":
        return None, True
    if not isinstance(value, str):
        return None, False
    number = exact(value)
    if number is None:
        return expected_iso_time(value)
    if number == 0:
        return None, True
    if abs(number) > 253402300799:
        number /= 1000
    if not -62135596800 <= number < 253402300800:
        return None, False
    microseconds = int(number * 1_000_000)
    return microseconds, microseconds == number * 1_000_000


def expected_iso_time(text: str) -> tuple[int | None, bool]:
    match = re.fullmatch(
        r"(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d+))?)?(Z|[+-]\d\d(?::?\d\d)?)?)?",
        text,
        re.ASCII,
    )
    if match is None:
        return None, False
    year, month, day, hour, minute, second = (int(part or 0) for part in match.groups()[:6])
    try:
        moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC) - EPOCH
    except ValueError:
        return None, False
    offset = (match[8] or "Z").replace("Z", "+0000").replace(":", "").ljust(5, "0")
    moment -= timedelta(hours=int(offset[1:3]), minutes=int(offset[3:])) * (-1 if offset[0] == "-" else 1)
    fraction = Fraction("0." + (match[7] or "0")) * 1_000_000
    microseconds = (moment.days * 86_400 + moment.seconds) * 1_000_000 + int(fraction)
    if not -62135596800 * 1_000_000 <= microseconds < 253402300800 * 1_000_000:
        return None, False
    return microseconds, fraction.denominator == 1


def expected_columns(call: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any], int]:
    """The columns of the API's fields, what must be in `extra`, and the count of unreadable values."""
    columns: dict[str, Any] = {}
    extra = {name: value for name, value in call.items() if name not in FIELDS and value is not None}
    unreadable = 0
    rules = [(TEXTS, expected_text), (TIMES, expected_time), (SECONDS, expected_seconds)]
    for names, rule in rules:
        for name in names:
            value = call.get(name)
            column, whole = (None, True) if value is None else rule(value)
            columns[name] = column
            if not whole:
                extra[name] = value
                unreadable += column is None
    return columns, extra, unreadable


def assert_says(written: Any, original: Any) -> None:
    """`written`, out of `extra`, says all that `original` said, NUL and surrogates spelled out."""
    if isinstance(original, dict):
        assert isinstance(written, dict)
        assert len(written) == len(original)
        for (written_name, written_value), (name, value) in zip(written.items(), original.items(), strict=True):
            if spelled(name) == name:
                assert written_name == name
            else:
                assert written_name.rstrip("_") == spelled(name).rstrip("_")
            assert_says(written_value, value)
    elif isinstance(original, list):
        assert isinstance(written, list)
        assert len(written) == len(original)
        for written_item, item in zip(written, original, strict=True):
            assert_says(written_item, item)
    elif isinstance(original, Literal):
        assert str(written) == str(original)
    elif isinstance(original, str):
        assert type(written) is str
        assert written == spelled(original)
    else:
        assert written is original


# --- the promises


@settings(max_examples=up_to(2000), deadline=None)
@given(calls)
@example(r'{"a\u0000":1,"a\\u0000":2,"a\\u0000_":3}')
def test_each_value_is_in_its_column_or_in_extra(body: str) -> None:
    call = read(body)
    columns, extra, unreadable = expected_columns(call)
    row = normalise(parse_json(body.encode()), FETCHED_AT)
    values = dict(zip(SCHEMA.names, row.values, strict=True))
    assert {name: values[name] for name in FIELDS} == columns
    assert row.unreadable == unreadable
    assert values["_fetched_at"] == 1_772_368_215_250_000
    assert values["_deleted_at"] is None
    if not extra:
        assert values["extra"] is None
        return
    written = read(str(values["extra"]))
    order = [name for name in call if name in extra]
    assert_says(written, {name: extra[name] for name in order})


@settings(max_examples=up_to(1000), deadline=None)
@given(calls)
def test_extra_is_json_without_nul_or_surrogates(body: str) -> None:
    extra = normalise(parse_json(body.encode()), FETCHED_AT).values[SCHEMA.names.index("extra")]
    if extra is None:
        return
    text = str(extra).encode()  # UTF-8 has no surrogates
    assert not re.search(rb"(?<!\\)(?:\\\\)*\\u(?:0000|[dD][89a-fA-F])", text)
    assert isinstance(read(text.decode()), dict)


@settings(max_examples=up_to(1000), deadline=None)
@given(st.lists(calls, max_size=3))
def test_any_rows_are_a_batch_of_the_schema(bodies: list[str]) -> None:
    rows = [normalise(parse_json(body.encode()), FETCHED_AT) for body in bodies]
    batch = to_batch(rows)
    assert batch.schema == SCHEMA
    assert batch.num_rows == len(bodies)
    for position, field in enumerate(SCHEMA):
        column = batch.column(position)
        column.validate(full=True)
        plain = column.cast(pa.int64()) if pa.types.is_timestamp(field.type) else column
        assert plain.to_pylist() == [row.values[position] for row in rows]


@settings(max_examples=up_to(1000), deadline=None)
@given(json_values)
def test_the_id_is_usable_text_or_none(literal: str) -> None:
    body = f'{{"id":{literal}}}'
    value = read(body)["id"]
    expected = str(value) if isinstance(value, str) and value != "" else None
    found = call_id(parse_json(body.encode()))
    assert found == expected
    assert found is None or type(found) is str


@settings(max_examples=up_to(2000), deadline=None)
@given(
    st.binary() | st.text(st.sampled_from('[]{}",:\\u0d8 eE+-.1NaIn\0')).map(str.encode) | json_values.map(str.encode)
)
@example(b"[" * 100_000)
@example(b'{"":' * 100_000)
@example(b"9" * 100_000)
@example(b'"\\' * 10_000)
def test_reading_bytes_raises_nothing_but_value_error(body: bytes) -> None:
    try:
        parse_json(body)
    except ValueError:
        return


@settings(max_examples=up_to(1000), deadline=None)
@given(json_values)
def test_reading_json_loses_nothing(body: str) -> None:
    found = parse_json(body.encode())
    assert found == read(body)
    assert json.dumps(found) == json.dumps(read(body))
