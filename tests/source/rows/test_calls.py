"""The promises of normalising, one rule a test: an answer in, a row out."""

from __future__ import annotations

from datetime import UTC, datetime

import pyarrow as pa
import pytest

from sources.intercom.rows.calls import SCHEMA, call_id, normalise, parse_json, to_batch
from tests.support.calls import FETCHED_AT, normalised, stored, with_field

# --- the table


def test_the_columns_are_those_of_the_contract() -> None:
    text, seconds, timestamp = pa.string(), pa.int64(), pa.timestamp("us", tz="UTC")
    assert [(field.name, field.type) for field in SCHEMA] == [
        ("id", text),
        ("type", text),
        ("conversation_id", text),
        ("admin_id", text),
        ("contact_id", text),
        ("state", text),
        ("recording_url", text),
        ("transcription_url", text),
        ("call_type", text),
        ("direction", text),
        ("ended_reason", text),
        ("phone", text),
        ("fin_recording_url", text),
        ("fin_transcription_url", text),
        ("initiated_at", timestamp),
        ("answered_at", timestamp),
        ("ended_at", timestamp),
        ("created_at", timestamp),
        ("updated_at", timestamp),
        ("duration", seconds),
        ("talk_time", seconds),
        ("queue_time", seconds),
        ("hold_time", seconds),
        ("extra", text),
        ("_fetched_at", timestamp),
        ("_deleted_at", timestamp),
    ]


def test_only_the_id_must_be_there() -> None:
    assert [field.name for field in SCHEMA if not field.nullable] == ["id"]


def test_each_field_goes_to_its_column() -> None:
    assert stored(
        """{"type": "call", "id": "1042", "conversation_id": "55", "admin_id": "7", "contact_id": "6553c0ff",
        "state": "completed", "initiated_at": 1700000000, "answered_at": 1700000012,
        "ended_at": "2023-11-14T22:15:00Z", "created_at": 1700000001, "updated_at": "2023-11-14T23:00:00Z",
        "recording_url": "https://a.test/r", "transcription_url": "https://a.test/t", "call_type": "phone",
        "direction": "outbound", "ended_reason": "hangup", "phone": "+15551234567",
        "fin_recording_url": "https://a.test/fr", "fin_transcription_url": "https://a.test/ft",
        "duration": 88, "talk_time": 76, "queue_time": 12, "hold_time": 3}"""
    ) == {
        "id": "1042",
        "type": "call",
        "conversation_id": "55",
        "admin_id": "7",
        "contact_id": "6553c0ff",
        "state": "completed",
        "recording_url": "https://a.test/r",
        "transcription_url": "https://a.test/t",
        "call_type": "phone",
        "direction": "outbound",
        "ended_reason": "hangup",
        "phone": "+15551234567",
        "fin_recording_url": "https://a.test/fr",
        "fin_transcription_url": "https://a.test/ft",
        "initiated_at": datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC),
        "answered_at": datetime(2023, 11, 14, 22, 13, 32, tzinfo=UTC),
        "ended_at": datetime(2023, 11, 14, 22, 15, tzinfo=UTC),
        "created_at": datetime(2023, 11, 14, 22, 13, 21, tzinfo=UTC),
        "updated_at": datetime(2023, 11, 14, 23, 0, tzinfo=UTC),
        "duration": 88,
        "talk_time": 76,
        "queue_time": 12,
        "hold_time": 3,
        "extra": None,
        "_fetched_at": datetime(2026, 3, 1, 12, 30, 15, 250_000, tzinfo=UTC),
        "_deleted_at": None,
    }


def test_null_and_absent_fields_are_null() -> None:
    row = stored('{"id":"1","phone":null,"ended_at":null,"duration":null,"colour":null}')
    kept = {name: value for name, value in row.items() if value is not None}
    assert kept == {"id": "1", "_fetched_at": FETCHED_AT}


def test_no_rows_are_a_batch_of_the_same_schema() -> None:
    batch = to_batch([])
    assert batch.schema == SCHEMA
    assert batch.num_rows == 0


def test_rows_keep_their_order_in_a_batch() -> None:
    batch = to_batch([normalised('{"id":"b","duration":2}'), normalised('{"id":"a","duration":null}')])
    assert batch.schema == SCHEMA
    assert batch.column("id").to_pylist() == ["b", "a"]
    assert batch.column("duration").to_pylist() == [2, None]


