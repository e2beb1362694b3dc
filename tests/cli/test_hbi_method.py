"""`pyem fit --method hbi`."""

import pandas as pd
import pytest

import pyem
from tests.cli.run import DATA_OPTIONS, pyem_command


def test_hbi_writes_frequencies_responsibilities_and_every_fit(data_file, tmp_path):
    out = tmp_path / "results"
    asked = ("fit", data_file, "--model", "bias", "--model", "wsls", *DATA_OPTIONS, "--method", "hbi", "--no-figures")
    done = pyem_command(*asked, "--out", out)
    assert "protected_exceedance" in done.stdout
    fit = pyem.load(out / "hbi.nc")
    assert pd.read_csv(out / "models.csv").frequency.tolist() == pytest.approx(list(fit.frequency.values()))
    assert list(pd.read_csv(out / "responsibilities.csv").columns) == ["subject", "bias", "wsls", "model"]
    assert pyem.load(out / "wsls" / "fit.nc").method == "hbi"


def test_hbi_of_one_model_is_an_error(data_file, tmp_path):
    asked = ("fit", data_file, "--model", "bias", *DATA_OPTIONS, "--method", "hbi", "--out", tmp_path / "results")
    done = pyem_command(*asked, code=1)
    assert "--method hbi compares models" in done.output.replace("\n", " ")
    assert not (tmp_path / "results").exists()
