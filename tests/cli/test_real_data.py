"""A published data set through the command line: the numbers that an independent implementation gives."""

import pandas as pd
import pytest

import pyem
from tests.cli.run import ROOT, pyem_command

FILE = ROOT.parent / "shared" / "data" / "pst_pedersen2020.csv"
COLUMNS = ("--subject", "subj_idx", "--block", "split_by", "--trial", "trial")
MAPPED = ("--column", "choice=response", "--column", "reward=feedback")

# Fixed point of hierarchical EM with a diagonal Gaussian group, from an independent implementation.
MEAN = {"beta": -1.40927605, "alpha": -1.8221055}
VARIANCE = {"beta": 0.82863947, "alpha": 0.77519925}
LOG_LIK, LOG_JOINT, LOG_EVIDENCE = -2919.053727, -2983.877386, -2991.788901

pytestmark = [
    pytest.mark.real_data,
    pytest.mark.skipif(not FILE.exists(), reason="the real data are not here: ../shared/data/pst_pedersen2020.csv"),
]


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    out = tmp_path_factory.mktemp("pst") / "results"
    models = ("--model", "rw1a1b", "--model", "rw2a1b")
    result = pyem_command("fit", FILE, *models, *COLUMNS, *MAPPED, "--out", out, "--no-figures")
    return out, result


def test_the_group_meets_the_published_numbers(results):
    group = pd.read_csv(results[0] / "rw1a1b" / "group.csv", index_col=[0, 1])["estimate"]
    for name in MEAN:
        assert group["mean", name] == pytest.approx(MEAN[name], abs=1e-5)
        assert group["sd", name] ** 2 == pytest.approx(VARIANCE[name], abs=1e-5)


def test_the_people_meet_the_published_numbers(results):
    subjects = pd.read_csv(results[0] / "rw1a1b" / "subjects.csv")
    assert len(subjects) == 28
    assert subjects["log_lik"].sum() == pytest.approx(LOG_LIK, abs=1e-5)
    assert subjects["log_evidence"].sum() == pytest.approx(LOG_EVIDENCE, abs=1e-5)
    fit = pyem.load(results[0] / "rw1a1b" / "fit.nc")
    assert (fit.log_lik + fit.log_prior).sum() == pytest.approx(LOG_JOINT, abs=1e-5)
    assert subjects["status"].eq("ok").all()


def test_two_learning_rates_are_compared_with_one(results):
    out, result = results
    comparison = pd.read_csv(out / "comparison.csv", index_col="model")
    assert sorted(comparison.index) == ["rw1a1b", "rw2a1b"]
    # People learn more from good news than from bad: the second rate is worth far more than its price.
    assert comparison.index[0] == "rw2a1b"
    lme = {name: pyem.selection.lme(pyem.load(out / name / "fit.nc")).value for name in comparison.index}
    assert comparison["lme"].to_dict() == pytest.approx(lme, rel=1e-12)
    assert comparison.loc["rw1a1b", "log_lik"] == pytest.approx(LOG_LIK, abs=1e-5)
    assert "28 people, 84 blocks, 5280 trials" in result.stdout
