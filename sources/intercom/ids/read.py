"""Reads and checks ids from arguments, lists and queries, and unites them into one list of distinct ids."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Literal, cast

import pyarrow as pa
import pyarrow.compute as pc

from ..errors import BadIds
from . import objects
from .cells import BadCell, Cells
from .formats import csv_tsv, json_jsonl, parquet, txt
from .locations import opened
from .queries import query_ids
from .streams import ListFile
from .validate import decoded, empty, reason, shown, trimmed, unfit

__all__ = ["IdList", "query_ids", "read_given", "read_ids", "unite"]

_NAMED = 3
# Repeats are dropped whenever this many values were collected since the last time.
_COLLECTED_ROWS = 2_000_000


@dataclass(frozen=True, eq=False)
class IdList:
    """Distinct ids, and what else their lists held.

    Attributes:
        ids: distinct, in the order of their first appearance, never null.
        duplicates: repeats that were dropped.
        blank: lines without an id, empty and null cells.
        skipped: values that can't be an id (with `bad="skip"`).
        passed_over: webhook notifications of other topics.
        bad: the first few of the skipped, each with its place and reason.
    """

    ids: pa.StringArray
    duplicates: int = 0
    blank: int = 0
    skipped: int = 0
    passed_over: int = 0
    bad: tuple[str, ...] = ()

    @property
    def rounded(self) -> pa.StringArray:
        """Ids such as `1.23457E+11`: a spreadsheet has rounded a long number."""
        return self.ids.filter(pc.match_substring_regex(self.ids, r"^\d(\.\d+)?E\+\d\d$"))


def read_ids(
    arguments: Iterable[object],
    locations: Sequence[str],
    *,
    format: str | None = None,  # noqa: A002  as the option is called
    column: str | None = None,
    header: bool = True,
    bad: Literal["refuse", "skip"] = "refuse",
    stdin: BinaryIO | None = None,
) -> IdList:
    """Read and unite ids given one by one and lists at paths, URLs or `-` (standard input), in that order.

    The options are those of the command; without `header` the column is a number, from 1. `stdin` replaces the
    standard input of the process.

    Raises:
        BadIds: a list can't be read, or holds what can't be an id; one line with the places and the fix.
        ConfigurationError: the driver for a URL is not installed, or the format is unknown.
    """
    union = _Union(IdList(pa.array([], pa.string())))
    union.add("", objects.cells(arguments, None))
    for location in locations:
        with opened(location, format, stdin) as file:
            union.add(file.name, _file_cells(file, column, header))
    return union.result(bad)


def read_given(given: object, column: str | None = None, bad: Literal["refuse", "skip"] = "refuse") -> IdList:
    """Read ids that a program holds: all that `intercom(ids=…)` takes, except dlt resources.

    Raises:
        BadIds: `given` does not hold ids, or a value can't be an id.
    """
    union = _Union(IdList(pa.array([], pa.string())), skip_by='bad_ids="skip"')
    union.add("", objects.cells(given, column))
    return union.result(bad)


def unite(
    ids: IdList,
    batches: Iterable[pa.Array[Any] | pa.ChunkedArray[Any]],
    origin: str,
    *,
    bad: Literal["refuse", "skip"] = "refuse",
) -> IdList:
    """Add a query's column to a list, with the same checks; `origin` is its name in messages (`--ids-sql`).

    Raises:
        BadIds: the column's type may have lost digits of ids, or a value can't be an id.
    """
    union = _Union(ids)
    union.add(origin, parquet.numbered(batches, origin))
    return union.result(bad)


def _file_cells(file: ListFile, column: str | None, header: bool) -> Iterator[Cells]:
    """The cells of a list of any format; exceptions of the libraries that read it become `BadIds`."""
    try:
        file.refuse_wrong_content()
        if file.format == "parquet":
            yield from parquet.cells(file, column=column)
        elif file.format in ("csv", "tsv"):
            yield from csv_tsv.cells(file, column=column, header=header)
        elif file.format == "txt":
            yield from txt.cells(file)
        elif file.format == "jsonl":
            yield from json_jsonl.lines(file, column=column)
        else:
            yield from json_jsonl.document(file, column=column)
    except (OSError, UnicodeError, pa.ArrowException) as error:
        cause = " ".join(str(getattr(error, "strerror", None) or error).split())
        what = f"{file.format} in {file.compression}" if file.compression else file.format
        raise BadIds(
            f"{file.name}: can't be read as {what} ({cause[:300]}); is it whole? fetch or write it anew"
        ) from error


class _Union:
    """The ids collected so far; memory grows with the distinct ones, not with the repeats."""

    def __init__(self, ids: IdList, skip_by: str = "--bad-ids skip") -> None:
        self._skip_by = skip_by
        self._distinct = ids.ids
        self._collected: list[pa.StringArray] = []
        self._collected_rows = 0
        self._values = len(ids.ids) + ids.duplicates
        self._blank = ids.blank
        self._skipped = ids.skipped
        self._passed_over = ids.passed_over
        self._bad = list(ids.bad)

    def add(self, name: str, batches: Iterable[Cells]) -> None:
        """Check and collect the cells of a list; `name` is what messages call the list."""
        for cells in batches:
            texts, broken = decoded(cells.values)
            ids = trimmed(texts)
            bad, blank = unfit(ids), empty(ids)
            self._collect(ids.filter(pc.invert(pc.or_(bad, blank))))
            self._blank += cells.blank + blank.true_count - len(broken)
            self._passed_over += cells.passed_over
            if broken or cells.faults or bad.true_count:
                self._note(name, cells, ids, broken, bad)

    def result(self, bad: Literal["refuse", "skip"]) -> IdList:
        """The united list; with `bad="refuse"` BadIds names the first few that can't be ids."""
        if bad == "refuse" and self._skipped:
            rest = self._skipped - len(self._bad)
            more = f"; and {rest} more like that" if rest else ""
            fix = f"correct that, or skip it by {self._skip_by}"
            raise BadIds(f"{'; '.join(self._bad)}{more}; {fix}", self._bad)
        self._drop_repeats()
        duplicates = self._values - len(self._distinct)
        return IdList(self._distinct, duplicates, self._blank, self._skipped, self._passed_over, tuple(self._bad))

    def _collect(self, ids: pa.StringArray) -> None:
        self._collected.append(ids)
        self._collected_rows += len(ids)
        self._values += len(ids)
        if self._collected_rows > max(_COLLECTED_ROWS, len(self._distinct)):
            self._drop_repeats()

    def _drop_repeats(self) -> None:
        collected = pa.chunked_array([self._distinct, *self._collected])
        self._distinct = cast(pa.StringArray, collected.unique())
        self._collected, self._collected_rows = [], 0

    def _note(self, name: str, cells: Cells, ids: pa.StringArray, broken: list[int], bad: pa.BooleanArray) -> None:
        """Count what can't be an id, and describe the first few."""
        self._skipped += len(cells.faults) + len(broken) + bad.true_count
        few = _NAMED - len(self._bad)
        if few <= 0:
            return
        faults = list(cells.faults[:few])
        for at in broken[:few]:
            value = cast(bytes, cells.values[at].as_py())
            faults.append(BadCell(cells.rows[at], value.decode("utf-8", "backslashreplace"), "not UTF-8"))
        for index in pc.indices_nonzero(bad)[:few]:
            at = int(index.as_py())
            faults.append(BadCell(cells.rows[at], ids[at].as_py(), reason(ids[at].as_py())))
        for fault in sorted(faults, key=lambda fault: fault.row)[:few]:
            where = f"{name} {cells.place(fault.row)}".lstrip()
            self._bad.append(f"{where}: {shown(fault.value)} can't be a call id ({fault.reason})")
