"""Exact EM and `fit_bayes` against closed forms and quadrature."""

import jax
import numpy as np
import pytest
from scipy import stats

import pyem
from benchmarks.prior_calibration import study, summary
from pyem import Dataset, Group
from pyem.engine.nodes import log_lik_at, log_sum
from pyem.engine.scale import ready_to_fit
from pyem.infer import bayes
from pyem.infer.group_nuts import OnPoints, PointArgs
from pyem.infer.group_posterior import group_posterior
from pyem.infer.group_start import located
from pyem.infer.node_sets import NodeSets
from pyem.infer.placing import places
from pyem.numerics.student_t import log_t
from pyem.results.group_rows import scatter_factor
from tests.unit.lines import LEVEL, LINE, NOISE

RW = pyem.models.get("rw1a1b")


@pytest.fixture(scope="module")
def lines():
    rng = np.random.default_rng(3)
    u = rng.normal(size=(12, 1, 20))
    a, b = rng.normal(0.3, 0.7, (12, 1, 1)), rng.normal(-0.5, 1.1, (12, 1, 1))
    age = {"age": np.linspace(20, 60, 12)}
    return Dataset.from_arrays({"y": a + b * u + NOISE * rng.normal(size=u.shape), "u": u}, covariates=age)


@pytest.fixture(scope="module")
def learners():
    truth = np.random.default_rng(1).normal([-1.2, -0.4], [0.8, 0.9], (12, 2))
    return pyem.simulate(RW, RW.natural(truth), trials=40, blocks=2, key=5)


# -- EM -------------------------------------------------------------------------------------------------------------------


def test_exact_em_is_laplace_em_where_that_is_exact(lines):
    group = Group(covariance="full", covariates={"age": ["b"]})
    laplace = pyem.fit_em(LINE, lines, group=group)
    exact = pyem.fit_em(LINE, lines, group=group, integrate="exact", nodes=384)
    assert exact.converged
    np.testing.assert_allclose(exact.population.coef, laplace.population.coef, atol=1e-6)
    np.testing.assert_allclose(exact.population.cov, laplace.population.cov, atol=1e-6)
    np.testing.assert_allclose(exact.log_evidence, laplace.log_evidence, atol=1e-6)
    np.testing.assert_allclose(exact.x, laplace.x, atol=1e-6)
    np.testing.assert_allclose(exact.log_lik, laplace.log_lik, atol=1e-5)
    np.testing.assert_allclose(exact.group_table()["se"], laplace.group_table()["se"], rtol=1e-4)
    # What is not known of the group is part of what is not known of a person.
    wider = np.diagonal(exact.cov - laplace.cov, axis1=1, axis2=2)
    assert (wider > 0).all()
    given = pyem.fit_em(LINE, lines, group=group, integrate="exact", nodes=384, standard_errors=False)
    np.testing.assert_allclose(given.cov, laplace.cov, atol=1e-6)


def test_a_narrow_group_with_correlations_keeps_its_sds():
    """Points hold what is left of an sd above a twentieth of a typical one: that is no reason to call a third of one 0."""
    truth = np.random.default_rng(1).normal([-1.2, -0.4], [0.35, 0.6], (12, 2))
    narrow = pyem.simulate(RW, RW.natural(truth), trials=40, blocks=2, key=5)
    laplace, exact = (
        pyem.fit_em(RW, narrow, group=Group(covariance="full"), integrate=how).group_table().loc["sd", "estimate"]
        for how in ("laplace", "exact")
    )
    assert laplace["beta"] < 0.5
    np.testing.assert_allclose(exact, laplace, rtol=0.4)


def test_a_learning_model_is_integrated_as_by_quadrature(learners):
    fit = pyem.fit_em(RW, learners, integrate="exact")
    grid = pyem.fit_grid(RW, learners, group=fit.population, accuracy=1e-6)
    np.testing.assert_allclose(fit.log_evidence, grid.log_evidence, atol=1e-4)
    sd = np.sqrt(np.diagonal(grid.cov, axis1=1, axis2=2))
    np.testing.assert_array_less(np.abs(fit.x - grid.x) / sd, 2e-3)
    assert (fit.trace["effective_nodes"] > 5).all()
    assert (fit.table()["unreached"] < 0.02).all()
    assert pyem.integrated_bic(fit).se == 0
    assert "log evidence (exact)" in fit.summary()


