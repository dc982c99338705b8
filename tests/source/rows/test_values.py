"""The rules of a single value: JSON read exactly; times and durations as integers, or else in `extra`."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from sources.intercom.rows.calls import SCHEMA, parse_json
from tests.support.calls import normalised, stored, with_field

# --- timestamps


@pytest.mark.parametrize(
    ("literal", "expected"),
    [
        ("1700000000", datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)),
        ("1", datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)),
        ("-1", datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("-62135596800", datetime(1, 1, 1, tzinfo=UTC)),
        ("253402300799", datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("1700000000.1", datetime(2023, 11, 14, 22, 13, 20, 100_000, tzinfo=UTC)),
        ("1700000000.000001", datetime(2023, 11, 14, 22, 13, 20, 1, tzinfo=UTC)),
        ("1700000000.5000000000", datetime(2023, 11, 14, 22, 13, 20, 500_000, tzinfo=UTC)),
        ("253402300798.999999", datetime(9999, 12, 31, 23, 59, 58, 999_999, tzinfo=UTC)),
        ("17000000.5", datetime(1970, 7, 16, 18, 13, 20, 500_000, tzinfo=UTC)),
        ("0.5", datetime(1970, 1, 1, 0, 0, 0, 500_000, tzinfo=UTC)),
        ("1.7e9", datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)),
        ('"1700000000"', datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)),
        ('"+1700000000.25"', datetime(2023, 11, 14, 22, 13, 20, 250_000, tzinfo=UTC)),
        ('"2023"', datetime(1970, 1, 1, 0, 33, 43, tzinfo=UTC)),
        ('"20231114"', datetime(1970, 8, 23, 3, 45, 14, tzinfo=UTC)),
    ],
)
def test_unix_seconds_are_exact(literal: str, expected: datetime) -> None:
    row = stored(with_field("ended_at", literal))
    assert row["ended_at"] == expected
    assert row["extra"] is None


@pytest.mark.parametrize(
    ("literal", "expected"),
    [
        ("1700000000123", datetime(2023, 11, 14, 22, 13, 20, 123_000, tzinfo=UTC)),
        ("1700000000123.456", datetime(2023, 11, 14, 22, 13, 20, 123_456, tzinfo=UTC)),
        ('"1700000000123"', datetime(2023, 11, 14, 22, 13, 20, 123_000, tzinfo=UTC)),
        ("253402300800", datetime(1978, 1, 11, 21, 31, 40, 800_000, tzinfo=UTC)),
        ("-253402300800", datetime(1961, 12, 21, 2, 28, 19, 200_000, tzinfo=UTC)),
        ("253402300799999", datetime(9999, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC)),
        ("-62135596800000", datetime(1, 1, 1, tzinfo=UTC)),
    ],
)
def test_numbers_beyond_the_year_9999_are_milliseconds(literal: str, expected: datetime) -> None:
    row = stored(with_field("ended_at", literal))
    assert row["ended_at"] == expected
    assert row["extra"] is None


@pytest.mark.parametrize(
    "literal",
    [
        "-62135596801",
        "-62135596800.000001",
        "-253402300799",
        "253402300800000",
        "-62135596800001",
        "9999999999999999999999",
        "1e30",
        "9" * 5000,
        '"1e999999999"',
        '"1e999999999999999998"',
        '"-1e999999999999999999"',
        '"1e-999999999999999998"',
        '"0.1e1999999999999999997"',
        '"1e-1999999999999999997"',
        '"1e999999999999999999999999"',
        '"-1e999999999999999999999999"',
        '"1e-999999999999999999999999"',
        f'"1e{"9" * 5000}"',
    ],
)
def test_a_year_that_cannot_be_goes_to_extra_and_is_counted(literal: str) -> None:
    row = normalised(with_field("ended_at", literal))
    assert row.values[SCHEMA.get_field_index("ended_at")] is None
    assert row.values[SCHEMA.get_field_index("extra")] == f'{{"ended_at":{literal}}}'
    assert row.unreadable == 1


@pytest.mark.parametrize("literal", ["0", "-0", "0.0", "0e5", "0e99999999999999999999", '"0"', '"000"', '"0.0"', '""'])
def test_a_zero_time_is_null_and_nothing_is_kept(literal: str) -> None:
    row = normalised(with_field("ended_at", literal))
    assert row.values[SCHEMA.get_field_index("ended_at")] is None
    assert row.values[SCHEMA.get_field_index("extra")] is None
    assert row.unreadable == 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2023-11-14T22:15:00Z", datetime(2023, 11, 14, 22, 15, tzinfo=UTC)),
        ("2023-11-14T22:15:00", datetime(2023, 11, 14, 22, 15, tzinfo=UTC)),
        ("2023-11-14 22:15:00", datetime(2023, 11, 14, 22, 15, tzinfo=UTC)),
        ("2023-11-14T22:15Z", datetime(2023, 11, 14, 22, 15, tzinfo=UTC)),
        ("2023-11-14", datetime(2023, 11, 14, tzinfo=UTC)),
        ("2023-11-14T22:15:00+05:30", datetime(2023, 11, 14, 16, 45, tzinfo=UTC)),
        ("2023-11-14T22:15:00-0800", datetime(2023, 11, 15, 6, 15, tzinfo=UTC)),
        ("2023-11-14T22:15:00+01", datetime(2023, 11, 14, 21, 15, tzinfo=UTC)),
        ("2023-11-14T22:15:00.25Z", datetime(2023, 11, 14, 22, 15, 0, 250_000, tzinfo=UTC)),
        ("2023-11-14T22:15:00,123456Z", datetime(2023, 11, 14, 22, 15, 0, 123_456, tzinfo=UTC)),
        ("2023-11-14T22:15:00.123456000Z", datetime(2023, 11, 14, 22, 15, 0, 123_456, tzinfo=UTC)),
        ("2024-02-29T23:59:59Z", datetime(2024, 2, 29, 23, 59, 59, tzinfo=UTC)),
        ("1970-01-01T00:00:00Z", datetime(1970, 1, 1, tzinfo=UTC)),
        ("0001-01-01T00:00:00Z", datetime(1, 1, 1, tzinfo=UTC)),
        ("9999-12-31T23:59:59.999999Z", datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)),
    ],
)
def test_iso_8601_is_read_with_z_an_offset_or_as_utc(text: str, expected: datetime) -> None:
    row = stored(with_field("ended_at", f'"{text}"'))
    assert row["ended_at"] == expected
    assert row["extra"] is None


@pytest.mark.parametrize(
    "text",
    [
        "soon",
        " 1700000000",
        "1_700_000_000",
        "\u0661\u0667\u0660\u0660\u0660\u0660\u0660\u0660\u0660\u0660",
        "\u0662\u0660\u0662\u0663-11-14",
        "2023-02-30T00:00:00Z",
        "2023-13-01",
        "0000-01-01",
        "2023-11-14T24:00:00Z",
        "2023-11-14T23:59:60Z",
        "2023-11-14T22:15:00+05:60",
        "2023-11-14T22:15:00+24:00",
        "2023-11-14T22:15:00Z ",
        "2023-11-14X22:15:00Z",
        "2023-W46-2",
        "20231114T221500Z",
        "0001-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
        "10000-01-01T00:00:00Z",
        "nan",
        "Infinity",
    ],
)
def test_text_that_is_no_time_goes_to_extra_and_is_counted(text: str) -> None:
    row = normalised(with_field("ended_at", f'"{text}"'))
    assert row.values[SCHEMA.get_field_index("ended_at")] is None
    assert row.values[SCHEMA.get_field_index("extra")] == f'{{"ended_at":"{text}"}}'
    assert row.unreadable == 1


@pytest.mark.parametrize(
    ("literal", "microseconds"),
    [
        ("1700000000.1234567", 1_700_000_000_123_456),
        ("1700000000.9999999", 1_700_000_000_999_999),
        ("1700000000." + "0" * 50 + "1", 1_700_000_000_000_000),
        ("1700000000." + "3" * 9000, 1_700_000_000_333_333),
        ("253402300798.99999999", 253_402_300_798_999_999),
        ("253402300799999.9995", 253_402_300_799_999_999),
        ("1700000000123.4567", 1_700_000_000_123_456),
        ("1e-9", 0),
        ("1e-9999", 0),
        ('"2023-11-14T22:15:00.1234567Z"', 1_700_000_100_123_456),
        ('"2023-11-14T22:15:00.9999999999999+00:00"', 1_700_000_100_999_999),
    ],
)
def test_digits_beyond_the_microsecond_are_cut_and_the_original_kept(literal: str, microseconds: int) -> None:
    row = normalised(with_field("ended_at", literal))
    assert row.values[SCHEMA.get_field_index("ended_at")] == microseconds
    assert row.values[SCHEMA.get_field_index("extra")] == f'{{"ended_at":{literal}}}'
    assert row.unreadable == 0


# --- seconds


@pytest.mark.parametrize(
    ("literal", "expected"),
    [
        ("0", 0),
        ("12", 12),
        ("-3", -3),
        ("12.0", 12),
        ("1e3", 1000),
        ("0e99999999999999999999", 0),
        ('"12"', 12),
        ('"0"', 0),
        ('"12.00"', 12),
        ('"+7"', 7),
        ("9223372036854775807", 9_223_372_036_854_775_807),
        ("-9223372036854775808", -9_223_372_036_854_775_808),
        ("9007199254740993.0", 9_007_199_254_740_993),
    ],
)
def test_whole_seconds_are_integers(literal: str, expected: int) -> None:
    row = stored(with_field("duration", literal))
    assert row["duration"] == expected
    assert row["extra"] is None


@pytest.mark.parametrize(
    "literal",
    [
        "12.5",
        "1e-3",
        '"1e999999999999999998"',
        '"1e-999999999999999998"',
        '"Infinity"',
        '"-inf"',
        "9223372036854775807.5",
        "9223372036854775808",
        "-9223372036854775809",
        "1e30",
        "12.0000000000000000000000000000000000001",
        '"12.5"',
        '"00:12"',
        '" 12"',
        '"NaN"',
        "true",
    ],
)
def test_seconds_that_are_not_whole_or_too_large_go_to_extra_and_are_counted(literal: str) -> None:
    row = normalised(with_field("duration", literal))
    assert row.values[SCHEMA.get_field_index("duration")] is None
    assert row.values[SCHEMA.get_field_index("extra")] == f'{{"duration":{literal}}}'
    assert row.unreadable == 1


@pytest.mark.parametrize("field", ["duration", "ended_at"])
@pytest.mark.parametrize("literal", ["1e999999999", "-1e99999999999999999999999", "9" * 5000 + "e999999"])
def test_absurd_numbers_are_refused_without_being_computed(field: str, literal: str) -> None:
    row = normalised(with_field(field, literal))
    assert row.values[SCHEMA.get_field_index(field)] is None
    assert row.values[SCHEMA.get_field_index("extra")] == f'{{"{field}":"{literal}"}}'
    assert row.unreadable == 1


# --- JSON


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html></html>",
        b'{"id":"1"',
        b'{"id":"1"} x',
        b'{"id":"1",}',
        b'{"n":NaN}',
        b'{"n":Infinity}',
        b'{"n":-Infinity}',
        b'{"n":01}',
        b'{"s":"\xff"}',
        b'{"s":"\xed\xa0\x80"}',
        '{"s":"x"}'.encode("utf-16"),
        b'{"s":"a\x00"}',
        b'{"s":"\\ud8"}',
        b"[" * 201 + b"]" * 201,
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'["[",' + b'{"a\\"}":[' * 101 + b"]}" * 101 + b"]",
    ],
)
def test_what_is_not_json_is_a_value_error(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_json(body)


def test_depth_is_refused_by_its_place() -> None:
    with pytest.raises(ValueError, match="nested deeper than 200 levels at character 200"):
        parse_json(b"[" * 201 + b"]" * 201)


def test_a_utf_8_bom_is_no_part_of_the_json() -> None:
    assert parse_json(b'\xef\xbb\xbf{"id":"1"}') == {"id": "1"}


def test_of_a_key_given_twice_the_last_value_holds() -> None:
    assert parse_json(b'{"id":"1","id":"2"}') == {"id": "2"}


def test_brackets_within_text_or_side_by_side_are_not_depth() -> None:
    text = "[{" * 300
    assert parse_json(f'["{text}\\"{text}"]'.encode()) == [f'{text}"{text}']
    assert parse_json(b"[" + b"[]," * 300 + b"[]]") == [[]] * 301
