"""Variational inference against closed forms, a fine grid and NUTS."""

import warnings

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from scipy import stats

import pyem
from pyem.engine.integrals import integrals
from pyem.engine.mixtures import Gaussians, GroupDraws
from pyem.infer import hierarchy
from pyem.infer.correction import Corrected, around_modes
from pyem.model.distribution import Normal
from tests.oracle.notebook import notebook_data, notebook_grid, notebook_model

NOISE = 0.5


@pytest.fixture(scope="module")
def model():
    return pyem.models.get("rw1a1b")


@pytest.fixture(scope="module")
def data(model):
    return pyem.simulate(model, subjects=20, blocks=2, trials=20, key=5, missed=0.05)


@pytest.fixture(scope="module")
def fit(model, data):
    return pyem.fit_svi(model, data, key=1)


@pytest.fixture(scope="module")
def few(model):
    return pyem.simulate(model, subjects=8, trials=30, key=5, missed=0.05)


@pytest.fixture(scope="module")
def fit_of_few(model, few):
    return pyem.fit_svi(model, few, key=1)


def test_linear_gaussian_people_have_their_closed_form():
    policy = lambda p, state, trial: Normal(p.level, NOISE)  # noqa: E731
    model = pyem.Model("level", (pyem.Parameter("level", mean=1.0, sd=2.0),), policy, responses=("y",))
    y = np.random.default_rng(0).normal(size=(6, 1, 10)) + np.arange(6)[:, None, None]
    fit = pyem.fit_svi(model, pyem.Dataset.from_arrays({"y": y}), group=None, key=0, correct=False, draws=4000)
    precision = 10 / NOISE**2 + 1 / 4
    exact = (y.sum((1, 2)) / NOISE**2 + 1 / 4) / precision
    # The posterior is Gaussian, so the guide can have it; the optimiser's noise is left.
    np.testing.assert_allclose(fit.x[:, 0], exact, atol=0.15 * precision**-0.5)
    np.testing.assert_allclose(fit.posterior["x"].std((0, 1))[:, 0], precision**-0.5, rtol=0.1)


def test_the_bound_is_one_of_the_log_evidence():
    """Of people on their own, whose posterior is Gaussian, it is the evidence itself once the optimiser is there."""
    policy = lambda p, state, trial: Normal(p.level, NOISE)  # noqa: E731
    model = pyem.Model("level", (pyem.Parameter("level", mean=1.0, sd=2.0),), policy, responses=("y",))
    y = np.random.default_rng(0).normal(size=(6, 1, 10)) + np.arange(6)[:, None, None]
    data = pyem.Dataset.from_arrays({"y": y})
    fit = pyem.fit_svi(model, data, group=None, correct=False)
    exact = pyem.fit_map(model, data).log_evidence.sum()
    assert fit.trace["elbo"][-4:].mean() == pytest.approx(exact, abs=0.1)


def test_the_bound_of_a_group_is_one_too():
    """A Gaussian with a Gaussian group: the evidence is an integral over the group's mean and sd."""
    policy = lambda p, state, trial: Normal(p.level, NOISE)  # noqa: E731
    model = pyem.Model("level", (pyem.Parameter("level", mean=1.0, sd=2.0),), policy, responses=("y",))
    y = np.random.default_rng(0).normal(size=(6, 1, 10)) + np.arange(6)[:, None, None]
    data = pyem.Dataset.from_arrays({"y": y})
    fit = pyem.fit_svi(model, data, correct=False)
    mean, sd = np.meshgrid(np.linspace(-9, 14, 801), np.linspace(0.01, 12, 800), indexing="ij")
    prior = stats.norm(1.0, 4.0).logpdf(mean) + stats.halfnorm(0, 2.0).logpdf(sd)
    within = sum(stats.norm(row.mean(), NOISE).logpdf(row).sum() for row in y[:, 0])
    within += 6 * 0.5 * np.log(2 * np.pi * NOISE**2 / 10)
    joint = prior + sum(stats.norm(mean, np.sqrt(sd**2 + NOISE**2 / 10)).logpdf(row.mean()) for row in y[:, 0])
    exact = within + np.logaddexp.reduce(joint.ravel()) + np.log(mean[1, 0] - mean[0, 0]) + np.log(sd[0, 1] - sd[0, 0])
    assert exact - 0.4 < fit.trace["elbo"][-4:].mean() < exact + 0.1


# -- people with several modes --------------------------------------------------------------------------------------------


def _mirrored(p, state, trial):
    return {"y": Normal(p.a**2, 0.05), "z": Normal(p.a * p.b, 0.05)}


MIRROR = pyem.Model(
    "mirror", (pyem.Parameter("a", mean=0.5), pyem.Parameter("b", mean=0.5)), _mirrored, responses=("y", "z")
)


