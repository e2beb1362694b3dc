"""Newton steps of a group from one E-step, where people's log-likelihoods are quadratic."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

import pyem
from pyem.infer.acceleration import limited, moved, newton_step, newton_steps
from pyem.infer.standard_errors import score_and_information
from pyem.population.population import Population, populate
from pyem.population.posterior import Laplace, Modes

PEOPLE = 30
RNG = np.random.default_rng(4)
ESTIMATE = RNG.normal([0.3, -0.4], [1.0, 0.8], size=(PEOPLE, 2))
KNOWN = np.array([[4.0, 1.0], [1.0, 6.0]]) * RNG.uniform(0.5, 2, size=(PEOPLE, 1, 1))


def posteriors(population: Population) -> Modes:
    """People whose log-likelihood is quadratic, of whom we know `ESTIMATE` with the information `KNOWN`."""
    precise = population.precision + KNOWN
    pull = population.mean @ population.precision + (KNOWN @ ESTIMATE[:, :, None])[:, :, 0]
    mode = np.linalg.solve(precise, pull[:, :, None])[:, :, 0]
    grad = (KNOWN @ (ESTIMATE - mode)[:, :, None])[:, :, 0]
    status = np.zeros(PEOPLE, int)
    laplace = Laplace(mode, np.linalg.inv(precise), np.zeros(PEOPLE), np.linalg.slogdet(precise)[1], status)
    return Modes.known(laplace, grad, -KNOWN)


def group(sd: float) -> Population:
    return populate(
        pyem.Group(covariance="full"),
        names=("a", "b"),
        mean=np.zeros(2),
        sd=np.full(2, sd),
        covariates={},
        n_subjects=PEOPLE,
    )


def test_people_move_with_the_group_as_a_new_search_would_find_them():
    other = group(0.4)
    found, searched = moved(posteriors(group(1.0)), other), posteriors(other)
    assert found is not None
    np.testing.assert_allclose(found.mode, searched.mode, rtol=1e-12)
    np.testing.assert_allclose(found.cov, searched.cov, rtol=1e-12)
    np.testing.assert_allclose(found.derivatives[0], searched.derivatives[0], rtol=1e-10, atol=1e-12)


def test_somebody_without_a_mode_under_the_group_ends_the_steps():
    known = posteriors(group(1.0))
    convex = known.derivatives[1].copy()
    convex[0] = 3 * np.eye(2)
    assert moved(Modes.known(Laplace(*known), known.derivatives[0], convex), group(1.0)) is None
    # Without derivatives of the likelihood one step is all there is.
    one = Laplace(*known)
    alone = limited(group(1.0).roots, newton_step(group(1.0), one), group(1.0))
    np.testing.assert_allclose(newton_steps(group(1.0), one), alone, rtol=1e-12)


def searches(step: Callable[[Population, Modes], np.ndarray]) -> tuple[int, Population]:
    """How many searches for everybody's mode an ascent takes, and where it ends."""
    population = group(1.5)
    for n in range(1, 30):
        known = posteriors(population)
        roots = step(population, known)
        left = np.abs(roots - population.roots).max()
        population = population.with_roots(roots)
        if left < 1e-9:
            return n, population
    raise AssertionError("no end")


def test_several_steps_from_a_search_reach_the_same_maximum_in_fewer_searches():
    alone, one = searches(lambda group, known: limited(group.roots, newton_step(group, known), group))
    several, other = searches(newton_steps)
    assert several <= 5 < alone
    np.testing.assert_allclose(other.roots, one.roots, atol=1e-9)
    score, _ = score_and_information(other, posteriors(other))
    np.testing.assert_allclose(score, 0, atol=1e-7)
