"""Models of plain Python functions: the same fits as of the same model in JAX, and clear words for the rest."""

import re
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import pyem
from pyem import Dataset, Interval, Parameter
from pyem.errors import ModelError
from pyem.infer.differences import Search
from pyem.infer.opaque import OpaqueEStep
from pyem.population.posterior import GaussianPrior

RW = pyem.models.get("rw1a1b")


def by_loops(p, trials):
    """Rescorla-Wagner learning with lists, strings and branches; blocks start afresh."""
    total, block, value = 0.0, -1, {}
    for k in range(len(trials.choice)):
        if trials.block[k] != block:
            block, value = trials.block[k], {"left": 0.5, "right": 0.5}
        if not trials.responded[k]:
            continue
        here, there = ("left", "right") if trials.choice[k] == 0 else ("right", "left")
        total -= np.log1p(np.exp(-p.beta * (value[here] - value[there])))
        value[here] += p.alpha * (trials.reward[k] - value[here])
    return total


OPAQUE = pyem.opaque_model(by_loops, RW.parameters, outcomes=["reward"])


@pytest.fixture(scope="module")
def data():
    return pyem.simulate(RW, subjects=5, blocks=2, trials=25, key=4, missed=0.1)


@pytest.fixture(scope="module")
def group_fit(data):
    return pyem.fit_em(OPAQUE, data)


def test_values_are_those_of_the_same_model(data):
    x = np.random.default_rng(0).normal(size=(3, 5, 2))
    for one in x:
        np.testing.assert_allclose(
            pyem.engine.log_lik(OPAQUE, data, one), pyem.engine.log_lik(RW, data, one), rtol=1e-12
        )
    many = pyem.engine.log_lik_draws(OPAQUE, data, x)
    np.testing.assert_allclose(many, pyem.engine.log_lik_draws(RW, data, x), rtol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize(
    "options", [{}, {"priors": {"alpha": dist.Beta(2.0, 3.0)}}, {"log_prior": lambda p: -p.beta / 5}]
)
def test_modes_are_those_of_the_same_model(data, options):
    ours, exact = pyem.fit_map(OPAQUE, data, **options), pyem.fit_map(RW, data, **options)
    np.testing.assert_allclose(ours.x, exact.x, atol=1e-3)
    np.testing.assert_allclose(ours.log_evidence, exact.log_evidence, atol=1e-4)


def test_maximum_likelihood_is_that_of_the_same_model(data):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pyem.FitWarning)
        ours, exact = pyem.fit_mle(OPAQUE, data, starts=2), pyem.fit_mle(RW, data)
    np.testing.assert_allclose(ours.log_lik, exact.log_lik, atol=1e-3)


def test_a_group_is_that_of_the_same_model(group_fit, data):
    exact = pyem.fit_em(RW, data)
    np.testing.assert_allclose(group_fit.population.coef, exact.population.coef, atol=1e-3)
    np.testing.assert_allclose(group_fit.population.cov, exact.population.cov, atol=2e-3)
    np.testing.assert_allclose(group_fit.group_table()["se"], exact.group_table()["se"], rtol=0.02)
    assert pyem.lme(group_fit).value == pytest.approx(pyem.lme(exact).value, abs=0.01)
    ours, theirs = (pyem.integrated_bic(fit, draws=100, key=1) for fit in (group_fit, exact))
    assert ours.value == pytest.approx(theirs.value, abs=4 * np.hypot(ours.se, theirs.se) + 0.1)
    assert list(group_fit.table().columns) == list(exact.table().columns)
    assert "by_loops" in group_fit.summary()


def test_a_saved_fit_is_read_with_its_model(group_fit, tmp_path):
    again = pyem.load(group_fit.save(tmp_path / "fit.nc"), OPAQUE)
    np.testing.assert_array_equal(again.x, group_fit.x)


