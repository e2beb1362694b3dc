"""`pyem fit --method bayes`."""

import pandas as pd

import pyem
from tests.cli.run import DATA_OPTIONS, pyem_command


def test_bayes_writes_the_posterior_and_says_the_marginal_likelihood(data_file, tmp_path):
    out = tmp_path / "results"
    done = pyem_command(
        "fit", data_file, "--model", "rw1a1b", *DATA_OPTIONS, "--method", "bayes", "--no-figures", "--out", out
    )
    assert "log marginal likelihood" in done.stdout
    fit = pyem.load(out / "fit.nc")
    assert fit.method == "bayes"
    assert pd.read_csv(out / "subjects.csv").alpha.tolist() == fit.table().alpha.tolist()
    assert pyem.log_marginal_likelihood(fit).total == float(fit.trace["log_marginal_likelihood"])
