"""Ids are read to the letter, trimmed, checked, united and counted."""

from __future__ import annotations

import io
import tempfile
import unicodedata
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sources.intercom.errors import BadIds
from sources.intercom.ids.read import IdList, read_ids, unite
from tests.support.examples import up_to


def read(content: bytes | str, format_name: str, **options: Any) -> IdList:
    raw = content.encode() if isinstance(content, str) else content
    return read_ids([], ["-"], format=format_name, stdin=io.BytesIO(raw), **options)


def ids_of(content: bytes | str, format_name: str, **options: Any) -> list[str | None]:
    return read(content, format_name, **options).ids.to_pylist()


def counts(read_list: IdList) -> tuple[int, int, int, int]:
    return (read_list.duplicates, read_list.blank, read_list.skipped, read_list.passed_over)


def test_ids_are_text_to_the_letter() -> None:
    given_ids = ["007", "12345678901234567890", "0xDEADbeef", "6f1a-44", "é", "a,b", "..."]
    assert read_ids(given_ids, []).ids.to_pylist() == given_ids


def test_integers_are_taken_as_their_digits() -> None:
    assert read_ids([7, 10**30], []).ids.to_pylist() == ["7", "1000000000000000000000000000000"]


@pytest.mark.parametrize("value", [True, 1.5, b"1", ["1"], Decimal("0.1"), object()])
def test_what_is_neither_text_nor_an_integer_is_refused(value: Any) -> None:
    with pytest.raises(BadIds, match=r"id 2 given: .* \(neither text nor "):
        read_ids(["1", value], [])


def test_white_space_around_is_trimmed_the_invisible_too() -> None:
    around = "\t \u00a0\u2003\u3000\ufeff\u200b"
    assert read_ids([f"{around}12{around}"], []).ids.to_pylist() == ["12"]


def test_repeats_and_blanks_are_dropped_and_counted_across_all_the_ways(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("3\n\n1\n")
    (tmp_path / "b.csv").write_text('call_id\n4\n""\n3\n')
    found = read_ids(["1", " ", "2"], [str(tmp_path / "a.txt"), str(tmp_path / "b.csv")])
    assert found.ids.to_pylist() == ["1", "2", "3", "4"]
    assert counts(found) == (2, 3, 0, 0)


def test_ids_are_a_string_array_for_every_format() -> None:
    assert read_ids([], []).ids.type == pa.string()
    assert unite(read_ids(["1"], []), [pa.array([2, 3])], "--ids-sql").ids.type == pa.string()


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("a b", "white space inside"),
        ("a\u00a0b", "white space inside"),
        ("a\u2028b", "white space inside"),
        ("a\x85b", "white space inside"),
        ("a\nb", "white space inside"),
        ("a\x00b", "a control or invisible character inside"),
        ("\x00", "a control or invisible character inside"),
        ("a\x9bb", "a control or invisible character inside"),
        ("a\u200bb", "a control or invisible character inside"),
        ("a/b", r"it holds one of / ? # % \\"),
        ("a?", r"it holds one of / ? # % \\"),
        ("#1", r"it holds one of / ? # % \\"),
        ("%31", r"it holds one of / ? # % \\"),
        ("a\\b", r"it holds one of / ? # % \\"),
        (".", "a path of dots"),
        ("..", "a path of dots"),
        ("x" * 129, "129 characters, more than 128"),
        ("\ud800", "not UTF-8"),
    ],
)
def test_what_cant_be_an_id_is_refused_with_its_place_and_why(value: str, why: str) -> None:
    with pytest.raises(BadIds) as refused:
        read_ids(["1", value], [])
    message = str(refused.value)
    assert message.startswith("id 2 given: '")
    assert why.replace("\\\\", "\\") in message
    assert message.endswith("correct that, or skip it by --bad-ids skip")
    assert message.isprintable()


def test_128_characters_are_an_id_in_any_script() -> None:
    assert read_ids(["é" * 128], []).ids.to_pylist() == ["é" * 128]


def test_a_message_names_the_first_three_and_counts_the_rest(tmp_path: Path) -> None:
    (tmp_path / "calls.txt").write_text("1\na b\n2\nc d\n\ne f\ng h\ni j\n")
    with pytest.raises(BadIds) as refused:
        read_ids([], [str(tmp_path / "calls.txt")])
    place = f"{tmp_path}/calls.txt"
    assert str(refused.value) == (
        f"{place} line 2: 'a b' can't be a call id (white space inside); "
        f"{place} line 4: 'c d' can't be a call id (white space inside); "
        f"{place} line 6: 'e f' can't be a call id (white space inside); "
        "and 2 more like that; correct that, or skip it by --bad-ids skip"
    )