def test_check_walks_the_rungs_that_there_are(data):
    report = pyem.check(OPAQUE, data)
    assert report
    walked = ["shapes", "value", "indices", "purity", "gradient", "sampling", "simulation"]
    assert [rung.name for rung in report.rungs] == walked


def test_check_finds_chance_in_the_function(data):
    noise = np.random.default_rng(0)
    model = pyem.opaque_model(lambda p, trials: noise.normal(), RW.parameters, outcomes=["reward"])
    report = pyem.check(model, data)
    assert not report
    assert "different values when evaluated twice" in str(report)


def test_fixed_tied_and_vector_parameters_reach_the_function():
    seen = []

    def look(p, trials):
        seen.append(p)
        return -float(p.a**2 + p.b**2 + (p.weights**2).sum() - 0 * trials.y.sum())

    parameters = (Parameter("a", Interval(-1, 1)), Parameter("b", Interval(-1, 1)), Parameter("weights", size=2))
    model = pyem.tie(pyem.opaque_model(look, parameters, responses=["y"]), b="a")
    data = Dataset.from_arrays({"y": np.zeros((2, 1, 3))})
    pyem.engine.log_lik(model, data, np.full((2, 3), 0.5))
    assert isinstance(seen[-1].a, float)
    assert seen[-1].b == seen[-1].a == pytest.approx(np.tanh(0.25))
    np.testing.assert_array_equal(seen[-1].weights, [0.5, 0.5])
    fixed = pyem.fix(pyem.opaque_model(look, parameters, responses=["y"]), a=0.25)
    pyem.engine.log_lik(fixed, data, np.full((2, 3), 0.5))
    assert seen[-1].a == 0.25


@pytest.mark.parametrize("verb", [pyem.fit_nuts, pyem.fit_svi, pyem.fit_grid])
def test_methods_that_need_jax_name_those_that_do_not(verb, data):
    message = f"{verb.__name__} needs a likelihood that JAX can trace.*use fit_mle, fit_map or fit_em"
    with pytest.raises(ModelError, match=message):
        verb(OPAQUE, data)


@pytest.mark.parametrize(
    "use", [lambda fit: fit.latents(), lambda fit: pyem.engine.value_grad_hess(fit.model, fit.data, fit.x)]
)
def test_what_a_plain_function_cannot_give_is_said(use, group_fit):
    with pytest.raises(ModelError, match=r"is a plain Python function.*no values of single trials"):
        use(group_fit)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda p, trials: None, "should return one number, the log-likelihood of a person, but returned None"),
        (lambda p, trials: trials.reward * 1.0, "but returned float64 of shape (50,)"),
        (lambda p, trials: p.gamma, "the model asks for 'gamma', but there are only beta, alpha"),
    ],
)
def test_functions_that_are_not_of_the_form_are_told_of(function, message, data):
    model = pyem.opaque_model(function, RW.parameters, name="mine", outcomes=["reward"])
    with pytest.raises(ModelError, match=f"model 'mine'.*{re.escape(message)}"):
        pyem.fit_map(model, data)


def test_something_that_cannot_be_called_is_refused():
    with pytest.raises(TypeError, match="a function of one person's parameters and trials is expected"):
        pyem.opaque_model("by_loops", RW.parameters)


def test_other_processes_compute_with_as_many_digits():
    """A function may use JAX, and its search must not depend on who makes it."""

    def likelihood(x, person, prior):
        del prior
        return 100 + float(((jnp.asarray(x) - held - person) ** 2).sum())

    start = np.zeros((4, 1))
    flat = GaussianPrior(start, np.eye(1) * 1e-12, np.ones((4, 1)))
    with jax.enable_x64(True):
        held = jnp.asarray([1 / 3])
        one, other = (
            OpaqueEStep(likelihood, range(4), start, search=Search(), n_jobs=n)(flat, 1e-9).mode for n in (1, 2)
        )
    np.testing.assert_allclose(one[:, 0], np.arange(4) + 1 / 3, atol=1e-7)
    np.testing.assert_array_equal(other, one)
