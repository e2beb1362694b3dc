"""Binomial regressions with a random intercept: the Laplace approximation and adaptive quadrature, as others publish them."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, special, stats

import pyem
from pyem.infer.common_exact import require_few

COUNTS = {
    1: [(2, 14), (3, 12), (4, 9), (0, 5)],
    2: [(3, 22), (1, 18), (1, 21)],
    3: [(8, 22), (2, 16), (0, 16), (2, 20)],
    4: [(2, 10), (0, 10), (2, 9), (0, 6)],
    5: [(5, 18), (0, 25), (0, 24), (1, 4)],
    6: [(3, 17), (0, 17), (0, 18), (1, 20)],
    7: [(8, 16), (1, 10), (3, 9), (0, 5)],
    8: [(12, 34)],
    9: [(2, 9), (0, 6), (0, 8), (0, 6)],
    10: [(1, 22), (1, 22), (0, 18), (2, 22)],
    11: [(0, 25), (5, 27), (3, 22), (1, 22)],
    12: [(2, 10), (1, 8), (0, 6), (0, 5)],
    13: [(1, 21), (2, 24), (0, 19), (0, 23)],
    14: [(11, 19), (0, 2), (0, 3), (0, 2)],
    15: [(1, 19), (1, 15), (1, 15), (0, 15)],
}
"""Contagious bovine pleuropneumonia: cases and animals of each herd in four periods, from the documentation of lme4."""
DESIGN = "p ~ period + (1 | subject)"


@functools.cache
def herds() -> tuple[pyem.Model, pyem.Dataset]:
    rows = [(herd, f"p{k + 1}", *pair) for herd, pairs in COUNTS.items() for k, pair in enumerate(pairs)]
    frame = pd.DataFrame(rows, columns=["herd", "period", "incidence", "size"])
    columns = {"k": "incidence", "n": "size", "period": "period"}
    data = pyem.Dataset.from_frame(frame, subject="herd", columns=columns, codes={"period": None})
    return pyem.models.get("binomial"), data


@functools.cache
def fitted(integrate: str) -> pyem.PointFit:
    model, data = herds()
    return pyem.fit_em(pyem.regress(model, DESIGN), data, integrate=integrate)


@pytest.mark.slow
def test_the_laplace_approximation_as_published():
    effects = fitted("laplace").effects()
    # From the documentation of MixedModels.jl.
    np.testing.assert_allclose(effects["estimate"], [-1.39853, -0.99233, -1.12867, -1.58031], atol=1e-4)
    assert effects["sd"].iloc[0] == pytest.approx(0.64226, abs=1e-4)
    assert fitted("laplace").log_evidence.sum() == pytest.approx(-92.02628, abs=1e-4)


@pytest.mark.slow
def test_adaptive_quadrature_as_published():
    effects = fitted("exact").effects()
    # What glmer gives with nAGQ = 7.
    np.testing.assert_allclose(effects["estimate"], [-1.399230, -0.991396, -1.127833, -1.579444], atol=1e-4)
    assert effects["sd"].iloc[0] == pytest.approx(0.647518, abs=1e-4)
    np.testing.assert_allclose(effects["se"].iloc[1:], [0.306767, 0.326770, 0.427591], atol=1e-4)
    # Its error of what people differ in is that of a variance with the number of people as its denominator.
    assert 0.233512 < effects["se"].iloc[0] < 0.233512 * np.sqrt(15 / 14)


@pytest.mark.slow
def test_adaptive_quadrature_is_the_maximum_of_the_integral():
    z, weight = np.polynomial.hermite_e.hermegauss(60)
    weight = np.log(weight / weight.sum())

    def log_lik(v: np.ndarray) -> float:
        total = 0.0
        for pairs in COUNTS.values():
            k, n = np.array(pairs).T
            x = v[0] + np.r_[0.0, v[1:4]][: len(pairs), None] + np.exp(v[4]) * z
            choose = special.gammaln(n + 1) - special.gammaln(k + 1) - special.gammaln(n - k + 1)
            each = choose[:, None] + k[:, None] * x - n[:, None] * np.logaddexp(0, x)
            total += special.logsumexp(each.sum(0) + weight)
        return total

    found = optimize.minimize(
        lambda v: -log_lik(v), [-1.4, -1.0, -1.1, -1.6, -0.4], method="BFGS", options={"gtol": 1e-7}
    )
    fit = fitted("exact")
    assert fit.log_evidence.sum() == pytest.approx(-found.fun, abs=1e-6)
    np.testing.assert_allclose(fit.effects()["estimate"], found.x[:4], atol=2e-5)
    assert fit.effects()["sd"].iloc[0] == pytest.approx(np.exp(found.x[4]), abs=2e-5)
    assert fit.converged
    assert (fit.table()["effective_nodes"] > 10).all()


def test_people_may_differ_in_some_parameters_only():
    require_few(np.array([True, False, True]))
    with pytest.raises(ValueError, match="1 to 5 parameters in which people differ"):
        require_few(np.zeros(2, bool))
    with pytest.raises(ValueError, match=r"differ in 6; use integrate='laplace'"):
        require_few(np.ones(6, bool))


@pytest.mark.slow
def test_what_is_gaussian_is_the_same_by_both_ways():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(10, 1, 12))
    y = 1.0 + 0.7 * rng.normal(size=(10, 1, 1)) + 0.5 * x + 0.8 * rng.normal(size=x.shape)
    data = pyem.Dataset.from_arrays({"y": y, "predictors": np.stack([np.ones_like(x), x], axis=-1)})
    model, group = pyem.models.get("glm", predictors=("level", "slope")), pyem.Group(common=["slope", "sigma"])
    one, two = (pyem.fit_em(model, data, group=group, integrate=way) for way in ("laplace", "exact"))
    table = one.group_table()
    (level, slope, log_sigma), sd = table.loc["mean", "estimate"], table.loc[("sd", "level"), "estimate"]
    cov = np.exp(2 * log_sigma) * np.eye(12) + sd**2
    closed = sum(stats.multivariate_normal(level + slope * x[k, 0], cov).logpdf(y[k, 0]) for k in range(10))
    assert one.log_evidence.sum() == pytest.approx(closed, abs=1e-7)
    assert two.log_evidence.sum() == pytest.approx(closed, abs=1e-7)
    np.testing.assert_allclose(two.population.vector, one.population.vector, atol=1e-5)
    np.testing.assert_allclose(two.group_table()["se"], one.group_table()["se"], rtol=1e-3)
