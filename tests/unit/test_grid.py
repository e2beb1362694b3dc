"""Quadrature against closed forms, an independent integration, and the other methods."""

import math

import jax.numpy as jnp
import numpy as np
import pytest

import pyem
from pyem import Dataset, Group, Status
from pyem.model.modifiers import fix
from tests.unit.lines import LEVEL, LINE, NOISE


@pytest.fixture(scope="module")
def line_data():
    rng = np.random.default_rng(3)
    u = rng.normal(size=(12, 1, 20))
    a, b = rng.normal(0.3, 0.7, (12, 1, 1)), rng.normal(-0.5, 1.1, (12, 1, 1))
    return Dataset.from_arrays({"y": a + b * u + NOISE * rng.normal(size=u.shape), "u": u})


@pytest.fixture(scope="module")
def learners():
    truth = np.random.default_rng(1).normal([-1.2, -0.4], [0.4, 0.5], (16, 2))
    model = pyem.models.get("rw1a1b")
    return pyem.simulate(model, model.natural(truth), trials=120, blocks=2, key=5)


@pytest.fixture(scope="module")
def few():
    return pyem.simulate(pyem.models.get("rw1a1b"), subjects=4, trials=40, blocks=1, key=5)


def conjugate(u, y, mean, sd):
    """Posterior mean, covariance and log evidence of the regression, in closed form."""
    X = np.stack([np.ones_like(u), u], axis=1)
    precision = X.T @ X / 0.64 + np.diag(1 / sd**2)
    cov = np.linalg.inv(precision)
    post = cov @ (X.T @ y / 0.64 + mean / sd**2)
    marginal = X @ np.diag(sd**2) @ X.T + 0.64 * np.eye(len(y))
    gap = y - X @ mean
    evidence = -0.5 * (
        gap @ np.linalg.solve(marginal, gap) + np.linalg.slogdet(marginal)[1] + len(y) * math.log(2 * math.pi)
    )
    return post, cov, evidence


def test_two_parameters_equal_the_conjugate_posterior(line_data):
    mean, sd = np.array([0.2, -0.3]), np.array([0.9, 1.3])
    fit = pyem.fit_grid(LINE, line_data, group=None, mean=mean, sd=sd)
    for s in range(line_data.n_subjects):
        post, cov, evidence = conjugate(line_data.fields["u"][:, s], line_data.fields["y"][:, s], mean, sd)
        np.testing.assert_allclose(fit.x[s], post, atol=1e-9)
        np.testing.assert_allclose(fit.cov[s], cov, atol=1e-9)
        np.testing.assert_allclose(fit.log_evidence[s], evidence, atol=1e-8)
    assert fit.converged


def test_one_parameter_equals_the_conjugate_posterior(line_data):
    fit = pyem.fit_grid(LEVEL, line_data, group=None, mean=0.1, sd=2.0)
    gap = line_data.fields["y"] - 0.5 * line_data.fields["u"]
    precision = len(gap) / 0.64 + 1 / 4
    np.testing.assert_allclose(fit.x[:, 0], (gap.sum(0) / 0.64 + 0.1 / 4) / precision, atol=1e-9)
    np.testing.assert_allclose(fit.sd[:, 0], precision**-0.5, atol=1e-9)
    z = 1.959963984540054
    np.testing.assert_allclose(
        fit.quantile(0.975)[:, 0], fit.x[:, 0] + z * precision**-0.5, atol=1e-4 * precision**-0.5
    )


def test_group_equals_em_where_laplace_is_exact(line_data):
    grid = pyem.fit_grid(LINE, line_data, group=Group())
    em = pyem.fit_em(LINE, line_data)
    np.testing.assert_allclose(grid.population.coef, em.population.coef, atol=1e-6)
    np.testing.assert_allclose(grid.population.cov, em.population.cov, atol=1e-6)
    np.testing.assert_allclose(grid.log_evidence, em.log_evidence, atol=1e-6)
    np.testing.assert_allclose(grid.group_table()["se"], em.group_table()["se"], rtol=1e-4)


def plain_log_joint(data, s, x, mean, sd):
    """Log joint of Rescorla-Wagner learning at many points (G, 2), by a plain loop."""
    beta, alpha = 20 / (1 + np.exp(-x[:, 0])), 1 / (1 + np.exp(-x[:, 1]))
    total = -0.5 * (((x - mean) / sd) ** 2).sum(1) - np.log(2 * np.pi * np.prod(sd))
    for lane in np.flatnonzero(data.lane_subject == s):
        q = np.full((2, len(x)), 0.5)
        for choice, reward in zip(data.fields["choice"][:, lane], data.fields["reward"][:, lane], strict=True):
            total += -np.log1p(np.exp(-beta * (q[choice] - q[1 - choice])))
            q[choice] += alpha * (reward - q[choice])
    return total


GIVEN = {"mean": np.array([-1.0, -0.5]), "sd": np.array([1.0, 1.2])}


@pytest.fixture(scope="module")
def alone(few):
    return pyem.fit_grid(few.model, few, group=None, **GIVEN)


