"""Priors and the joint density: the same posterior in every parametrization, against densities written out by SciPy."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from scipy import integrate, stats

import pyem
from pyem.engine.evaluate import log_lik
from pyem.infer import alone as people_alone
from pyem.infer import hierarchy
from pyem.numerics.jit import compiled
from pyem.population import priors
from pyem.population.population import populate

SUBJECTS = 4


@pytest.fixture(scope="module")
def model():
    return pyem.models.get("rw1a1b")


@pytest.fixture(scope="module")
def data(model):
    age = np.array([-1.0, 0.5, 2.0, -0.3])
    return pyem.simulate(model, subjects=SUBJECTS, trials=30, key=3, covariates={"age": age})


GROUPS = {
    "gaussian": pyem.Group(),
    "full": pyem.Group(covariance="full"),
    "covariate": pyem.Group(covariates={"age": ["alpha"]}),
    "student_t": pyem.Group("student_t", covariance="full", df=5),
    "laplace": pyem.Group("laplace"),
    "cauchy": pyem.Group("cauchy"),
}


def written_out(model, data, group, values, n_group):
    """Log joint density of data, people and group parameters, up to nothing, without this library's densities."""
    x, coef, sd = values["x"], values["coef"], values["sd"]
    corr = values.get("corr", np.eye(2))
    design = np.stack([np.ones(SUBJECTS), data.covariates["age"] - data.covariates["age"].mean()], 1)[:, : len(coef)]
    mean, cov = design @ coef, corr * np.outer(sd, sd)
    if group.family == "gaussian":
        people = sum(stats.multivariate_normal(m, cov).logpdf(row) for m, row in zip(mean, x, strict=True))
    elif group.family == "student_t":
        people = sum(stats.multivariate_t(m, cov, group.df).logpdf(row) for m, row in zip(mean, x, strict=True))
    elif group.family == "laplace":
        people = stats.laplace(mean, sd / np.sqrt(2)).logpdf(x).sum()
    else:
        people = stats.cauchy(mean, sd).logpdf(x).sum()
    typical, spread = model.typical
    hyper = stats.norm(typical, 2 * spread).logpdf(coef[0]).sum() + stats.halfnorm(0, spread).logpdf(sd).sum()
    if len(coef) > 1:
        hyper += stats.norm(0, spread[1] / design[:, 1].std()).logpdf(coef[1, 1])
    if "corr" in values:
        # LKJ(2) for two parameters: the density of the correlation is proportional to 1 - r^2.
        hyper += np.log(0.75 * (1 - corr[0, 1] ** 2))
    return log_lik(model, data, x).sum() + people + hyper


@pytest.mark.parametrize(
    ("name", "parametrization"),
    [
        *((name, "standardized") for name in GROUPS),
        *((name, other) for name in ("gaussian", "covariate", "student_t") for other in ("centered", "noncentered")),
    ],
)
def test_density_is_that_of_the_model_in_any_coordinates(model, data, name, parametrization):
    group = GROUPS[name]
    fit = pyem.fit_em(model, data, group=group, max_iter=20, tol=1e-3, standard_errors=False)
    spec, args = hierarchy.group_args(model, data, group, None, fit, parametrization)
    gaps = []
    with jax.enable_x64(True):

        def natural(flat):
            position = {"group": flat[: spec.n_group], "people": flat[spec.n_group :].reshape(2, SUBJECTS)}
            out = spec.values(args, position)
            free = np.array(spec.free)
            parts = [out["coef"][np.nonzero(free)], out["sd"]] + ([out["corr"][0, 1:]] if "corr" in out else [])
            return jnp.concatenate([*parts, out["x"].ravel()])

        @jax.jit
        def everything(position):
            flat = jnp.concatenate([position["group"], position["people"].ravel()])
            log_det = jnp.linalg.slogdet(jax.jacfwd(natural)(flat))[1]
            return spec.values(args, position), log_det, spec.log_density(args, position)

        for seed in range(3):
            values, log_det, density = everything(spec.start(args, jax.random.key(seed)))
            values = {k: np.asarray(v) for k, v in values.items()}
            gaps.append(float(density) - float(log_det) - written_out(model, data, group, values, spec.n_group))
    # With every constant: a lower bound of the log evidence is made of it.
    np.testing.assert_allclose(gaps, 0.0, atol=1e-8)


