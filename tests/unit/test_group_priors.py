"""The mode of a group's posterior: priors of its means, effects, sds and correlations in `fit_em` and `fit_grid`."""

import dataclasses
import functools
import math

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from scipy import stats

import pyem
from pyem.infer.checkpoint import Kept
from pyem.infer.em_ways import Search
from pyem.infer.group_posterior import group_posterior, mode_of
from pyem.infer.group_start import located
from pyem.infer.placing import places
from pyem.model.distribution import Normal
from pyem.numerics.rng import generator

NOISE, SUBJECTS, TRIALS = 0.7, 12, 6
GROUP = pyem.Group(covariates=["age"], covariance="full")
PRIORS = {
    "mean": {"b0": dist.Normal(1.0, 0.3), "b1": dist.Cauchy(0.0, 1.0)},
    "sd": {"b0": dist.Gamma(3.0, 4.0), "b1": dist.HalfNormal(0.5)},
    "effect": dist.StudentT(4.0, 0.1, 0.02),
    "correlation": 3.0,
}
LINE = pyem.Model(
    "line",
    (pyem.Parameter("b", pyem.Real(), size=2),),
    lambda p, state, trial: Normal(jnp.dot(p.b, trial.predictors), NOISE),
    responses=("y",),
    inputs=("predictors",),
)


@functools.cache
def people():
    """Predictors and responses; people differ, and ages are in years."""
    rng = np.random.default_rng(3)
    x, age = rng.normal(size=(TRIALS, 2)), rng.normal(40, 10, SUBJECTS)
    b = rng.multivariate_normal([0.5, -1.0], [[0.8, 0.3], [0.3, 0.5]], SUBJECTS)
    y = b @ x.T + NOISE * rng.normal(size=(SUBJECTS, TRIALS))
    fields = {"y": y[:, None], "predictors": np.broadcast_to(x, (SUBJECTS, 1, TRIALS, 2))}
    return pyem.Dataset.from_arrays(fields, covariates={"age": age}), x, y, age


def log_posterior(coef, sd, corr):
    """That of a group, by the formulas of its marginal likelihood and of its priors; effects are of a year."""
    _, x, y, age = people()
    cov = np.outer(sd, sd) * np.array([[1.0, corr], [corr, 1.0]])
    marginal = x @ cov @ x.T + NOISE**2 * np.eye(TRIALS)
    gap = y - (coef[0] + np.outer(age - age.mean(), coef[1])) @ x.T
    value = stats.multivariate_normal(np.zeros(TRIALS), marginal).logpdf(gap).sum()
    value += stats.norm(1.0, 0.3).logpdf(coef[0, 0]) + stats.cauchy(0.0, 1.0).logpdf(coef[0, 1])
    value += stats.gamma(3.0, scale=1 / 4).logpdf(sd[0]) + stats.halfnorm(scale=0.5).logpdf(sd[1])
    return value + stats.t(4.0, 0.1, 0.02).logpdf(coef[1]).sum() + 2 * math.log(1 - corr**2)


def of_population(population):
    sd = np.sqrt(np.diag(population.cov))
    return log_posterior(population.coef, sd, population.cov[0, 1] / sd.prod())


@functools.cache
def fitted(how):
    data = people()[0]
    if how == "grid":
        return pyem.fit_grid(LINE, data, group=GROUP, priors=PRIORS)
    return pyem.fit_em(LINE, data, group=GROUP, priors=PRIORS, integrate=how, accelerate=how != "plain")


