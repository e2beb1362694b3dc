"""Groups whose standard deviations may be 0: draws near 0 have their share."""

import numpy as np
import pytest
from scipy import stats

import pyem
from pyem import Dataset
from pyem.engine.scale import ready_to_fit
from pyem.infer.adaptive import adaptive_importance
from pyem.infer.correction import _group_draws
from pyem.infer.group_posterior import group_posterior
from pyem.infer.proposal_coordinates import ProposalCoordinates
from pyem.numerics.pareto import pareto_smoothed
from pyem.population.posterior import Moments
from tests.unit.lines import LINE, NOISE

SMALL = np.array([0.03, 0.06, 0.12])
"""Standard deviations, below which the shares of draws are looked at."""


@pytest.fixture(scope="module")
def lines():
    """People who hardly differ in the slope, and somewhat in the level."""
    rng = np.random.default_rng(8)
    u = rng.normal(size=(10, 1, 20))
    a, b = rng.normal(0.3, 0.3, (10, 1, 1)), rng.normal(-0.5, 0.05, (10, 1, 1))
    return Dataset.from_arrays({"y": a + b * u + NOISE * rng.normal(size=u.shape), "u": u})


def sds_posterior(data):
    """Standard deviations (n,) of each parameter on a grid, and their joint posterior (n, n); the mean in closed form."""
    y, u = (np.moveaxis(data.fields[name], -1, 0) for name in ("y", "u"))
    x = np.stack([np.ones_like(u), u], -1)
    known = np.swapaxes(x, 1, 2) @ x / NOISE**2
    own = np.linalg.solve(known, np.einsum("stp,st->sp", x, y)[..., None] / NOISE**2)[..., 0]
    centre, unit = LINE.typical
    sd = (np.arange(400) + 0.5) * 0.004
    s = np.stack(np.meshgrid(sd, sd, indexing="ij"), -1)
    cov = s[..., None, :, None] * np.eye(2) * s[..., None, None, :] + np.linalg.inv(known)
    precision = np.linalg.inv(cov)
    prior = np.diag(1 / (2 * unit) ** 2)
    total = precision.sum(2) + prior
    pull = np.einsum("ijspq,sq->ijp", precision, own) + prior @ centre
    squares = np.einsum("sp,ijspq,sq->ij", own, precision, own)
    fit = np.einsum("ijp,ijp->ij", pull, np.linalg.solve(total, pull[..., None])[..., 0])
    log_det = np.linalg.slogdet(precision)[1].sum(2) - np.linalg.slogdet(total)[1]
    log_post = 0.5 * (log_det - squares + fit) + stats.halfnorm.logpdf(s, scale=unit).sum(-1)
    weight = np.exp(log_post - log_post.max())
    return sd, weight / weight.sum()


def off(fit, data, worth):
    """How many standard errors of `worth` draws the shares of slopes' sds below those of `SMALL` are off, (3,)."""
    sd, weight = sds_posterior(data)
    known = np.array([weight.sum(0)[sd < at].sum() for at in SMALL])
    assert (known > [0.1, 0.25, 0.6]).all()
    found = (fit.flat["sd"][:, 1, None] < SMALL).mean(0)
    return (found - known) / np.sqrt(known * (1 - known) / worth)


def test_draws_by_importance_have_their_share_near_zero(lines):
    fit = pyem.fit_bayes(LINE, lines, draws=4000, key=1)
    # With the logarithm of standard deviations k is 0.3 to 0.5.
    assert fit.trace["pareto_k"] < 0.25
    assert np.abs(off(fit, lines, fit.trace["effective_draws"])).max() < 4.5


@pytest.mark.slow
@pytest.mark.parametrize("key", [1, 2])
def test_corrected_variational_draws_have_their_share_near_zero(lines, key):
    fit = pyem.fit_svi(LINE, lines, draws=4000, key=key)
    assert "corrected by importance weights" in fit.message
    assert fit.trace["pareto_k"] < 0.5
    assert np.abs(off(fit, lines, 1000)).max() < 4.5


