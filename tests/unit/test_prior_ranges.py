"""Priors by name against the ranges of parameters: what is refused, what is cut off and told, and what the density is then."""

import dataclasses
import math
import warnings

import jax
import numpy as np
import numpyro.distributions as dist
import pytest

import pyem
from pyem.errors import FitWarning
from pyem.infer.natural_prior import NaturalPrior
from pyem.model.model import Model
from pyem.model.parameter import Parameter
from pyem.model.transform import Interval, Ordered, Positive, Probit, Real
from pyem.population.priors import natural_priors
from pyem.population.ranges import share_within

RANGES = {
    "real": Real(),
    "positive": Positive(),
    "share": Interval(0, 1),
    "interval": Interval(0, 20),
    "probit": Probit(0, 1),
}
PRIORS = {
    "Normal": dist.Normal(0.4, 0.2),
    "wide Normal": dist.Normal(0.0, 1.0),
    "StudentT": dist.StudentT(3.0, 0.4, 0.1),
    "HalfNormal": dist.HalfNormal(0.4),
    "Gamma": dist.Gamma(4.0, 10.0),
    "LogNormal": dist.LogNormal(-1.0, 0.3),
    "Beta": dist.Beta(2.0, 3.0),
    "Uniform": dist.Uniform(0.0, 1.0),
    "long Uniform": dist.Uniform(0.0, 20.0),
    "Kumaraswamy": dist.Kumaraswamy(2.0, 3.0),
    "stretched Beta": dist.TransformedDistribution(dist.Beta(2.0, 3.0), dist.transforms.AffineTransform(0.0, 20.0)),
}
ABOVE_0 = ("HalfNormal", "Gamma", "LogNormal")
UNIT, TWENTY = ("Beta", "Uniform", "Kumaraswamy"), ("long Uniform", "stretched Beta")
REFUSED = {
    "real": (*ABOVE_0, *UNIT, *TWENTY),
    "positive": (*UNIT, *TWENTY),
    "share": (),
    "interval": UNIT,
    "probit": (),
}
TOLD = {
    "real": (),
    "positive": ("wide Normal",),
    "share": ("wide Normal", *TWENTY),
    "interval": ("wide Normal",),
    "probit": ("wide Normal", *TWENTY),
}


def of(transform, size=None):
    """A model with one parameter, named theta, of which a prior is all that matters."""
    return Model(
        "one", (Parameter("theta", transform, size=size),), log_likelihood=lambda p, trials: 0.0 * p.theta.sum()
    )


@pytest.mark.parametrize("kind", PRIORS)
@pytest.mark.parametrize("where", RANGES)
def test_prior_and_range_fit_or_the_message_names_both(where, kind):
    model, prior = of(RANGES[where]), PRIORS[kind]
    low, high = (f"{end:g}" for end in RANGES[where].bounds)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        if kind in REFUSED[where]:
            with pytest.raises(ValueError, match=rf"(?s)prior .*of theta excludes.*range of theta, {low} to {high}"):
                natural_priors(model, {"theta": prior})
            return
        priors = natural_priors(model, {"theta": prior})
    # What is left is a density of unconstrained values: it integrates to 1 whatever was cut off.
    with jax.enable_x64(True):
        end = 30 if where == "probit" else 60
        x = np.concatenate(
            [np.linspace(-end, -12, 4001)[:-1], np.linspace(-12, 12, 48001), np.linspace(12, end, 4001)[1:]]
        )
        density = np.exp(np.asarray(priors.log_prob(model, jax.numpy.asarray(x[None]))))
    assert np.trapezoid(density, x) == pytest.approx(1.0, abs=5e-4 if where == "real" and kind == "StudentT" else 2e-5)
    assert len(told) == (kind in TOLD[where])
    for one in told:
        assert issubclass(one.category, FitWarning)
        for part in ("of the prior", "theta", f"{low} to {high}", "natural parameters", "mean= and sd="):
            assert part in str(one.message)


@pytest.mark.parametrize("kind", ["wide Normal", "Kumaraswamy", "StudentT", "stretched Beta"])
def test_share_within_a_range_is_that_of_draws(kind):
    draws = np.asarray(PRIORS[kind].sample(jax.random.key(1), (40_000,)))
    share = ((draws > 0.2) & (draws < 0.9)).mean()
    assert share_within(PRIORS[kind], 0.2, 0.9) == pytest.approx(share, abs=4 * math.sqrt(0.25 / 40_000))


def test_ordered_values_have_the_density_of_draws_in_order():
    model = of(Ordered(), size=3)
    each = {"theta0": dist.Normal(-1.0, 1.0), "theta1": dist.Normal(0.0, 0.5), "theta2": dist.Normal(0.5, 2.0)}
    priors = natural_priors(model, each)
    draws = np.stack(
        [np.asarray(one.sample(jax.random.key(k), (200_000,))) for k, one in enumerate(each.values())], axis=1
    )
    kept = draws[(np.diff(draws, axis=1) > 0).all(1)]
    assert math.exp(priors.log_kept) == pytest.approx(len(kept) / len(draws), abs=4 * 0.5 / math.sqrt(200_000))
    assert math.exp(natural_priors(model, {"theta": dist.Normal(0, 1)}).log_kept) == pytest.approx(1 / 6, rel=1e-5)
    found = priors.sample(model, jax.random.key(9), 20_000)
    assert (np.diff(found, axis=1) > 0).all()
    np.testing.assert_allclose(found.mean(0), kept.mean(0), atol=0.06)
    with pytest.raises(
        ValueError, match="theta1, theta2 of the ordered values of theta have no prior; give one to each"
    ):
        natural_priors(model, {"theta0": dist.Normal(0, 1)})


