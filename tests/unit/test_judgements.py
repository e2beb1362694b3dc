"""Counts, ratings and detection: distributions, closed forms, what is refused, and judgements beside choices."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from scipy import stats

import pyem
from pyem import DataError, Dataset, models
from pyem.model import ratings
from pyem.model.ratings import Steps, log_between
from pyem.results.identity import follow


def columns(**fields):
    """Five people with two blocks of twelve trials."""
    return Dataset.from_arrays({name: np.asarray(values).reshape(5, 2, 12) for name, values in fields.items()})


RNG = np.random.default_rng(5)
N = RNG.integers(5, 12, 120)
K = RNG.binomial(N, np.repeat(RNG.uniform(0.3, 0.8, 5), 24))


# -- distributions --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bounds", [[-9.0, -8.0, 0.0, 1e-5, 8.0, 9.0], [-38.0, 34.0], [-31.0, 60.0]])
def test_between_two_thresholds_in_both_tails(bounds):
    bounds = np.array(bounds)
    with jax.enable_x64(True):
        found = np.exp(log_between(jnp.asarray(bounds), "probit"))
    low, high = np.append(-np.inf, bounds), np.append(bounds, np.inf)
    flip = low + high > 0
    low, high = np.where(flip, -high, low), np.where(flip, -low, high)
    np.testing.assert_allclose(found, stats.norm.cdf(high) - stats.norm.cdf(low), rtol=1e-9, atol=1e-300)


@pytest.mark.parametrize("border", [-50.0, -1.0, 0.0, 2.5, 9.0])
def test_steps_beyond_a_border_are_shares_of_what_is_beyond_it(border):
    bounds = np.cumsum([border, 0.5, 0.0, 40.0])
    with jax.enable_x64(True):
        steps = Steps(jnp.asarray(border), jnp.diff(jnp.asarray(bounds)))
        found = np.exp(steps.logits)
        slope = np.asarray(jax.jacfwd(lambda at: steps._replace(border=at).logits)(jnp.asarray(border)))
    low, high = bounds, np.append(bounds[1:], np.inf)
    flip = low + high > 0
    low, high = np.where(flip, -high, low), np.where(flip, -low, high)
    expected = (stats.norm.cdf(high) - stats.norm.cdf(low)) / stats.norm.sf(border)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-300)
    assert np.isfinite(slope[[0, 2, 3]]).all()


def test_derivatives_of_an_interval_by_hand_are_those_line_by_line():
    low = RNG.normal(0, 4, 300)
    width = np.exp(RNG.uniform(-12, 3, 300))
    width[::10] = 100.0
    at = np.c_[low + width / 2, width]

    def both(function):
        of_one = lambda a: function(*a)  # noqa: E731
        return jax.jit(jax.vmap(lambda a: (jax.jacfwd(of_one)(a), jax.jacfwd(jax.jacfwd(of_one))(a))))(at)

    with jax.enable_x64(True):
        for found, known in zip(both(ratings._log_mass), both(ratings._log_mass.__wrapped__), strict=True):
            size = np.maximum(1, np.abs(known).reshape(300, -1).max(1))
            assert (np.abs(np.asarray(found) - known).reshape(300, -1).max(1) / size).max() < 1e-8


def test_a_negative_binomial_without_end_is_poisson_and_other_counts_are_impossible():
    with jax.enable_x64(True):
        found = [float(pyem.NegativeBinomial(1.0, 25.0).log_prob(y)) for y in (0, 3, 9)]
        impossible = [float(pyem.NegativeBinomial(1.0, 1.0).log_prob(y)) for y in (-1, 0.5)]
    np.testing.assert_allclose(found, stats.poisson.logpmf([0, 3, 9], np.e), rtol=1e-9)
    assert impossible == [-np.inf, -np.inf]


# -- closed forms ---------------------------------------------------------------------------------------------------------


def test_binomial_estimates_are_shares():
    fit = pyem.fit_mle(models.get("binomial"), columns(n=N, k=K), starts=1)
    shares = K.reshape(5, -1).sum(1) / N.reshape(5, -1).sum(1)
    np.testing.assert_allclose(fit.params[:, 0], shares, rtol=1e-6)


def test_detection_estimates_are_the_textbook_ones():
    hits, false = np.array([8, 9, 11, 6, 10]), np.array([3, 4, 1, 5, 2])
    signal = np.tile(np.repeat([0, 1], 12), 5)
    said = [np.arange(12) < n for pair in zip(false, hits, strict=True) for n in pair]
    fit = pyem.fit_mle(models.get("sdt"), columns(signal=signal, choice=np.concatenate(said).astype(int)), starts=1)
    z = stats.norm.ppf(np.array([hits, false]) / 12)
    np.testing.assert_allclose(fit.params, np.stack([z[0] - z[1], -z.mean(0)], axis=1), rtol=1e-5, atol=1e-6)


# -- what is refused ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "fields", "says"),
    [
        (
            "binomial",
            {"n": N, "k": np.where(np.arange(120) == 30, N + 1, K)},
            r"'k' has \d+ for subject 1, of \d+ attempts",
        ),
        ("binomial", {"n": N, "k": np.where(np.arange(120) == 30, 0.5, K)}, r"'k' has 0.5 for subject 1.*counts"),
        (
            "binomial",
            {"n": np.where(np.arange(120) == 30, 4.5, N), "k": np.minimum(K, 4)},
            r"subject 1 has 4.5 attempts",
        ),
        ("negative_binomial", {"y": np.where(np.arange(120) == 3, -1, K)}, r"'y' has -1 for subject 0"),
        (
            "beta_rating",
            {"rating": np.where(np.arange(120) == 3, 1.0, 0.5)},
            r"'rating' has 1 .*\(N - 1\) \+ 0.5\) / N",
        ),
        ("beta_rating", {"rating": np.where(np.arange(120) == 3, 80.0, 0.5)}, r"'rating' has 80 .*divide it"),
    ],
)
def test_responses_that_cannot_be_are_refused(name, fields, says):
    with pytest.raises(DataError, match=says):
        pyem.fit_mle(models.get(name), columns(**fields))


def test_ordered_words_need_their_order_and_numbers_have_it():
    frame = pd.DataFrame({"id": np.repeat([0, 1], 6), "r": ["low", "high", "medium"] * 4, "n": [1, 2, 3] * 4})
    with pytest.raises(DataError, match="whose order is not told"):
        Dataset.from_frame(frame, subject="id", columns={"rating_level": "r"})
    told = {"rating_level": ["low", "medium", "high"]}
    words = Dataset.from_frame(frame, subject="id", columns={"rating_level": "r"}, codes=told)
    numbers = Dataset.from_frame(frame, subject="id", columns={"rating_level": "n"})
    assert words.fields["rating_level"][:3, 0].tolist() == [0, 2, 1]
    assert numbers.fields["rating_level"][:3, 0].tolist() == [0, 1, 2]


# -- beside a choice ------------------------------------------------------------------------------------------------------

LEARNER = models.get("rw1a1b")
RATING = models.get("ordinal_logit", levels=3, predictors=["p_chosen"])
BOTH = pyem.with_judgement(LEARNER, RATING, predictors=["p_chosen"])
TRUTH = np.tile([4.0, 0.3, 3.0, 1.0, 2.0], (5, 1))


def simulated():
    return pyem.simulate(BOTH, TRUTH, key=1, blocks=2, trials=12)


def test_a_rating_of_confidence_has_the_probability_of_the_choice_as_its_predictor():
    data = simulated()
    chances = np.exp(pyem.engine.evaluate.trial_values(LEARNER, data, LEARNER.unconstrained(TRUTH[:, :2]))["log_lik"])
    alone = dataclasses.replace(data, fields={**data.fields, "predictors": chances[:, None]})
    alone = dataclasses.replace(alone, present={**data.present, "predictors": data.present["choice"]})
    parts = pyem.log_lik(LEARNER, data, TRUTH[:, :2]) + pyem.log_lik(RATING, alone, TRUTH[:, 2:])
    np.testing.assert_allclose(pyem.log_lik(BOTH, data, TRUTH), parts, rtol=1e-10)
    np.testing.assert_allclose(data.log_lik, parts, rtol=1e-10)


def test_a_trial_without_a_rating_counts_by_its_choice_and_teaches():
    data = simulated()
    none = {**data.present, "rating_level": np.zeros_like(data.valid)}
    none["rating_level"][0] = True
    few = dataclasses.replace(data, present=none)
    first = {**none, "choice": none["rating_level"] & False}
    only = dataclasses.replace(data, present=first)
    total = pyem.log_lik(LEARNER, data, TRUTH[:, :2]) + pyem.log_lik(BOTH, only, TRUTH)
    np.testing.assert_allclose(pyem.log_lik(BOTH, few, TRUTH), total, rtol=1e-10)


def test_names_that_both_have_are_told_and_can_be_changed():
    with pytest.raises(ValueError, match=r"both have a column 'choice'.*rename="):
        pyem.with_judgement(LEARNER, models.get("sdt"))
    both = pyem.with_judgement(LEARNER, models.get("sdt"), rename={"choice": "report", "signal": "tone"})
    assert both.columns == ("choice", "tone", "report", "reward")
    assert pyem.simulate(both, subjects=2, key=1, trials=5).fields["report"].shape == (5, 2)


@pytest.mark.parametrize(
    ("judgement", "more", "says"),
    [
        ("ck", {}, "learns"),
        ("beta_rating", {"predictors": ["p_chosen"]}, "make it with them"),
        ("glm", {"predictors": ["reward"]}, "is not made of a choice"),
        ("beta_rating", {"rename": {"score": "mood"}}, "no column or parameter"),
    ],
)
def test_judgements_that_cannot_be(judgement, more, says):
    with pytest.raises(ValueError, match=says):
        pyem.with_judgement(LEARNER, models.get(judgement), **more)


def test_a_recipe_makes_the_model_again():
    assert follow(BOTH.recipe) == BOTH
