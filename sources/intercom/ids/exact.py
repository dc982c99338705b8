"""Typed values as the text of ids; refused if an id may have lost digits."""

from __future__ import annotations

from decimal import Decimal
from numbers import Integral, Real
from typing import Any, cast

import pyarrow as pa
import pyarrow.compute as pc

from ..errors import BadIds
from .validate import MAX_CHARACTERS

# From these on a float does not hold every whole number.
_EXACT_BELOW = {pa.float16(): 2.0**11, pa.float32(): 2.0**24, pa.float64(): 2.0**53}
_TEXT_TYPES = (pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.large_binary(), pa.binary_view())
# Pandas' two types for a missing value, by name, so that pandas need not be imported.
_MISSING_TYPES = ("NAType", "NaTType")


def value_text(value: object) -> str | None:
    """A value as the text of an id, None if it is missing (None, NaN, pandas' NA).

    Raises:
        ValueError: it is neither text nor an exact whole number.
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, Integral) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, (float, Decimal)) and _is_whole(value):
        return str(int(value))
    # other numbers and missing ones, scalars of numpy, Arrow and pandas
    is_number = isinstance(value, (Real, Decimal, pa.Scalar)) and not isinstance(value, bool)
    if is_number or type(value).__name__ in _MISSING_TYPES:
        try:
            found: Any = array_text(pa.array([value], from_pandas=True), "it").cast(pa.string())[0].as_py()
        except (pa.ArrowException, BadIds, TypeError):
            raise ValueError("neither text nor a whole number that is exact") from None
        return cast("str | None", found)
    if isinstance(value, (list, tuple)):
        raise ValueError("neither text nor an integer, but a row without names: give its id alone, or a dict")
    raise ValueError("neither text nor an integer")


def _is_whole(value: float | Decimal) -> bool:
    if isinstance(value, float):
        return value.is_integer() and abs(value) < _EXACT_BELOW[pa.float64()]
    # 1E+999999999 is short, its digits are not
    return value.is_finite() and value.adjusted() <= MAX_CHARACTERS and value == value.to_integral_value()


def refuse_type(kind: pa.DataType, origin: str) -> None:
    """Refuse a type that can't hold ids."""
    if isinstance(kind, pa.DictionaryType):
        refuse_type(kind.value_type, origin)
    elif not (kind in _TEXT_TYPES or _is_number(kind) or pa.types.is_null(kind)):
        raise BadIds(f"{origin} is {kind}, which can't hold ids; write it as text or as integers")


def _is_number(kind: pa.DataType) -> bool:
    types = pa.types
    return types.is_integer(kind) or types.is_decimal(kind) or types.is_floating(kind)


def array_text(values: pa.Array[Any], origin: str) -> pa.StringArray | pa.BinaryArray:
    """The values as a string array, or as a binary one if they are bytes; NaN becomes null.

    Raises:
        BadIds: the type can't hold ids, or a number is not whole or not exact.
    """
    refuse_type(values.type, origin)
    if isinstance(values, pa.DictionaryArray):
        return array_text(values.dictionary, origin).take(values.indices)
    kind: pa.DataType = values.type
    if _is_number(kind):
        return cast(pa.StringArray, _whole(values, origin).cast(pa.string()))
    if pa.types.is_string(kind) or pa.types.is_null(kind):
        return cast(pa.StringArray, values.cast(pa.string()))
    return cast(pa.BinaryArray, values.cast(pa.binary()))


def _whole(values: pa.Array[Any], origin: str) -> pa.Array[Any]:
    """Numbers as integers, NaN as null: an empty cell turns a column of integers into floats."""
    kind: Any = values.type
    if pa.types.is_integer(kind):
        return values
    numbers: Any
    whole: Any = pa.int64()
    if pa.types.is_floating(kind):
        numbers = values.cast(pa.float64())
        numbers = pc.if_else(pc.is_nan(numbers), pa.scalar(None, pa.float64()), numbers)
        is_exact = pc.and_(
            pc.equal(pc.trunc(numbers), numbers), pc.less(pc.abs(numbers), pa.scalar(_EXACT_BELOW[kind]))
        )
    else:
        decimal, digits = (pa.decimal256, 76) if pa.types.is_decimal256(kind) else (pa.decimal128, 38)
        numbers, whole = values.cast(decimal(digits, kind.scale)), decimal(digits, 0)
        is_exact = pc.equal(pc.trunc(numbers), numbers)
    at = pc.index(is_exact, pa.scalar(False)).as_py()
    if at >= 0:
        raise BadIds(
            f"{origin} is {kind} and holds {numbers[at].as_py()}, in which ids are not exact; "
            "write it as text or as integers"
        )
    return cast("pa.Array[Any]", numbers.cast(whole))