def test_people_get_more_points_until_their_evidence_is_exact(learners):
    fit = pyem.fit_em(RW, learners, integrate="exact", accuracy=3e-6, standard_errors=False)
    grid = pyem.fit_grid(RW, learners, group=fit.population, accuracy=1e-8)
    plain = pyem.fit_em(RW, learners, integrate="exact", standard_errors=False)
    np.testing.assert_allclose(fit.log_evidence, grid.log_evidence, atol=1e-5)
    assert (fit.table()["evidence_error"] <= 3e-6).all()
    assert (fit.trace["effective_nodes"] > 2 * plain.trace["effective_nodes"]).any()
    # What is said of plain lattices is their size: one number of each person may be small by chance.
    known = pyem.fit_grid(RW, learners, group=plain.population, accuracy=1e-8).log_evidence
    error, said = plain.log_evidence - known, plain.trace["evidence_error"]
    assert 0.2 < np.sqrt((said**2).mean() / (error**2).mean()) < 5


@pytest.mark.slow
@pytest.mark.parametrize(("name", "subjects", "key"), [("rw2a1b", 5, 3), ("rw_forget", 8, 4)])
def test_three_parameters_are_integrated_as_by_dense_quadrature(name, subjects, key):
    model = pyem.models.get(name)
    data = pyem.simulate(model, subjects=subjects, blocks=2, trials=40, key=key)
    fit = pyem.fit_em(model, data, integrate="exact", accuracy=2e-5, boundary_avoiding=True, standard_errors=False)
    # Steps of a sixth of the group's sds: with a fourth, narrow posteriors are missed by .002 nats.
    axis = np.linspace(-7, 7, 85)
    z = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
    z = z[(z**2).sum(1) < 49]
    log_weight = stats.norm.logpdf(z).sum(1) + 3 * np.log(axis[1] - axis[0])
    x = fit.population.mean[:, None] + z @ np.linalg.cholesky(fit.population.cov).T
    dense = log_sum(log_lik_at(fit.model, data, x) + log_weight)
    np.testing.assert_allclose(fit.log_evidence, dense, atol=1e-4)


def test_a_boundary_avoiding_fit_keeps_people_apart(learners):
    small = learners.select(np.arange(3))
    fit = pyem.fit_em(RW, small, boundary_avoiding=True, standard_errors=False)
    plain = pyem.fit_em(RW, small, standard_errors=False)
    assert (np.diag(fit.population.cov) > np.diag(plain.population.cov)).all()
    assert fit.population.penalty == 1.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"integrate": "exactly"}, "integrate='exactly'; choose 'laplace' or 'exact'"),
        ({"nodes": 64}, "nodes=64 are for integrate='exact'"),
        ({"integrate": "exact", "nodes": 3}, "nodes=3"),
        ({"accuracy": 1e-3}, "accuracy=0.001 is for integrate='exact'"),
        ({"integrate": "exact", "accuracy": -1.0}, "accuracy=-1.0"),
    ],
)
def test_what_is_refused(lines, options, message):
    with pytest.raises(ValueError, match=message):
        pyem.fit_em(LINE, lines, **options)


# -- the whole posterior --------------------------------------------------------------------------------------------------


