"""Parameters that have one of a few values."""

from __future__ import annotations

import functools

import jax.numpy as jnp
import numpy as np
import pytest

import pyem
from pyem import Model, ModelError, Parameter, models

OFFSET = Parameter("offset", values=(-2, 0, 3))
SPREAD = Parameter("sigma", pyem.Positive(), "spread")


def around(p, state, trial):
    return pyem.Normal(p.offset, p.sigma)


MODEL = Model(
    "offset", (OFFSET, SPREAD), around, init=lambda p: jnp.zeros(()), responses=("y",), doc="one of three means"
)
TRUTH = np.array([-2.0, 0.0, 3.0, 3.0, 0.0])


@functools.cache
def data():
    y = np.random.default_rng(2).normal(TRUTH[:, None, None] + np.zeros((5, 2, 12)), 1.5)
    return pyem.Dataset.from_arrays({"y": y})


def closed_form(offset):
    """The best spread and the log-likelihood there, (S,)."""
    y = np.moveaxis(data().fields["y"], 0, -1).reshape(5, 24)
    sd = np.sqrt(((y - offset) ** 2).mean(1))
    return sd, -24 * np.log(sd) - 12 - 12 * np.log(2 * np.pi)


def test_the_best_value_of_each_person_is_found_and_counts_as_a_parameter():
    fit = pyem.fit_mle(MODEL, data(), starts=1)
    sd, value = np.moveaxis(np.array([closed_form(v) for v in OFFSET.values or ()]), 1, 0)
    best = value.argmax(0)
    np.testing.assert_array_equal(fit.params[:, 0], np.array(OFFSET.values)[best])
    np.testing.assert_allclose(fit.params[:, 1], sd[best, np.arange(5)], rtol=1e-6)
    np.testing.assert_allclose(fit.log_lik, value.max(0), rtol=1e-9)
    shares = np.exp(value - value.max(0)) / np.exp(value - value.max(0)).sum(0)
    table = fit.table()
    np.testing.assert_allclose(table[["P(offset=-2)", "P(offset=0)", "P(offset=3)"]].T, shares, atol=1e-8)
    np.testing.assert_allclose(pyem.log_lik(MODEL, data(), fit.params), fit.log_lik, rtol=1e-10)
    np.testing.assert_allclose(pyem.aic(fit).subject, 2 * 2 - 2 * fit.log_lik, rtol=1e-9)


def test_map_sums_the_evidence_of_the_values_and_draws_them(tmp_path):
    fit = pyem.fit_map(MODEL, data(), mean=[0.0, 0.3], sd=[1.0, 0.5])
    each = [pyem.fit_map(pyem.fix(MODEL, offset=v), data(), mean=[0.3], sd=[0.5]) for v in (-2, 0, 3)]
    evidence = np.array([one.log_evidence for one in each])
    np.testing.assert_allclose(fit.log_evidence, np.logaddexp.reduce(evidence) - np.log(3), rtol=1e-8)
    share = np.exp(evidence[1] - np.logaddexp.reduce(evidence))
    np.testing.assert_allclose(fit.table()["P(offset=0)"], share, atol=1e-8)
    drawn = fit.draws(4000, key=1).params[..., 0]
    assert set(np.unique(drawn)) <= set(OFFSET.values or ())
    np.testing.assert_allclose((drawn == 0).mean(0), share, atol=4 * 0.5 / np.sqrt(4000))
    fit.save(tmp_path / "fit.nc")
    again = pyem.load(tmp_path / "fit.nc", MODEL)
    np.testing.assert_array_equal(again.table(), fit.table())