def test_learning_model_equals_an_independent_integration(few, alone):
    fit, (mean, sd) = alone, GIVEN.values()
    axis = np.linspace(-8, 8, 300)
    x = np.stack(np.meshgrid(mean[0] + axis, mean[1] + axis, indexing="ij"), axis=-1).reshape(-1, 2)
    for s in (0, 3):
        joint = plain_log_joint(few, s, x, mean, sd)
        weight = np.exp(joint - joint.max())
        evidence = joint.max() + np.log(weight.sum() * (axis[1] - axis[0]) ** 2)
        np.testing.assert_allclose(fit.log_evidence[s], evidence, atol=1e-7)
        np.testing.assert_allclose(fit.x[s], weight @ x / weight.sum(), atol=1e-7)
        natural = few.model.natural(x)
        first = weight @ natural / weight.sum()
        np.testing.assert_allclose(fit.params[s], first, atol=1e-6)
        np.testing.assert_allclose(fit.sd[s] ** 2, weight @ (natural - first) ** 2 / weight.sum(), rtol=1e-5)


@pytest.mark.slow
def test_laplace_em_is_close_for_a_learning_model(learners):
    grid = pyem.fit_grid(learners.model, learners, group=Group())
    em = pyem.fit_em(learners.model, learners)
    exact_sd = np.sqrt(np.diagonal(grid.cov, axis1=1, axis2=2))
    # 240 trials a person: posteriors nearly Gaussian, the Laplace group within its own standard error.
    se = grid.group_table()["se"].to_numpy()[:2]
    assert (np.abs(grid.population.coef[0] - em.population.coef[0]) < se).all()
    assert np.abs((grid.x - em.x) / exact_sd).max() < 1
    np.testing.assert_allclose(grid.log_evidence, em.log_evidence, atol=0.5)
    assert grid.log_evidence.sum() > pyem.fit_grid(learners.model, learners, group=em.population).log_evidence.sum()


def test_prior_of_natural_parameters_equals_the_same_prior_unconstrained(few):
    model = fix(few.model, beta=4.0)

    def logit_normal(p):
        z = (jnp.log(p.alpha / (1 - p.alpha)) + 0.5) / 1.2
        return -0.5 * z**2 - jnp.log(p.alpha * (1 - p.alpha) * 1.2 * math.sqrt(2 * math.pi))

    natural = pyem.fit_grid(model, few, group=None, log_prior=logit_normal)
    given = pyem.fit_grid(model, few, group=None, mean=-0.5, sd=1.2)
    np.testing.assert_allclose(natural.log_evidence, given.log_evidence, atol=1e-7)
    np.testing.assert_allclose(natural.params, given.params, atol=1e-7)


def test_densities_tables_and_draws_agree(few, alone):
    fit = alone
    values, density = fit.natural_axes, fit.natural_marginals
    np.testing.assert_allclose(np.trapezoid(density, values), 1, atol=2e-3)
    table = fit.table()
    assert ((table["alpha_low"] < table["alpha"]) & (table["alpha"] < table["alpha_high"])).all()
    assert (table["status"] == "ok").all()
    draws = fit.draws(4000, key=1).x
    standard_error = np.sqrt(np.diagonal(fit.cov, axis1=1, axis2=2) / 4000)
    assert np.abs((draws.mean(0) - fit.x) / standard_error).max() < 5
    assert "log evidence" in repr(fit)
    assert len(fit.latents()) == few.n_trials


@pytest.mark.filterwarnings("ignore::pyem.FitWarning")
def test_errors_of_means_where_people_do_not_differ(line_data):
    """All slopes are the same to the last digit: the sd of the group is 0, and the Laplace approximation is exact."""
    u = line_data.fields["u"]
    gap = line_data.fields["y"] - u.mean(0)
    for s in range(line_data.n_subjects):
        both = np.stack([np.ones(len(u)), u[:, s]], axis=1)
        gap[:, s] -= u[:, s] * (np.linalg.lstsq(both, gap[:, s], rcond=None)[0][1] - 0.3)
    data = Dataset.from_arrays({"y": gap.T[:, None], "u": u.T[:, None]})
    exact = pyem.fit_em(LINE, data).group_table()
    # Points tell less than a grid, and count a small sd in place of that of 0: a hundredth of an error.
    for fit, rtol in ((pyem.fit_grid(LINE, data), 1e-3), (pyem.fit_em(LINE, data, integrate="exact"), 0.02)):
        found = fit.group_table()
        assert found.loc[("sd", "b"), "estimate"] < 1e-3
        assert np.isnan(found.loc[("sd", "b"), "se"])
        kept = found.index != ("sd", "b")
        np.testing.assert_allclose(found["se"][kept], exact["se"][kept], rtol=rtol)


def test_improper_posterior_is_reported():
    data = Dataset.from_arrays({"y": np.zeros((1, 1, 3)), "u": np.zeros((1, 1, 3))})
    fit = pyem.fit_grid(LINE, data, group=None, log_prior=lambda p: 0.0 * p.a)
    assert fit.status[0] == Status.FLAT
    assert not fit.converged


def test_refusals(line_data):
    three = pyem.models.get("rw2a1b")
    with pytest.raises(ValueError, match="one or two parameters, but model 'rw2a1b' has 3"):
        pyem.fit_grid(three, line_data)
    with pytest.raises(ValueError, match="needs a Gaussian group"):
        pyem.fit_grid(LINE, line_data, group=Group("student_t"))
    with pytest.raises(ValueError, match="not both"):
        pyem.fit_grid(LINE, line_data, group=Group(), sd=1.0)
    with pytest.raises(ValueError, match="sds above 0"):
        pyem.fit_grid(LINE, line_data, group=None, sd=-1.0)
    with pytest.raises(ValueError, match="population is of 12 subjects"):
        pyem.fit_grid(LINE, line_data.select([0, 1]), group=pyem.fit_em(LINE, line_data).population)