@pytest.mark.parametrize("size", [2, 3, 5])
def test_density_of_correlations_has_its_constant(size):
    coordinates = jax.random.normal(jax.random.key(size), (size * (size - 1) // 2,))
    with jax.enable_x64(True):
        chol = jax.jit(lambda z: hierarchy._corr_cholesky(z)[0])(jnp.asarray(coordinates, float))
        ours = jax.jit(hierarchy._lkj)(chol, jnp.asarray(1.7))
        theirs = jax.jit(lambda chol: dist.LKJCholesky(size, jnp.asarray(1.7)).log_prob(chol))(chol)
    assert float(ours) == pytest.approx(float(theirs), abs=1e-10)


def test_density_of_people_on_their_own_has_its_constant(model, data):
    given = priors.natural_priors(model, {"alpha": dist.Beta(2, 3)}, mean=[0.3, 0.0], sd=0.7)
    spec, args = people_alone.alone_args(model, data, given)
    with jax.enable_x64(True):
        position = spec.start(args, jax.random.key(1))
        flat = position["people"].ravel()
        values = lambda z: spec.values(args, {"people": z.reshape(2, -1)})["x"]  # noqa: E731
        jacobian = jax.jit(jax.jacfwd(lambda z: values(z).ravel()))(flat)
        log_det = float(np.linalg.slogdet(jacobian)[1])
        x = np.asarray(jax.jit(values)(flat))
        value = float(jax.jit(spec.log_density)(args, position))
    natural = model.natural(x)
    beta = stats.norm(0.3, 0.7).logpdf(x[:, 0]).sum()
    alpha = (stats.beta(2, 3).logpdf(natural[:, 1]) + model.log_det(x)[:, 1]).sum()
    assert value == pytest.approx(log_lik(model, data, x).sum() + alpha + beta + log_det, abs=1e-8)


def test_another_value_of_a_fixed_parameter_compiles_nothing(data):
    """What samplers and variational inference compile takes the specification as a constant, but for the values in it."""
    traced = []

    @compiled(0)
    def slope(spec, args, position):
        traced.append(spec)
        return jax.value_and_grad(lambda z: spec.log_density(args, z))(position)

    group, alone = [], []
    with jax.enable_x64(True):
        for alpha in (0.2, 0.6):
            model = pyem.fix(pyem.models.get("rw1a1b"), alpha=alpha)
            mean, sd = model.typical
            start = populate(pyem.Group(), names=model.names, mean=mean, sd=sd, covariates={}, n_subjects=SUBJECTS)
            layouts = (
                hierarchy.group_layout(model, data, pyem.Group(), None, start, "standardized"),
                people_alone.alone_layout(model, data, priors.natural_priors(model, {"beta": dist.HalfNormal(10)})),
            )
            for found, (spec, args) in zip((group, alone), layouts, strict=True):
                position = {"group": jnp.zeros(2)} if found is group else {}
                position["people"] = jnp.full((1, SUBJECTS), 0.3)
                value, grad = slope(spec, args, position)
                np.testing.assert_allclose(value, jax.jit(spec.log_density)(args, position), rtol=1e-12)
                found.append(np.asarray(grad["people"]))
    assert len(traced) == 2
    for one, other in (group, alone):
        assert np.abs(one - other).max() > 0.01


def test_standardized_coordinates_have_the_mode_in_the_middle(model, data):
    fit = pyem.fit_em(model, data, max_iter=50, standard_errors=False)
    _, args = hierarchy.group_args(model, data, pyem.Group(), None, fit, "standardized")
    precision = np.moveaxis(np.asarray(args.anchor.precision), -1, 0)
    assert (np.linalg.eigvalsh(precision) > -1e-9).all()
    with jax.enable_x64(True):
        x, _ = hierarchy.standardized(
            jnp.asarray(np.moveaxis(precision + np.eye(2), 0, -1)), args.anchor.shift, jnp.zeros((2, SUBJECTS))
        )
    expected = np.linalg.solve(precision + np.eye(2), np.asarray(args.anchor.shift).T[..., None])[..., 0]
    np.testing.assert_allclose(x.T, expected, rtol=1e-10)


def test_draws_of_standardized_coordinates_have_the_covariance(monkeypatch):
    rng = np.random.default_rng(0)
    root = rng.normal(size=(3, 3, 3))
    precision = np.einsum("spi,sqi->spq", root, root) + np.eye(3)
    for unrolled in (6, 1):
        monkeypatch.setattr(hierarchy, "UNROLLED", unrolled)
        with jax.enable_x64(True):
            inputs = jnp.asarray(np.moveaxis(precision, 0, -1)), jnp.zeros((3, 3))
            columns = [hierarchy.standardized(*inputs, jnp.asarray(np.eye(3)[:, [k] * 3]))[0] for k in range(3)]
            log_det = hierarchy.standardized(*inputs, jnp.zeros((3, 3)))[1]
        factor = np.stack([np.asarray(c).T for c in columns], axis=-1)
        cov = np.einsum("spi,sqi->spq", factor, factor)
        np.testing.assert_allclose(cov, np.linalg.inv(precision), rtol=1e-9)
        np.testing.assert_allclose(log_det, -0.5 * np.linalg.slogdet(precision)[1].sum(), rtol=1e-10)


# -- priors ---------------------------------------------------------------------------------------------------------------


def test_natural_priors_are_densities_of_the_unconstrained_parameters(model):
    known = priors.natural_priors(model, {"alpha": dist.Beta(2, 3), "beta": dist.HalfNormal(6)})
    log_prob = jax.jit(lambda x: known.log_prob(model, x[:, None])[0])

    def density(x):
        with jax.enable_x64(True):
            return float(np.exp(log_prob(np.array(x))))

    beta, _ = integrate.quad(lambda b: density([b, 0.3]), -30, 30)
    alpha, _ = integrate.quad(lambda a: density([-0.5, a]), -30, 30)
    at = density([-0.5, 0.3])
    # The half-normal is cut off at 20, where the inverse temperature ends.
    np.testing.assert_allclose(alpha * beta / at, 1.0, rtol=1e-6)
    within = stats.halfnorm(0, 6).pdf(20 / (1 + np.exp(0.5))) / stats.halfnorm(0, 6).cdf(20)
    slope = 20 * np.exp(0.5) / (1 + np.exp(0.5)) ** 2
    np.testing.assert_allclose(at / beta, within * slope, rtol=1e-6)


def test_priors_without_a_name_are_the_typical_population(model):
    known = priors.natural_priors(model, {"alpha": dist.Beta(1, 1)})
    mean, sd = model.typical
    with jax.enable_x64(True):
        value = known.log_prob(model, jnp.asarray([[0.7], [0.0]]))
    np.testing.assert_allclose(value, stats.norm(mean[0], sd[0]).logpdf(0.7) + np.log(0.25), rtol=1e-10)


def test_draws_of_natural_priors_stay_within_the_range(model):
    known = priors.natural_priors(model, {"alpha": dist.Beta(2, 5), "beta": dist.HalfNormal(15)})
    drawn = known.sample(model, jax.random.key(4), 20_000)
    assert (drawn[:, 0] < 20).all()
    assert (drawn > 0).all()
    assert stats.kstest(drawn[:, 1], stats.beta(2, 5).cdf).pvalue > 1e-3
    assert (
        stats.kstest(drawn[:, 0], lambda b: stats.halfnorm(0, 15).cdf(b) / stats.halfnorm(0, 15).cdf(20)).pvalue > 1e-3
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"gamma": dist.Beta(1, 1)}, "names 'gamma'"),
        ({"alpha": 0.3}, "a NumPyro distribution is expected"),
        ({"alpha": dist.Uniform(0, 0.5)}, "excludes 0.6225"),
        ({"alpha": dist.Beta(np.ones(3), 1.0)}, "of a single number"),
    ],
)
def test_natural_priors_that_cannot_be(model, given, message):
    with pytest.raises(ValueError, match=message):
        priors.natural_priors(model, given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"alpha": dist.Beta(1, 1)}, "give priors of natural parameters with group=None"),
        ({"mean": {"gamma": dist.Normal(0, 1)}}, "names 'gamma'"),
        ({"effect": {"iq": dist.Normal(0, 1)}}, "names 'iq'"),
        ({"sd": dist.Normal(0, 1).to_event(0).expand((2,))}, "of a single number"),
        ({"correlation": dist.Beta(1, 1)}, "concentration"),
    ],
)
def test_priors_of_a_group_that_cannot_be(model, data, given, message):
    pop = pyem.fit_em(model, data, group=GROUPS["covariate"], max_iter=3, standard_errors=False).population
    with pytest.raises(ValueError, match=message):
        priors.hyper_priors(model, pop, given)


