"""`fit_em` and `EMModel.fit` are one engine: on the same data and model they end at the same fixed point."""

import warnings

import numpy as np
import pytest

import pyem
from pyem.models.rl import rw1a1b_fit, rw2a1b_fit

FITS = {"rw1a1b": rw1a1b_fit, "rw2a1b": rw2a1b_fit}
PEOPLE = 30


def people(name, seed, kinds):
    """Truth and data of 40 trials; two kinds of people differ in temperature and first learning rate."""
    model, rng = pyem.models.get(name), np.random.default_rng(seed)
    mean, sd = model.typical
    x = mean + sd * rng.normal(size=(PEOPLE, len(mean)))
    half = PEOPLE // 2
    if kinds == 2:
        x[:half, :2] = rng.normal([-2.2, -2.0], 0.4, (half, 2))
        x[half:, :2] = rng.normal([0.5, 1.5], 0.4, (PEOPLE - half, 2))
    return model, pyem.simulate(model, model.natural(x), trials=40, key=seed)


def both(name, seed, kinds, family="gaussian"):
    model, data = people(name, seed, kinds)
    columns = (data.fields["choice"], data.fields["reward"])
    all_data = [[column[:, s][None] for column in columns] for s in range(PEOPLE)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pyem.FitWarning)
        native = pyem.fit_em(model, data, group=pyem.Group(family))
    facade = pyem.EMModel(all_data, FITS[name], list(model.names)).fit(verbose=0, mstep=family)
    return native, facade


@pytest.mark.parametrize(
    ("name", "seed", "kinds"),
    # On the data of seeds 1 and 3 EM takes hundreds of iterations, more than `EMModel.fit` does by default.
    [*(("rw1a1b", seed, 2) for seed in (2, 4, 5, 7)), ("rw1a1b", 0, 1), *(("rw2a1b", seed, 2) for seed in (2, 3, 4))],
)
def test_both_interfaces_end_at_the_same_fixed_point(name, seed, kinds):
    native, facade = both(name, seed, kinds)
    assert native.converged == facade.convergence
    np.testing.assert_allclose(facade.posterior_mu, native.population.coef[0], atol=1e-5)
    np.testing.assert_allclose(facade.posterior_sigma, np.diag(native.population.cov), atol=1e-5)
    np.testing.assert_allclose(facade.m.T, native.x, atol=1e-3)
    np.testing.assert_allclose(facade.NLL, -native.log_lik, atol=1e-3)


def test_heavy_tails_end_there_too():
    native, facade = both("rw1a1b", 3, 2, "student_t")
    np.testing.assert_allclose(facade.posterior_mu, native.population.coef[0], atol=1e-4)


def test_the_search_for_better_modes_serves_the_native_fit(monkeypatch):
    """Without looks from elsewhere, some people stay with a worse mode."""
    from pyem.infer import em_ways, multimodal

    def square(p, state, trial):
        return pyem.Normal(p.level**2 + 0.3 * p.level, 0.4)

    model = pyem.Model("mirror", (pyem.Parameter("level", mean=0.5),), square, responses=("y",))
    level = np.array([1.0, 1.2, 0.8, 1.1, -1.0, 0.9])
    y = (level**2 + 0.3 * level)[:, None, None] + 0.4 * np.random.default_rng(1).normal(size=(6, 1, 8))
    data = pyem.Dataset.from_arrays({"y": y})
    start = np.array([1.0, 1.0, -1.3, 1.0, 1.0, 1.0])[:, None]
    with_looks = pyem.fit_em(model, data, start=start)
    monkeypatch.setattr(multimodal, "better_modes", lambda *_: None)
    without = pyem.fit_em(model, data, start=start)
    assert em_ways.run_em_global is multimodal.run_em_global
    assert with_looks.log_evidence.sum() > without.log_evidence.sum() + 1