@pytest.mark.parametrize("how", ["laplace", "exact", "grid"])
def test_the_group_is_at_the_mode_of_its_posterior_with_errors_from_the_curvature_there(how):
    fit = fitted(how)
    population, vector = fit.population, fit.population.vector
    se = np.sqrt(np.diag(np.linalg.inv(fit.information)))
    at = lambda *moves: of_population(population.with_vector(vector + sum(moves)))  # noqa: E731
    moves = np.diag(0.01 * se)
    slope = np.array([at(one) - at(-one) for one in moves]) / 0.02
    # In standard errors; points, unlike formulas, know a person's moments to some digits only.
    exactly = 1e-4 if how != "exact" else 2e-2
    assert np.abs(slope).max() < exactly
    curved = [[at(a, b) - at(a, -b) - at(-a, b) + at(-a, -b) for b in moves] for a in moves]
    np.testing.assert_allclose(fit.information * np.outer(se, se), np.array(curved) / -4e-4, atol=20 * exactly)


def test_priors_move_the_group():
    data = people()[0]
    likeliest = pyem.fit_em(LINE, data, group=GROUP).population
    assert of_population(fitted("laplace").population) > of_population(likeliest) + 0.5


def test_what_is_not_named_has_the_priors_of_samplers_and_a_saved_fit_repeats(tmp_path):
    data = people()[0]
    given = pyem.fit_em(LINE, data, priors={"sd": dist.HalfNormal(1.0), "mean": dist.Normal(0.0, 2.0)})
    assert np.allclose(pyem.fit_em(LINE, data, priors={}).population.coef, given.population.coef, atol=1e-7)
    again = pyem.fit_em(LINE, data, **pyem.load(given.save(tmp_path / "fit.nc"), model=LINE).settings)
    np.testing.assert_array_equal(again.population.cov, given.population.cov)


def test_slopes_are_those_of_the_density_in_any_order():
    search = Search(LINE, people()[0], GROUP, 10, 1e-7, True, False, 0, priors=PRIORS)
    population = search.population(np.zeros((SUBJECTS, 2)), False)
    assert population.hyper is not None
    population = dataclasses.replace(
        population, cov=np.array([[0.5, 0.2], [0.2, 0.9]]), coef=np.array([[0.3, 0.4], [0.5, -0.1]])
    )
    for order in ([0, 1], [1, 0]):
        turned = population.reordered(np.array(order))
        at = lambda roots: turned.with_roots(roots).hyper.slopes(turned.with_roots(roots))  # noqa: B023, E731
        step = 1e-5 * np.eye(len(turned.roots))
        ends = [(at(turned.roots + one), at(turned.roots - one)) for one in step]
        here = at(turned.roots)
        np.testing.assert_allclose(here.grad, [(up.value - down.value) / 2e-5 for up, down in ends], atol=1e-7)
        np.testing.assert_allclose(here.hess, [(up.grad - down.grad) / 2e-5 for up, down in ends], atol=1e-7)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"priors": {"sd": dist.Uniform(0.0, 50.0)}}, r"Uniform of the group sd of b0 has no density.*use fit_bayes"),
        (
            {"priors": {"mean": dist.HalfNormal(1.0)}},
            r"HalfNormal\(scale=1\) of the group mean of b0 excludes -1; a group is on the unconstrained",
        ),
        ({"priors": {"effect": dist.Laplace(0.0, 1.0)}}, r"Laplace of an effect of a covariate has a corner"),
        ({"priors": {"b": dist.Normal(0.0, 1.0)}}, r"priors has 'b', but a group has mean, effect, sd, correlation"),
        ({"priors": {}, "boundary_avoiding": True}, r"boundary_avoiding is a prior of the group's sds itself"),
        ({"priors": dist.Normal(0.0, 1.0)}, r"a mapping is expected"),
    ],
)
def test_priors_that_a_mode_cannot_have_are_refused_in_words(options, said):
    with pytest.raises(ValueError, match=said):
        pyem.fit_em(LINE, people()[0], group=GROUP, **options)


def test_a_population_is_taken_as_it_is():
    with pytest.raises(ValueError, match="a population is taken as it is, and has none"):
        pyem.fit_grid(LINE, people()[0], group=fitted("laplace").population, priors=PRIORS)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pyem.FitWarning")