def test_priors_can_be_described_and_made_again(model, data):
    pop = pyem.fit_em(model, data, group=GROUPS["covariate"], max_iter=3, standard_errors=False).population
    known = priors.hyper_priors(
        model,
        pop,
        {"mean": {"alpha": dist.StudentT(3, 0, 1)}, "sd": dist.HalfCauchy(0.5), "effect": dist.Laplace(0, 1)},
    )
    text = priors.described(model, known, pop.group, pop.free)
    assert text["mean of alpha"] == ("StudentT", {"df": 3.0, "loc": 0.0, "scale": 1.0})
    assert list(text) == ["mean of beta", "mean of alpha", "effect of age on alpha", "sd of beta", "sd of alpha"]
    again = priors.rebuilt(model, text, pop.group, pop.free)
    assert priors.described(model, again, pop.group, pop.free) == text
    natural = priors.natural_priors(model, {"alpha": dist.Beta(2, 3)})
    text = priors.described(model, natural, None, None)
    assert priors.prior_text(*text["alpha"]) == "Beta(concentration1=2, concentration0=3)"
    assert "unconstrained" in priors.prior_text(*text["beta"])
    assert priors.described(model, priors.rebuilt(model, text), None, None) == text


def test_defaults_are_those_of_the_documentation(model, data):
    pop = pyem.fit_em(model, data, group=GROUPS["full"], max_iter=3, standard_errors=False).population
    text = priors.described(model, priors.hyper_priors(model, pop, None), pop.group, pop.free)
    mean, sd = model.typical
    assert text["mean of alpha"] == ("Normal", {"loc": mean[1], "scale": 2 * sd[1]})
    assert text["sd of beta"] == ("HalfNormal", {"scale": sd[0]})
    assert text["correlations"] == ("LKJ", {"concentration": 2.0})
