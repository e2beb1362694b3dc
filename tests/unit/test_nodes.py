"""Points that people are integrated over, against closed forms and finite differences; nothing is fitted or compiled here."""

import numpy as np
import pytest
from scipy.stats import chisquare, multivariate_normal

from pyem.engine.many_groups import given, log_evidence_narrower, log_evidences
from pyem.engine.mixtures import GroupDraws
from pyem.engine.nodes import NodeEStep, Nodes
from pyem.infer.acceleration import newton_step
from pyem.infer.lattices import RULES
from pyem.infer.node_sets import held_apart
from pyem.infer.placing import mixture
from pyem.infer.standard_errors import derivative
from pyem.numerics.lattice import lattice, quasi_random, turned
from pyem.population.group import FAMILIES, Group
from pyem.population.population import populate

PEOPLE = 5
KINDS = [(family, "diagonal") for family in FAMILIES] + [("gaussian", "full"), ("student_t", "full")]
# Errors of the rules for Gaussians, which fall with the number of points and rise with that of parameters.
ACCURACY = {1: 1e-8, 2: 1e-4, 3: 1e-3, 4: 5e-3, 5: 1e-2}


@pytest.mark.parametrize("dim", RULES)
def test_lattices_integrate_gaussians(dim):
    n, radius, stretch = RULES[dim]
    z, log_weight = lattice(n, dim, radius, stretch, 7, np.random.default_rng(1))
    assert z.shape == (7, n, dim)
    weight = np.exp(log_weight - 0.5 * (z**2).sum(2)) / (2 * np.pi) ** (dim / 2)
    np.testing.assert_allclose(weight.sum(1), 1, atol=ACCURACY[dim])
    np.testing.assert_allclose(np.einsum("sk,skp->sp", weight, z), 0, atol=ACCURACY[dim])
    second = np.einsum("sk,skp,skq->spq", weight, z, z)
    np.testing.assert_allclose(second, np.broadcast_to(np.eye(dim), second.shape), atol=ACCURACY[dim])
    assert np.abs(z[0] - z[1]).max() > 0.1


def test_there_are_no_lattices_for_many_parameters():
    with pytest.raises(ValueError, match="1 to 5 dimensions, use quasi_random"):
        lattice(100, 6, 5.0, 0.4, 2, np.random.default_rng(0))


@pytest.mark.parametrize("dim", [2, 6])
@pytest.mark.parametrize("family", ["gaussian", "cauchy"])
def test_mixtures_converge_to_the_integral_whatever_the_seed(dim, family):
    rng = np.random.default_rng(dim)
    root = rng.normal(size=(3, dim, dim)) / dim + np.eye(dim)
    cov, mean = root @ np.swapaxes(root, 1, 2), rng.normal(size=(3, dim))
    for seed in (1, 2):
        u = turned(quasi_random(8192, dim + 1, seed), np.random.default_rng(seed).uniform(size=(3, dim + 1)))
        x, log_q = mixture(u, mean, cov, 0 * mean, 4 * np.eye(dim), Group(family))
        true = np.stack([multivariate_normal(m, c).logpdf(part) for m, c, part in zip(mean, cov, x, strict=True)])
        weight = np.exp(true - log_q) / x.shape[1]
        # Plain Monte Carlo would leave errors of 1 to 2 %.
        np.testing.assert_allclose(weight.sum(1), 1, atol=5e-3)
        np.testing.assert_allclose(np.einsum("sk,skp->sp", weight, x), mean, atol=0.01)


