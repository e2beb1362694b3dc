"""The notebook's numbers, and the executed example that redoes it."""

import runpy
from pathlib import Path

import numpy as np
import pytest

import pyem
from tests.oracle.notebook import TRUTH, negative_log_likelihood, notebook_data, notebook_model

EXAMPLE = Path(__file__).parents[2] / "examples" / "notebook.py"


def test_data_are_those_of_the_seed():
    assert float(negative_log_likelihood(*TRUTH)) == pytest.approx(47.418936097207016, abs=1e-9)


def test_maximum_likelihood_is_the_published_one():
    fit = pyem.fit_mle(notebook_model(), notebook_data())
    np.testing.assert_allclose(fit.params[0], [5.7073849, 0.50473117], rtol=1e-5)
    # The first choice, between equal values, is left out there.
    assert -fit.log_lik[0] - np.log(2) == pytest.approx(47.050814541102895, abs=1e-8)


@pytest.mark.slow
def test_the_example_runs_and_draws(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    names = runpy.run_path(str(EXAMPLE))
    figures = {path.name for path in (tmp_path / "figures").iterdir()}
    assert figures == {f"notebook_{name}.png" for name in ("data", "posterior", "check", "values")}
    for name, (mean, sd) in names["exact"].items():
        row = names["fit"].table().iloc[0]
        assert row[name] == pytest.approx(mean, abs=0.1 * sd)
        assert row[f"{name}_sd"] == pytest.approx(sd, rel=0.1)
        assert names["mine"][name].mean() == pytest.approx(mean, abs=0.15 * sd)
