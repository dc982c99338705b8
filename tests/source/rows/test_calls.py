"""The promises of normalising, one rule a test: an answer in, a row out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import duckdb
import psycopg2
import pyarrow as pa
import pytest

from sources.intercom.rows.calls import SCHEMA, CallRow, call_id, normalise, parse_json, to_batch

FETCHED_AT = datetime(2026, 3, 1, 12, 30, 15, 250_000, tzinfo=UTC)


def normalised(body: str) -> CallRow:
    return normalise(parse_json(body.encode()), FETCHED_AT)


def stored(body: str) -> dict[str, Any]:
    """The row as a reader of the table gets it: timestamps as datetimes."""
    (row,) = to_batch([normalised(body)]).to_pylist()
    return row


def with_field(field: str, literal: str) -> str:
    return f'{{"id":"1","{field}":{literal}}}'


def nested(levels: int) -> str:
    return "[" * levels + "]" * levels


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
def test_text_is_kept_to_the_letter_and_numbers_by_their_digits(literal: str, expected: str) -> None:
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


# --- extra


@pytest.mark.parametrize(
    "literal",
    ['"x"', '""', "{}", "[]", "false", "0", '{"a":null,"b":[null,true,{"c":"d"}]}', '"电话 \\n \\" \\\\ /"'],
)
def test_unknown_fields_are_kept_in_extra_uncounted(literal: str) -> None:
    row = normalised(with_field("tags", literal))
    assert row.values[SCHEMA.get_field_index("extra")] == f'{{"tags":{literal}}}'
    assert row.unreadable == 0


def test_an_unknown_null_is_not_kept() -> None:
    assert stored('{"id":"1","tags":null}')["extra"] is None
    assert stored('{"id":"1","tags":null,"team":1}')["extra"] == '{"team":1}'


@pytest.mark.parametrize("field", ["extra", "_fetched_at", "_deleted_at", "_dlt_load_id", "_dlt_id", "", "ID"])
def test_fields_named_like_our_own_columns_go_to_extra(field: str) -> None:
    row = stored(with_field(field, '"2001-01-01T00:00:00Z"'))
    assert row["extra"] == f'{{"{field}":"2001-01-01T00:00:00Z"}}'
    assert row["_fetched_at"] == FETCHED_AT
    assert row["_deleted_at"] is None


@pytest.mark.parametrize("literal", ["1.10", "-0", "1e5", "1E+400", "0.1", "1e-3000", "1234567890" * 4, "7" * 5000])
def test_numbers_in_extra_keep_every_digit(literal: str) -> None:
    assert stored(with_field("n", f"[{literal}]"))["extra"] == f'{{"n":[{literal}]}}'


@pytest.mark.parametrize(
    ("literal", "fits"),
    [
        ("9" * 131_072, True),
        ("9" * 131_073, False),
        ("1e131071", True),
        ("1e131072", False),
        ("12e131071", False),
        ("0." + "1" * 16_383, True),
        ("0." + "1" * 16_384, False),
        ("1e-16383", True),
        ("1e-16384", False),
        ("1.5e-16383", False),
        ("1.5e131071", True),
        ("1e" + "9" * 5000, False),
        ("1e-" + "9" * 5000, False),
    ],
)
def test_a_number_postgresql_cannot_hold_is_a_string_of_its_digits(literal: str, fits: bool) -> None:
    written = literal if fits else f'"{literal}"'
    assert stored(with_field("n", literal))["extra"] == f'{{"n":{written}}}'


def test_nul_and_surrogates_are_spelled_out_at_every_depth() -> None:
    body = r'{"id":"1","a":[{"b":"x\u0000"},"\udc00"],"\u0000":{"\ud800":1}}'
    extra = r'{"a":[{"b":"x\\u0000"},"\\udc00"],"\\u0000":{"\\ud800":1}}'
    assert stored(body)["extra"] == extra


@pytest.mark.parametrize(
    ("body", "extra"),
    [
        (r'{"a\u0000":1,"a\\u0000":2}', r'{"a\\u0000_":1,"a\\u0000":2}'),
        (r'{"a\\u0000":2,"a\u0000":1}', r'{"a\\u0000":2,"a\\u0000_":1}'),
        (
            r'{"a\u0000":1,"a\\u0000":2,"a\\u0000_":3}',
            r'{"a\\u0000__":1,"a\\u0000":2,"a\\u0000_":3}',
        ),
        (
            r'{"o":{"\u0000\\u0000":1,"\\u0000\u0000":2}}',
            r'{"o":{"\\u0000\\u0000":1,"\\u0000\\u0000_":2}}',
        ),
    ],
)
def test_keys_that_spelling_out_makes_twins_are_both_kept(body: str, extra: str) -> None:
    assert stored(body)["extra"] == extra


def test_the_deepest_json_that_is_read_can_be_written() -> None:
    assert stored(f'{{"a":{nested(199)}}}')["extra"] == f'{{"a":{nested(199)}}}'
    objects = '{"a":' * 199 + "1" + "}" * 199
    assert stored(f'{{"o":{objects}}}')["extra"] == f'{{"o":{objects}}}'


# --- the databases

NASTY = (
    r"""{"id":"1","state":"\u0000","phone":false,"created_at":1700000000.1234567,"":{"\u0000":"\ud800\\"},"""
    r""""q":"it's \"$$\" %s ; --","a\u0000":"one","a\\u0000":"two","deep":DEEP,"price":1.10,"n":["""
    + ",".join(["1e131071", "1e131072", "1e-16384", "9" * 131_073, "0e999999999", "1234567890" * 4, "-1e5"])
    + "]}"
).replace("DEEP", nested(199))


@pytest.fixture
def connection(postgres_server: str) -> Iterator[Any]:
    with closing(psycopg2.connect(host=postgres_server, user="postgres", dbname="postgres")) as connection:
        yield connection


def test_the_nastiest_extra_is_jsonb_in_postgresql(connection: Any) -> None:
    extra = stored(NASTY)["extra"]
    with connection.cursor() as cursor:
        cursor.execute(
            r"""select j->>'state', j->>'phone', j->>'created_at', j->'' ->> '\u0000', j->>'q', j->>'a\u0000',
            j->>'a\u0000_', j->>'price', j->'n'->>5, jsonb_typeof(j->'n'->0), jsonb_typeof(j->'n'->1)
            from (select %s::jsonb as j)""",
            (extra,),
        )
        (values,) = cursor.fetchall()
    assert values == (
        r"\u0000",
        "false",
        "1700000000.1234567",
        "\\ud800\\",
        'it\'s "$$" %s ; --',
        "two",
        "one",
        "1.10",
        "1234567890123456789012345678901234567890",
        "number",
        "string",
    )


def test_the_nastiest_extra_is_json_in_duckdb() -> None:
    extra = stored(NASTY)["extra"]
    with duckdb.connect() as connection:
        values = connection.execute(
            r"""select j::varchar = ?, j->>'state', j->>'phone', j->>'created_at', j->>'q',
            j->>'$."a\u0000_"', j->>'$.n[5]', json_type(j->'$.n[1]') from (select cast(? as json) as j)""",
            [extra, extra],
        ).fetchall()
    assert values == [
        (
            True,
            r"\u0000",
            "false",
            "1700000000.1234567",
            'it\'s "$$" %s ; --',
            "one",
            "1234567890123456789012345678901234567890",
            "VARCHAR",
        )
    ]
