"""Generated tables: valid ones in disguise give the likelihood of the plain one; invalid ones are refused in words."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pyem
from pyem import DataError, Dataset, ModelError
from pyem.engine.evaluate import log_lik
from pyem.engine.validate import validate

RW = pyem.models.get("rw1a1b")
PEOPLE, BLOCKS, LONGEST = 3, 2, 6
"""The one shape of all tables, so that one function is compiled."""
X = np.tile([0.3, -0.4], (PEOPLE, 1))
COLUMNS = {"choice": "resp", "reward": "win"}

LABELS: dict[str, tuple[Any, Any]] = {
    "from 0": (0, 1),
    "from 1": (1, 2),
    "signs": (-1, 1),
    "keys": (49, 53),
    "words": ("left", "right"),
    "spaces": ("f", "j "),
    "digits": ("0", "1"),
    "umlauts": ("rot", "über"),
    "other order": ("z", "a"),
}
NAMES: dict[str, list[Any]] = {
    "numbers": [3, 1, 2],
    "zeros": ["001", "01", "1"],
    "words": ["Zoë", "ana", "Ben"],
    "missing?": ["NA", "None", "null"],
    "long": ["610000000000000000000001", "610000000000000000000002", "5e3"],
}
FILES = {
    "csv": {"sep": ",", "encoding": "utf-8"},
    "bom.csv": {"sep": ",", "encoding": "utf-8-sig"},
    "western.csv": {"sep": ";", "encoding": "cp1252"},
    "comma.csv": {"sep": ";", "encoding": "utf-8", "decimal": ","},
    "wide.tsv": {"sep": "\t", "encoding": "utf-16"},
    "tab.txt": {"sep": "\t", "encoding": "utf-8"},
    "packed.csv.gz": {"sep": ",", "encoding": "utf-8"},
}
TABLES: dict[str, Callable[[pd.DataFrame], Any]] = {
    "pandas": lambda frame: frame,
    "nullable": lambda frame: frame.convert_dtypes(),
    "categorical": lambda frame: frame.assign(resp=frame["resp"].astype("category")),
    "polars": lambda frame: pl.from_pandas(frame),
    "arrow": lambda frame: pa.Table.from_pandas(frame, preserve_index=False),
}


@dataclasses.dataclass(frozen=True)
class Disguise:
    """How a table is written down."""

    seed: int
    labels: str
    names: str
    holder: str
    marker: Any
    worth: bool
    practice: bool
    guest: bool
    empty: int
    shuffled: bool


DISGUISES = st.builds(
    Disguise,
    seed=st.integers(0, 2**32 - 1),
    labels=st.sampled_from(sorted(LABELS)),
    names=st.sampled_from(sorted(NAMES)),
    holder=st.sampled_from([*TABLES, *FILES, "parquet"]),
    marker=st.sampled_from([None, "no response", 999, -9]),
    worth=st.booleans(),
    practice=st.booleans(),
    guest=st.booleans(),
    empty=st.integers(0, 2),
    shuffled=st.booleans(),
)


def plain(seed: int) -> pd.DataFrame:
    """Three people with two blocks of up to six trials; missed responses and unknown outcomes."""
    rng = np.random.default_rng(seed)
    rows = []
    for person in range(PEOPLE):
        for block in range(BLOCKS):
            length = LONGEST if person == block == 0 else int(rng.integers(2, LONGEST + 1))
            for trial in range(length):
                # The first trials of all are both options, and nobody is without a response.
                first = trial < 2
                resp = float(trial) if first else rng.choice([0, 1, np.nan], p=[0.4, 0.4, 0.2])
                win = rng.choice([-0.5, 0.0, 0.25, 1.0]) if first or rng.random() < 0.8 else np.nan
                rows.append((person, block + 1, trial + 1, resp, win))
    return pd.DataFrame(rows, columns=["id", "part", "t", "resp", "win"])


def by_person(data: Dataset, names: dict[str, int]) -> np.ndarray:
    values = log_lik(RW, data, X)
    order = [names[str(label)] for label in data.subjects]
    return values[np.argsort(order)]


def disguised(frame: pd.DataFrame, how: Disguise) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The same table in other words, and what has to be said about it."""
    rng = np.random.default_rng(how.seed + 1)
    low, high = LABELS[how.labels]
    options: dict[str, Any] = {"subject": "id", "block": "part", "trial": "t", "columns": COLUMNS}
    text = isinstance(low, str) or isinstance(how.marker, str)
    cells = [how.marker if np.isnan(resp) else (low, high)[int(resp)] for resp in frame["resp"]]
    out = pd.DataFrame({"t": frame["t"], "part": frame["part"], "win": frame["win"], "other": "x"})
    out["resp"] = pd.Series([None if cell is None else str(cell) if text else cell for cell in cells], dtype=object)
    out["id"] = pd.Series([NAMES[how.names][person] for person in frame["id"]], dtype=object)
    if how.marker is not None:
        options["missing"] = {"choice": [how.marker]}
    if low > high or how.labels == "umlauts":
        options["codes"] = {"choice": [low, high]}
    if how.worth:
        words = {-0.5: "lost", 0.0: "nothing", 0.25: "small win", 1.0: "big win"}
        out["win"] = pd.Series([None if np.isnan(win) else words[win] for win in frame["win"]], dtype=object)
        options["values"] = {"reward": {word: number for number, word in words.items()}}
    if how.practice:
        warm_up = out.sample(3, random_state=how.seed).assign(phase="warm up", t=77)
        out = pd.concat([warm_up, out.assign(phase="main")], ignore_index=True)
        options["where"] = "phase == 'main'"
    if how.guest:
        guest = 99 if how.names == "numbers" else "guest"
        out = pd.concat([out, out.iloc[-1:].assign(id=pd.Series([guest], dtype=object).values)], ignore_index=True)
        options["exclude"] = [guest]
    if how.shuffled:
        out = out.iloc[rng.permutation(len(out))].reset_index(drop=True)
    if how.empty and how.holder in FILES:
        nobody = pd.DataFrame(None, index=range(how.empty), columns=out.columns, dtype=object)
        numbers = {} if how.worth else {"win": float}
        out = pd.concat([out.astype(object), nobody], ignore_index=True).astype(numbers)
    return out[rng.permutation(out.columns)], options


