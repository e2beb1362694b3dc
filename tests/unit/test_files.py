"""Reading tables from files: every kind of file gives the same table, and says what is wrong with it."""

from __future__ import annotations

import gzip
from pathlib import Path

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
    pd.testing.assert_frame_equal(frame, TABLE, check_dtype=False, check_exact=True)


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
