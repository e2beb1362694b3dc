"""Hierarchical EM against closed forms: a linear-Gaussian model has an exact answer to everything."""

import functools
import math

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multivariate_normal

import pyem
from pyem.infer import acceleration
from pyem.model.distribution import Normal
from pyem.population.group import FAMILIES

NOISE = 0.7
SUBJECTS, TRIALS = 60, 12


def _policy(p, state, trial):
    return Normal(jnp.dot(p.b, trial.predictors), NOISE)


@functools.lru_cache
def linear_model(size=2):
    return pyem.Model(
        "linear",
        (pyem.Parameter("b", pyem.Real(), size=size),),
        _policy,
        responses=("y",),
        inputs=("predictors",),
    )


def design(seed, orthogonal):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(TRIALS, 2))
    return np.linalg.qr(x)[0] * math.sqrt(TRIALS) if orthogonal else x


def linear_data(seed, *, orthogonal=False, cov=((0.8, 0.3), (0.3, 0.5)), covariates=None, shift=None):
    """Everybody sees the same predictors, so that the maximum-likelihood group has a closed form."""
    rng = np.random.default_rng(seed)
    x = design(seed, orthogonal)
    b = rng.multivariate_normal([0.5, -1.0], cov, SUBJECTS)
    if shift is not None:
        b = b + shift
    y = b @ x.T + NOISE * rng.normal(size=(SUBJECTS, TRIALS))
    data = pyem.Dataset.from_arrays(
        {"y": y[:, None], "predictors": np.broadcast_to(x, (SUBJECTS, 1, TRIALS, 2))}, covariates=covariates
    )
    return data, x, y


def exact_group(x, y, covariance, regressors=None):
    """Maximum-likelihood mean (regression) and covariance: least squares minus the sampling error of each subject."""
    b = np.linalg.lstsq(x, y.T, rcond=None)[0].T
    d = np.ones((len(b), 1)) if regressors is None else regressors
    coef = np.linalg.lstsq(d, b, rcond=None)[0]
    scatter = (b - d @ coef).T @ (b - d @ coef) / len(b)
    cov = scatter - NOISE**2 * np.linalg.inv(x.T @ x)
    return coef, cov if covariance == "full" else np.diag(np.diag(cov))


def exact_evidence(x, y, mean, cov):
    marginal = x @ cov @ x.T + NOISE**2 * np.eye(len(x))
    return np.array([multivariate_normal(x @ m, marginal).logpdf(row) for m, row in zip(mean, y, strict=True)])


@pytest.mark.parametrize("covariance", ["diagonal", "full"])
def test_group_and_evidence_have_their_closed_form(covariance):
    # Orthogonal predictors make the diagonal group's optimum separate; a full one needs no such help.
    data, x, y = linear_data(1, orthogonal=covariance == "diagonal")
    fit = pyem.fit_em(linear_model(), data, group=pyem.Group(covariance=covariance), tol=1e-11)
    coef, cov = exact_group(x, y, covariance)
    assert fit.converged
    np.testing.assert_allclose(fit.population.coef, coef, atol=1e-8)
    np.testing.assert_allclose(fit.population.cov, cov, atol=1e-8)
    evidence = exact_evidence(x, y, fit.population.mean, fit.population.cov)
    np.testing.assert_allclose(fit.log_evidence, evidence, atol=1e-8)


def test_posterior_of_each_subject_has_its_closed_form():
    data, x, y = linear_data(2)
    fit = pyem.fit_em(linear_model(), data, group=pyem.Group(covariance="full"), tol=1e-11)
    precision = x.T @ x / NOISE**2 + np.linalg.inv(fit.population.cov)
    right = y @ x / NOISE**2 + np.linalg.solve(fit.population.cov, fit.population.mean.T).T
    np.testing.assert_allclose(fit.x, np.linalg.solve(precision, right.T).T, atol=1e-8)
    np.testing.assert_allclose(fit.cov, np.broadcast_to(np.linalg.inv(precision), fit.cov.shape), atol=1e-8)


