"""A list that can't be read is refused with what is wrong, where, and the fix; nothing else is raised."""

from __future__ import annotations

import gzip
import io
import os
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sources.intercom.errors import BadIds, ConfigurationError
from sources.intercom.ids.read import read_ids


def zstd(content: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(content)
    return bytes(sink.getvalue())


def parquet(**columns: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


def twice_named_parquet() -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table([pa.array(["1"]), pa.array(["2"])], names=["id", "id"]), sink)
    return sink.getvalue()


LINES = b"".join(b"%d\n" % number for number in range(1000))

# name of the file, its content, what the message holds: the place, the value or the cause, the fix
REFUSED: list[tuple[str, bytes, list[str]]] = [
    ("white.txt", b"1\n2 3\n", ["line 2", "'2 3'", "white space inside", "--bad-ids skip"]),
    ("tabs.txt", b"1\tAnn\n", ["line 1", r"'1\tAnn'", "white space inside"]),
    ("latin1.txt", b"1\n\xe9\n", ["line 2", r"'\\xe9'", "not UTF-8"]),
    ("mixed.txt", b"\xef\xbb\xbf1\n2\x00\n", ["line 2", r"'2\x00'", "control"]),
    ("url.txt", b"https://app.intercom.com/1\n", ["line 1", "it holds one of /"]),
    ("escape.txt", b"\x1b[31m1\n", ["line 1", r"'\x1b[31m1'", "control"]),
    ("long-id.txt", b"1" * 129, ["line 1", "129 characters"]),
    ("long-line.txt", b"1\n" + b"1" * 1_100_000, ["line 2", "longer than 1 MiB"]),
    ("heading.txt", b"call_id\n1\n", ["line 1", "'call_id'", "heading", ".csv"]),
    ("really-csv.txt", b'"id",agent\n1,Ann\n', ["line 1", "'id'", "--ids-format csv"]),
    ("really-json.txt", b'{"id": 1}\n', ["looks like JSON", "--ids-format jsonl"]),
    ("page.txt", b"\r\n<!DOCTYPE html><html></html>", ["looks like an HTML page"]),
    ("feed.txt", b"<?xml version='1.0'?>", ["looks like XML"]),
    ("utf16.txt", "1\n2\n".encode("utf-16-le"), ["UTF-16 without a byte order mark", "save it as UTF-8"]),
    ("half.txt", "12\n".encode("utf-16")[:-1], ["can't be read as txt", "fetch or write it anew"]),
    ("page.csv", b"<html><body>", ["looks like an HTML page", "the list itself"]),
    ("excel.csv", b"PK\x03\x04....", ["looks like an Excel workbook", "save the sheet as CSV"]),
    ("old-excel.csv", b"\xd0\xcf\x11\xe0....", ["looks like an old Excel workbook", "save the sheet as CSV"]),
    ("gzip.csv", gzip.compress(b"id\n1\n"), ["looks like gzip", "end its name in .gz"]),
    ("zstd.csv", zstd(b"id\n1\n"), ["looks like Zstandard", "end its name in .zst"]),
    ("bzip2.csv", b"BZh91AY", ["looks like bzip2", "unpack it"]),
    ("parquet.csv", parquet(id=["1"]), ["looks like Parquet", "end its name in .parquet"]),
    ("json.csv", b'[{"id": 1}]', ["looks like JSON", ".json"]),
    ("sqlite.csv", b"SQLite format 3\x00...", ["looks like an SQLite database", "--ids-sql"]),
    ("no-column.csv", b"agent,phone\nAnn,1\n", ["line 1", "'agent', 'phone'", "--id-column"]),
    ("case.csv", b"Call_ID,phone\n1,1\n", ["line 1", "'Call_ID': case matters", "--id-column"]),
    ("twice.csv", b"id,x,id\n1,2,3\n", ["line 1", "'id' is there twice"]),
    ("no-heading.csv", b"215473\n215474\n", ["line 1", "'215473' could be an id", "--no-header"]),
    ("white.csv", b'id,n\n1,"a\nb"\n2 3,c\n', ["line 4", "'2 3'", "white space inside", "--bad-ids skip"]),
    ("newline.csv", b'id\n"1\n2"\n', ["line 2", r"'1\n2'", "white space inside"]),
    ("ragged.csv", b"id,n\n1,a\n2\n", ["line 3", "'2'", "1 fields where 2 belong", "--bad-ids skip"]),
    ("cut-quote.csv", b'id,n\n1,a\n2,"b\n', ["line 3", "never closed", "cut off"]),
    ("cut-names.csv", b'name,"note\n1,2\n', ["line 1", "never closed"]),
    ("cut-heading.csv", b'"id\n1\n2\n', ["line 1", "never closed"]),
    ("long-line.csv", b"id,n\n1,a\n2," + b"b" * 2_200_000, ["line 3", "longer than 1 MiB"]),
    ("white.tsv", b"id\tn\n1\ta\n2 3\tb\n", ["line 3", "'2 3'"]),
    ("no-column.tsv", b"a\tb\n1\t2\n", ["line 1", "'a', 'b'", "--id-column"]),
    ("cut.json", b'[{"id": 1},\n{"id": 2', ["line 2 column 9", "not JSON", "fetch or write it anew"]),
    ("wrong.json", b"[1,\n2 3]", ["line 2 column 3", "not JSON", "correct it"]),
    ("deep.json", b"[" * 200_000, ["not JSON", "nested too deeply"]),
    ("text.json", b"call_id\n1\n", ["line 1 column 1", "not JSON"]),
    ("float.json", b"[1,\n1.5]", ["line 2 column 1", "'1.5'", "neither text nor an integer"]),
    ("no-column.json", b'[{"a": 1, "b": 2}]', ["line 1 column 2", "'a', 'b'", "--id-column"]),
    ("nested.json", b'{"calls": [1, 2]}', ["line 1 column 1", "neither text nor an integer"]),
    (
        "float.jsonl",
        b'{"id": 1}\n{"id": 2.0}\n',
        ["line 2", "'{\"id\": 2.0}'", "neither text nor an integer"],
    ),
    ("boolean.jsonl", b"1\ntrue\n", ["line 2", "'true'", "neither text nor an integer"]),
    ("nan.jsonl", b"NaN\n", ["line 1", "'NaN'", "neither text nor an integer"]),
    ("array.jsonl", b'["1"]\n', ["line 1", "neither text nor an integer"]),
    ("cut.jsonl", b'{"id": 1}\n{"id": ', ["line 2", "not JSON"]),
    ("no-column.jsonl", b'\n{"a": 1, "b": 2}\n', ["line 2", "'a', 'b'", "--id-column"]),
    ("absent.jsonl", b'{"id": 1}\n{"call": 2}\n', ["line 2", "it has no 'id'", "--bad-ids skip"]),
    ("twice.jsonl", b'{"id": 1, "id": 2}\n', ["line 1", "it has 'id' twice"]),
    ("surrogate.jsonl", b'"\\ud800"\n', ["line 1", "not UTF-8"]),
    (
        "webhook.jsonl",
        b'{"type":"notification_event","topic":"call.ended"}',
        ["line 1", "without data.item.id"],
    ),
    ("empty.parquet", b"", ["looks like an empty file"]),
    ("text.parquet", b"call_id\n1\n", ["looks like text", "name it by what it is"]),
    ("cut.parquet", parquet(id=["1"] * 99)[:-20], ["can't be read as parquet", "fetch or write it anew"]),
    ("half.parquet", parquet(id=[1.0, 1.5]), ["'id' is double", "holds 1.5", "text or as integers"]),
    ("large.parquet", parquet(id=[2.0**53]), ["'id' is double", "holds 9007199254740992.0"]),
    ("float.parquet", parquet(id=pa.array([2.0**24], pa.float32())), ["'id' is float", "holds 16777216.0"]),
    ("endless.parquet", parquet(id=[float("inf")]), ["'id' is double", "holds inf"]),
    ("decimal.parquet", parquet(id=[Decimal("1.00"), Decimal("1.01")]), ["'id' is decimal128(3, 2)", "holds 1.01"]),
    ("boolean.parquet", parquet(id=[True]), ["'id' is bool", "text or as integers"]),
    ("time.parquet", parquet(id=pa.array([0], pa.timestamp("s"))), ["'id' is timestamp["]),
    ("lists.parquet", parquet(id=[["1"]]), ["'id' is list", "text or as integers"]),
    ("white.parquet", parquet(id=["1", None, "2 3"]), ["row 3", "'2 3'", "--bad-ids skip"]),
    ("no-column.parquet", parquet(a=["1"], b=["2"]), ["'a', 'b'", "--id-column"]),
    ("twice.parquet", twice_named_parquet(), ["'id' is there twice"]),
    ("packed.parquet.gz", gzip.compress(parquet(id=["1"])), ["Parquet packs itself"]),
    ("plain.txt.gz", b"1\n2\n", ["not gzip", "name it by what it is"]),
    ("empty.txt.gz", b"", ["not gzip"]),
    ("plain.txt.zst", b"1\n2\n", ["not zstd", "name it by what it is"]),
    ("cut.txt.gz", gzip.compress(LINES)[:-30], ["can't be read as txt in gzip", "fetch or write it anew"]),
    ("damaged.txt.gz", gzip.compress(LINES)[:-8] + b"12345678", ["can't be read as txt in gzip"]),
    ("cut.csv.zst", zstd(b"id\n" + LINES)[:-30], ["can't be read as csv in zstd", "fetch or write it anew"]),
    ("bomb.csv.gz", gzip.compress(b"id\n" + (b"1" * 999 + b"\n") * 120_000), ["unpacks to more than", "split it"]),
    ("endless.txt.gz", gzip.compress(b"1" * 50_000_000), ["line 1", "longer than 1 MiB"]),
]


@pytest.mark.parametrize(("name", "content", "held"), REFUSED, ids=[name for name, _, _ in REFUSED])
def test_a_bad_list_is_refused_with_cause_place_and_fix(
    name: str, content: bytes, held: list[str], tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadIds) as refused:
        read_ids([], [str(tmp_path / name)])
    message = str(refused.value)
    assert message.startswith(f"{tmp_path}/{name}")
    assert [part for part in held if part not in message] == []
    assert message.isprintable()
    assert len(message) < 1000


@pytest.mark.parametrize("name", ["bomb.json.gz", "bomb.jsonl.gz", "bomb.csv.gz", "bomb.txt.gz"])
def test_a_packed_list_is_refused_as_a_bomb_before_it_is_unpacked(name: str, tmp_path: Path) -> None:
    packed = gzip.compress((b" " * 999 + b"\n") * 80_000)
    (tmp_path / name).write_bytes(packed)
    with pytest.raises(BadIds, match=r"unpacks to more than 3[2-4] MiB \(\d+ times its size\)"):
        read_ids([], [str(tmp_path / name)])


def test_several_columns_without_a_heading_want_a_number(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("1,2\n")
    for column in (None, "3", "0", "id"):
        with pytest.raises(BadIds, match=r"line 1: 2 columns and no heading; .* --id-column 1 to 2"):
            read_ids([], [str(tmp_path / "a.csv")], header=False, column=column)


def test_a_named_column_must_exist(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,call\n1,2\n")
    with pytest.raises(BadIds, match="no column 'phone'; its columns are 'id', 'call'"):
        read_ids([], [str(tmp_path / "a.csv")], column="phone")


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadIds, match=r"none\.csv: No such file or directory"):
        read_ids([], [f"{tmp_path}/none.csv"])
    with pytest.raises(BadIds, match="a folder; give the file in it"):
        read_ids([], [str(tmp_path)])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id\n1\n")
    (tmp_path / "a.csv").chmod(0)
    with pytest.raises(BadIds, match="Permission denied"):
        read_ids([], [f"{tmp_path}/a.csv"])


def test_a_name_that_would_disturb_a_terminal_is_escaped(tmp_path: Path) -> None:
    with pytest.raises(BadIds) as refused:
        read_ids([], [f"{tmp_path}/\x1b[31m.csv"])
    assert str(refused.value).isprintable()


def test_an_unknown_format_is_a_wrong_setting() -> None:
    with pytest.raises(ConfigurationError, match="'xlsx' are unknown; known: txt, csv, tsv, json, jsonl, parquet"):
        read_ids([], ["-"], format="xlsx", stdin=io.BytesIO(b""))


def test_a_closed_standard_input_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(BadIds, match="standard input: closed; give the list by its path"):
        read_ids([], ["-"])


def test_many_columns_are_listed_only_in_part(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(",".join(f"column{n}" for n in range(500)) + "\n")
    with pytest.raises(BadIds, match="'column19' and 480 more; name the one with the ids by --id-column"):
        read_ids([], [str(tmp_path / "a.csv")])


def test_more_rows_than_a_list_of_ids_has_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sources.intercom.ids.formats.parquet.MAX_ROWS", 2)
    (tmp_path / "a.parquet").write_bytes(parquet(id=["1", "1", "1"]))
    with pytest.raises(BadIds, match=r"a\.parquet: 3 rows, more than 2; split it"):
        read_ids([], [str(tmp_path / "a.parquet")])