def level_posterior(data):
    """Log marginal likelihood, and mean and sd of the group's mean and sd, by summation over a fine grid, in closed form."""
    y = np.moveaxis(data.fields["y"], -1, 0) - 0.5 * np.moveaxis(data.fields["u"], -1, 0)
    n, mean = y.shape[1], y.mean(1)
    (centre,), (unit,) = LEVEL.typical
    m = centre + 2 * unit * np.linspace(-4, 4, 801)[:, None, None]
    s = unit * np.linspace(1e-3, 5, 900)[None, :, None]
    people = stats.norm.logpdf(mean, m, np.sqrt(s**2 + NOISE**2 / n)).sum(-1)
    # Given a person's mean, the data do not depend on the level.
    rest = stats.norm.logpdf(y, mean[:, None], NOISE).sum() - stats.norm.logpdf(0, 0, NOISE / np.sqrt(n)) * len(y)
    prior = stats.norm.logpdf(m[..., 0], centre, 2 * unit) + stats.halfnorm.logpdf(s[..., 0], scale=unit)
    joint = people + prior
    weight = np.exp(joint - joint.max())
    cell = (m[1, 0, 0] - m[0, 0, 0]) * (s[0, 1, 0] - s[0, 0, 0])
    total = joint.max() + np.log(weight.sum() * cell) + rest
    weight /= weight.sum()
    first = np.array([(weight * m[..., 0]).sum(), (weight * s[..., 0]).sum()])
    spread = [(weight * (a[..., 0] - b) ** 2).sum() for a, b in zip((m, s), first, strict=True)]
    return total, first, np.sqrt(spread)


def test_the_posterior_of_a_group_equals_a_sum_over_a_grid(lines):
    fit = pyem.fit_bayes(LEVEL, lines, draws=4000)
    total, mean, sd = level_posterior(lines)
    found = pyem.log_marginal_likelihood(fit)
    assert found.total == float(fit.trace["log_marginal_likelihood"])
    assert 0 < found.error < 0.1
    assert abs(found.total - total) < 4 * found.error + 1e-3
    table = fit.group_table()
    error = sd / np.sqrt(fit.trace["effective_draws"])
    assert (np.abs(table["estimate"].to_numpy(float) - mean) < 4.5 * error).all()
    # The sd of an sd is known to 1 / sqrt(2 n) of itself, somewhat worse where tails are heavy.
    np.testing.assert_allclose(table["se"].to_numpy(float), sd, rtol=0.1)
    assert fit.problems() == []


def test_people_on_their_own_are_as_by_quadrature(learners):
    learners = learners.select(np.arange(4))
    fit = pyem.fit_bayes(RW, learners, group=None)
    grid = pyem.fit_grid(RW, learners, group=None)
    sd = np.sqrt(np.diagonal(grid.cov, axis1=1, axis2=2))
    np.testing.assert_allclose(fit.trace["people_log_evidence"], grid.log_evidence, atol=5e-3)
    np.testing.assert_array_less(np.abs(fit.x - grid.x) / sd, 0.02)
    np.testing.assert_allclose(np.diagonal(fit.cov, axis1=1, axis2=2), sd**2, rtol=0.05)
    assert pyem.log_marginal_likelihood(fit).total == pytest.approx(grid.log_evidence.sum(), abs=0.05)


def test_models_are_compared_by_their_marginal_likelihood(lines):
    fits = {"free": pyem.fit_bayes(LINE, lines, draws=50), "fixed": pyem.fit_bayes(LEVEL, lines, draws=50)}
    table = pyem.compare_fits(fits)
    assert table.index[0] == "free"
    assert table["log_marginal_likelihood"].is_monotonic_decreasing
    with pytest.raises(
        ValueError, match="does not tell the marginal likelihood of the whole model; fit it by fit_bayes"
    ):
        pyem.log_marginal_likelihood(pyem.fit_em(LINE, lines, standard_errors=False))


def test_any_group_has_a_density_whatever_peoples_data_say(learners):
    model = ready_to_fit(RW, learners)
    made = places(model, learners, nodes=None, rng=np.random.default_rng(0))
    exact = located(model, learners, Group(), made, None, 0, False)
    # Some data tell of one parameter, some of the other, some of neither: the median of each element is no precision.
    known = 10 * np.array([[[4, 1], [1, 0.25]], [[0.25, 1], [1, 4]], [[0.25, 0], [0, 0.0]]])
    assert np.linalg.eigvalsh(np.median(known, axis=0)).min() < -5
    moments = exact.moments._replace(cov=np.linalg.inv(np.linalg.inv(exact.population.cov) + known[np.arange(12) % 3]))
    posterior = group_posterior(model, exact.population, moments, None)
    sets = NodeSets(posterior, made, exact.population, moments, exact.estep.parts, exact.level)
    v = posterior.vector(exact.population)
    value = sets.log_density(np.concatenate([v[None], v + 60 * np.eye(4), v - 60 * np.eye(4)]))
    assert (value[1:] < value[0] - 10).all()