def test_standard_errors_have_their_closed_form():
    data, x, _ = linear_data(3, orthogonal=True)
    fit = pyem.fit_em(linear_model(), data, tol=1e-11)
    table = fit.group_table()
    sampling = np.diag(fit.population.cov) + NOISE**2 / np.diag(x.T @ x)
    np.testing.assert_allclose(table.loc["mean", "se"], np.sqrt(sampling / (SUBJECTS - 1)), rtol=1e-6)
    # The variance of a maximum-likelihood variance is 2 v^2 / n; the delta method takes it to the sd.
    sd = np.sqrt(np.diag(fit.population.cov))
    np.testing.assert_allclose(table.loc["sd", "se"], sampling * math.sqrt(2 / SUBJECTS) / (2 * sd), rtol=1e-5)


@pytest.mark.parametrize("covariance", ["diagonal", "full"])
def test_covariate_effects_have_their_closed_form(covariance):
    age = np.random.default_rng(4).normal(40, 10, SUBJECTS)
    shift = np.outer(age - age.mean(), [0.1, 0.0])
    data, x, y = linear_data(4, orthogonal=True, covariates={"age": age}, shift=shift)
    fit = pyem.fit_em(linear_model(), data, group=pyem.Group(covariance=covariance, covariates=["age"]), tol=1e-11)
    regressors = np.column_stack([np.ones(SUBJECTS), age - age.mean()])
    coef, cov = exact_group(x, y, covariance, regressors)
    np.testing.assert_allclose(fit.population.coef, coef, atol=1e-8)
    np.testing.assert_allclose(fit.population.cov, cov, atol=1e-8)
    effect = fit.group_table().loc["effect of age"]
    assert effect.loc["b0", "p"] < 1e-4
    assert effect.loc["b0", "low"] < 0.1 < effect.loc["b0", "high"]
    assert effect.loc["b1", "p"] > 0.01


def test_covariate_of_one_parameter_leaves_the_other_alone():
    age = np.random.default_rng(5).normal(40, 10, SUBJECTS)
    data, _, _ = linear_data(5, covariates={"age": age})
    group = pyem.Group(covariance="full", covariates={"age": ["b1"]})
    fit = pyem.fit_em(linear_model(), data, group=group)
    assert fit.population.coef[1, 0] == 0
    assert fit.population.coef[1, 1] != 0
    assert list(fit.group_table().loc["effect of age"].index) == ["b1"]


@pytest.mark.parametrize("covariance", ["diagonal", "full"])
def test_acceleration_reaches_the_plain_fixed_point_in_half_the_iterations(covariance):
    model = pyem.models.get("rw1a1b")
    data = pyem.simulate(model, subjects=100, blocks=4, trials=24, key=6)
    group = pyem.Group(covariance=covariance)
    run = functools.partial(pyem.fit_em, model, data, group=group, tol=1e-8, standard_errors=False)
    fast, plain = run(), run(accelerate=False)
    assert fast.converged
    assert plain.converged
    assert fast.population.distance(plain.population) < 1e-6
    assert int(fast.trace["evaluated"]) * 2 <= int(plain.trace["evaluated"])


def test_the_trace_ends_at_the_fixed_point_and_says_why():
    data, _, _ = linear_data(7)
    fit = pyem.fit_em(linear_model(), data)
    assert "group parameters" in fit.message
    assert fit.trace["change"][-1] < 1e-7 <= fit.trace["change"][-2]
    np.testing.assert_allclose(fit.trace["vector"][-1], fit.population.vector)


def test_too_few_iterations_are_no_convergence():
    data, _, _ = linear_data(8)
    with pytest.warns(pyem.FitWarning, match="not converged after 2 iterations; raise max_iter"):
        fit = pyem.fit_em(linear_model(), data, max_iter=2)
    assert not fit.converged
    assert "NOT CONVERGED" in fit.summary()


@pytest.mark.parametrize("family", FAMILIES)
def test_heavy_tails_resist_an_outlier(family):
    data, x, y = linear_data(9, orthogonal=True)
    y[0] += x @ [40.0, 0.0]
    arrays = {"y": y[:, None], "predictors": np.broadcast_to(x, (SUBJECTS, 1, TRIALS, 2))}
    shifted = pyem.fit_em(linear_model(), pyem.Dataset.from_arrays(arrays), group=pyem.Group(family))
    usual = pyem.fit_em(linear_model(), data, group=pyem.Group(family))
    moved = abs(shifted.population.coef[0, 0] - usual.population.coef[0, 0])
    assert shifted.converged
    # The mean of a Gaussian group follows the outlier by about 40 / 60; a heavy-tailed one hardly does.
    assert moved > 0.5 if family == "gaussian" else moved < 0.1