def read(frame: pd.DataFrame, options: dict[str, Any], holder: str) -> Dataset:
    if holder in TABLES:
        return Dataset.from_frame(TABLES[holder](frame), **options)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / (f"a.{holder}" if holder in ("csv", "parquet") else holder)
        if holder == "parquet":
            frame.to_parquet(path)
            return Dataset.read(path, **options)
        how = FILES[holder]
        frame.to_csv(path, index=False, **how)
        return Dataset.read(
            path, separator=how["sep"], encoding=how["encoding"] if "western" in holder else None, **options
        )


def check_disguise(how: Disguise) -> None:
    frame = plain(how.seed)
    expected = by_person(
        Dataset.from_frame(frame, subject="id", block="part", trial="t", columns=COLUMNS), {str(k): k for k in range(3)}
    )
    data = read(*disguised(frame, how), how.holder)
    assert {str(label) for label in data.subjects} == set(map(str, NAMES[how.names]))
    found = by_person(data, {str(name): k for k, name in enumerate(NAMES[how.names])})
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10)


# -- what is wrong with a table -----------------------------------------------------------------------------------------


def cell(column: str, value: Any) -> Callable[[pd.DataFrame, int], tuple[pd.DataFrame, dict[str, Any]]]:
    def broken(frame: pd.DataFrame, row: int) -> tuple[pd.DataFrame, dict[str, Any]]:
        frame = frame.astype({column: object})
        frame.loc[row, column] = value
        return frame, {}

    return broken


def whole(**columns: Any) -> Callable[[pd.DataFrame, int], tuple[pd.DataFrame, dict[str, Any]]]:
    return lambda frame, row: (frame.assign(**{name: make(frame) for name, make in columns.items()}), {})


def asked(**options: Any) -> Callable[[pd.DataFrame, int], tuple[pd.DataFrame, dict[str, Any]]]:
    return lambda frame, row: (frame, options)


