"""Reading tables from files: every kind of file gives the same table, and says what is wrong with it."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from pyem import DataError, Dataset
from pyem.data.files import read_table

TABLE = pd.DataFrame(
    {
        "person": ["Ana", "Ana", "Zoë", "Zoë"],
        "resp": [0.0, 1.0, None, 1.0],
        "win": [1.25, 0.1 + 0.2, -3.0, 1e-17],
    }
)


def check_same(frame: pd.DataFrame) -> None:
    # Text is read as categories.
    plain = frame.assign(person=frame["person"].astype(object))
    pd.testing.assert_frame_equal(plain, TABLE, check_dtype=False, check_exact=True)


@pytest.mark.parametrize("name", ["a.csv", "a.CSV", "a.csv.gz", "a.csv.bz2", "a.csv.xz", "a.csv.zip", "a.txt"])
def test_commas_packed_or_not(tmp_path: Path, name: str) -> None:
    TABLE.to_csv(tmp_path / name, index=False)
    check_same(read_table(tmp_path / name))


@pytest.mark.parametrize("name", ["a.tsv", "a.tsv.gz", "a.txt"])
def test_tabs(tmp_path: Path, name: str) -> None:
    TABLE.to_csv(tmp_path / name, index=False, sep="\t")
    check_same(read_table(tmp_path / name))


@pytest.mark.parametrize("name", ["a.parquet", "a.pq"])
def test_parquet(tmp_path: Path, name: str) -> None:
    TABLE.to_parquet(tmp_path / name)
    check_same(read_table(tmp_path / name))


def test_separator_is_taken_as_given(tmp_path: Path) -> None:
    TABLE.to_csv(tmp_path / "a.csv", index=False, sep=";")
    check_same(read_table(tmp_path / "a.csv", separator=";"))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_byte_order_marks_are_understood(tmp_path: Path, encoding: str) -> None:
    TABLE.to_csv(tmp_path / "a.csv", index=False, encoding=encoding)
    check_same(read_table(tmp_path / "a.csv"))


def test_another_encoding_is_named_or_refused(tmp_path: Path) -> None:
    TABLE.to_csv(tmp_path / "a.csv", index=False, encoding="cp1252")
    with pytest.raises(
        DataError, match=r"a\.csv' is not text in UTF-8; save it again as CSV in UTF-8.*encoding='cp1252'"
    ):
        read_table(tmp_path / "a.csv")
    check_same(read_table(tmp_path / "a.csv", encoding="cp1252"))


def test_numbers_are_read_to_the_last_bit(tmp_path: Path) -> None:
    TABLE.to_csv(tmp_path / "a.csv", index=False)
    assert read_table(tmp_path / "a.csv")["win"].tolist() == TABLE["win"].tolist()


def test_dataset_reads_a_file(tmp_path: Path) -> None:
    TABLE.to_csv(tmp_path / "a.csv", index=False, sep=";", encoding="cp1252")
    data = Dataset.read(
        tmp_path / "a.csv",
        separator=";",
        encoding="cp1252",
        subject="person",
        columns={"choice": "resp", "reward": "win"},
    )
    assert data.subjects.tolist() == ["Ana", "Zoë"]
    assert data.present["choice"].T.tolist() == [[True, True], [False, True]]


# -- what is wrong ------------------------------------------------------------------------------------------------------


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no file '.*none\.csv'; check the path"):
        read_table(tmp_path / "none.csv")


def test_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is a folder; give the path of a CSV, TSV or Parquet file"):
        read_table(tmp_path)


@pytest.mark.parametrize("name", ["a.xls", "a.sav", "data", "a.parquet.gz"])
def test_unknown_kind(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"PK")
    with pytest.raises(
        DataError, match=r"is not a kind of file that can be read; expected \.csv.*save the table as CSV"
    ):
        read_table(tmp_path / name)


@pytest.mark.parametrize("content", ["", "\n", "\n\n"])
def test_empty_file(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.csv").write_text(content)
    with pytest.raises(DataError, match=r"a\.csv' is empty; it should have a header and a row for each trial"):
        read_table(tmp_path / "a.csv")


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_header_without_rows(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"a.{kind}"
    TABLE[:0].to_csv(path, index=False) if kind == "csv" else TABLE[:0].to_parquet(path)
    with pytest.raises(DataError, match="has a header and no rows; it should have a row for each trial"):
        read_table(path)


@pytest.mark.parametrize(
    ("used", "name", "separator"),
    [(";", "a.csv", None), ("\t", "a.csv", None), ("|", "a.txt", None), (",", "a.csv", ";")],
)
def test_wrong_separator(tmp_path: Path, used: str, name: str, separator: str | None) -> None:
    (tmp_path / name).write_text(f"id{used}resp{used}win\na{used}0{used}0,5\nb{used}1{used}1,5\n")
    with pytest.raises(DataError, match=r"has one column named 'id.*columns seem to be separated by") as caught:
        read_table(tmp_path / name, separator=separator)
    assert f"pass separator={used!r} (--separator on the command line)" in str(caught.value)


def test_a_table_of_one_column_is_fine(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id\n1\n2\n")
    assert read_table(tmp_path / "a.csv").columns.tolist() == ["id"]


def test_rows_longer_than_the_header_lose_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,resp\n1,0,7\n1,1,7\n")
    with pytest.raises(
        DataError, match="has rows with more values than the 2 columns of its header; correct the header"
    ):
        read_table(tmp_path / "a.csv")


def test_a_single_longer_row(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,resp\n1,0\n1,1,7\n1,1\n")
    with pytest.raises(DataError, match=r"could not be read: .*line 3.*is it complete and of that kind\?"):
        read_table(tmp_path / "a.csv")


def test_not_a_text_file(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"PK\x03\x04\x14\x00\x06\x00\x08\x00 a spreadsheet")
    with pytest.raises(DataError, match="is not a text file, whatever its name says; save the table as CSV in UTF-8"):
        read_table(tmp_path / "a.csv")


def test_not_a_parquet_file(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_text("id,resp\n1,0\n")
    with pytest.raises(DataError, match=r"a\.parquet' could not be read: .*is it complete and of that kind\?"):
        read_table(tmp_path / "a.parquet")


@pytest.mark.parametrize("ending", ["gz", "bz2", "xz", "zip", "parquet"])
def test_file_cut_short(tmp_path: Path, ending: str) -> None:
    path = tmp_path / ("a.parquet" if ending == "parquet" else f"a.csv.{ending}")
    long = pd.DataFrame({"id": range(5000), "win": [k * 0.37 % 1 for k in range(5000)]})
    long.to_parquet(path) if ending == "parquet" else long.to_csv(path, index=False)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match=r"could not be read: .*is it complete and of that kind\?"):
        read_table(path)


def test_packed_by_name_only(tmp_path: Path) -> None:
    (tmp_path / "a.csv.gz").write_text("id,resp\n1,0\n")
    with pytest.raises(DataError, match=r"could not be read: .*gz.*is it complete and of that kind\?"):
        read_table(tmp_path / "a.csv.gz")


def test_packed_empty_file(tmp_path: Path) -> None:
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b""))
    with pytest.raises(DataError, match="is empty; it should have a header and a row for each trial"):
        read_table(tmp_path / "a.csv.gz")


# -- files as programs write them ---------------------------------------------------------------------------------------

ROWS = [("1", "0", "-0,5"), ("1", "1", "1,25"), ("01", "1", "10,0"), ("01", "0", "")]


def file_of(path: Path, mark: str, rows: list[tuple[str, ...]] = ROWS, first: str = "", **more: Any) -> Dataset:
    lines = [mark.join(row) for row in [("id", "choice", "reward"), *rows]]
    path.write_text(first + "\n".join(lines) + "\n", encoding="utf-8")
    return Dataset.read(path, subject="id", columns={"choice": "choice", "reward": "reward"}, **more)


@pytest.mark.parametrize(
    ("name", "separator", "first", "more"),
    [
        ("a.csv", ";", "", {"separator": ";"}),
        ("a.csv", ";", "sep=;\n", {}),
        ("a.csv", ";", '"sep=;"\r\n', {}),
        ("a.tsv", "\t", "", {"decimal": ","}),
        ("a.csv", ";", "", {"separator": ";", "decimal": ","}),
    ],
)
def test_decimal_commas(tmp_path: Path, name: str, separator: str, first: str, more: dict[str, Any]) -> None:
    data = file_of(tmp_path / name, separator, first=first, **more)
    assert data.to_frame()["reward"].fillna(99).tolist() == [-0.5, 1.25, 10.0, 99]
    assert data.subjects.tolist() == ["1", "01"]
    recognised = "decimal commas were read in the column 'reward'"
    assert (recognised in data.notes) == ("decimal" not in more)
    assert ("the first line of the file says that its columns are separated by ';'" in data.notes) == bool(first)


def test_points_and_commas_are_not_mixed(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"has the text '1,5' for subject '1' \(row 1\).*read the file with decimal=','"
    ):
        file_of(tmp_path / "a.csv", ";", [("1", "0", "1,5"), ("1", "1", "1.5")], separator=";")
    for decimal, said in ((";", "decimal=';'; expected ',' or '.'"), (",", "are the same character")):
        with pytest.raises(DataError, match=said):
            read_table(tmp_path / "a.csv", decimal=decimal, separator=",")
    with pytest.raises(DataError, match="encoding='latin-99' is not known"):
        read_table(tmp_path / "a.csv", encoding="latin-99")


def test_columns_separated_by_spaces(tmp_path: Path) -> None:
    data = file_of(tmp_path / "a.txt", "   ", [("1", "0", "0.5"), ("01", "1", "1")])
    assert data.subjects.tolist() == ["1", "01"]
    assert "columns of the file were taken to be separated by spaces" in data.notes


def test_two_columns_of_one_name(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,choice,reward,choice\n1,0,1,1\n")
    with pytest.raises(
        DataError, match=r"has several columns named 'choice' \(columns 2, 4\), so that it cannot be told"
    ):
        read_table(tmp_path / "a.csv")
    (tmp_path / "a.csv").write_text("id,,choice,\n1,,0,\n")
    assert len(read_table(tmp_path / "a.csv")) == 1


def test_a_wide_table(tmp_path: Path) -> None:
    pd.DataFrame({"id": [1, 2]} | {f"choice_{k}": [0, 1] for k in range(5)}).to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(DataError, match=r"there is a column for each trial \('choice_0', 'choice_1', \.\.\.\)"):
        Dataset.read(tmp_path / "a.csv", subject="id", columns={"choice": "choice"})


@pytest.mark.parametrize("sheets", [("Trials",), ("Trials", "Notes")])
def test_excel(tmp_path: Path, sheets: tuple[str, ...]) -> None:
    frame = pd.DataFrame({"id": ["001", "001", "NA", "NA"], "choice": [1, 2, None, 2], "reward": [0.5, "NA", 1, 0.25]})
    with pd.ExcelWriter(tmp_path / "a.xlsx") as book:
        for sheet in sheets:
            frame.to_excel(book, sheet_name=sheet, index=False)
    data = Dataset.read(tmp_path / "a.xlsx", subject="id", columns={"choice": "choice", "reward": "reward"})
    assert data.subjects.tolist() == ["001", "NA"]
    assert data.present["choice"].T.tolist() == [[True, True], [False, True]]
    assert data.present["reward"].T.tolist() == [[True, False], [True, True]]
    assert ("of the sheets 'Trials', 'Notes' the first was read" in data.notes) == (len(sheets) > 1)


def test_excel_without_what_reads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.xlsx").write_bytes(b"PK")
    with pytest.raises(DataError, match="could not be read"):
        read_table(tmp_path / "a.xlsx")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(DataError, match=r"needs openpyxl: pip install 'pyem-behavior\[excel\]'"):
        read_table(tmp_path / "a.xlsx")