def proposals_of(data):
    model = ready_to_fit(LINE, data)
    population = pyem.fit_em(model, data, standard_errors=False).population
    n, p = population.mean.shape
    moments = Moments(population.mean, np.tile(0.1 * np.eye(p), (n, 1, 1)), *np.zeros((2, n)), np.zeros(n, int))
    posterior = group_posterior(model, population, moments, None)
    v = posterior.vector(population)
    return posterior, ProposalCoordinates.around(posterior.spec, np.asarray(posterior.at.scale), v), v


def test_coordinates_of_proposals_and_back(lines):
    posterior, proposals, v = proposals_of(lines)
    v = v + np.random.default_rng(1).normal(size=(50, len(v))) * 3
    u = proposals.of(v)
    back, log_jacobian = proposals.back(u)
    np.testing.assert_allclose(back, v, atol=1e-9)
    sds = posterior.unpack(v)[0].sd
    np.testing.assert_allclose(np.sinh(u[:, 2:]) / np.sinh(u[:1, 2:]), sds / sds[:1], rtol=1e-9)
    step = 1e-5 * u[:, 2:, None] * np.pad(np.eye(2), ((0, 0), (2, 0)))
    slope = [
        (proposals.back(u + d)[0] - proposals.back(u - d)[0])[:, 2 + k] for k, d in enumerate(np.swapaxes(step, 0, 1))
    ]
    slopes = np.stack(slope, -1) / (2e-5 * u[:, 2:])
    np.testing.assert_allclose(np.log(slopes).sum(1), log_jacobian, atol=1e-6)
    assert (proposals.back(u * [1, 1, -1, 1])[1] == -np.inf).all()


def log_density(v):
    """Of two standard deviations that are half normal and normal but positive, and of means that depend on them."""
    log_sd = v[:, 2:]
    sd = np.exp(log_sd)
    of_sds = stats.halfnorm.logpdf(sd[:, 0], scale=1.5) + stats.truncnorm.logpdf(sd[:, 1], -1, np.inf, 0.5, 0.5)
    return of_sds + log_sd.sum(1) + stats.norm.logpdf(v[:, :2], 0, 1 + sd).sum(1)


def shares_are_right(v, weight, effective):
    for at in (0.05, 0.2, 1.0):
        known = [stats.halfnorm.cdf(at, scale=1.5), stats.truncnorm.cdf(at, -1, np.inf, 0.5, 0.5)]
        error = np.sqrt(np.multiply(known, np.subtract(1, known)) / effective)
        assert (np.abs(weight @ (np.exp(v[:, 2:]) < at) - known) < 4.5 * error).all()


def test_importance_sampling_near_zero(lines):
    _, proposals, _ = proposals_of(lines)
    proposals = proposals._replace(center=np.zeros(2), scale=np.ones(2))
    first = proposals.moments(np.zeros(4), np.diag([2.0, 2.0, 0.5, 0.3]))
    found = adaptive_importance(proposals.density(log_density), *first, seed=3)
    assert found.pareto_k < 0.3
    assert abs(found.log_total) < 4.5 * found.error
    shares_are_right(proposals.back(found.v)[0], found.weight, found.effective)


def test_draws_around_those_of_an_approximation_reach_zero(lines):
    """Draws as a Gaussian approximation gives them, too narrow in the logarithm of standard deviations."""
    spec, rng = proposals_of(lines)[0].spec, np.random.default_rng(2)
    approximate = rng.normal([0, 0, 0.1, -0.4], [1.8, 1.6, 0.7, 0.5], (4000, 4))
    v, log_q = _group_draws(spec, np.ones(4), approximate, 4000, rng)
    log_weight, k = pareto_smoothed((log_density(v) - log_q)[:, None])
    weight = np.exp(log_weight[:, 0])
    assert k[0] < 0.5
    shares_are_right(v, weight, 1 / (weight**2).sum())