def sets_of(learners):
    model = ready_to_fit(RW, learners)
    made = places(model, learners, nodes=None, rng=np.random.default_rng(0))
    exact = located(model, learners, Group(), made, None, 0, False)
    posterior = group_posterior(model, exact.population, exact.moments, None)
    return posterior, NodeSets(posterior, made, exact.population, exact.moments, exact.estep.parts, exact.level)


def test_the_density_of_a_group_for_nuts_is_that_on_the_points(learners):
    posterior, sets = sets_of(learners)
    # From a narrow group, where the evidence is extrapolated, to one that has points of its own.
    v = posterior.vector(sets.population) + np.array(
        [[0, 0, 0, 0], [0.3, -0.2, 0.1, 0.2], [0, 0, 0, -20.0], [0, 0, 4.0, 4.0]]
    )
    expected = sets.log_density(v)
    points = sets.stacked(posterior.unpack(v)[0])
    assert len(points.x) == len(sets) > 1
    with jax.enable_x64(True):
        args = PointArgs(points, posterior.at, np.zeros(4), np.eye(4))
        found = [float(OnPoints(posterior.spec).log_density(args, {"group": one})) for one in v]
    # That of importance sampling knows the units of the coordinates, and has weights in single precision.
    np.testing.assert_allclose(np.array(found) - found[0], expected - expected[0], atol=0.01)


@pytest.mark.slow
def test_nuts_on_points_goes_on_where_importance_sampling_does_not_cover(learners, monkeypatch):
    plain = pyem.fit_bayes(RW, learners, draws=4000)
    answers = iter([False, True, True])
    monkeypatch.setattr(bayes, "_covers", lambda found: next(answers))
    fit = pyem.fit_bayes(RW, learners, draws=4000)
    assert "by NUTS over the points" in fit.message
    assert fit.posterior["x"].shape == (4, 1000, 12, 2)
    assert fit.trace["rhat"] < 1.01
    assert fit.problems() == []
    tables = [one.group_table()[["estimate", "se"]].to_numpy(float) for one in (plain, fit)]
    worth = min(float(one.trace["effective_draws"]) for one in (plain, fit))
    np.testing.assert_array_less(np.abs(tables[0][:, 0] - tables[1][:, 0]) / tables[0][:, 1], 4.5 * np.sqrt(2 / worth))
    np.testing.assert_allclose(tables[1][:, 1], tables[0][:, 1], rtol=0.12)


@pytest.mark.slow
def test_simulation_based_calibration(tmp_path):
    """As the test of the same name of NUTS: ranks of six parameters, a false alarm in one of 1000 runs.

    Some of the groups are so extreme that their likelihood has no maximum. Those whose posterior is said not to be covered
    (Pareto k above 0.7) count as well.
    """
    table = summary(study(tmp_path / "ranks.csv", 200, 7))
    assert len(table) == 6
    assert (table["p"].to_numpy(float) > 0.001 / 6).all(), table


# -- groups without width in some direction ------------------------------------------------------------------------------


def alphas_like_betas(seed, shared):
    """People who differ in beta; their alphas go with it, or are the same."""
    mean, sd = RW.typical
    z = np.random.default_rng(seed).normal(size=12)
    return pyem.simulate(RW, RW.natural(mean + sd * np.stack([z, shared * z], axis=1)), trials=40, blocks=2, key=seed)