def test_skip_keeps_the_rest_and_reports_what_was_skipped() -> None:
    found = read("1\na b\n2\n", "txt", bad="skip")
    assert found.ids.to_pylist() == ["1", "2"]
    assert found.skipped == 1
    assert found.bad == ("standard input line 2: 'a b' can't be a call id (white space inside)",)


def test_a_long_value_is_shortened_in_the_message() -> None:
    with pytest.raises(BadIds) as refused:
        read_ids(["y" * 5000], [])
    assert "y" * 61 not in str(refused.value)


def test_a_query_is_united_with_the_same_checks() -> None:
    found = unite(read_ids(["2", "2"], []), [pa.array(["1", None, " 2 "]), pa.array([3])], "--ids-sql")
    assert found.ids.to_pylist() == ["2", "1", "3"]
    assert counts(found) == (2, 1, 0, 0)
    with pytest.raises(BadIds, match="--ids-sql row 2: 'a b' can't be a call id"):
        unite(found, [pa.array(["1", "a b"])], "--ids-sql")


def test_many_repeats_keep_the_order_of_first_appearance() -> None:
    found = read("\n".join(str(n % 7) for n in range(2_100_000)), "txt")
    assert found.ids.to_pylist() == ["0", "1", "2", "3", "4", "5", "6"]
    assert found.duplicates == 2_099_993


def test_txt_comments_are_no_ids_and_no_blanks() -> None:
    found = read("# all of May\n1\n  # more\n2 # Ann's\n3\t#x\n\n", "txt")
    assert found.ids.to_pylist() == ["1", "2", "3"]
    assert found.blank == 1


def test_a_hash_inside_a_line_is_no_comment() -> None:
    with pytest.raises(BadIds, match="line 1: '1#2'"):
        read("1#2\n", "txt")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("format_name", ["txt", "csv", "tsv", "jsonl"])
def test_lines_are_counted_with_any_line_end(end: str, format_name: str) -> None:
    with pytest.raises(BadIds, match="standard input line 4: "):
        read(end.join(["11", "", "12", '"a b"', "13", ""]), format_name, header=False)


def test_lines_are_counted_across_blocks() -> None:
    text = "".join(f"{n:020}\r\n" for n in range(100_000)) + "a b\r\n"
    with pytest.raises(BadIds, match="standard input line 100001: 'a b'"):
        read(text, "txt")


def test_csv_lines_are_counted_across_quoted_newlines_blank_and_ragged_rows() -> None:
    text = 'call_id,note\n1,"two\nlines"\n\n2\n3,x\na b,y\n4,z,z\n5,"w"\n'
    found = read(text, "csv", bad="skip")
    assert found.ids.to_pylist() == ["1", "3", "5"]
    assert counts(found) == (0, 1, 3, 0)
    assert found.bad == (
        "standard input line 5: '2' can't be a call id (1 fields where 2 belong)",
        "standard input line 7: 'a b' can't be a call id (white space inside)",
        "standard input line 8: '4,z,z' can't be a call id (3 fields where 2 belong)",
    )


def test_a_long_cell_of_another_column_is_read_over() -> None:
    note = "x" * 500_000
    assert ids_of(f'call_id,note\n1,"{note}\n{note}"\n2,{note}\n', "csv") == ["1", "2"]


def test_a_byte_that_is_not_utf8_is_named_by_its_line() -> None:
    found = read(b"call_id,n\n1,\xe9\n\xe92,x\n", "csv", bad="skip")
    assert found.ids.to_pylist() == ["1"]
    assert found.bad == (r"standard input line 3: '\\xe92' can't be a call id (not UTF-8)",)


def test_the_column_is_call_id_else_id_else_the_only_one() -> None:
    assert ids_of("id,call_id\n1,2\n", "csv") == ["2"]
    assert ids_of("x,id\n1,2\n", "csv") == ["2"]
    assert ids_of("calls\n2\n", "csv") == ["2"]
    assert ids_of("x,y\n1,2\n", "csv", column="y") == ["2"]
    assert ids_of('x," call_id "\n1,2\n', "csv") == ["2"]
    assert ids_of('{"x":1,"call_id":2}\n', "jsonl") == ["2"]
    assert ids_of('[{"id":1,"y":2}]', "json", column="y") == ["2"]


def test_without_a_heading_a_column_is_named_by_its_number() -> None:
    assert ids_of("11\n12\n", "csv", header=False) == ["11", "12"]
    assert ids_of("x\t11\ny\t12\n", "tsv", header=False, column="2") == ["11", "12"]


