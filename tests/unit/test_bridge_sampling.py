"""Evidence by bridge sampling and annealing against closed forms and exact integrals; bridges of known densities."""

import numpy as np
import numpyro.distributions as dist
import pytest
from scipy import stats

import pyem
from pyem.selection.bridge_sampling import bridged

NOISE = 1.0
LEVEL = pyem.fix(pyem.models.get("glm", predictors=1), sigma=NOISE)
PRIORS = {"mean": dist.Normal(0.5, 2.0), "sd": dist.HalfNormal(1.5)}


@pytest.fixture(scope="module")
def data():
    return pyem.simulate(LEVEL, subjects=5, blocks=2, trials=10, key=1)


@pytest.fixture(scope="module")
def group(data):
    return pyem.fit_bayes(LEVEL, data, draws=3000, priors=PRIORS)


@pytest.fixture(scope="module")
def alone(data):
    return pyem.fit_bayes(LEVEL, data, group=None, draws=3000, mean=0.3, sd=1.5)


def numbers(data):
    y = data.fields[LEVEL.responses[0]]
    return np.stack([y[:, data.lane_subject == s].ravel() for s in range(data.n_subjects)])


def exact_alone(data):
    """Responses are Gaussian with a common part."""
    y = numbers(data)
    cov = NOISE**2 * np.eye(y.shape[1]) + 1.5**2
    return stats.multivariate_normal(np.full(y.shape[1], 0.3), cov).logpdf(y)


def exact_group(data):
    """The group's mean and sd by summation over a fine grid, people in closed form."""
    y = numbers(data)
    n, mean = y.shape[1], y.mean(1)
    m = 0.5 + 2 * np.linspace(-5, 5, 901)[:, None, None]
    s = 1.5 * np.linspace(1e-3, 6, 900)[None, :, None]
    people = stats.norm.logpdf(mean, m, np.sqrt(s**2 + NOISE**2 / n)).sum(-1)
    rest = stats.norm.logpdf(y, mean[:, None], NOISE).sum() - stats.norm.logpdf(0, 0, NOISE / np.sqrt(n)) * len(y)
    joint = people + stats.norm.logpdf(m[..., 0], 0.5, 2.0) + stats.halfnorm.logpdf(s[..., 0], scale=1.5)
    cell = (m[1, 0, 0] - m[0, 0, 0]) * (s[0, 1, 0] - s[0, 0, 0])
    return np.logaddexp.reduce(joint, axis=None) + np.log(cell) + rest


def test_a_bridge_between_known_densities_finds_the_constant_and_its_error():
    rng, off = np.random.default_rng(1), []
    for _ in range(200):
        x, y = rng.normal(size=(2, 300)), rng.normal(0.3, 1.3, 600)
        ratio = lambda z: 5.0 + stats.norm.logpdf(z) - stats.norm.logpdf(z, 0.3, 1.3)  # noqa: E731
        value, se = bridged(ratio(x), ratio(y))
        off.append((value - 5.0) / se)
    assert abs(np.mean(off)) < 0.25
    # Its own spread is told to a tenth, as far as 200 runs say.
    assert 0.8 < np.std(off) < 1.25


def test_people_on_their_own_have_the_evidence_of_the_closed_form(data, alone):
    found, exact = pyem.bridge_evidence(alone), exact_alone(data)
    np.testing.assert_array_less(np.abs(found.subject - exact), 4.5 * found.subject_se + 1e-3)
    assert found.total == pytest.approx(exact.sum(), abs=4 * found.se + 1e-3)
    assert found.se < 0.1
    annealed = pyem.annealed_evidence(alone, particles=200, temperatures=30)
    assert abs(annealed.total - exact.sum()) < 5 * annealed.se
    assert annealed.se < 0.5


@pytest.mark.slow
def test_a_group_has_the_evidence_of_a_sum_over_a_grid(data, group):
    found, exact = pyem.bridge_evidence(group), exact_group(data)
    assert abs(found.total - exact) < 4 * found.se + 1e-3
    assert found.se < 0.15
    annealed = pyem.annealed_evidence(group, particles=200, temperatures=30)
    assert abs(annealed.total - exact) < 5 * annealed.se
    assert annealed.se < 0.3


def test_it_is_a_criterion_of_draws(data, group):
    table = pyem.compare_fits({"group": group, "same": group}, by="bridge")
    np.testing.assert_allclose(table["bridge"], pyem.bridge_evidence(group).total)
    assert (table["bridge_se"] > 0).all()
    with pytest.raises(pyem.selection.UndefinedCriterion, match="has no draws from the posterior; use fit_nuts"):
        pyem.bridge_evidence(pyem.fit_map(LEVEL, data))


def test_the_density_of_a_group_mean_at_a_point_against_its_prior(group):
    draws = group.flat["coef"][:, 0, 0]
    at = float(np.quantile(draws, 0.3))
    found = pyem.savage_dickey(group, "mean", "b0", at)
    assert found.prior == pytest.approx(stats.norm.pdf(at, 0.5, 2.0))
    near = np.mean(np.abs(draws - at) < 0.1) / 0.2
    assert found.posterior == pytest.approx(near, rel=0.15)
    assert found.log_bayes_factor == pytest.approx(np.log(found.posterior / found.prior))
    assert found.se < 0.3
    far = pyem.savage_dickey(group, "mean", "b0", 50.0)
    assert far.log_bayes_factor < -5
    assert far.se == np.inf


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("effect of age", "b0"),
            "there is no 'effect of age' of 'b0' with a prior of its own; the group has 'mean of b0'",
        ),
        (("sd", "b0", -1.0), "no density at -1"),
    ],
)
def test_points_that_cannot_be(group, words, message):
    with pytest.raises(ValueError, match=message):
        pyem.savage_dickey(group, *words)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rw1a1b", "rw2a1b", "wsls", "bias", "rw1a1b with a lapse"])
def test_three_evidences_agree_on_models_of_choices(name):
    base, _, lapse = name.partition(" with ")
    model = pyem.with_lapse(pyem.models.get(base)) if lapse else pyem.models.get(base)
    data = pyem.simulate(model, subjects=12, blocks=2, trials=30, key=3)
    bayes = pyem.log_marginal_likelihood(pyem.fit_bayes(model, data))
    nuts = pyem.fit_nuts(model, data, draws=1000, warmup=500)
    bridge, annealed = pyem.bridge_evidence(nuts), pyem.annealed_evidence(nuts)
    assert abs(bridge.total - bayes.total) < 4 * np.hypot(bridge.se, bayes.error)
    assert abs(annealed.total - bayes.total) < 5 * np.hypot(annealed.se, bayes.error)
    assert bridge.se < 0.2
    assert annealed.se < 0.4