def some_nodes(seed=0, people=PEOPLE, split=False):
    """Points of people whose likelihoods are lopsided."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(people, 60, 2)) * 1.5 + rng.normal(size=(people, 1, 2))
    log_weight = np.sin(x).sum(2) + 0.3 * rng.normal(size=(people, 60))
    who = np.arange(people)
    halves = [who[:2], who[2:]] if split else [who]
    return [Nodes(part, x[part], log_weight[part]) for part in halves]


def some_population(family, covariance, penalty=0.0):
    group = Group(family, covariance=covariance, covariates=["age"])
    ages = {"age": np.array([1.0, 2.0, 4.0, 3.0, 7.0])}
    made = populate(group, names=("a", "b"), mean=np.array([0.2, -0.3]), sd=np.ones(2), covariates=ages, n_subjects=5)
    vector = made.vector + np.random.default_rng(3).normal(size=made.vector.shape) * 0.3
    made = made.with_vector(vector)
    return type(made)(**{**vars(made), "penalty": penalty})


@pytest.mark.parametrize(("family", "covariance"), KINDS)
def test_the_score_is_the_slope_of_the_evidence(family, covariance):
    population = some_population(family, covariance)
    estep = NodeEStep(some_nodes(split=True), population.group)

    def evidence(moved):
        return np.array([estep.posterior(moved.prior).log_lik.sum()])

    slope = derivative(population, evidence, step=1e-5)[:, 0]
    np.testing.assert_allclose(population.score(estep(population.prior)), slope, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("family", FAMILIES)
def test_an_m_step_never_lowers_the_evidence(family):
    population = some_population(family, "diagonal")
    estep = NodeEStep(some_nodes(), population.group)
    values = []
    for _ in range(5):
        values.append(estep.posterior(population.prior).log_lik.sum())
        population = population.update(estep(population.prior))
    assert (np.diff(values) >= -1e-12).all()


@pytest.mark.parametrize(("family", "covariance"), KINDS)
def test_many_groups_at_once_are_as_each_alone(family, covariance):
    population = some_population(family, covariance)
    vectors = population.vector + 0.2 * np.random.default_rng(5).normal(size=(7, len(population.vector)))
    groups = [population.with_vector(vector) for vector in vectors]
    sd = np.array([np.sqrt(np.diag(one.cov)) for one in groups])
    corr = np.array([one.cov for one in groups]) / (sd[:, :, None] * sd[:, None])
    draws = GroupDraws.of(np.array([one.coef for one in groups]), sd, corr)
    parts = some_nodes(split=True)
    alone = [NodeEStep(parts, population.group).posterior(one.prior) for one in groups]
    values = log_evidences(parts, population.group, population.design, draws)
    np.testing.assert_allclose(values, [one.log_lik for one in alone], atol=2e-6)
    times = np.array([2, 0, 1, 1, 3, 1, 1])
    found = given(parts, population.group, population.design, draws, times, np.random.default_rng(0))
    assert found.index.shape == (9, PEOPLE)
    np.testing.assert_allclose(found.mean, [one.mode for one in alone], atol=5e-6)
    np.testing.assert_allclose(found.cov, [one.cov for one in alone], atol=2e-5)


def one_group(population):
    sd = np.sqrt(np.diag(population.cov))
    return GroupDraws.of(population.coef[None], sd[None], (population.cov / np.outer(sd, sd))[None])


def test_points_are_drawn_as_they_weigh():
    """A chi-square test for each of five people, each at 1 % of 1 %: a false alarm in 2000 runs."""
    population = some_population("gaussian", "diagonal")
    n = 20_000
    parts = [part.thinned(population.group, population.prior, 12.0) for part in some_nodes(split=True)]
    found = given(
        parts, population.group, population.design, one_group(population), np.array([n]), np.random.default_rng(1)
    )
    weights = np.concatenate(NodeEStep(some_nodes(), population.group).weights(population.prior))
    for k in range(PEOPLE):
        often = weights[k] > 20 / n
        counts = np.bincount(found.index[:, k], minlength=60)
        observed = np.append(counts[often], counts[~often].sum())
        expected = np.append(weights[k][often], weights[k][~often].sum()) * n
        assert chisquare(observed, expected).pvalue > 1e-4


def test_a_draw_is_where_the_sum_of_weights_reaches_a_uniform_number():
    population, n = some_population("gaussian", "diagonal"), 5000
    draw = one_group(population)
    found = given(some_nodes(), population.group, population.design, draw, np.array([n]), np.random.default_rng(1))
    weights = np.concatenate(NodeEStep(some_nodes(), population.group).weights(population.prior))
    u = np.random.default_rng(1).uniform(size=(PEOPLE, n))
    expected = [np.searchsorted(np.cumsum(row), at) for row, at in zip(weights, u, strict=True)]
    # Weights are in single precision.
    assert np.mean(expected != found.index.T) < 1e-3


@pytest.mark.parametrize("covariance", ["diagonal", "full"])
def test_the_evidence_of_narrow_groups_is_extrapolated(covariance):
    """Of people with Gaussian likelihoods on a grid to a tenth of what narrower sds make of it."""
    axis = np.linspace(-4, 4, 161)
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(1, -1, 2).repeat(PEOPLE, 0)
    place = np.random.default_rng(2).normal(size=(PEOPLE, 1, 2))
    nodes = [Nodes(np.arange(PEOPLE), grid, -0.5 * ((grid - place) ** 2).sum(2))]
    population = some_population("gaussian", covariance)
    draws = one_group(population)._replace(sd=np.array([[0.25, 0.3]]))
    narrow = draws.sd / np.array([1.5, 1.2])
    wide, true = (
        log_evidences(nodes, population.group, population.design, draws._replace(sd=sd)).sum()
        for sd in (draws.sd, narrow)
    )
    found = log_evidence_narrower(nodes, population.design, draws, draws._replace(sd=narrow))[0]
    assert abs(found - true) < 0.1 * abs(wide - true)


@pytest.mark.parametrize("left", [1e-2, 1e-5, 1e-10])
def test_the_evidence_where_correlations_near_1_is_extrapolated(left):
    """Of people with Gaussian likelihoods, in closed form: points need some width in every direction."""
    axis = np.linspace(-4, 4, 161)
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(1, -1, 2).repeat(PEOPLE, 0)
    place = np.random.default_rng(2).normal(size=(PEOPLE, 1, 2))
    volume = 2 * np.log(axis[1] - axis[0])
    nodes = [Nodes(np.arange(PEOPLE), grid, volume - 0.5 * ((grid - place) ** 2).sum(2))]
    corr = np.array([[1, left - 1], [left - 1, 1]])
    draws = GroupDraws.of(np.zeros((1, 1, 2)), np.array([[0.8, 1.1]]), corr[None])
    wide = held_apart(draws, np.array([0.15, 0.15]))
    found = log_evidence_narrower(nodes, np.ones((PEOPLE, 1)), wide, draws)[0]
    known = multivariate_normal(np.zeros(2), draws.covariances()[0] + np.eye(2)).logpdf(place[:, 0])
    assert abs(found - (known + np.log(2 * np.pi)).sum()) < 0.02


@pytest.mark.parametrize("covariance", ["diagonal", "full"])
def test_the_penalty_is_a_prior_of_the_sds_that_all_steps_know(covariance):
    plain, penalised = (some_population("gaussian", covariance, penalty) for penalty in (0.0, 2.0))
    moments = NodeEStep(some_nodes(), plain.group)(plain.prior)
    # Two people fewer in the denominator of the M-step, two logarithms of the sd more in the score.
    np.testing.assert_allclose(penalised.update(moments).cov, plain.update(moments).cov * 5 / 3)
    extra = penalised.score(moments) - plain.score(moments)
    np.testing.assert_allclose(extra, 2.0 * plain.is_diagonal)
    for start in (penalised, plain):
        fixed = start
        for _ in range(400):
            estep = NodeEStep(some_nodes(people=5), fixed.group)
            fixed = fixed.update(estep(fixed.prior))
        reached = estep(fixed.prior)
        np.testing.assert_allclose(fixed.score(reached), 0, atol=1e-5)
        np.testing.assert_allclose(newton_step(fixed, reached), fixed.roots, atol=1e-4)


def test_effective_points_tell_of_few():
    x = np.linspace(-1, 1, 9)[None, :, None] * np.ones((2, 1, 1))
    log_weight = np.array([np.zeros(9), [0.0, *[-50.0] * 8]])
    estep = NodeEStep([Nodes(np.arange(2), x, log_weight)], Group())
    flat = populate(Group(), names="a", mean=np.zeros(1), sd=np.full(1, 1e3), covariates={}, n_subjects=2)
    np.testing.assert_allclose(estep.effective(flat.prior), [9, 1], rtol=1e-4)
