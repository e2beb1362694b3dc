"""`pyem study`."""

import pandas as pd
import pytest

import pyem
from tests.cli.run import pyem_command

SMALL = ("--subjects", 5, "--trials", 20, "--rounds", 2)


@pytest.mark.parametrize("command", ["recovery", "confusion", "calibration", "power"])
def test_help_of_every_study_has_examples(command):
    text = pyem_command("study", command, "--help").stdout
    assert f"pyem study {command}" in text
    assert "Examples" in text


def test_recovery_is_written_and_goes_on_where_it_was(tmp_path):
    asked = ("study", "recovery", "bias", *SMALL, "--method", "map", "--seed", 3, "--keep", tmp_path / "rounds")
    done = pyem_command(*asked, "--out", tmp_path / "out")
    assert "Recovery of bias: 2 rounds of 5 people" in done.stdout
    expected = pyem.recovery(
        pyem.models.get("bias"), key=3, subjects=5, blocks=1, trials=20, rounds=2, fit=pyem.fit_map
    ).table()
    written = pd.read_csv(tmp_path / "out" / "recovery.csv", index_col=0)
    pd.testing.assert_frame_equal(written, expected, check_exact=False)
    assert (tmp_path / "out" / "recovery.png").exists()
    kept = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "rounds").glob("*.npz")}
    assert len(kept) == 2
    pyem_command(*asked, "--out", tmp_path / "out", "--force")
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "rounds").glob("*.npz")} == kept


def test_models_are_told_apart_and_counted(tmp_path):
    pyem_command("study", "confusion", "bias", "wsls", *SMALL, "--by", "bic", "--out", tmp_path / "c")
    table = pd.read_csv(tmp_path / "c" / "confusion_bic.csv")
    assert table["n"].tolist() == [2] * 4
    size = ("--n", 5, "--trials", 20, "--rounds", 2)
    pyem_command("study", "power", "bias", "wsls", *size, "--by", "bic", "--out", tmp_path / "p")
    wins = table[table.simulated == table.fitted]["wins"].tolist()
    assert pd.read_csv(tmp_path / "p" / "power.csv")["found"].tolist() == wins


def test_power_of_effects_of_a_formula_is_that_of_the_library(tmp_path):
    asked = (
        "--formula",
        "bias ~ drug + age",
        "--effect",
        "bias[drug]=2",
        "--effect",
        "bias[age]=1",
        "--within",
        "drug=1,0",
    )
    size = ("--between", "age=normal", "--scale", "unconstrained", "--n", 5, "--trials", 20, "--rounds", 2)
    pyem_command("study", "power", "bias", *asked, *size, "--out", tmp_path / "p")
    effects = pyem.DesignEffects(
        pyem.regress(pyem.models.get("bias"), "bias ~ drug + age"),
        {"bias[drug]": 2, "bias[age]": 1},
        within={"drug": [1, 0]},
        between={"age": "normal"},
        scale="unconstrained",
    )
    found = pyem.power(effects, key=0, n=5, trials=20, rounds=2).table().reset_index()
    written = pd.read_csv(tmp_path / "p" / "power.csv")
    assert written["effect"].tolist() == ["bias[drug] = 2 (unconstrained)", "bias[age] = 1 (unconstrained)"]
    assert written["found"].tolist() == found["found"].tolist()
    assert (tmp_path / "p" / "precision.csv").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("recovery", "nobody"), "nobody"),
        (("confusion", "bias"), "two or more different models"),
        (("power", "bias", "wsls", "--effect", "bias=1"), "--effect is of one model"),
        (("power", "bias", "wsls", "--by", "bic", "--by", "aic"), "--by is given 2 times"),
        (("recovery", "bias", "--method", "hbi"), "use --by hbi"),
        (("power", "bias", "--effect", "bias=1", "--within", "drug=a,b"), "give --formula"),
        (("power", "bias", "--formula", "bias ~ drug", "--within", "drug=a,b"), "the size of at least one --effect"),
    ],
)
def test_studies_that_cannot_be(words, message):
    assert message in pyem_command("study", *words, code=1).output.replace("\n", " ")
