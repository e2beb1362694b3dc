"""Searches that know values only: every method of SciPy's, in any case of letters."""

import numpy as np
import pytest

from pyem.compat.optim import OptimConfig, single_subject_minimize
from pyem.compat.priors import GaussianPrior
from pyem.infer.differences import METHODS, Quadratic, Search, find_mode

PRIOR = Quadratic(np.zeros(2), 0.01 * np.eye(2))


def bent(x):
    """A curved valley, with its lowest value at about (1, 1)."""
    return float((1 - x[0]) ** 2 + 5 * (x[1] - x[0] ** 2) ** 2)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_finds_the_mode(method):
    search = Search(method, max_restarts=0)
    found = find_mode(bent, PRIOR, np.array([-0.5, 0.8]), None, search, 1e-9, np.random.default_rng(0))
    reference = find_mode(bent, PRIOR, np.array([0.9, 0.9]), None, Search(), 1e-9, np.random.default_rng(0))
    np.testing.assert_allclose(found.at.x, reference.at.x, atol=1e-3)
    assert found.positive


@pytest.mark.parametrize("method", METHODS)
def test_a_method_may_be_written_in_any_case(method):
    evaluated = []

    def counted(x):
        evaluated.append(np.array(x))
        return bent(x)

    paths = []
    for name in (method.lower(), method.upper()):
        evaluated.clear()
        find_mode(counted, PRIOR, np.array([-0.5, 0.8]), None, Search(name), 1e-9, np.random.default_rng(0))
        paths.append(np.array(evaluated))
    np.testing.assert_array_equal(*paths)


@pytest.mark.parametrize("method", ["newton-cg", "dogleg", "trust-krylov", "bfgs", "BFGS"])
def test_the_facade_takes_them(method):
    def fit(params, y, prior=None, output="npl"):
        nll = 0.5 * sum((v - params[0]) ** 2 for v in y)
        return nll if output == "nll" or prior is None else nll - prior.logpdf(params)

    best = single_subject_minimize(fit, [[1.0, 3.0]], 1, GaussianPrior([0.0], [1.0]), config=OptimConfig(method))
    assert best.x[0] == pytest.approx(4 / 3, abs=1e-5)
    assert best.success