def test_methods_that_cannot_say_so():
    for method in (pyem.fit_bayes, pyem.fit_grid, pyem.fit_hbi, pyem.fit_nuts, pyem.fit_svi):
        told = {"free": MODEL, "held": pyem.fix(MODEL, offset=0)} if method is pyem.fit_hbi else MODEL
        with pytest.raises(ModelError, match=r"discrete parameter 'offset' \(-2, 0, 3\).*pyem.fix"):
            method(told, data())
    for more in ({"integrate": "exact"}, {"group": pyem.Group("student_t")}, {"group": pyem.Group(covariance="full")}):
        with pytest.raises(ModelError, match=r"discrete parameter offset, with which fit_em.*pyem.fix"):
            pyem.fit_em(MODEL, data(), **more)


def test_em_sums_over_the_values():
    spreads = np.array([0.5, 1.0, 1.5, 2.0, 2.5])[:, None, None]
    varied = pyem.Dataset.from_arrays({"y": np.random.default_rng(3).normal(TRUTH[:, None, None], spreads, (5, 2, 12))})
    fit = pyem.fit_em(MODEL, varied)
    assert fit.converged
    mean, sd = fit.population.coef[0, 1], np.sqrt(fit.population.cov[1, 1])
    each = [pyem.fit_map(pyem.fix(MODEL, offset=v), varied, mean=[mean], sd=[sd]) for v in (-2, 0, 3)]
    evidence = np.array([one.log_evidence for one in each])
    np.testing.assert_allclose(fit.log_evidence, np.logaddexp.reduce(evidence) - np.log(3), rtol=1e-7)
    share = np.exp(evidence - np.logaddexp.reduce(evidence))
    np.testing.assert_allclose(fit.table()[["P(offset=-2)", "P(offset=0)", "P(offset=3)"]].T, share, atol=1e-6)
    # The fixed point: the mean of the group is that of the posterior means.
    modes = np.array([one.x[:, 0] for one in each])
    np.testing.assert_allclose(mean, (share * modes).sum(0).mean(), atol=1e-5)
    spread = (share * (np.array([one.cov[:, 0, 0] for one in each]) + (modes - mean) ** 2)).sum(0).mean()
    np.testing.assert_allclose(sd**2, spread, atol=1e-5)
    np.testing.assert_allclose(fit.population.coef[0, 0], (share.T @ (-2, 0, 3)).mean(), atol=1e-5)
    np.testing.assert_allclose(fit.params[:, 0], TRUTH)
    table = fit.group_table().reset_index()
    assert np.isfinite(table.loc[table["parameter"] == "sigma", "se"]).all()


def test_people_are_simulated_with_one_of_the_values():
    made = pyem.simulate(models.get("rlwm", capacity=(2, 3, 5)), subjects=30, trials=3, key=1)
    assert set(made.true_params[:, -1]) == {2.0, 3.0, 5.0}


def test_studies_draw_people_with_one_of_the_values():
    study = pyem.recovery(MODEL, design=data(), key=1, rounds=6, fit=functools.partial(pyem.fit_mle, starts=1))
    assert set(study.truth[..., 0].ravel()) == {-2.0, 0.0, 3.0}
    assert study.table().loc["offset", "r"] > 0.9
    # Of the people of the fit one has the first value, and nobody another one than the truth.
    fit = pyem.fit_em(MODEL, data())
    drawn = pyem.recovery(MODEL, fit, design=data(), key=2, rounds=60, fit=functools.partial(pyem.fit_mle, starts=1))
    values, n = np.unique(drawn.truth[..., 0], return_counts=True)
    np.testing.assert_array_equal(values, (-2, 0, 3))
    # 300 people: the standard error is below .03.
    np.testing.assert_allclose(n / n.sum(), (0.2, 0.4, 0.4), atol=0.12)


def test_values_without_a_rank_are_not_calibrated():
    with pytest.raises(ModelError, match=r"discrete parameter 'offset'.*pyem\.fix\(model, offset=-2\)"):
        pyem.calibration(MODEL, key=1)


def test_values_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="increasing order"):
        Parameter("capacity", values=(3, 2))
    with pytest.raises(ValueError, match=r"offset=1 is none of the values of 'offset' of model 'offset': -2, 0, 3"):
        pyem.fix(MODEL, offset=1)
