"""Files of fits on disks that are full, and damaged ones."""

from __future__ import annotations

import functools
import os
import random
import sys
from pathlib import Path

import arviz
import pytest

import pyem
from pyem.data.leftovers import remove_leftovers, unfinished
from pyem.results.first_reading import require_readable

OLD = Path(__file__).parents[1] / "data" / "saved_0.1.0"


@functools.cache
def fit() -> pyem.PointFit:
    model = pyem.models.get("rw1a1b")
    return pyem.fit_map(model, pyem.simulate(model, subjects=5, blocks=2, trials=20, key=1))


@pytest.mark.skipif(sys.platform == "win32", reason="sizes of files cannot be limited there")
@pytest.mark.parametrize("room", [0, 1000, 50_000])
def test_a_disk_that_fills_up_is_one_error(tmp_path: Path, room: int):
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    fit().save(tmp_path / "earlier.nc")
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
        with pytest.raises(OSError, match="could not be written"):
            fit().save(tmp_path / "earlier.nc")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert os.listdir(tmp_path) == ["earlier.nc"]
    assert pyem.load(tmp_path / "earlier.nc").table().equals(fit().table())


def test_a_damaged_file_is_one_error_and_other_programs_read_a_whole_one(tmp_path: Path):
    file = fit().save(tmp_path / "fit.nc")
    assert arviz.from_netcdf(str(file)).posterior.sizes["subject"] == 5
    whole, draw = file.read_bytes(), random.Random(11)
    for _ in range(100):
        damaged = bytearray(whole)
        for _ in range(3):
            place = draw.randrange(len(damaged))
            damaged[place] = (damaged[place] + draw.randrange(1, 256)) % 256
        file.write_bytes(damaged)
        with pytest.raises(ValueError, match="damaged"):
            pyem.load(file)
    for size in (0, 10, len(whole) // 2, len(whole) - 1000):
        file.write_bytes(whole[:size])
        with pytest.raises(ValueError, match="damaged"):
            pyem.load(file)


def test_a_file_of_an_earlier_version_has_no_seal(tmp_path: Path):
    file = fit().save(tmp_path / "fit.nc")
    file.write_bytes(file.read_bytes().rpartition(b"\0pyem sha256\0")[0])
    assert pyem.load(file).table().equals(fit().table())


@pytest.mark.skipif(sys.platform == "win32", reason="processes cannot be asked for there")
def test_what_killed_processes_leave_is_removed(tmp_path: Path):
    gone = 2**22 + 1
    results = tmp_path / "results"
    mine, dead = unfinished(results), unfinished(results)
    dead = dead.with_name(dead.name.replace(f".{os.getpid()}.", f".{gone}."))
    put_aside = tmp_path / f".results.{gone}.old"
    for folder in (mine, dead, tmp_path / f".results.{gone}.partial", put_aside):
        folder.mkdir()
    (put_aside / "group.csv").write_text("earlier")
    (tmp_path / ".results.notes.partial").write_text("of somebody else")
    remove_leftovers(results)
    assert {path.name for path in tmp_path.iterdir()} == {"results", mine.name, ".results.notes.partial"}
    assert (results / "group.csv").read_text() == "earlier"


@pytest.mark.parametrize(
    ("reader", "said"),
    [("while True: pass", "HDF5 did not come to the end of it in 1 seconds"), ("import os; os.abort()", "signal 6")],
)
def test_hdf5_that_never_ends_or_crashes_is_one_error(tmp_path: Path, reader: str, said: str):
    path = tmp_path / "fit.nc"
    path.write_bytes(b"damaged")
    with pytest.raises(ValueError, match=f"is damaged: .*{said}"):
        require_readable(path, reader=reader, seconds=1.0)


def test_a_first_reading_of_old_files_says_nothing_of_good_ones():
    paths = sorted(OLD.glob("m*.nc"))
    assert [path.name for path in paths] == ["map.nc", "mle.nc"]
    for path in paths:
        assert require_readable(path) is None