@pytest.fixture(scope="module")
def mirrored():
    """People whose likelihood is the same at (a, b) and (-a, -b), and very narrow."""
    rng = np.random.default_rng(0)
    truth = np.array([[1.2, 0.8], [1.0, -0.6], [0.9, 0.7], [1.4, 0.3], [-1.2, 0.9], [-0.9, -1.0]])
    y = truth[:, 0, None, None] ** 2 + 0.05 * rng.normal(size=(6, 1, 12))
    z = truth.prod(1)[:, None, None] + 0.05 * rng.normal(size=(6, 1, 12))
    return pyem.Dataset.from_arrays({"y": y, "z": z})


def exact_evidence(data, mean, sd):
    """Log marginal likelihood (S,) of the mirrored people under a group, on fine grids around both modes."""
    out = []
    for y, z in zip(data.fields["y"].T, data.fields["z"].T, strict=True):
        top = np.sqrt(y.mean())
        total = []
        for sign in (1, -1):
            axis = np.linspace(-0.12, 0.12, 401)
            a = sign * top + axis[:, None]
            b = z.mean() / (sign * top) + axis[None]
            gap = ((y - a[..., None] ** 2) ** 2 + (z - (a * b)[..., None]) ** 2).sum(-1)
            value = -0.5 * gap / 0.05**2 - len(y) * np.log(2 * np.pi * 0.05**2)
            value += (
                -0.5 * ((a - mean[0]) / sd[0]) ** 2 - 0.5 * ((b - mean[1]) / sd[1]) ** 2 - np.log(2 * np.pi * sd.prod())
            )
            total.append(np.logaddexp.reduce(value.ravel()) + 2 * np.log(axis[1] - axis[0]))
        out.append(np.logaddexp(*total))
    return np.array(out)


def integrals_of(data, several):
    """Log marginal likelihoods (S,) by importance, less the exact ones, with one or several modes known; and Pareto k."""
    fit = pyem.fit_em(MIRROR, data)
    spec, args = hierarchy.group_args(MIRROR, data, pyem.Group(), None, fit, "standardized")
    mean, sd = np.array([0.1, 0.2]), np.array([1.2, 1.0])
    coef = mean + 0.05 * np.random.default_rng(1).normal(size=(40, 1, 2))
    coef[0] = mean
    draws = GroupDraws(coef, np.tile(sd, (40, 1)), np.tile(np.eye(2), (40, 1, 1)))
    people = around_modes(spec, args, data, draws, (fit.x, fit.cov))
    people = people if several else Gaussians(*(part[:1] for part in people))
    rng, ones = np.random.default_rng(1), np.ones((6, 1))
    found = integrals(MIRROR, data, pyem.Group(), ones, draws, people, (fit.x, fit.cov), n=512, rng=rng)
    return found.value[0] - exact_evidence(data, mean, sd), found.pareto_k


def test_people_with_several_modes_are_integrated_over_all_of_them(mirrored):
    error, k = integrals_of(mirrored, several=True)
    np.testing.assert_allclose(error, 0.0, atol=0.15)
    assert (k < 0.7).all()


def test_one_mode_would_not_do(mirrored):
    """What the test above is for: around the mode that was found first, half of the posterior is missed."""
    error, _ = integrals_of(mirrored, several=False)
    assert error.min() < -0.4


def skewed(p, state, trial):
    return {"y": Normal(jnp.exp(2.5 * p.a), 0.2), "z": Normal(p.a + p.b, 3.0)}


def test_integrals_that_points_do_not_cover_are_told_of(mirrored):
    bad = Corrected({}, 0.2, np.array([0.1, 0.9, 0.3, 1.4, 0.0, np.nan]))
    assert not bad.done
    (problem,) = bad.problems(mirrored)
    assert "3 of 6 subjects (1, 3, 5)" in problem
    assert "raise integration_draws, or use fit_nuts" in problem
    assert Corrected({}, 0.2, np.full(6, 0.5)).problems(mirrored) == []


def test_points_are_added_until_the_integral_is_covered():
    """A first approximation that is far too narrow and in the wrong place."""
    model = pyem.Model("bent", (pyem.Parameter("a"), pyem.Parameter("b")), skewed, responses=("y", "z"))
    rng = np.random.default_rng(2)
    a = np.array([-1.5, -0.2, 0.4])
    y = np.exp(2.5 * a)[:, None, None] + 0.2 * rng.normal(size=(3, 1, 4))
    data = pyem.Dataset.from_arrays({"y": y, "z": a[:, None, None] + 3.0 * rng.normal(size=(3, 1, 4))})
    draws = GroupDraws(np.zeros((30, 1, 2)), np.ones((30, 2)), np.tile(np.eye(2), (30, 1, 1)))
    wrong = Gaussians(np.tile(400.0 * np.eye(2), (1, 3, 1, 1)), np.full((1, 3, 2), 400.0))
    around = np.full((3, 2), 1.0), np.tile(0.0025 * np.eye(2), (3, 1, 1))
    rng = np.random.default_rng(3)
    found = integrals(model, data, pyem.Group(), np.ones((3, 1)), draws, wrong, around, n=512, rng=rng)
    axis = np.linspace(-6, 6, 1201)
    x = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)
    for s in range(3):
        value = -0.5 * (x**2).sum(1) - np.log(2 * np.pi)
        value += -0.5 * ((data.fields["y"][:, s] - np.exp(2.5 * x[:, :1])) ** 2).sum(1) / 0.04 - 4 * np.log(0.2)
        value += -0.5 * ((data.fields["z"][:, s] - x.sum(1, keepdims=True)) ** 2).sum(1) / 9 - 4 * np.log(3 * 2 * np.pi)
        exact = np.logaddexp.reduce(value) + 2 * np.log(axis[1] - axis[0])
        assert found.value[0, s] == pytest.approx(exact, abs=0.25)
    assert (found.pareto_k < 0.7).all()


