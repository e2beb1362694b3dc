"""Posteriors of groups in which some parameters are common to all, against closed forms; see `pyem.fit_bayes`."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from scipy import stats

import pyem
from pyem.engine.common_points import CommonValues
from pyem.engine.common_values import degree_for, terms, trials_of
from pyem.engine.many_groups import given, log_evidence_narrower, log_evidences
from pyem.engine.mixtures import GroupDraws
from pyem.engine.nodes import Nodes
from pyem.numerics.lattice import lattice
from pyem.population.group import Group

PEOPLE, TRIALS = 5, 12
RNG = np.random.default_rng(4)
Y = 0.5 + 0.8 * RNG.normal(size=(PEOPLE, 1)) + 0.7 * RNG.normal(size=(PEOPLE, TRIALS))
U = RNG.normal(size=(PEOPLE, TRIALS))


# -- points and polynomials: nothing is compiled here ---------------------------------------------------------------------


def log_lik(who: np.ndarray, x: np.ndarray) -> np.ndarray:
    """A level of one's own, a slope and the log of the noise that are common: (n, K) at (n, K, 3)."""
    gap = Y[who, None] - x[..., :1] - x[..., 1:2] * U[who, None]
    return stats.norm.logpdf(gap / np.exp(x[..., 2:])).sum(-1) - TRIALS * x[..., 2]


def closed(draws: GroupDraws, design: np.ndarray) -> np.ndarray:
    """Log evidence (D, S) under groups."""
    assert draws.common is not None
    out = np.empty((len(draws.sd), PEOPLE))
    for d in range(len(out)):
        slope, log_noise = (design @ draws.common[d]).T
        for s in range(PEOPLE):
            cov = np.exp(2 * log_noise[s]) * np.eye(TRIALS) + draws.sd[d, 0] ** 2
            out[d, s] = stats.multivariate_normal((design @ draws.coef[d])[s, 0] + slope[s] * U[s], cov).logpdf(Y[s])
    return out


def groups(design: np.ndarray) -> GroupDraws:
    rng, n, k = np.random.default_rng(2), 20, design.shape[1]
    common = np.zeros((n, k, 2))
    common[:, 0] = [0.0, -0.35] + rng.normal(size=(n, 2)) * [0.1, 0.1]
    common[:, 1:] = 0.05 * rng.normal(size=(n, k - 1, 2))
    coef = rng.normal([[0.5]], 0.2, (n, k, 1))
    return GroupDraws(coef, np.exp(rng.normal(-0.3, 0.2, (n, 1))), np.ones((n, 1, 1)), common)


def points(degree: int) -> tuple[CommonValues, Nodes]:
    """Points around everybody's mean, and how they change with slope and noise."""
    noise = np.exp(-0.35)
    variance = 1 / (1 + TRIALS / noise**2)
    mean = variance * (0.5 + Y.sum(1) / noise**2)
    cross = np.stack([-U.sum(1), -2 * (Y - mean[:, None]).sum(1)], axis=1)[:, None] / noise**2
    at = np.tile([0.0, -0.35], (PEOPLE, 1))
    zeros = np.zeros((PEOPLE, 2, 2))
    spread = np.tile(np.diag([0.1, 0.1]), (PEOPLE, 1, 1))
    values = CommonValues(np.array([True, False, False]), zeros[:, 0], zeros, cross, at, spread, degree)
    z, log_volume = lattice(64, 1, 6.0, 0.3, PEOPLE, np.random.default_rng(1))
    root = np.full((PEOPLE, 1, 1), np.sqrt(variance))
    x = mean[:, None, None] + z * root
    who = np.arange(PEOPLE)
    first, surface = values.on(log_lik, who, x, root**2, at)
    return values, Nodes(who, x, log_volume + np.log(root[:, 0]) + first, root, surface)


@pytest.mark.parametrize("covariates", [0, 1])
@pytest.mark.parametrize("degree", [5, 0])
def test_evidences_under_other_common_values(degree, covariates):
    design = np.stack([np.ones(PEOPLE), np.linspace(-1, 1, PEOPLE)], axis=1)[:, : 1 + covariates]
    draws = groups(design)
    values, part = points(degree)
    assert part.reaches(design, draws.common).all()
    if not degree:
        with pytest.raises(ValueError, match="have to be evaluated"):
            log_evidences([part], Group(), design, draws)
        part = values.evaluated(log_lik, part, design, draws.common)
    found = log_evidences([part], Group(), design, draws)
    exact = closed(draws, design)
    np.testing.assert_allclose(found, exact, atol=2e-3 if degree else 1e-5)
    narrower = log_evidence_narrower([part], design, draws, draws)
    np.testing.assert_allclose(narrower, exact.sum(1), atol=1e-2 if degree else 1e-4)
    # People's means, in closed form.
    of_people = given([part], Group(), design, draws, np.ones(len(draws.sd), int), np.random.default_rng(3)).mean
    slope, log_noise = np.moveaxis(design @ draws.common, -1, 0)
    weight = TRIALS * np.exp(-2 * log_noise) * draws.sd**2
    own = (Y - slope[..., None] * U).mean(-1)
    mean = ((design @ draws.coef)[..., 0] + weight * own) / (1 + weight)
    np.testing.assert_allclose(of_people[..., 0], mean, atol=1e-3)
    if degree:
        moved = part.moved(design @ draws.common[0])
        few = draws.some(slice(1))
        np.testing.assert_allclose(log_evidences([moved], Group(), design, few)[0], found[0], atol=1e-6)


