"""Variational inference against closed forms, a fine grid and NUTS."""

import warnings

import numpy as np
import numpyro.distributions as dist
import pytest

import pyem
from pyem.model.distribution import Normal
from tests.oracle.notebook import notebook_data, notebook_grid, notebook_model

NOISE = 0.5


@pytest.fixture(scope="module")
def model():
    return pyem.models.get("rw1a1b")


@pytest.fixture(scope="module")
def data(model):
    return pyem.simulate(model, subjects=20, blocks=2, trials=20, key=5, missed=0.05)


@pytest.fixture(scope="module")
def fit(model, data):
    return pyem.fit_svi(model, data, key=1)


def test_linear_gaussian_people_have_their_closed_form():
    policy = lambda p, state, trial: Normal(p.level, NOISE)  # noqa: E731
    model = pyem.Model("level", (pyem.Parameter("level", mean=1.0, sd=2.0),), policy, responses=("y",))
    y = np.random.default_rng(0).normal(size=(6, 1, 10)) + np.arange(6)[:, None, None]
    fit = pyem.fit_svi(model, pyem.Dataset.from_arrays({"y": y}), group=None, key=0, correct=False, draws=4000)
    precision = 10 / NOISE**2 + 1 / 4
    exact = (y.sum((1, 2)) / NOISE**2 + 1 / 4) / precision
    # The posterior is Gaussian, so the guide can have it; the optimiser's noise is left.
    np.testing.assert_allclose(fit.x[:, 0], exact, atol=0.15 * precision**-0.5)
    np.testing.assert_allclose(fit.posterior["x"].std((0, 1))[:, 0], precision**-0.5, rtol=0.1)


def test_correction_has_the_notebooks_posterior():
    priors = {"alpha": dist.Beta(1, 1), "beta": dist.HalfNormal(10)}
    fit = pyem.fit_svi(notebook_model(), notebook_data(), group=None, priors=priors, key=0, integration_draws=4000)
    for k, name in enumerate(fit.model.names):
        exact = notebook_grid()[name]
        # 2000 draws among 4000 weighted points: the mean is known to about 0.03 sd.
        assert abs(fit.params[0, k] - exact["mean"]) < 0.12 * exact["sd"]
        assert fit.sd[0, k] == pytest.approx(exact["sd"], rel=0.1)


def test_the_bound_rises_and_the_rule_stops(fit):
    elbo = fit.trace["elbo"]
    assert elbo[-4:].mean() > elbo[0]
    assert fit.trace["step"][-1] < 10_000
    assert fit.converged
    assert float(fit.trace["pareto_k"]) < 0.7
    assert "corrected by importance weights" in fit.message


def test_result_is_that_of_any_fit(fit, data, tmp_path):
    assert list(fit.group_table().index) == [("mean", "beta"), ("mean", "alpha"), ("sd", "beta"), ("sd", "alpha")]
    assert len(fit.table()) == data.n_subjects
    again = pyem.load(fit.save(tmp_path / "fit.nc"))
    np.testing.assert_array_equal(again.posterior["x"], fit.posterior["x"])
    np.testing.assert_array_equal(again.trace["elbo"], fit.trace["elbo"])
    assert pyem.waic(fit).unit == "trial"


def test_steps_that_do_not_suffice_are_told_of(model, data):
    with pytest.warns(pyem.FitWarning, match="raise max_steps"):
        fit = pyem.fit_svi(model, data, key=1, max_steps=100, correct=False)
    assert not fit.converged
    assert "not corrected" in fit.message


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"guide": "normal"}, "guide='normal'; choose one of subject"),
        ({"draws": 0}, "draws=0"),
        ({"particles": 0}, "particles=0"),
        ({"priors": {"alpha": dist.Beta(1, 1)}}, "group=None"),
    ],
)
def test_options_that_cannot_be(model, data, options, message):
    with pytest.raises(ValueError, match=message):
        pyem.fit_svi(model, data, key=0, **options)


@pytest.mark.slow
@pytest.mark.parametrize("guide", ["low_rank", "full"])
def test_other_guides_come_near(model, data, fit, guide):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pyem.FitWarning)
        other = pyem.fit_svi(model, data, key=1, guide=guide, correct=False)
    gap = other.posterior["coef"].mean((0, 1))[0] - fit.posterior["coef"].mean((0, 1))[0]
    assert (np.abs(gap) < 0.5 * fit.posterior["coef"].std((0, 1))[0]).all()


@pytest.mark.slow
def test_mean_field_is_a_worse_approximation(model, data, fit):
    """It leaves out what goes together, so its bound is lower; its means can be off by more than half an sd."""
    other = pyem.fit_svi(model, data, key=1, guide="diagonal", correct=False)
    assert other.trace["elbo"][-4:].mean() < fit.trace["elbo"][-4:].mean()


@pytest.mark.slow
def test_group_sds_are_those_of_nuts():
    model = pyem.models.get("rw_forget")
    data = pyem.simulate(model, subjects=97, blocks=4, trials=25, key=1, missed=0.05)
    nuts, svi = pyem.fit_nuts(model, data, key=0), pyem.fit_svi(model, data, key=0)
    np.testing.assert_allclose(svi.posterior["sd"].mean((0, 1)), nuts.posterior["sd"].mean((0, 1)), rtol=0.1)
    np.testing.assert_allclose(svi.posterior["coef"].std((0, 1)), nuts.posterior["coef"].std((0, 1)), rtol=0.2)
