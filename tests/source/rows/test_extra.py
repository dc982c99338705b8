"""The column `extra`: what is kept there of an answer, and that both databases can read it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import duckdb
import psycopg2
import pytest

from sources.intercom.rows.calls import SCHEMA
from tests.support.calls import FETCHED_AT, normalised, stored, with_field


def nested(levels: int) -> str:
    return "[" * levels + "]" * levels


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
def test_keys_that_become_the_same_when_spelled_out_are_both_kept(body: str, extra: str) -> None:
    assert stored(body)["extra"] == extra


def test_the_deepest_json_that_is_read_can_be_written() -> None:
    assert stored(f'{{"a":{nested(199)}}}')["extra"] == f'{{"a":{nested(199)}}}'
    objects = '{"a":' * 199 + "1" + "}" * 199
    assert stored(f'{{"o":{objects}}}')["extra"] == f'{{"o":{objects}}}'


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


def test_the_most_difficult_extra_is_jsonb_in_postgresql(connection: Any) -> None:
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


def test_the_most_difficult_extra_is_json_in_duckdb() -> None:
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