def test_student_t_with_many_degrees_of_freedom_is_gaussian():
    data, _, _ = linear_data(10)
    gaussian = pyem.fit_em(linear_model(), data)
    student = pyem.fit_em(linear_model(), data, group=pyem.Group("student_t", df=1e7))
    assert gaussian.population.distance(student.population) < 1e-5
    np.testing.assert_allclose(gaussian.log_evidence, student.log_evidence, atol=1e-4)


@pytest.mark.parametrize("family", ["student_t", "laplace", "cauchy"])
def test_m_step_of_a_family_is_its_maximum_likelihood_when_people_are_known_exactly(family):
    rng = np.random.default_rng(11)
    values = rng.standard_t(4, size=(3000, 1)) * 0.8 + 1.5
    group = pyem.Group(family, df=4)
    from pyem.population.population import populate
    from pyem.population.posterior import Laplace

    pop = populate(group, names=["b"], mean=np.zeros(1), sd=np.ones(1), covariates={}, n_subjects=len(values))
    n = len(values)
    known = Laplace(values, np.zeros((n, 1, 1)), np.zeros(n), np.zeros(n), np.zeros(n, int))
    for _ in range(3000):
        pop = pop.update(known)
    best = pop.log_prior(values).sum()
    for step in (1e-3, -1e-3):
        for k in range(2):
            moved = pop.with_vector(pop.vector + step * np.eye(2)[k])
            assert moved.log_prior(values).sum() < best


def test_order_of_subjects_and_blocks_changes_nothing():
    model = pyem.models.get("rw1a1b")
    data = pyem.simulate(model, subjects=30, blocks=3, trials=20, key=12)
    fields = {name: np.asarray(a).T.reshape(30, 3, 20) for name, a in data.fields.items()}
    order = np.random.default_rng(0).permutation(30)
    moved = {name: a[order][:, [2, 0, 1]] for name, a in fields.items()}
    one = pyem.fit_em(model, pyem.Dataset.from_arrays(fields), tol=1e-9)
    two = pyem.fit_em(model, pyem.Dataset.from_arrays(moved, subjects=order), tol=1e-9)
    np.testing.assert_allclose(two.population.vector, one.population.vector, atol=1e-10)
    np.testing.assert_allclose(two.x, one.x[order], atol=1e-9)
    np.testing.assert_allclose(two.log_evidence, one.log_evidence[order], atol=1e-9)


def test_map_under_the_fitted_group_is_the_em_estimate():
    model = pyem.models.get("rw1a1b")
    data = pyem.simulate(model, subjects=30, blocks=3, trials=20, key=13)
    em = pyem.fit_em(model, data)
    again = pyem.fit_map(model, data, mean=em.population.coef[0], sd=np.sqrt(np.diag(em.population.cov)))
    np.testing.assert_allclose(again.x, em.x, atol=1e-7)
    np.testing.assert_allclose(again.log_evidence, em.log_evidence, atol=1e-9)


def test_natural_prior_adds_the_jacobian():
    """A flat prior on the learning rate is a logistic one on its logit."""
    model = pyem.fix(pyem.models.get("rw1a1b"), beta=5.0)
    data = pyem.simulate(model, subjects=4, trials=40, key=14)
    natural = pyem.fit_map(model, data, log_prior=lambda p: jnp.zeros(()))
    grid = np.linspace(-8, 8, 4001)
    from pyem.engine.evaluate import log_lik

    joint = np.array([log_lik(model, data, np.full((4, 1), z)) for z in grid[::20]])
    joint += -np.logaddexp(0, grid[::20, None]) - np.logaddexp(0, -grid[::20, None])
    best = grid[::20][joint.argmax(0)]
    assert np.abs(natural.x[:, 0] - best).max() <= 0.08
    np.testing.assert_allclose(natural.log_prior, np.log(natural.params * (1 - natural.params))[:, 0], atol=1e-9)