def test_polynomials_are_found_from_their_values():
    for n_common in (1, 2, 3):
        degree = degree_for(n_common)
        z, solve = trials_of(n_common, degree)
        weights = np.random.default_rng(0).normal(size=terms(z, degree).shape[1])
        np.testing.assert_allclose(solve @ (terms(z, degree) @ weights), weights, atol=1e-8)


# -- whole posteriors -------------------------------------------------------------------------------------------------------


@functools.cache
def lines() -> tuple[pyem.Model, pyem.Dataset, pyem.Group]:
    data = pyem.Dataset.from_arrays({"y": Y[:, None], "predictors": np.ones((PEOPLE, 1, TRIALS, 1))})
    return pyem.models.get("glm", predictors=("level",)), data, pyem.Group(common="sigma")


@functools.cache
def fitted() -> pyem.SampleFit:
    model, data, group = lines()
    return pyem.fit_bayes(model, data, group=group, draws=4000)


def over_a_grid() -> tuple[float, np.ndarray, np.ndarray]:
    """Log marginal likelihood, means and sds of level, log noise and the sd between people, by summation."""
    model = fitted().model
    (centre, log_noise), (unit, unit_noise) = model.typical
    m = centre + 2 * unit * np.linspace(-2.5, 2.5, 300)[:, None, None]
    c = log_noise + np.linspace(-1.2, 1.2, 161)[None, :, None]
    s = unit * np.linspace(1e-3, 5, 400)[None, None]
    within = np.exp(2 * c)
    mean = Y.mean(1)
    squares = ((Y - mean[:, None]) ** 2).sum()
    people = sum(stats.norm.logpdf(one, m, np.sqrt(s**2 + within / TRIALS)) for one in mean)
    rest = -0.5 * squares / within - PEOPLE * ((TRIALS - 1) * (c + 0.5 * np.log(2 * np.pi)) + 0.5 * np.log(TRIALS))
    prior = stats.norm.logpdf(m, centre, 2 * unit) + stats.halfnorm.logpdf(s, scale=unit)
    joint = people + rest + prior + stats.norm.logpdf(c, log_noise, 2 * unit_noise)
    weight = np.exp(joint - joint.max())
    cell = np.prod([np.ptp(a) / (a.size - 1) for a in (m, c, s)])
    total = joint.max() + np.log(weight.sum() * cell)
    weight /= weight.sum()
    first = np.array([(weight * a).sum() for a in (m, c, s)])
    return total, first, np.sqrt([(weight * (a - b) ** 2).sum() for a, b in zip((m, c, s), first, strict=True)])


@pytest.mark.slow
def test_the_posterior_equals_a_sum_over_a_grid():
    fit, (total, mean, sd) = fitted(), over_a_grid()
    found = pyem.log_marginal_likelihood(fit)
    assert abs(found.total - total) < 4 * found.error + 1e-3
    assert found.error < 0.1
    table = fit.group_table()
    assert list(table.index) == [("mean", "level"), ("mean", "sigma"), ("sd", "level")]
    error = sd / np.sqrt(fit.trace["effective_draws"])
    assert (np.abs(table["estimate"].to_numpy(float) - mean) < 4.5 * error).all()
    np.testing.assert_allclose(table["se"].to_numpy(float), sd, rtol=0.1)
    assert fit.problems() == []
    # Everybody's noise is the same in each draw.
    assert np.ptp(fit.flat["x"][..., 1], axis=1) == pytest.approx(0)


@pytest.mark.slow
def test_bridges_and_cross_validation_take_common_values(tmp_path):
    fit, (total, _, _) = fitted(), over_a_grid()
    found = pyem.bridge_evidence(fit)
    assert abs(found.total - total) < 4 * found.se + 1e-3
    assert found.se < 0.15
    assert np.isfinite(pyem.loo(fit).elpd)
    with pytest.raises(pyem.selection.UndefinedCriterion, match="sigma would be common to all"):
        pyem.annealed_evidence(fit)
    again = pyem.load(fit.save(tmp_path / "fit.nc"))
    np.testing.assert_allclose(again.group_table()["estimate"], fit.group_table()["estimate"])


@pytest.mark.slow
def test_a_design_with_common_effects_has_the_posterior_of_nuts():
    model = pyem.models.get("rw1a1b")
    design = pyem.regress(model, "alpha ~ drug + (1 | subject)", common="beta")
    conditions = {"drug": ["placebo", "active"]}
    data = pyem.simulate(design, subjects=12, conditions=conditions, blocks=2, trials=40, key=1)
    bayes, nuts = pyem.fit_bayes(design, data, draws=4000), pyem.fit_nuts(design, data, draws=1500, key=1)
    one, two = bayes.effects(), nuts.effects()
    assert list(one.index) == list(two.index)
    assert ((one["estimate"] - two["estimate"]) / two["se"]).abs().max() < 0.1
    np.testing.assert_allclose(one["se"], two["se"], rtol=0.08)
    found, bridge = pyem.log_marginal_likelihood(bayes), pyem.bridge_evidence(nuts)
    assert abs(found.total - bridge.total) < 4 * np.hypot(found.error, bridge.se)


@pytest.mark.slow
def test_a_given_sd_is_one_of_every_draw():
    model, data, _ = lines()
    fit = pyem.fit_bayes(pyem.fix(model, sigma=0.7), data, group=pyem.Group(sd={"level": 0.8}))
    assert fit.flat["sd"][:, 0] == pytest.approx(0.8)
    assert list(fit.group_table().index) == [("mean", "level")]
