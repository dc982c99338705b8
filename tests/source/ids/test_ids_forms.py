"""One list written in every form by the tools people use gives the same ids in the same order."""

from __future__ import annotations

import csv
import gzip
import http.server
import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import duckdb
import psycopg2
import pyarrow as pa
import pyarrow.csv as arrow_csv
import pyarrow.parquet as pq
import pytest

from sources.intercom.ids.read import query_ids, read_ids, unite

IDS = ["007", "215473912345678", "12345678901234567890", "5f0dbeef", "kommt-gut", "9"]
WHOLE_NUMBERS = ["7", "215473912345678", "9223372036854775807", "0", "42"]


def zstd(content: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(content)
    return bytes(sink.getvalue())


def lines(end: str = "\n", last: bool = True) -> str:
    return end.join(IDS) + (end if last else "")


def table() -> pa.Table:
    return pa.table({"agent": ["Ann, B", 'Bo "x"', "C\nD", "", "é", "F"], "call_id": IDS})


def python_csv(**options: Any) -> str:
    text = io.StringIO()
    writer = csv.writer(text, **options)
    writer.writerow(["agent", "call_id"])
    writer.writerows(zip(table()["agent"].to_pylist(), IDS, strict=True))
    return text.getvalue()


def arrow_csv_bytes() -> bytes:
    sink = io.BytesIO()
    arrow_csv.write_csv(table(), sink)
    return sink.getvalue()


def webhooks() -> str:
    return "".join(
        json.dumps(
            {
                "type": "notification_event",
                "topic": "call.ended",
                "data": {"item": {"type": "call", "id": one}},
            }
        )
        + "\n"
        for one in IDS
    )


def objects() -> list[dict[str, str]]:
    return [{"call_id": one, "agent": "Ann"} for one in IDS]


FORMS: dict[str, Callable[[], bytes]] = {
    "unix.txt": lambda: lines().encode(),
    "no-end.txt": lambda: lines(last=False).encode(),
    "windows.txt": lambda: lines("\r\n").encode(),
    "old-mac.txt": lambda: lines("\r").encode(),
    "notepad.txt": lambda: lines("\r\n").encode("utf-8-sig"),
    "utf16.txt": lambda: lines("\r\n").encode("utf-16"),
    "comments.txt": lambda: lines().replace("007", "# May\n007").replace("9\n", "9 # last\n").encode(),
    "padded.txt": lambda: "".join(f"\t {one}\u00a0 \n\n" for one in IDS).encode(),
    "no-suffix": lambda: lines().encode(),
    "packed.txt.gz": lambda: gzip.compress(lines().encode()),
    "packed.txt.zst": lambda: zstd(lines().encode()),
    "two-members.txt.gz": lambda: gzip.compress(lines().encode()[:20]) + gzip.compress(lines().encode()[20:]),
    "no-suffix.gz": lambda: gzip.compress(lines().encode()),
    "UPPER.CSV": lambda: python_csv().encode(),
    "python.csv": lambda: python_csv().encode(),
    "unix.csv": lambda: python_csv(lineterminator="\n").encode(),
    "quoted.csv": lambda: python_csv(quoting=csv.QUOTE_ALL).encode(),
    "arrow.csv": arrow_csv_bytes,
    "excel-english.csv": lambda: python_csv().encode("utf-8-sig"),
    "excel-german.csv": lambda: python_csv(delimiter=";").encode("utf-8-sig"),
    "excel-unicode-le.csv": lambda: b"\xff\xfe" + python_csv(delimiter="\t").encode("utf-16-le"),
    "excel-unicode-be.tsv": lambda: b"\xfe\xff" + python_csv(delimiter="\t").encode("utf-16-be"),
    "excel-ansi.csv": lambda: python_csv(delimiter=";").encode("cp1252"),
    "mac.csv": lambda: b"call_id\r" + lines("\r").encode(),
    "only-column.csv": lambda: b"Calls of May\n" + lines().encode(),
    "python.tsv": lambda: python_csv(delimiter="\t").encode(),
    "packed.csv.gz": lambda: gzip.compress(python_csv().encode()),
    "packed.csv.zst": lambda: zstd(python_csv().encode("utf-16")),
    "packed.tsv.gz": lambda: gzip.compress(python_csv(delimiter="\t").encode("utf-8-sig")),
    "objects.json": lambda: json.dumps(objects()).encode(),
    "indented.json": lambda: json.dumps(objects(), indent=2).encode("utf-8-sig"),
    "strings.json": lambda: json.dumps(IDS).encode(),
    "lines.json": lambda: "\n".join(json.dumps(one) for one in objects()).encode(),
    "packed.json.zst": lambda: zstd(json.dumps(objects()).encode()),
    "objects.jsonl": lambda: "\n".join(json.dumps(one) for one in objects()).encode(),
    "windows.jsonl": lambda: "".join(json.dumps(one) + "\r\n" for one in objects()).encode("utf-16"),
    "strings.jsonl": lambda: "".join(f'"{one}"\n' for one in IDS).encode(),
    "objects.ndjson": lambda: "\n".join(json.dumps(one) for one in objects()).encode(),
    "packed.jsonl.gz": lambda: gzip.compress("\n".join(json.dumps(one) for one in objects()).encode()),
    "webhooks.jsonl": lambda: webhooks().encode(),
}


@pytest.mark.parametrize("name", FORMS)
def test_every_form_gives_the_same_ids(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(FORMS[name]())
    found = read_ids([], [str(tmp_path / name)])
    assert found.ids.to_pylist() == IDS
    assert (found.duplicates, found.skipped) == (0, 0)


@pytest.mark.parametrize(
    "kind",
    [pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.dictionary(pa.int8(), pa.string())],
    ids=str,
)
@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_parquet_gives_the_same_ids(kind: pa.DataType, compression: Literal["none", "zstd"], tmp_path: Path) -> None:
    column = pa.array(IDS).dictionary_encode() if pa.types.is_dictionary(kind) else pa.array(IDS).cast(kind)
    table = pa.table({"x": [1.5] * 6, "call_id": column})
    try:
        pq.write_table(table, tmp_path / "calls.parquet", compression=compression)
    except pa.ArrowNotImplementedError:
        pytest.skip(f"this pyarrow writes no Parquet of {kind}")
    assert read_ids([], [str(tmp_path / "calls.parquet")]).ids.to_pylist() == IDS


@pytest.mark.parametrize(
    "kind", [pa.int64(), pa.uint64(), pa.decimal128(19, 0), pa.dictionary(pa.int8(), pa.int64())], ids=str
)
def test_whole_numbers_of_parquet_are_exact(kind: pa.DataType, tmp_path: Path) -> None:
    numbers = pa.array([int(one) for one in WHOLE_NUMBERS] + [None])
    column = numbers.dictionary_encode() if pa.types.is_dictionary(kind) else numbers.cast(kind)
    pq.write_table(pa.table({"id": column}), tmp_path / "calls.parquet")
    found = read_ids([], [str(tmp_path / "calls.parquet")])
    assert found.ids.to_pylist() == WHOLE_NUMBERS
    assert found.blank == 1


LARGEST_EXACT: dict[pa.DataType, int] = {pa.float16(): 2**11 - 1, pa.float32(): 2**24 - 1, pa.float64(): 2**53 - 1}


@pytest.mark.parametrize("kind", [*LARGEST_EXACT, pa.decimal128(38, 2)], ids=str)
def test_floats_and_decimals_that_are_whole_and_exact_are_integers(kind: pa.DataType, tmp_path: Path) -> None:
    """What one empty cell makes of a column of integers."""
    largest = LARGEST_EXACT.get(kind, 10**36 - 1)
    column = (
        pa.array([Decimal(largest), Decimal(7), None], kind)
        if pa.types.is_decimal(kind)
        else (pa.array([float(largest), 7.0, float("nan")]).cast(kind))
    )
    pq.write_table(pa.table({"id": column}), tmp_path / "calls.parquet")
    found = read_ids([], [str(tmp_path / "calls.parquet")])
    assert found.ids.to_pylist() == [str(largest), "7"]
    assert found.blank == 1


def test_unsigned_numbers_beyond_63_bits_are_exact(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": pa.array([18446744073709551615], pa.uint64())}), tmp_path / "a.parquet")
    assert read_ids([], [str(tmp_path / "a.parquet")]).ids.to_pylist() == ["18446744073709551615"]


@pytest.mark.parametrize(
    "name", ["duck.csv", "duck.tsv", "duck.json", "duck.jsonl", "duck.parquet", "duck.csv.gz", "duck.csv.zst"]
)
def test_what_duckdb_copies_gives_the_same_ids(name: str, tmp_path: Path) -> None:
    options = {"tsv": "(FORMAT csv, DELIMITER '\t')", "json": "(ARRAY true)", "jsonl": "(FORMAT json)"}
    with duckdb.connect() as connection:
        connection.register("calls", table())
        path = str(tmp_path / name)
        connection.execute(f"COPY calls TO '{path}' {options.get(name.partition('.')[2], '')}")
    assert read_ids([], [str(tmp_path / name)]).ids.to_pylist() == IDS


@pytest.mark.parametrize("format_name", ["txt", "csv", "tsv", "json", "jsonl", "parquet"])
def test_standard_input_and_unknown_extensions_use_the_named_format(format_name: str, tmp_path: Path) -> None:
    sink = io.BytesIO()
    pq.write_table(table(), sink)
    content = {
        "txt": lines().encode(),
        "csv": python_csv().encode(),
        "tsv": python_csv(delimiter="\t").encode(),
        "json": json.dumps(IDS).encode(),
        "jsonl": webhooks().encode(),
        "parquet": sink.getvalue(),
    }[format_name]
    (tmp_path / "export.2026-11").write_bytes(content)
    assert read_ids([], ["-"], format=format_name, stdin=io.BytesIO(content)).ids.to_pylist() == IDS
    assert read_ids([], [str(tmp_path / "export.2026-11")], format=format_name).ids.to_pylist() == IDS


def test_a_known_file_extension_decides_the_format(tmp_path: Path) -> None:
    (tmp_path / "calls.csv").write_text("call_id\n1\n")
    found = read_ids([], [str(tmp_path / "calls.csv"), "-"], format="jsonl", stdin=io.BytesIO(b'"2"\n'))
    assert found.ids.to_pylist() == ["1", "2"]


def test_packed_standard_input_is_unpacked() -> None:
    assert read_ids([], ["-"], stdin=io.BytesIO(gzip.compress(lines().encode()))).ids.to_pylist() == IDS
    assert read_ids([], ["-"], stdin=io.BytesIO(zstd(lines().encode()))).ids.to_pylist() == IDS


def test_a_named_pipe_is_read_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "calls.csv")
    writer = [sys.executable, "-c", "import sys; open(sys.argv[1], 'w').write('call_id\\n1\\n2\\n')"]
    with subprocess.Popen([*writer, str(tmp_path / "calls.csv")]):
        assert read_ids([], [str(tmp_path / "calls.csv")]).ids.to_pylist() == ["1", "2"]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    """A web server for the files of `tmp_path`."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args, directory=str(tmp_path))

        def log_message(self, *_: object) -> None:
            """Tests print nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("name", ["python.csv", "packed.txt.gz", "utf16.txt", "packed.json.zst", "objects.jsonl"])
def test_a_url_gives_the_same_ids(name: str, site: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(FORMS[name]())
    assert read_ids([], [f"{site}/{name}?signature=a%2Fb.txt"]).ids.to_pylist() == IDS


def test_a_file_url_gives_the_same_ids(tmp_path: Path) -> None:
    (tmp_path / "calls.csv").write_bytes(python_csv().encode())
    assert read_ids([], [f"file://{tmp_path}/calls.csv"]).ids.to_pylist() == IDS


def test_a_query_of_duckdb_needs_no_sqlalchemy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sqlalchemy", None)  # importing it fails
    with duckdb.connect(str(tmp_path / "crm.duckdb")) as connection:
        connection.register("calls", table())
        connection.execute("CREATE TABLE calls_kept AS SELECT call_id, agent FROM calls")
    url = f"duckdb:///{tmp_path}/crm.duckdb?threads=1&default_null_order=nulls_last"
    batches = query_ids(url, "SELECT * FROM calls_kept WHERE call_id NOT LIKE '%:no%'")
    assert unite(read_ids([], []), batches, "--ids-sql").ids.to_pylist() == IDS


def test_whole_numbers_of_a_query_are_exact() -> None:
    query = "SELECT unnest([7, 9223372036854775807, 170141183460469231731687303715884105727::HUGEINT, NULL])"
    found = unite(read_ids([], []), query_ids("duckdb:///:memory:", query), "--ids-sql")
    assert found.ids.to_pylist() == ["7", "9223372036854775807", "170141183460469231731687303715884105727"]
    assert found.blank == 1


def test_a_query_without_rows_is_an_empty_list() -> None:
    found = unite(read_ids([], []), query_ids("duckdb:///:memory:", "SELECT 'x' WHERE false"), "--ids-sql")
    assert found.ids.to_pylist() == []


def test_a_large_query_is_read_in_batches() -> None:
    query = "SELECT (range * 7)::VARCHAR FROM range(300000)"
    found = unite(read_ids([], []), query_ids("duckdb:///:memory:", query), "--ids-sql")
    assert (len(found.ids), found.ids[299_999].as_py()) == (300_000, "2099993")


@pytest.mark.parametrize("name", ["copied.csv", "copied.tsv"])
def test_what_postgresql_copies_gives_the_same_ids(name: str, postgres_server: str, tmp_path: Path) -> None:
    options = {"copied.csv": "(FORMAT csv, HEADER)", "copied.tsv": "(FORMAT text, HEADER)"}[name]
    rows = ", ".join(f"('{one}', NULL)" for one in IDS)
    query = f"COPY (SELECT * FROM (VALUES {rows}, (NULL, 'x')) AS t (call_id, note)) TO STDOUT {options}"
    connection = psycopg2.connect(host=postgres_server, user="postgres", dbname="postgres")
    with connection, connection.cursor() as cursor, (tmp_path / name).open("wb") as file:
        cursor.copy_expert(query, file)
    connection.close()
    found = read_ids([], [str(tmp_path / name)])
    assert (found.ids.to_pylist(), found.blank) == (IDS, 1)


def test_a_query_of_two_million_rows_is_a_list_like_another() -> None:
    rows = query_ids("duckdb:///:memory:", "SELECT range FROM range(1, 2_000_001)")
    found = unite(read_ids([], []), rows, "--ids-sql").ids
    assert (len(found), found[0].as_py(), found[-1].as_py()) == (2_000_000, "1", "2000000")


def test_a_query_of_postgresql_gives_the_same_ids(postgres_server: str) -> None:
    url = f"postgres://postgres:x@localhost:5432/postgres?host={postgres_server}"
    texts = ", ".join(f"'{one}'" for one in IDS)
    query = f"SELECT one, 1.5 FROM unnest(ARRAY[{texts}]) AS one WHERE one NOT LIKE '%:x%';"
    assert unite(read_ids([], []), query_ids(url, query), "--ids-sql").ids.to_pylist() == IDS
    numbers = query_ids(url, "SELECT unnest(ARRAY[7, 12345678901234567890, NULL]::numeric[])")
    assert unite(read_ids([], []), numbers, "--ids-sql").ids.to_pylist() == ["7", "12345678901234567890"]
