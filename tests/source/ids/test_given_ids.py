"""`ids=…` of the source: what a program holds is read as ids, or refused with what to write instead."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from sources.intercom.errors import BadIds
from sources.intercom.ids.read import IdList, read_given

LARGE = 2**53 - 1


def texts(given: object, column: str | None = None) -> list[str | None]:
    return read_given(given, column).ids.to_pylist()


def stream(*items: object) -> Iterator[object]:
    yield from items


WHOLE: dict[str, object] = {
    "list": ["1", 2, " 3 ", None, 3],
    "tuple": ("1", 2, "3"),
    "set": {"1": 0, "2": 0, "3": 0}.keys(),
    "range": range(1, 4),
    "generator": stream("1", 2, "3"),
    "whole floats and decimals, as a row of a database has them": [1.0, Decimal("2.00"), float("nan"), "3"],
    "array": pa.array([1, 2, None, 3]),
    "floats": pa.array([1.0, 2.0, float("nan"), None, 3.0]),
    "decimals": pa.array([Decimal("1.00"), Decimal(2), Decimal(3)]),
    "dictionary": pa.array(["1", "2", "3", "1"]).dictionary_encode(),
    "view": pa.array(["1", "2", "3"], pa.string_view()),
    "chunks": pa.chunked_array([["1"], [], ["2", "3"]]),
    "scalars": list(pa.array([1, 2, 3])),
    "rows": [{"call_id": "1", "id": "x9"}, {"call_id": 2, "more": 0}, {"id": "x8", "call_id": 3.0}],
    "rows of one column": [{"number": "1"}, {"number": None}, {"number": "2"}, {"number": "3"}],
    "table": pa.table({"id": [1, 2, 3], "other": [[1], [2], [3]]}),
    "batch": pa.record_batch({"call_id": ["1", "2", "3"], "id": ["4", "5", "6"]}),
    "reader": pa.table({"only": ["1", "2", "3"]}).to_reader(max_chunksize=2),
    "tables": stream(pa.table({"id": ["1"]}), pa.record_batch({"id": [2], "b": [0]}), {"id": "3"}),
    "arrays": stream(pa.array([1]), "2", pa.array(["3"])),
    "relation": duckdb.sql("SELECT unnest([1, 2, 3])::HUGEINT::DECIMAL(20, 2) AS id, 'x' AS other"),
}


@pytest.mark.parametrize("name", WHOLE)
def test_what_holds_ids_is_read(name: str) -> None:
    assert texts(WHOLE[name]) == ["1", "2", "3"]


def test_the_column_can_be_named() -> None:
    assert texts([{"id": "9", "Nr": "1"}, {"Nr": 2}], "Nr") == ["1", "2"]
    assert texts(pa.table({"id": ["9"], "Nr": ["1"]}), "Nr") == ["1"]
    assert texts([{1: "9", 2: "5"}], "2") == ["5"]


def test_repeats_and_missing_values_are_counted() -> None:
    found = read_given([None, "", float("nan"), 5, "5", 5.0, Decimal("NaN"), Decimal("sNaN")])
    assert (found.ids.to_pylist(), found.duplicates, found.blank) == (["5"], 2, 5)


NO_IDS: list[tuple[object, str | None, str]] = [
    ("12345", None, "ids = '12345' is one text, not a list of ids; write ids=['12345']"),
    (b"12345", None, "ids is bytes, not a list of ids"),
    (bytearray(b"1"), None, "ids is bytearray, not a list of ids"),
    (memoryview(b"1"), None, "ids is memoryview, not a list of ids"),
    ({"1": "2"}, None, "ids is a dict; write ids=[…] of its keys or values, or ids=[row] where it is one row"),
    (None, None, "ids is NoneType, which holds no ids to read; write ids=[…]"),
    (12345, None, "ids is int, which holds no ids to read; write ids=[…]"),
    (Path("ids.csv"), None, "Path, which holds no ids to read; read the file first"),
    (stream, None, "ids is function, which holds no ids to read; call it"),
    (pa.table({"a": ["1"], "b": ["2"]}), None, "its columns are 'a', 'b'; name the one with the ids by id_column="),
    (pa.table({"a": ["1"]}), "b", "ids: no column 'b'; its columns are 'a'; name the one with the ids by id_column="),
]
BAD_IDS: list[tuple[object, str | None, str]] = [
    ([{"a": "1", "b": "2"}], None, "ids: row 1: no column 'call_id' or 'id'; its columns are 'a', 'b'"),
    (["1", "a b"], None, "id 2 given: 'a b' can't be a call id (white space inside)"),
    (["1", ("2",)], None, "a row without names: give its id alone, or a dict"),
    (["1", 2.5], None, "id 2 given: '2.5' can't be a call id (neither text nor a whole number that is exact)"),
    (["1", 2.0**53], None, "id 2 given: '9007199254740992.0' can't be a call id"),
    (["1", float("inf")], None, "id 2 given: 'inf' can't be a call id (neither text nor a whole number that is exact)"),
    (["1", Decimal("-Infinity")], None, "id 2 given: '-Infinity' can't be a call id"),
    (["1", Decimal("1E+999999999")], None, "id 2 given: '1E+999999999' can't be a call id"),
    (["1", Decimal("1E-3")], None, "id 2 given: '0.001' can't be a call id"),
    (["1", b"2"], None, "id 2 given: \"b'2'\" can't be a call id (neither text nor an integer)"),
    (["1", True], None, "id 2 given: 'True' can't be a call id (neither text nor an integer)"),
    ([{"id": "1"}, {"call": "secret"}], None, "id 2 given: 'a row of call' can't be a call id (it has no 'id')"),
    (stream(pa.array(["1"]), pa.array(["2", "3/4"])), None, "id 3 given: '3/4' can't be a call id"),
    (pa.array([1.0, 1.5]), None, "ids is double and holds 1.5, in which ids are not exact"),
    (pa.table({"id": [True]}), None, "ids: the column 'id' is bool, which can't hold ids"),
]


@pytest.mark.parametrize(
    ("given", "column", "cause"),
    [*NO_IDS, *BAD_IDS],
    ids=lambda value: f"{value:.60}" if isinstance(value, str) else type(value).__name__,
)
def test_what_holds_none_is_refused_with_what_to_write(given: object, column: str | None, cause: str) -> None:
    with pytest.raises(BadIds, match=re.escape(cause)) as refused:
        read_given(given, column)
    assert "--" not in str(refused.value)
    assert "secret" not in str(refused.value)


def test_bad_ids_can_be_skipped_and_are_counted() -> None:
    found: IdList = read_given(["1", "a b", 2.5, "3", True], bad="skip")
    assert (found.ids.to_pylist(), found.skipped) == (["1", "3"], 3)
    with pytest.raises(BadIds, match=r'or skip it by bad_ids="skip"$'):
        read_given(["a b"])


def test_columns_and_frames_of_pandas_are_read() -> None:
    pandas = pytest.importorskip("pandas", reason="pandas is no dependency; the extra dev brings it")
    series: dict[str, Any] = {
        "one empty cell makes it float": pandas.Series([LARGE, None]),
        "Int64": pandas.Series([LARGE, None], dtype="Int64"),
        "string": pandas.Series([str(LARGE), None], dtype="string"),
        "text": pandas.Series([str(LARGE), None]),
        "object": pandas.Series([str(LARGE), float("nan"), LARGE, None, pandas.NA, pandas.NaT], dtype=object),
        "object of integers": pandas.Series([LARGE, float("nan")], dtype=object),
        "categorical": pandas.Series([str(LARGE), None], dtype="category"),
        "Arrow": pandas.Series([LARGE, None], dtype="int64[pyarrow]"),
        "index": pandas.Index([LARGE]),
        "values": pandas.Series([LARGE, None]).to_numpy(),
        "items": list(pandas.Series([LARGE, None], dtype="Int64")),
        "array": pandas.array([LARGE, None], dtype="Int64"),
    }
    for name, column in series.items():
        assert texts(column) == [str(LARGE)], name
        assert texts(pandas.DataFrame({"id": column, "mixed": [["x"]] * len(column)})) == [str(LARGE)], name
    huge = pandas.Series([2**70, "7"], dtype=object)
    assert texts(pandas.DataFrame({"Nr": huge, "id": ["a1", "b2"]}), "Nr") == [str(2**70), "7"]
    assert texts(iter([pandas.DataFrame({"id": [1]}), pandas.DataFrame({"id": [2]})])) == ["1", "2"]
    for column, cause in {
        "half": (pandas.Series([1.5]), "ids is double and holds 1.5"),
        "inexact": (pandas.Series([float(2**53)]), "ids is double and holds 9007199254740992.0"),
        "bool": (pandas.Series([True]), "ids is bool, which can't hold ids"),
        "times": (pandas.Series(pandas.to_datetime(["2026-01-01"])), "which can't hold ids"),
        "frame": (pandas.DataFrame({"a": [1], "b": [2]}), "its columns are 'a', 'b'"),
        "twice": (pandas.DataFrame([[1, 2]], columns=["id", "id"]), "the column 'id' is there twice"),
    }.values():
        with pytest.raises(BadIds, match=re.escape(cause)):
            read_given(column)


def test_arrays_of_numpy_are_read() -> None:
    numpy = pytest.importorskip("numpy", reason="numpy is no dependency; it comes with pandas")
    for array in (
        numpy.array([1, 2, 3]),
        numpy.array(["1", "2", "3"]),
        numpy.array([1.0, 2.0, float("nan"), 3.0]),
        numpy.array(["1", 2, None, 3.0], dtype=object),
        list(numpy.array([1, 2, 3])),
        list(numpy.array(["1", "2", "3"])),
        list(numpy.array([1, 2, 3], dtype="float32")),
    ):
        assert texts(array) == ["1", "2", "3"]
    for several in (numpy.array([["1", "2"]]), numpy.array(1)):
        with pytest.raises(BadIds, match=r"has not one dimension; give one column of it|holds no ids to read"):
            read_given(several)


def test_columns_and_frames_of_polars_are_read() -> None:
    polars = pytest.importorskip("polars", reason="polars is no dependency; the extra dev brings it")
    for column in (
        polars.Series([LARGE, None]),
        polars.Series([str(LARGE), None]),
        polars.Series([float(LARGE), None, float("nan")]),
        polars.Series([LARGE, None], dtype=polars.Int128),
        polars.Series([LARGE, None], dtype=polars.UInt64),
        polars.Series([Decimal(LARGE), None], dtype=polars.Decimal(38, 2)),
        polars.Series([str(LARGE), None], dtype=polars.Categorical),
        polars.Series([str(LARGE)], dtype=polars.Enum([str(LARGE)])),
        polars.Series([None, LARGE]),
    ):
        assert texts(column) == [str(LARGE)], column
        frame = polars.DataFrame({"id": column, "list": [[1]] * len(column)})
        assert texts(frame) == [str(LARGE)], column
        assert texts(frame.rows(named=True)) == [str(LARGE)], column
    with pytest.raises(BadIds, match="holds no ids to read; collect"):
        read_given(polars.LazyFrame({"id": [1]}))
    with pytest.raises(BadIds, match="its columns are 'a', 'b'; name the one with the ids by id_column="):
        read_given(polars.DataFrame({"a": [1], "b": [2]}))


def test_expressions_of_ibis_are_read() -> None:
    ibis = pytest.importorskip("ibis", reason="ibis is no dependency; dlt's datasets give its tables where it is there")
    table = ibis.memtable(pa.table({"id": ["1", "2"], "other": [1, 2]}))
    assert texts(table) == ["1", "2"]
    assert texts(table.other) == ["1", "2"]