def test_a_row_holds_timestamps_as_microseconds() -> None:
    row = normalised('{"id":"1","created_at":1700000000}')
    assert row.values[SCHEMA.get_field_index("created_at")] == 1_700_000_000_000_000
    assert row.values[SCHEMA.get_field_index("_fetched_at")] == 1_772_368_215_250_000


# --- ids


@pytest.mark.parametrize(
    ("literal", "expected"),
    [
        ('"123"', "123"),
        ('"00123"', "00123"),
        ("123", "123"),
        ("12345678901234567890123", "12345678901234567890123"),
        ("1.10", "1.10"),
        ('""', None),
        ("null", None),
        ("true", None),
        ("[]", None),
        ('{"id":"1"}', None),
    ],
)
def test_the_id_is_text_whatever_its_json_type(literal: str, expected: str | None) -> None:
    call = parse_json(f'{{"id":{literal}}}'.encode())
    assert call_id(call) == expected
    assert normalise(call, FETCHED_AT).values[0] == expected


def test_a_call_without_an_id_has_none() -> None:
    assert call_id({}) is None


# --- text


@pytest.mark.parametrize(
    ("literal", "expected"),
    [
        ('"completed"', "completed"),
        ('" padded\\t"', " padded\t"),
        ('"Zoë 电话"', "Zoë 电话"),
        (r'"\ud83d\ude00"', "😀"),
        ('"line\\nbreak\\u0001"', "line\nbreak\x01"),
        ('"null"', "null"),
        ("0", "0"),
        ("-0", "-0"),
        ("1.10", "1.10"),
        ("1E5", "1E5"),
        ("1234567890123456789012345678901234567890", "1234567890123456789012345678901234567890"),
    ],
)
def test_text_is_kept_exactly_and_numbers_with_all_digits(literal: str, expected: str) -> None:
    row = stored(with_field("state", literal))
    assert row["state"] == expected
    assert row["extra"] is None


def test_empty_text_becomes_null_and_is_neither_kept_nor_counted() -> None:
    row = normalised('{"id":"1","phone":"","ended_at":"","duration":""}')
    assert [value for value in row.values if value is not None] == ["1", 1_772_368_215_250_000]
    assert row.unreadable == 0


@pytest.mark.parametrize("field", ["id", "phone", "ended_at", "duration"])
@pytest.mark.parametrize("literal", ["true", "false", "{}", '{"a":[1,null]}', "[]", '["x"]'])
def test_what_is_no_text_or_number_goes_to_extra_and_is_counted(field: str, literal: str) -> None:
    row = normalised(f'{{"{field}":{literal}}}')
    assert row.values[SCHEMA.get_field_index(field)] is None
    assert row.values[SCHEMA.get_field_index("extra")] == f'{{"{field}":{literal}}}'
    assert row.unreadable == 1


def test_every_unreadable_field_is_counted() -> None:
    assert normalised('{"id":"1","phone":true,"ended_at":"soon","hold_time":1.5,"new":true}').unreadable == 3


@pytest.mark.parametrize(
    ("literal", "column", "extra"),
    [
        (r'"a\u0000b"', "a\ufffdb", r'{"state":"a\\u0000b"}'),
        (r'"\u0000"', "\ufffd", r'{"state":"\\u0000"}'),
        (r'"\ud800"', "\ufffd", r'{"state":"\\ud800"}'),
        (r'"\uDFFFx\uD83D"', "\ufffdx\ufffd", r'{"state":"\\udfffx\\ud83d"}'),
        (r'"é \"\u0000\" \ud83d\ude00"', 'é "\ufffd" 😀', r'{"state":"é \"\\u0000\" 😀"}'),
    ],
)
def test_nul_and_lone_surrogates_are_replaced_and_spelled_out(literal: str, column: str, extra: str) -> None:
    row = stored(with_field("state", literal))
    assert row["state"] == column
    assert row["extra"] == extra


def test_a_replaced_character_is_not_an_unreadable_value() -> None:
    assert normalised(r'{"id":"1","state":"a\u0000b","new":"\u0000"}').unreadable == 0