BROKEN: dict[str, Callable[[pd.DataFrame, int], tuple[pd.DataFrame, dict[str, Any]]]] = {
    "word as reward": cell("win", "won"),
    "infinite reward": cell("win", np.inf),
    "half a choice": cell("resp", 0.5),
    "far choice": cell("resp", 999),
    "negative choice": cell("resp", -1),
    "third choice": cell("resp", 2),
    "trial without number": cell("t", None),
    "block without name": cell("part", None),
    "twice": lambda frame, row: (pd.concat([frame, frame.iloc[[row]]]), {}),
    "words as rewards": whole(win=lambda frame: np.where(frame["win"] > 0, "win", "loss")),
    "percent": whole(win=lambda frame: frame["win"].map("{:.0%}".format)),
    "nobody responds": whole(resp=lambda frame: np.nan),
    "one value": whole(resp=lambda frame: 1),
    "complex": whole(win=lambda frame: frame["win"].fillna(0) + 1j),
    "dates": whole(win=lambda frame: pd.Timestamp("2024-05-01")),
    "covariate": lambda frame, row: (frame.assign(age=frame["t"]), {"covariates": ["age"]}),
    "no such column": asked(columns={"choice": "resp", "reward": "wins"}),
    "no such block": asked(block="session"),
    "codes": asked(codes={"choice": [1, 2]}),
    "values": asked(values={"reward": {"win": 1}}),
    "where": asked(where="part == '1'"),
    "exclude": asked(exclude=["nobody"]),
    "marker": asked(missing={"rt": [0]}),
    "no outcome": asked(missing_outcome="error", missing={"reward": [1.0]}),
}


def check_refusal(seed: int, kind: str, row: int) -> None:
    frame = plain(seed)
    frame, options = BROKEN[kind](frame, row % len(frame))
    asked = {"subject": "id", "block": "part", "trial": "t", "columns": COLUMNS} | options
    with pytest.raises((DataError, ModelError)) as caught:
        validate(RW, Dataset.from_frame(frame, **asked))
    said = str(caught.value)
    named = ("row ", "column", "covariate", "'resp'", "'win'", "'choice'", "'reward'", "where=", "exclude=", "missing=")
    assert any(name in said for name in named), said


CELLS = st.one_of(
    st.text(max_size=6),
    st.floats(),
    st.integers(),
    st.booleans(),
    st.sampled_from(["", " ", "1e999", "-", "0,5", "=1+1", "\x1e0.0", "9" * 400, "\u0661", "NaN", "1_000", None]),
)


def check_any_cell(seed: int, column: str, row: int, value: Any, file: bool) -> None:
    """Whatever stands in a cell, it is read or refused; nothing else is ever raised."""
    frame, _ = cell(column, value)(plain(seed), row % 20)
    options: dict[str, Any] = {"subject": "id", "block": "part", "trial": "t", "columns": COLUMNS}
    said, data = "", None
    try:
        data = read(frame, options, "csv" if file else "pandas")
        validate(RW, data)
    except (DataError, ModelError) as error:
        said = str(error)
    if said:
        assert any(
            name in said
            for name in ("row", "column", "subject", "could not be read", "is not text", "is not a text file")
        )
    else:
        assert data is not None
        assert np.isfinite(log_lik(RW, data, np.tile(X[0], (data.n_subjects, 1)))).all() or column == "win"


INVALID = {"seed": st.integers(0, 2**32 - 1), "kind": st.sampled_from(sorted(BROKEN)), "row": st.integers(0, 99)}
ANY = {
    "seed": st.integers(0, 2**32 - 1),
    "column": st.sampled_from(["resp", "win", "id", "part", "t"]),
    "row": st.integers(0, 11),
    "value": CELLS,
    "file": st.booleans(),
}
FEW = settings(max_examples=200, deadline=None, database=None, derandomize=True)
MANY = settings(max_examples=2000, deadline=None, database=None, print_blob=True)


@FEW
@given(how=DISGUISES)
def test_valid_tables_in_disguise(how: Disguise) -> None:
    check_disguise(how)


@settings(FEW, max_examples=60)
@given(**INVALID)
def test_invalid_tables(seed: int, kind: str, row: int) -> None:
    check_refusal(seed, kind, row)


@settings(FEW, max_examples=60)
@given(**ANY)
def test_any_cell(seed: int, column: str, row: int, value: Any, file: bool) -> None:
    check_any_cell(seed, column, row, value, file)


@pytest.mark.slow
@MANY
@given(how=DISGUISES)
def test_many_valid_tables_in_disguise(how: Disguise) -> None:
    check_disguise(how)


@pytest.mark.slow
@settings(MANY, max_examples=500)
@given(**INVALID)
def test_many_invalid_tables(seed: int, kind: str, row: int) -> None:
    check_refusal(seed, kind, row)


@pytest.mark.slow
@settings(MANY, max_examples=500)
@given(**ANY)
def test_many_cells(seed: int, column: str, row: int, value: Any, file: bool) -> None:
    check_any_cell(seed, column, row, value, file)