@pytest.mark.slow
def test_recovery_is_as_good_as_the_exact_posterior_allows():
    model = pyem.models.get("rw1a1b")
    data = pyem.simulate(model, subjects=100, blocks=4, trials=24, key=15)
    fit = pyem.fit_em(model, data, standard_errors=False)
    exact = pyem.fit_grid(model, data, group=None, mean=model.typical[0], sd=model.typical[1]).x
    for k in range(2):
        best = np.corrcoef(data.truth[:, k], exact[:, k])[0, 1]
        ours = np.corrcoef(data.truth[:, k], fit.x[:, k])[0, 1]
        assert ours > best - 0.02
        assert ours > 0.5


def same_weight(family, seed):
    """People who differ in their first weight, and not in their second."""
    rng = np.random.default_rng(seed)
    x = np.array([0.4, 0.3]) + np.array([0.9, 0.0]) * rng.normal(size=(30, 2))
    predictors = rng.normal(size=(30, 1, 80, 2))
    eta = np.einsum("sbtk,sk->sbt", predictors, x)
    if family == "logit":
        model, y = pyem.models.get("logit", predictors=2), (rng.random(eta.shape) < 1 / (1 + np.exp(-eta))).astype(int)
    else:
        model, y = pyem.models.get("glm", predictors=2), eta + rng.normal(size=eta.shape)
    return model, pyem.Dataset.from_arrays({model.responses[0]: y, "predictors": predictors})


@pytest.mark.filterwarnings("ignore::pyem.FitWarning")
@pytest.mark.parametrize("covariance", ["diagonal", "full"])
@pytest.mark.parametrize("family", ["glm", "logit"])
def test_a_group_sd_of_0_does_not_take_the_errors_of_the_others(family, covariance):
    none, some = 0, 0
    for seed in range(3):
        model, data = same_weight(family, seed)
        fit = pyem.fit_em(model, data, group=pyem.Group(covariance=covariance))
        table = fit.group_table()
        at_floor = table.loc["sd", "estimate"].to_numpy() < 1.5 * fit.population.smallest
        errors = table.loc["sd", "se"].to_numpy()
        none, some = none + at_floor.sum(), some + (~at_floor).sum()
        assert np.isnan(errors[at_floor]).all()
        if covariance == "diagonal":
            assert np.isfinite(errors[~at_floor]).all()
            # An sd of 30 people is known to a part of 1 / sqrt(60), or somewhat less.
            assert 0.1 < errors[0] / table.loc["sd", "estimate"].iloc[0] < 0.2
        assert np.isfinite(table.loc["mean", "se"]).all()
    assert covariance == "full" or (none > 0 and some > 0)


def _degenerate():
    """Few people with few trials, whose correlation is -1."""
    model = pyem.models.get("rw1a1b")
    return model, pyem.simulate(model, subjects=13, blocks=1, trials=15, key=36)


@pytest.mark.filterwarnings("ignore::pyem.FitWarning")
def test_where_a_correlation_is_1_the_others_are_at_their_fixed_point():
    """The group's information about what hardly varies does not hide what the data say about the rest."""
    model, data = _degenerate()
    group = pyem.Group(covariance="full")
    fit = pyem.fit_em(model, data, group=group)
    further = pyem.fit_em(model, data, group=group, start=fit, tol=1e-10, max_iter=2000)
    assert fit.converged
    assert fit.log_evidence.sum() == pytest.approx(further.log_evidence.sum(), abs=1e-4)
    one, other = fit.group_table(), further.group_table()
    assert one.loc["correlation", "estimate"].iloc[0] < -0.9999
    assert (np.abs(one.estimate - other.estimate) / other.se).max() < 1e-3


@pytest.mark.filterwarnings("ignore::pyem.FitWarning")
def test_units_of_steps_are_those_of_people_who_are_known_exactly():
    model, data = _degenerate()
    population = pyem.fit_em(model, data, group=pyem.Group(covariance="full")).population
    n, chol = data.n_subjects, population.chol
    entries = []
    for row, column in zip(*population.lower, strict=True):
        entry = np.zeros_like(chol)
        entry[row, column] = 1.0
        entries.append(np.linalg.solve(chol, entry))
    information = np.zeros((5, 5))
    information[:2, :2] = n * population.precision
    information[2:, 2:] = [[n * np.sum(one * other + one * other.T) for other in entries] for one in entries]
    units = acceleration._units(population, n)
    np.testing.assert_allclose(units.T @ information @ units, np.eye(5), atol=1e-6)
