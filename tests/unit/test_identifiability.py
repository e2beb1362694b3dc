"""What designs tell of parameters and models, where it is known."""

from functools import partial

import numpy as np
import pytest

import pyem

LEVEL = pyem.fix(pyem.models.get("glm", predictors=1), sigma=1.0)


def of_sum(p, state, trial):
    return pyem.Normal(p.a + p.b, 2.0)


SUM = pyem.Model("sum", (pyem.Parameter("a", sd=1.0), pyem.Parameter("b", sd=3.0)), of_sum, responses=("y",))
"""Two parameters of which only the sum can be known."""


def test_of_a_sum_only_the_sum_is_known():
    data = pyem.Dataset.from_arrays({"y": np.zeros((5, 1, 8))})
    found = pyem.identifiability(SUM, key=1, design=data)
    # Eight numbers with variance 4, in units of people's sds 1 and 3.
    np.testing.assert_allclose(found.information, 2 * np.array([[1, 3], [3, 9]]), atol=1e-9)
    weak = found.directions().iloc[0]
    assert weak["information"] == pytest.approx(0, abs=1e-9)
    np.testing.assert_allclose(abs(weak["a"] / weak["b"]), 3, rtol=1e-6)
    assert weak["a"] * weak["b"] < 0
    table = found.table()
    assert np.isinf(table["sd"]).all()
    np.testing.assert_allclose(table["sd_others_known"], [2**-0.5, 18**-0.5])
    posterior = np.linalg.inv(np.eye(2) + found.information)
    np.testing.assert_allclose(table["sd_with_group"], np.sqrt(np.diag(posterior)))
    assert found.weak() == ["+0.95 a -0.32 b"]
    assert "weak: +0.95 a" in repr(found)
    with pytest.raises(ValueError, match="one value for each of a, b"):
        pyem.identifiability(SUM, [1.0], key=1)


def test_the_design_with_more_trials_tells_as_much_more_as_it_should():
    designs = {"short": pyem.Experiment(trials=6), "long": pyem.Experiment(trials=12)}
    found = pyem.choose_design(LEVEL, designs, key=1, subjects=5, fit=partial(pyem.fit_map, mean=0.0, sd=2.0))
    expected = [0.5 * np.log1p(n * 4) for n in (12, 6)]
    np.testing.assert_allclose(found.table()["information"], expected, atol=1e-6)
    assert found.best == "long"
    assert "what they tell of parameters" in repr(found)
    with pytest.raises(ValueError, match="at least two are needed"):
        pyem.choose_design(LEVEL, {"short": designs["short"]}, key=1)


@pytest.mark.slow
def test_models_are_told_apart_better_by_more_trials():
    pair = {name: pyem.models.get(name) for name in ("bias", "wsls")}
    designs = {"short": pyem.Experiment(trials=5), "long": pyem.Experiment(trials=40)}
    table = pyem.choose_design(pair, designs, key=1, subjects=40).table()
    assert list(table.index) == ["long", "short"]
    assert table.loc["long", "error"] < table.loc["short", "error"] < 0.6
    assert (table["information"] <= np.log(2) + 1e-9).all()
    np.testing.assert_allclose(table["chernoff"], (np.log(2) - table["information"]) / 2, atol=1e-9)