def newton(fit, way, *more, df=None):
    """A Newton step of the group from where a fit has it, in standard errors, and these, by dense sums.

    People are `way` (mean, log sd, more...)(z) with one z each; the beginning is that of the fit, and `more`.
    """
    reach = np.linspace(-6, 6, 241)
    z = reach if df is None else np.sinh(reach)
    log_weight = (-0.5 * z**2 if df is None else log_t(z**2, df, 1)) + np.log(np.gradient(z))
    at = np.array([*fit.population.coef[0, :2], 0.5 * np.log(fit.population.cov[0, 0]), *more])
    s, h = len(fit.x), 0.02
    moves = h * np.eye(len(at))

    def total(v):
        x = way(v, z)
        return log_sum(log_lik_at(fit.model, fit.data, np.broadcast_to(x, (s, *x.shape))) + log_weight).sum()

    grad = np.array([total(at + d) - total(at - d) for d in moves]) / (2 * h)
    bend = [
        [total(at + d + e) - total(at + d - e) - total(at - d + e) + total(at - d - e) for e in moves] for d in moves
    ]
    spread = np.linalg.inv(-np.array(bend) / (4 * h**2))
    sd = np.sqrt(np.diag(spread))
    return spread @ grad / sd, sd


def alike(v, z):
    return np.stack([v[0] + np.exp(v[2]) * z, np.full(len(z), v[1]), *np.repeat(v[3:, None], len(z), 1)], axis=-1)


def together(v, z):
    return np.stack([v[0] + np.exp(v[2]) * z, v[1] + v[3] * z], axis=-1)


@pytest.mark.slow
@pytest.mark.parametrize("group", [Group(), Group("student_t", df=4)], ids=["gaussian", "student_t"])
@pytest.mark.filterwarnings("ignore:.*people do not differ in alpha")
def test_the_mean_where_people_do_not_differ(group):
    fits = [pyem.fit_em(RW, alphas_like_betas(2, 0.0), group=group, integrate="exact")]
    if group.family == "gaussian":
        fits.append(pyem.fit_grid(RW, alphas_like_betas(2, 0.0), group=group))
    for fit in fits:
        assert fit.population.vanished.tolist() == [False, True]
        step, se = newton(fit, alike, df=None if group.family == "gaussian" else 4)
        np.testing.assert_array_less(np.abs(step), 0.01)
        # That maximum likelihood is too narrow is tested elsewhere; here what the likelihood itself says.
        said = fit.group_table()["se"].to_numpy(float)[:2] / np.sqrt(scatter_factor(fit.population))
        np.testing.assert_allclose(said, se[:2], rtol=0.02)


def test_a_correlation_of_1():
    fit = pyem.fit_em(RW, alphas_like_betas(8, 1.0), group=Group(covariance="full"), integrate="exact")
    cov = fit.population.cov
    assert cov[0, 1] ** 2 > (1 - 1e-6) * cov[0, 0] * cov[1, 1]
    step, se = newton(fit, together, np.sqrt(cov[1, 1]))
    np.testing.assert_array_less(np.abs(step), 0.01)
    np.testing.assert_allclose(fit.group_table()["se"].to_numpy(float)[:2] / np.sqrt(12 / 11), se[:2], rtol=0.02)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*people do not differ in")
def test_with_common_parameters():
    model = pyem.models.get("rw2a1b")
    mean, sd = model.typical
    z = np.random.default_rng(3).normal(size=25)
    data = pyem.simulate(model, model.natural(mean + sd * np.stack([z, 0 * z, 0 * z], axis=1)), trials=40, key=3)
    fit = pyem.fit_em(model, data, group=Group(common="alpha_neg"), integrate="exact")
    assert fit.converged
    assert fit.population.vanished.tolist() == [False, True, False]
    step, se = newton(fit, alike, fit.population.coef[0, 2])
    np.testing.assert_array_less(np.abs(step), 0.03)
    table = fit.group_table()["se"].to_numpy(float)
    said = [table[0] / np.sqrt(25 / 24), *table[1:3]]
    np.testing.assert_allclose(said, se[[0, 1, 3]], rtol=0.03)