def test_a_csv_may_be_separated_as_excel_does() -> None:
    assert ids_of('call_id;"Name, first"\r\n1;Ann\r\n', "csv") == ["1"]
    assert ids_of("n\tcall_id\r\nAnn\t1\r\n".encode("utf-16"), "csv") == ["1"]


def test_null_of_postgresql_is_blank() -> None:
    found = read("call_id\tx\n1\ta\n\\N\tb\n", "tsv")
    assert found.ids.to_pylist() == ["1"]
    assert found.blank == 1


def test_json_integers_keep_their_digits() -> None:
    assert ids_of('12345678901234567890123\n"007"\n{"call_id": 9007199254740993}\n', "jsonl") == [
        "12345678901234567890123",
        "007",
        "9007199254740993",
    ]


def test_json_values_may_follow_one_another() -> None:
    assert ids_of(' {"id": 1}\n{"id": 2} [3, "4"]\n', "json") == ["1", "2", "3", "4"]


def test_webhook_notifications_of_calls_are_recognised_and_others_passed_over() -> None:
    lines = [
        '{"type":"notification_event","id":"notif_1","topic":"call.started","data":{"item":{"type":"call","id":"11"}}}',
        '{"type":"notification_event","topic":"call.ended","data":{"item":{"id":"12"}}}',
        '{"type":"notification_event","topic":"call.recording_available","data":{"item":{"id":"13"}}}',
        '{"type":"notification_event","topic":"call.transcription_available","data":{"item":{"id":"14"}}}',
        '{"type":"notification_event","topic":"conversation.user.created","data":{"item":{"id":"99"}}}',
        '{"type":"notification_event","topic":"ping","data":{"item":{"type":"ping"}}}',
        '{"call_id":"15","type":"call"}',
    ]
    found = read("\n".join(lines), "jsonl")
    assert found.ids.to_pylist() == ["11", "12", "13", "14", "15"]
    assert found.passed_over == 2


@pytest.mark.parametrize("format_name", ["txt", "csv", "tsv", "json", "jsonl"])
@pytest.mark.parametrize("content", ["", "\n", "\ufeff", "\r\n \r\n"])
def test_a_list_without_ids_is_an_empty_list(format_name: str, content: str) -> None:
    assert ids_of(content, format_name) == []


def test_a_heading_alone_is_an_empty_list() -> None:
    for content in ("call_id", "call_id\n", "x,call_id\r\n"):
        assert ids_of(content, "csv") == []


NO_WIDTH = "\u180e\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069\ufeff"
lines_of_text = st.lists(
    st.text(st.sampled_from("0123456789abc.é-/?#%\\ \t\x00\x1c\x85\xa0\u2028\u200b\ufeff\"',;{}[]"), max_size=8)
    | st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=140)
)


def expected_of(line: str) -> str | None:
    """The contract, letter by letter: the id, "" for a blank, None for what can't be one."""
    text = line
    while text and (text[0].isspace() or text[0] in NO_WIDTH):
        text = text[1:]
    while text and (text[-1].isspace() or text[-1] in NO_WIDTH):
        text = text[:-1]
    if text in (".", "..") or len(text) > 128:
        return None
    if any(sign in "/?#%\\" or sign.isspace() or unicodedata.category(sign) in ("Cc", "Cf") for sign in text):
        return None
    return text


@settings(max_examples=up_to(400), deadline=None)
@given(lines_of_text)
def test_any_lines_give_exactly_the_valid_trimmed_ids_in_order(lines: list[str]) -> None:
    expected = [expected_of(line) for line in lines]
    found = read_ids(lines, [], bad="skip")
    assert found.ids.to_pylist() == list(dict.fromkeys(text for text in expected if text))
    assert found.skipped == expected.count(None)
    assert found.blank == expected.count("")


@settings(max_examples=up_to(300), deadline=None)
@given(
    st.binary(max_size=200) | st.text(max_size=60).map(str.encode),
    st.sampled_from(["txt", "csv", "tsv", "json", "jsonl", "parquet"]),
)
def test_no_bytes_raise_anything_but_bad_ids(content: bytes, format_name: str) -> None:
    try:
        found = read(content, format_name, bad="skip", header=False)
    except BadIds:
        return
    assert all(expected_of(str(call_id)) == call_id for call_id in found.ids.to_pylist())


def test_nothing_is_left_in_the_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    read("1\n", "txt")
    assert list(tmp_path.iterdir()) == []


def test_ids_that_a_spreadsheet_rounded_are_reported() -> None:
    ids = read_ids(["123456789012", "1.23457E+11", "1E+11", "1.2e+11", "E+11", "2.5"], [])
    assert ids.rounded.to_pylist() == ["1.23457E+11", "1E+11"]
