"""Files that are read straight into compact columns give what the general way gives: arrays, labels, notes and errors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pyem.data import many_files
from pyem.data.coded import Texts
from pyem.data.columns import CodedTable
from pyem.data.long_table import lanes_from_frame
from pyem.errors import DataError

HEADER = "id,part,t,resp,win,rt,note\n"
ROWS = """001,1,1,left,1,0.5,a
001,1,2,right,0,,b
001,2,1,,1,0.25,
1,NA,1,left,0,1e-3,c
1,NA,2,right,,0.75,d
"""
PLAIN = HEADER + ROWS
ASKED: dict[str, Any] = {
    "subject": "id",
    "block": ["part"],
    "trial": "t",
    "columns": {"choice": "resp", "reward": "win", "rt": "rt"},
}

READ_STRAIGHT = {
    "plain": PLAIN,
    "no line end": PLAIN.rstrip("\n"),
    "windows": PLAIN.replace("\n", "\r\n"),
    "byte-order mark": "\ufeff" + PLAIN,
    "quoted": HEADER + "\n".join(",".join(f'"{cell}"' for cell in row.split(",")) for row in ROWS.splitlines()) + "\n",
    "sep=": "sep=,\n" + PLAIN,
    "empty lines": PLAIN.replace("\n1,", "\n\n\n1,"),
    "truth values": PLAIN.replace(",1,0.", ",True,0.").replace(",0,1e", ",False,1e").replace(",0,,", ",TRUE,,"),
    "missing words": PLAIN.replace("left,1,0.5", "left,NaN,0.5").replace("0.25", "NULL"),
    "spaces around numbers": PLAIN.replace("0.75", " 0.75 ").replace("left,1", "left, 1"),
    "fractions later": HEADER + "".join(f"a,1,{k},left,1,1,x\n" for k in range(1, 300)) + "a,1,300,right,0.5,2.5,x\n",
    "missing later": HEADER + "".join(f"a,1,{k},left,1,1,x\n" for k in range(1, 300)) + "a,1,300,right,,,x\n",
    "text that is a number": PLAIN.replace("left", "10"),
    "unordered": HEADER + "".join(reversed(ROWS.splitlines(keepends=True))),
    "duplicates": PLAIN + "1,NA,2,right,,0.75,d\n",
    "text among numbers": PLAIN.replace("left,1,0.5", "left,win,0.5"),
    "no block": PLAIN.replace("1,NA,2", "1,,2"),
    "quote over lines": PLAIN + '1,NA,3,left,1,0.5,"two\nlines"\n',
    "plus": PLAIN.replace("0.75", "+0.75"),
    "names alike": PLAIN.replace("\n1,", "\nA ,").replace("001,2", "a,2"),
}
READ_IN_GENERAL = {
    "nobody's row": PLAIN + ",,,,,,\n",
    "semicolons": PLAIN.replace(",", ";").replace("0.5", "0,5"),
    "long row": PLAIN + "1,NA,3,left,1,0.5,d,e\n",
    "short row": PLAIN + "1,NA,3,left\n",
    "stray quote": PLAIN + '1,NA,3,left,1,0.5,5" wide\n',
    "infinite": PLAIN.replace("0.75", "inf"),
    "not a number later": HEADER + "".join(f"a,1,{k},left,1,1,x\n" for k in range(1, 300)) + "a,1,300,right,oops,2,x\n",
    "hexadecimal later": HEADER + "".join(f"a,1,{k},left,1,1,x\n" for k in range(1, 300)) + "a,1,300,right,0x1F,2,x\n",
    "too long later": HEADER + "".join(f"a,1,{k},left,1,1,x\n" for k in range(1, 300)) + f"a,1,300,left,{10**25},2,x\n",
    "twice in the header": PLAIN.replace("note", "rt"),
    "another column": PLAIN.replace("win", "loss"),
    "no rows": HEADER,
    "nothing": "",
    "other encoding": PLAIN.replace("left", "für").encode("cp1252"),
    "empty column": PLAIN.replace("left", "").replace("right", ""),
}


def outcome(path: Path, options: Mapping[str, Any], *, straight: bool) -> Any:
    """The parts of a data set, or the words of an error; and whether the file was read straight."""
    read = many_files.read_used if straight else many_files.read_paths
    try:
        table = read(path, None, options, separator=None, encoding=None, decimal=None)
        how = {"codes": {}, "covariates": [], "missing_outcome": "skip", **options}
        return lanes_from_frame(table, **how), isinstance(table, CodedTable)
    except DataError as error:
        return str(error), False


def same(path: Path, **more: Any) -> bool:
    """Compare both ways to read a file; whether it was read straight."""
    options = ASKED | more
    (general, _), (straight, coded) = outcome(path, options, straight=False), outcome(path, options, straight=True)
    if isinstance(general, str):
        assert straight == general
        return coded
    assert not isinstance(straight, str), straight
    for name in ("notes", "codes"):
        assert straight[name] == general[name]
    arrays = {
        name: (general[name], straight[name]) for name in ("valid", "lane_subject", "lane_block", "subjects", "trial")
    }
    for group in ("fields", "present", "covariates"):
        assert list(general[group]) == list(straight[group])
        arrays |= {f"{group} {name}": (value, straight[group][name]) for name, value in general[group].items()}
    for name, (one, other) in arrays.items():
        np.testing.assert_array_equal(one, other, err_msg=name)
        assert name == "trial" or one.dtype == other.dtype, name
    return coded


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "a.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize("name", READ_STRAIGHT)
def test_text_files_are_read_straight(tmp_path: Path, name: str) -> None:
    path = written(tmp_path, READ_STRAIGHT[name])
    straight = same(path)
    fails = isinstance(outcome(path, ASKED, straight=False)[0], str)
    assert straight != fails


@pytest.mark.parametrize("name", READ_IN_GENERAL)
def test_other_text_files_are_read_in_general(tmp_path: Path, name: str) -> None:
    assert not same(written(tmp_path, READ_IN_GENERAL[name]))


def test_options_that_need_other_columns(tmp_path: Path) -> None:
    path = written(tmp_path, PLAIN)
    assert not same(path, where="rt < 2")
    assert not same(path, exclude=["1"])
    assert same(path, missing={"reward": [0], "rt": [0.5]})
    assert same(
        written(tmp_path, PLAIN.replace("1,NA,2,right", "1,NA,2,no response")), missing={"choice": "no response"}
    )
    path = written(tmp_path, PLAIN)
    assert same(path, values={"choice": {"left": 3, "right": 4}})
    assert same(path, codes={"choice": ["right", "left"]})
    assert same(path, trial=None)
    assert same(path, block=[], trial=None)
    assert same(path, block=["part", "t"], trial=None)
    assert same(path, columns={"choice": "resp", "both": ["win", "rt"]}, covariates=["id"])


def test_pieces_end_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, PLAIN)
    for size in (32, 41, 64, 1000):
        monkeypatch.setattr("pyem.data.streaming.PIECE", size)
        assert same(path)


@pytest.mark.parametrize("cell", ["NaN", "-32768", "40000", "-3000000000", "left"])
def test_what_later_pieces_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cell: str) -> None:
    """Words for what is missing, and numbers that are larger than all before them."""
    rows = [f"a,1,{k},left,1,0.5,x\n" for k in range(1, 400)]
    text = HEADER + "".join(rows[:300]) + f"a,1,300,right,{cell},2.5,x\n" + "".join(rows[300:])
    monkeypatch.setattr("pyem.data.streaming.PIECE", 1000)
    assert same(written(tmp_path, text), trial=None) == (cell != "left")


@pytest.mark.parametrize("size", [200, 1000, 1 << 21])
def test_people_who_are_together_in_some_rows_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """Names that stay the same for many rows are looked up once for all of them; what follows may be in any order."""
    names = [*["Zoë"] * 300, *["b", "NA"] * 100, *["001"] * 200, *np.random.default_rng(1).choice(list("abcd"), 100)]
    parts = [*[1] * 150, *[2] * 150, *np.repeat([1, 2], 2).tolist() * 50, *[3] * 300]
    rows = [f"{name},{part},{k},left,1,0.5,x\n" for k, (name, part) in enumerate(zip(names, parts, strict=True))]
    monkeypatch.setattr("pyem.data.streaming.PIECE", size)
    assert same(written(tmp_path, HEADER + "".join(rows)))
    assert same(written(tmp_path, HEADER + "".join(reversed(rows)) + "\n" * size))


TABLES = {
    "integers": {},
    "narrow": {"win": "int8", "t": "uint16", "rt": "float32"},
    "truth": {"win": "bool"},
    "nullable": {"win": "Int64", "t": "Int32"},
    "people as numbers": {"id": "int64"},
    "category": {"resp": "category"},
}


@pytest.mark.parametrize("name", TABLES)
def test_parquet_files(tmp_path: Path, name: str) -> None:
    n = 12
    frame = pd.DataFrame(
        {
            "id": np.repeat(["3", "1", "2"], 4),
            "part": 1,
            "t": np.tile(np.arange(1, 5), 3),
            "resp": ["left", "right", None, "left"] * 3,
            "win": [0, 1] * 6,
            "rt": np.where(np.arange(n) % 5, 0.5, np.nan),
        }
    ).astype(TABLES[name])
    if name == "nullable":
        frame.loc[2, "win"] = pd.NA
    frame.to_parquet(tmp_path / "a.parquet")
    assert same(tmp_path / "a.parquet") == (name != "category")
    # A table with an index of its own has fewer columns than its file.
    frame.set_index("id").to_parquet(tmp_path / "b.parquet")
    assert not same(tmp_path / "b.parquet")


def test_texts_come_in_the_order_of_the_rows(tmp_path: Path) -> None:
    """Programs other than pandas write dictionaries in any order, and with entries that are in no row."""
    labels = pa.DictionaryArray.from_arrays(pa.array([2, 2, 0, 0]), pa.array(["a", "nobody", "b"]))
    table = pa.table({"id": labels, "resp": pa.array([0, 1, 1, 0]), "win": pa.array([1, 0, 1, 0])})
    pq.write_table(table, tmp_path / "a.parquet", store_schema=False)
    options = {"block": [], "trial": None, "columns": {"choice": "resp", "reward": "win"}}
    assert same(tmp_path / "a.parquet", **options)
    texts = Texts()
    texts.add(labels)
    assert texts.column("id").labels == ("b", "a")