@pytest.mark.slow
def test_correction_has_the_notebooks_posterior():
    priors = {"alpha": dist.Beta(1, 1), "beta": dist.HalfNormal(10)}
    fit = pyem.fit_svi(notebook_model(), notebook_data(), group=None, priors=priors, key=0, integration_draws=4000)
    for k, name in enumerate(fit.model.names):
        exact = notebook_grid()[name]
        # 2000 draws among 4000 weighted points: the mean is known to about 0.03 sd.
        assert abs(fit.params[0, k] - exact["mean"]) < 0.12 * exact["sd"]
        assert fit.sd[0, k] == pytest.approx(exact["sd"], rel=0.1)


def test_the_bound_rises_and_the_rule_stops(fit_of_few):
    fit = fit_of_few
    elbo = fit.trace["elbo"]
    assert elbo[-4:].mean() > elbo[0]
    assert fit.trace["step"][0] == 0
    assert fit.trace["step"][-1] < 10_000
    assert (fit.trace["people_k"] < 0.7).all()
    assert fit.converged
    assert float(fit.trace["pareto_k"]) < 0.7
    assert "corrected by importance weights" in fit.message


def test_result_is_that_of_any_fit(fit_of_few, few, tmp_path):
    fit = fit_of_few
    assert list(fit.group_table().index) == [("mean", "beta"), ("mean", "alpha"), ("sd", "beta"), ("sd", "alpha")]
    assert len(fit.table()) == few.n_subjects
    again = pyem.load(fit.save(tmp_path / "fit.nc"))
    np.testing.assert_array_equal(again.posterior["x"], fit.posterior["x"])
    np.testing.assert_array_equal(again.trace["elbo"], fit.trace["elbo"])
    assert pyem.waic(fit).unit == "trial"


def test_steps_that_do_not_suffice_are_told_of(model, few):
    with pytest.warns(pyem.FitWarning, match="raise max_iter"):
        fit = pyem.fit_svi(model, few, key=1, max_iter=100, correct=False)
    assert not fit.converged
    assert "not corrected" in fit.message


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"guide": "normal"}, "guide='normal'; choose one of subject"),
        ({"draws": 0}, "draws=0"),
        ({"particles": 0}, "particles=0"),
        ({"priors": {"alpha": dist.Beta(1, 1)}}, "group=None"),
    ],
)
def test_options_that_cannot_be(model, data, options, message):
    with pytest.raises(ValueError, match=message):
        pyem.fit_svi(model, data, key=0, **options)


@pytest.mark.slow
@pytest.mark.parametrize("guide", ["low_rank", "full"])
def test_other_guides_come_near(model, data, guide):
    """Not nearer: without a correction they are too narrow, and stay off where the posterior is skewed."""
    exact = pyem.fit_bayes(model, data, key=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pyem.FitWarning)
        other = pyem.fit_svi(model, data, key=1, guide=guide, correct=False)
    gap = other.posterior["coef"].mean((0, 1))[0] - exact.posterior["coef"].mean((0, 1))[0]
    assert (np.abs(gap) < 0.5 * exact.posterior["coef"].std((0, 1))[0]).all()


@pytest.mark.slow
def test_mean_field_is_a_worse_approximation(model, data, fit):
    """It leaves out what goes together, so its bound is lower; its means can be off by more than half an sd."""
    other = pyem.fit_svi(model, data, key=1, guide="diagonal", correct=False)
    assert other.trace["elbo"][-4:].mean() < fit.trace["elbo"][-4:].mean()


@pytest.mark.slow
def test_group_sds_are_those_of_nuts():
    model = pyem.models.get("rw_forget")
    data = pyem.simulate(model, subjects=97, blocks=4, trials=25, key=1, missed=0.05)
    nuts, svi = pyem.fit_nuts(model, data, key=0), pyem.fit_svi(model, data, key=0)
    np.testing.assert_allclose(svi.posterior["sd"].mean((0, 1)), nuts.posterior["sd"].mean((0, 1)), rtol=0.1)
    np.testing.assert_allclose(svi.posterior["coef"].std((0, 1)), nuts.posterior["coef"].std((0, 1)), rtol=0.2)
