"""Columns of pandas, polars and Arrow tables as numbers, labels and codes: one meaning, whatever holds them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from pyem import DataError
from pyem.data.coding import as_codes
from pyem.data.columns import Column, read_columns
from pyem.data.identifiers import as_labels, natural
from pyem.data.quantities import as_numbers

NAN = float("nan")


def where(row: int) -> str:
    return f"for subject 'x' (row {row + 1})"


def column(values: Any) -> Column:
    return read_columns(pd.DataFrame({"c": values}), ["c"])["c"]


def of_pandas(dtype: Any) -> Callable[[list], Any]:
    return lambda values: pd.DataFrame({"c": pd.Series(values, dtype=dtype)})


WHOLE: dict[str, Callable[[list], Any]] = {
    "pandas float": of_pandas(float),
    "pandas nullable": of_pandas("Int64"),
    "pandas arrow": of_pandas("int64[pyarrow]"),
    "pandas object": of_pandas(object),
    "pandas categorical": of_pandas("category"),
    "pandas text": lambda values: of_pandas("str")([None if v is None else str(v) for v in values]),
    "polars": lambda values: pl.DataFrame({"c": values}),
    "polars float": lambda values: pl.DataFrame({"c": values}, schema={"c": pl.Float32}),
    "arrow": lambda values: pa.table({"c": values}),
    "arrow dictionary": lambda values: pa.table({"c": pa.array(values).dictionary_encode()}),
    "arrow decimal": lambda values: pa.table({"c": pa.array(values, pa.decimal128(5, 2))}),
}

TEXT: dict[str, Callable[[list], Any]] = {
    "pandas": of_pandas("str"),
    "pandas object": of_pandas(object),
    "pandas categorical": of_pandas("category"),
    "pandas arrow": of_pandas("string[pyarrow]"),
    "polars": lambda values: pl.DataFrame({"c": values}),
    "polars categorical": lambda values: pl.DataFrame({"c": values}, schema={"c": pl.Categorical}),
    "arrow": lambda values: pa.table({"c": values}),
    "arrow large": lambda values: pa.table({"c": pa.array(values, pa.large_string())}),
    "arrow dictionary": lambda values: pa.table({"c": pa.array(values).dictionary_encode()}),
}

BOOLEAN: dict[str, Callable[[list], Any]] = {
    "pandas nullable": of_pandas("boolean"),
    "pandas object": of_pandas(object),
    "polars": lambda values: pl.DataFrame({"c": values}),
    "arrow": lambda values: pa.table({"c": values}),
}


# -- whatever holds them ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", WHOLE)
def test_whole_numbers_with_a_gap(kind: str) -> None:
    col = read_columns(WHOLE[kind]([2, None, 0, 2]), ["c"])["c"]
    values, whole = as_numbers(col, where)
    np.testing.assert_array_equal(values, [2, NAN, 0, 2])
    assert values.dtype == np.float64
    assert whole
    codes, labels = as_codes([col], "choice", None, where)
    assert codes[:, 0].tolist() == [2, -1, 0, 2]
    assert labels == (0, 1, 2)
    assert all(type(label) is int for label in labels)


@pytest.mark.parametrize("kind", TEXT)
def test_text_with_a_gap(kind: str) -> None:
    col = read_columns(TEXT[kind](["right", None, "left", "right"]), ["c"])["c"]
    codes, labels = as_codes([col], "choice", None, where)
    assert labels == ("left", "right")
    assert codes[:, 0].tolist() == [1, -1, 0, 1]
    with pytest.raises(DataError, match=r"has the text 'right' for subject 'x' \(row 1\), where numbers are expected"):
        as_numbers(col, where)


@pytest.mark.parametrize("kind", BOOLEAN)
def test_booleans_with_a_gap(kind: str) -> None:
    col = read_columns(BOOLEAN[kind]([True, None, False]), ["c"])["c"]
    np.testing.assert_array_equal(as_numbers(col, where)[0], [1, NAN, 0])
    assert as_numbers(col, where)[1]
    assert as_codes([col], "choice", None, where)[1] == (0, 1)


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"c": [NAN, NAN]}),
        pd.DataFrame({"c": [None, None]}),
        pd.DataFrame({"c": pd.Series([None, None], dtype="str")}),
        pl.DataFrame({"c": [None, None]}),
        pa.table({"c": pa.nulls(2)}),
        pd.DataFrame({"c": ["", "  "]}),
    ],
    ids=["float", "object", "text", "polars", "arrow", "blank"],
)
def test_nothing_there(frame: Any) -> None:
    col = read_columns(frame, ["c"])["c"]
    assert np.isnan(as_numbers(col, where)[0]).all()
    codes, labels = as_codes([col], "choice", None, where)
    assert (codes == -1).all()
    assert labels == ()


# -- numbers ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "whole"),
    [
        ([1.0, 2.0], False),
        ([1, 2], True),
        ([1.0, NAN], True),
        ([1.5, NAN], False),
        ([True, False], True),
        (["1", "2"], True),
        (["1.5", "2"], False),
        ([NAN], True),
    ],
)
def test_whole_numbers_are_told_from_floats(values: list, whole: bool) -> None:
    # Integers become floats in a table when some go missing; floats without missing values are floats.
    assert as_numbers(column(values), where)[1] is whole


def test_numbers_written_as_text() -> None:
    values, _ = as_numbers(column(["1", " 2.5 ", "-3e2", None, ".5", "7."]), where)
    np.testing.assert_array_equal(values, [1, 2.5, -300, NAN, 0.5, 7])


@pytest.mark.parametrize("word", ["missed", "1_000", "inf", "nan", "0x10"])
def test_a_word_among_numbers(word: str) -> None:
    with pytest.raises(DataError) as caught:
        as_numbers(column(["1", "2", word, "3"]), where)
    assert str(caught.value) == (
        f"column 'c' has the text {word!r} for subject 'x' (row 3), where numbers are expected; correct it, or leave the "
        "cell empty if the value is missing"
    )


def test_decimal_comma() -> None:
    with pytest.raises(DataError, match=r"has the text '0,5'.*numbers are expected; write decimals with a point"):
        as_numbers(column(["1", "0,5"]), where)


@pytest.mark.parametrize("infinite", [np.inf, -np.inf, "1e999"])
def test_infinite(infinite: Any) -> None:
    values = ["0", infinite] if isinstance(infinite, str) else [0.0, infinite]
    with pytest.raises(DataError) as caught:
        as_numbers(column(values), where)
    assert str(caught.value) == (
        "column 'c' has an infinite value for subject 'x' (row 2), where finite numbers are expected; correct it, or leave "
        "the cell empty if the value is missing"
    )


def test_values_that_are_neither_numbers_nor_text() -> None:
    with pytest.raises(DataError, match=r"column 'c' has values of type .*; numbers or text are expected"):
        column([[1, 2], [3]])


def test_text_and_numbers_in_one_column() -> None:
    with pytest.raises(DataError) as caught:
        column(["a", "a", 3, "b"])
    assert str(caught.value) == (
        "column 'c' mixes text and numbers: 'a' in row 1 and 3 in row 3; make them all of one kind"
    )


# -- labels -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "labels", "index"),
    [
        ([7, 3, 7], [7, 3], [0, 1, 0]),
        ([7.0, 3.0], [7, 3], [0, 1]),
        ([0.5, 3.0], [0.5, 3.0], [0, 1]),
        ([2**60 + 1, 2**60], [2**60 + 1, 2**60], [0, 1]),
        (["s2", "s1", "s2"], ["s2", "s1"], [0, 1, 0]),
        (["001", "01"], ["001", "01"], [0, 1]),
        (["1", "A3"], ["1", "A3"], [0, 1]),
        (pd.Categorical(["b", "a"]), ["b", "a"], [0, 1]),
        (pd.Categorical(["b", "a"], ["x", "a", "b"], ordered=True), ["a", "b"], [1, 0]),
        (pd.to_datetime(["2024-05-02", "2024-05-01"]), ["2024-05-02 00:00:00", "2024-05-01 00:00:00"], [0, 1]),
    ],
    ids=["int", "whole", "float", "long", "text", "zeros", "mixed text", "categorical", "ordered", "date"],
)
def test_labels_in_order_of_appearance(values: Any, labels: list, index: list[int]) -> None:
    found, places = as_labels(column(values))
    assert found.tolist() == labels
    assert [type(label) for label in found.tolist()] == [type(label) for label in labels]
    assert places.tolist() == index


@pytest.mark.parametrize("values", [[1.0, NAN, 2.0, NAN], ["a", None, "b", ""]])
def test_labels_must_be_there(values: list) -> None:
    with pytest.raises(DataError) as caught:
        as_labels(column(values))
    assert str(caught.value) == (
        "column 'c' has no value in row 2 (2 such rows in all); every row needs one, fill it in"
    )


def test_natural_order() -> None:
    assert sorted(["b10", "b2", "a", "10", "9", "b"], key=natural) == ["9", "10", "a", "b", "b2", "b10"]


# -- codes --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ([0, 1, 0], (0, 1)),
        ([1, 2, 1], (1, 2)),
        ([0, 3], (0, 1, 2, 3)),
        ([1, 4], (1, 2, 3, 4)),
        ([0], (0,)),
        ([2, 3], (2, 3)),
        ([49, 50, 53], (49, 50, 53)),
        ([-1, 1], (-1, 1)),
        ([0, 10**9], (0, 10**9)),
        ([1.0, 2.0], (1, 2)),
        (["2", "10", "1"], tuple(range(1, 11))),
        (["b", "a", "c"], ("a", "b", "c")),
        (["opt10", "opt2"], ("opt2", "opt10")),
        (pd.Categorical(["no", "yes"], ["yes", "no", "never"], ordered=True), ("yes", "no", "never")),
        (pd.Categorical(["no", "yes"], ["yes", "no", "never"]), ("no", "yes")),
    ],
)
def test_inferred_labels(values: Any, labels: tuple) -> None:
    codes, found = as_codes([column(values)], "choice", None, where)
    assert found == labels
    assert [found[code] for code in codes[:, 0]] == [
        value if isinstance(found[0], str) else int(value) for value in values
    ]


@pytest.mark.parametrize(
    ("values", "given"),
    [
        (["L", "R", "L"], ["R", "L"]),
        ([1, 2, 1], [2, 1]),
        ([1.0, 2.0, 1.0], [2, 1]),
        ([1, 2, 1], ["2", "1"]),
        (["1", "2", "1"], [2, 1]),
        ([0.5, 1.5, 0.5], [1.5, 0.5]),
        ([True, False, True], [False, True]),
        ([5, 7, 5], np.array([7, 5])),
    ],
)
def test_given_labels(values: list, given: Sequence[Any]) -> None:
    codes, labels = as_codes([column(values)], "choice", given, where)
    assert codes[:, 0].tolist() == [1, 0, 1]
    assert list(labels) == list(given)
    assert not any(isinstance(label, np.generic) for label in labels)


def test_columns_share_codes() -> None:
    codes, labels = as_codes([column(["A", "C"]), column(["D", None])], "option_left", None, where)
    assert labels == ("A", "C", "D")
    assert codes.tolist() == [[0, 2], [1, -1]]


def test_code_that_is_not_among_those_given() -> None:
    with pytest.raises(DataError) as caught:
        as_codes([column(["L", "R", "X"])], "choice", ["L", "R"], where)
    assert str(caught.value) == (
        "column 'c' has 'X' for subject 'x' (row 3), which is not among the codes ['L', 'R'] of 'choice'; correct it, add "
        "it to codes, or leave the cell empty if it is missing"
    )


def test_labels_given_twice() -> None:
    with pytest.raises(DataError, match=r"codes of 'choice' are \[1, '1'\]; each label should be there once"):
        as_codes([column([1, 1])], "choice", [1, "1"], where)


def test_code_that_is_no_whole_number() -> None:
    with pytest.raises(DataError) as caught:
        as_codes([column([0, 1, 0.5])], "choice", None, where)
    assert str(caught.value) == (
        "column 'c' has 0.5 for subject 'x' (row 3), but 'choice' needs whole numbers or text; recode it"
    )


def test_infinite_code() -> None:
    with pytest.raises(
        DataError, match=r"column 'c' has inf for subject 'x' \(row 2\), but 'choice' needs whole numbers"
    ):
        as_codes([column([0, np.inf])], "choice", None, where)


def test_words_among_numeric_codes() -> None:
    with pytest.raises(DataError) as caught:
        as_codes([column(["0", "1", "missed"])], "choice", None, where)
    assert str(caught.value) == (
        "column 'c' mixes text and numbers: '0' for subject 'x' (row 1) and 'missed' for subject 'x' (row 3); make them all "
        "of one kind, leave cells empty or pass missing={'choice': ['missed']} (--missing on the command line) where the value "
        "is missing, or pass codes={'choice': [<labels in order>]}"
    )


def test_one_value_that_could_be_either() -> None:
    with pytest.raises(
        DataError, match=r"'c' has the one value 1, so it cannot be told whether codes start at 0 or 1; pass"
    ):
        as_codes([column([1, 1])], "choice", None, where)
    assert as_codes([column([1, 1])], "choice", [0, 1], where)[0].tolist() == [[1], [1]]


@pytest.mark.parametrize("values", [[-1, 0, 1], [-9, 1, 2], [-1, 0], [-1]])
def test_negative_codes_may_mean_missing(values: list[int]) -> None:
    with pytest.raises(
        DataError, match=r"has the negative code -\d among .*; if it marks a missing value, leave the cell"
    ):
        as_codes([column(values)], "choice", None, where)


# -- tables -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        ({"c": [1]}, "expected a pandas, polars or Arrow table, but was given dict"),
        ([1, 2], "but was given list"),
        ("data.csv", r"but was given str; use Dataset\.read for a file"),
        (pl.LazyFrame({"c": [1]}), r"but was given LazyFrame; call its collect\(\) first"),
        (pd.Series([1]), "but was given Series"),
        (pd.DataFrame({"c": []}), "the table has no rows; it should have a row for each trial"),
        (pd.DataFrame([[1, 2]], columns=["c", "c"]), r"two columns have the same name \(.*'c' 2 times\); rename one"),
        (pd.DataFrame({"c": [1]}).set_index("c"), "there is no column 'c'.*it is in the index: call reset_index"),
        (pd.DataFrame({" C ": [1], "d": [1]}), "there is no column 'c'; the table has ' C ', 'd'; name one of these"),
        (pd.DataFrame([[1, 2]]), "there is no column 'c'; the table has '0', '1'; name one of these"),
    ],
    ids=["dict", "list", "path", "lazy", "series", "empty", "twice", "index", "missing", "numbered"],
)
def test_not_the_table_expected(frame: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_columns(frame, ["c"])


def test_a_name_that_is_nearly_there() -> None:
    with pytest.raises(DataError) as caught:
        read_columns(pd.DataFrame({"subj_idx": [1], "response ": [0]}), ["subj_id", "response", "zzz"])
    assert str(caught.value) == (
        "there is no column 'subj_id', 'response', 'zzz'; the table has 'subj_idx', 'response '; did you mean 'subj_idx', "
        "'response '?"
    )