def test_the_mode_is_that_of_the_posterior_of_fit_bayes():
    model = pyem.models.get("rw1a1b")
    data = pyem.simulate(model, subjects=20, trials=60, key=2)
    priors = {"sd": dist.Gamma(2.0, 2.0), "mean": {"alpha": dist.Normal(-1.0, 0.5)}}
    fit = pyem.fit_em(model, data, priors=priors, integrate="exact", accuracy=1e-3)
    ready = fit.model
    found = located(ready, data, pyem.Group(), places(ready, data, nodes=None, rng=generator(1)), priors, 1, False)
    posterior = group_posterior(ready, found.population, found.moments, priors)
    by_log_sd = posterior.log_density(found.estep.parts)
    # Its coordinates are logarithms of the sds, and the mode is by the sds themselves.
    sds = np.concatenate([np.zeros(2), np.asarray(posterior.at.scale)[2:]])
    top, cov = mode_of(lambda v: by_log_sd(v) - v @ sds, posterior.vector(found.population))
    gap = posterior.vector(fit.population) - top
    # Two sets of points each know the mode to about this share of its standard error.
    assert np.abs(gap / np.sqrt(np.diag(cov))).max() < 0.05


@pytest.mark.slow
@pytest.mark.parametrize("how", ["laplace", "exact"])
def test_common_parameters_have_priors_too(how):
    _, x, y, _ = people()
    priors = {"mean": {"b1": dist.Normal(3.0, 0.1), "b0": dist.Normal(0.0, 5.0)}, "sd": {"b0": dist.Gamma(3.0, 4.0)}}
    fit = pyem.fit_em(LINE, people()[0], group=pyem.Group(common="b1"), priors=priors, integrate=how)
    found = np.array([*fit.population.coef[0], np.sqrt(fit.population.cov[0, 0])])

    def at(values):
        marginal = values[2] ** 2 * np.outer(x[:, 0], x[:, 0]) + NOISE**2 * np.eye(TRIALS)
        value = stats.multivariate_normal(x @ values[:2], marginal).logpdf(y).sum()
        value += stats.norm(3.0, 0.1).logpdf(values[1]) + stats.norm(0.0, 5.0).logpdf(values[0])
        return value + stats.gamma(3.0, scale=1 / 4).logpdf(values[2])

    se = np.sqrt(np.diag(np.linalg.inv(fit.information))) * [1, 1, found[2]]
    moves = 0.01 * np.diag(se)
    slope = np.array([at(found + one) - at(found - one) for one in moves]) / 0.02
    assert np.abs(slope).max() < (1e-4 if how == "laplace" else 2e-2)


def test_a_fit_that_is_kept_goes_on_under_its_own_priors_only(tmp_path, monkeypatch):
    fit = functools.partial(pyem.fit_em, LINE, people()[0], group=GROUP, priors=PRIORS, checkpoint=tmp_path / "fit")
    write = Kept.write

    def stopped(kept, known):
        write(kept, known)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Kept, "write", stopped)
        with pytest.raises(KeyboardInterrupt):
            fit()
    again, straight = fit(), fitted("laplace")
    np.testing.assert_array_equal(again.population.vector, straight.population.vector)
    np.testing.assert_array_equal(again.trace["other_mode"], straight.trace["other_mode"])
    # The same name and shape, with another number in it: one that shows, or one of a part.
    for sd in (dist.HalfNormal(0.6), dist.TruncatedNormal(0.0, 0.5, low=0.0)):
        with pytest.raises(ValueError, match="of another fit"):
            fit(priors={**PRIORS, "sd": {**PRIORS["sd"], "b1": sd}})
    with pytest.raises(ValueError, match="of another fit"):
        fit(priors={**PRIORS, "correlation": 3.5})
    fit(priors={**PRIORS, "effect": dist.StudentT(4.0, 0.1, 0.02)})