@pytest.mark.parametrize(
    ("prior", "words"),
    [
        (dist.Poisson(2.0), "Poisson of theta has no density"),
        (dist.Delta(0.5), "Delta of theta has no density.*pyem.fix"),
        (dist.Normal(30.0, 1.0), r"Normal\(loc=30, scale=1\) of theta is almost wholly outside.*0 to 1"),
    ],
)
def test_what_is_no_prior_of_the_parameter_is_refused(prior, words):
    with pytest.raises(ValueError, match=words):
        natural_priors(of(Interval(0, 1)), {"theta": prior})


SLOW = [pytest.param(verb, marks=pytest.mark.slow) for verb in ("fit_nuts", "fit_bayes", "fit_grid")]


@pytest.mark.parametrize("verb", ["fit_map", "prior_predictive", *SLOW])
def test_every_verb_tells_of_a_prior_for_another_scale(verb):
    model = pyem.models.get("rw1a1b")
    data = pyem.simulate(model, subjects=2, trials=15, key=1)
    more = {
        "fit_nuts": {"chains": 1, "warmup": 20, "draws": 20, "group": None, "key": 0},
        "fit_bayes": {"draws": 50, "group": None, "key": 0},
        "fit_grid": {"group": None},
        "prior_predictive": {"group": None, "draws": 3, "key": 0},
    }.get(verb, {})
    with pytest.warns(FitWarning, match=r"only 34% of the prior Normal\(loc=0, scale=1\) of alpha"):
        getattr(pyem, verb)(model, data, priors={"alpha": dist.Normal(0.0, 1.0)}, **more)


def test_a_cut_prior_is_the_same_prior_on_its_range():
    model, x = of(Positive()), np.linspace(-5, 3, 9)[None]
    with jax.enable_x64(True):
        pair = [natural_priors(model, {"theta": one}) for one in (dist.Normal(0.0, 3.0), dist.HalfNormal(3.0))]
        cut, same = (np.asarray(one.log_prob(model, jax.numpy.asarray(x))) for one in pair)
    np.testing.assert_allclose(cut, same, atol=1e-12)


@pytest.mark.parametrize("given", ["by name", "as a function"])
def test_priors_of_a_search_in_standard_units_are_densities_there(given):
    model = Model(
        "one", (Parameter("theta", Positive(), mean=3.0, sd=0.2),), log_likelihood=lambda p, trials: 0.0 * p.theta
    )
    inside, prior = dataclasses.replace(model, standard=(True,)), dist.Gamma(8.0, 0.4)
    x = np.linspace(-20, 20, 20_001)
    with jax.enable_x64(True):
        if given == "by name":
            log_density = natural_priors(inside, {"theta": prior}).log_prob(inside, jax.numpy.asarray(x[None]))
        else:
            log_density = jax.vmap(NaturalPrior(inside, lambda p: prior.log_prob(p.theta)))(
                jax.numpy.asarray(x[:, None])
            )
    assert np.trapezoid(np.exp(np.asarray(log_density)), x) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize(
    ("priors", "words"),
    [
        ({"sd": dist.Normal(0.0, 1.0)}, "Normal of the group sd of beta reaches below 0.*HalfNormal"),
        ({"sd": {"alpha": dist.Uniform(2.0, 3.0)}}, "group sd of alpha excludes"),
        ({"mean": {"alpha": dist.Beta(2.0, 2.0)}}, "group mean of alpha excludes.*unconstrained scale.*group=None"),
        ({"mean": dist.Poisson(3.0)}, "Poisson of the group mean of beta has no density"),
    ],
)
@pytest.mark.parametrize("verb", ["fit_em", "fit_bayes"])
def test_priors_of_a_group_are_of_the_unconstrained_scale(verb, priors, words):
    model = pyem.models.get("rw1a1b")
    data = pyem.simulate(model, subjects=3, trials=15, key=1)
    with pytest.raises(ValueError, match=words):
        getattr(pyem, verb)(model, data, priors=priors, **({"key": 0} if verb == "fit_bayes" else {}))


def test_a_discrete_parameter_takes_no_prior_by_name():
    model = pyem.models.get("rlwm", capacity=(2, 3, 4))
    data = pyem.simulate(model, subjects=1, key=1)
    with pytest.raises(ValueError, match=r"priors names 'capacity', but capacity is one of 2, 3, 4, .*pyem.fix"):
        pyem.fit_map(model, data, priors={"capacity": dist.Normal(3.0, 1.0)})
