"""Draws of people given groups: they have the form of the posterior, not only its mean and variance."""

import numpy as np
import pytest

import pyem
from pyem import Group
from pyem.engine.mixtures import GroupDraws
from pyem.engine.nodes import log_lik_at
from pyem.engine.scale import ready_to_fit
from pyem.infer.group_posterior import group_posterior
from pyem.infer.group_start import located
from pyem.infer.node_sets import NodeSets
from pyem.infer.people_draws import people_given, slopes
from pyem.infer.placing import places

RW = pyem.models.get("rw1a1b")
DRAWS = 100_000


@pytest.fixture(scope="module")
def learners():
    truth = np.random.default_rng(1).normal([-1.2, -0.4], [0.8, 0.9], (12, 2))
    return pyem.simulate(RW, RW.natural(truth), trials=40, blocks=2, key=5)


def sets_of(learners):
    model = ready_to_fit(RW, learners)
    made = places(model, learners, nodes=256, rng=np.random.default_rng(0))
    exact = located(model, learners, Group(), made, None, 0, False)
    posterior = group_posterior(model, exact.population, exact.moments, None)
    return NodeSets(posterior, made, exact.population, exact.moments, exact.estep.parts, exact.level)


def cumulants(x, weight):
    """Mean, sd and skewness (S, P) of points (S, n, P) under weights (S, n)."""
    mean = np.einsum("sn,snp->sp", weight, x)
    gap = x - mean[:, None]
    second, third = (np.einsum("sn,snp->sp", weight, gap**k) for k in (2, 3))
    return mean, np.sqrt(second), third / second**1.5


@pytest.mark.parametrize(("wider", "moved"), [(1.0, 0.0), (1.2, 0.2)])
def test_draws_of_people_are_as_skewed_as_their_posteriors(learners, wider, moved):
    """Given the group that points were made for, and another: against sums over 61 x 61 points."""
    sets = sets_of(learners)
    sd, mean = wider * np.sqrt(np.diag(sets.population.cov)), sets.population.coef + moved
    one = GroupDraws.of(mean[None], sd[None], None)
    x, *_ = people_given(sets, one, np.array([DRAWS]), np.random.default_rng(1))
    node, weight = np.polynomial.hermite_e.hermegauss(61)
    z = np.stack(np.meshgrid(node, node), -1).reshape(-1, 2)
    dense = np.broadcast_to(mean[0] + z * sd, (12, *z.shape))
    log_joint = log_lik_at(sets.places.model, learners, dense) + np.log(np.outer(weight, weight)).ravel()
    posterior = np.exp(log_joint - log_joint.max(1, keepdims=True))
    known = cumulants(dense, posterior / posterior.sum(1, keepdims=True))
    found = cumulants(np.swapaxes(x, 0, 1), np.full((12, DRAWS), 1 / DRAWS))
    assert np.abs((found[0] - known[0]) / known[1]).max() < 0.02
    np.testing.assert_allclose(found[1], known[1], rtol=0.025)
    assert np.abs(known[2]).max() > 0.5
    # Draws that are as Gaussian as their cells have 0.956 of the skewness under the first of these groups.
    assert abs((found[2] * known[2]).sum() / (known[2] ** 2).sum() - 1) < 0.03


def test_slopes_of_a_function_that_is_known_at_points():
    rng = np.random.default_rng(3)
    u = rng.uniform(-2, 2, (600, 3))
    inner = np.flatnonzero((np.abs(u) < 1).all(1))
    value = np.sin(u[:, 0]) + u[:, 1] * u[:, 2]
    found = slopes(u, value, 0.05, inner)
    known = np.stack([np.cos(u[inner, 0]), u[inner, 2], u[inner, 1]], 1)
    assert np.abs(found - known).mean() < 0.1


@pytest.mark.slow
def test_the_bridge_of_draws_gives_the_marginal_likelihood():
    """It was 1.2 nats too low where draws of 97 people were as Gaussian as the cells of their points."""
    model = pyem.models.get("rw_forget")
    data = pyem.simulate(model, key=1, subjects=97, blocks=4, trials=25, missed=0.05)
    fit = pyem.fit_bayes(model, data, key=1)
    exact = pyem.log_marginal_likelihood(fit)
    bridge = pyem.bridge_evidence(fit, key=1)
    assert bridge.se < 0.3
    assert abs(bridge.total - exact.total) < 4 * np.hypot(bridge.se, exact.error)
