"""The contract of solvers, and what a search does at bounds, walls, corners and wrong derivatives."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from jax import lax

import pyem
from pyem.engine.derivatives import Derivatives, derivatives
from pyem.infer.em_loop import run_em
from pyem.infer.kinks import Planner, no_side
from pyem.infer.laplace import JaxEStep, unknown
from pyem.infer.newton import Newton
from pyem.infer.solver import Mode
from pyem.population.group import Group
from pyem.population.population import populate
from pyem.population.posterior import GaussianPrior, Status

MODEL = pyem.models.get("rw1a1b")


# -- the contract ---------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Damped:
    """Ascent along the gradient, scaled by the Hessian's diagonal, with a step of each subject's own: nothing clever."""

    shrink: float = 0.3

    def maximise(self, likelihood, prior, x, at, *, tol, max_steps, limits):
        bound = limits[:, None]

        def joint(x, at):
            p = prior(x)
            return at.value + p.value, at.grad + p.grad, at.hess + p.hess

        def plan(x, at):
            value, grad, hess = joint(x, at)
            step = grad / jnp.maximum(jnp.abs(jnp.diagonal(hess).T), 1e-6)
            return value, step, jnp.where(jnp.isfinite(value), 0.5 * (grad * step).sum(0), jnp.inf)

        def advance(carry):
            n, x, at, size = carry
            value, step, left = plan(x, at)
            looks = ~jnp.isfinite(value)
            tried = jnp.clip(x + jnp.where(looks | (left <= tol), 0.0, size * step), -bound, bound)
            new = likelihood(tried)
            better = joint(tried, new)[0] >= value - 1e-12 * jnp.abs(value)
            take = looks | (better & jnp.isfinite(new.value))
            x, at = jax.tree.map(lambda a, b: jnp.where(take, a, b), (tried, new), (x, at))
            return n + 1, x, at, jnp.where(take, jnp.minimum(1.2 * size, 1.0), self.shrink * size)

        going = lambda carry: (carry[0] < max_steps) & (plan(*carry[1:3])[2] > tol).any()  # noqa: E731
        _, x, at, _ = lax.while_loop(going, advance, (0, x, at, jnp.ones(x.shape[-1])))
        return Mode(x, at, at.hess, plan(x, at)[2])


SOLVERS = (Newton(), Newton(longest=0.02), Damped())


@pytest.fixture(scope="module")
def learners():
    return pyem.simulate(MODEL, subjects=12, key=4, blocks=3, trials=30)


def group_prior(n):
    return GaussianPrior(np.tile([-0.5, -0.3], (n, 1)), np.diag([1.5, 0.8]), np.ones((n, 2)))


@pytest.mark.parametrize("solver", SOLVERS, ids=repr)
def test_a_solver_finds_the_modes(solver, learners):
    assert hash(solver) == hash(dataclasses.replace(solver))
    assert solver == dataclasses.replace(solver)
    start = np.random.default_rng(1).normal(0, 0.5, (12, 2))
    found = JaxEStep(MODEL, learners, start, max_steps=500, solver=solver)(group_prior(12))
    expected = pyem.fit_map(MODEL, learners, mean=[-0.5, -0.3], sd=1 / np.sqrt([1.5, 0.8]))
    assert (found.status == Status.CONVERGED).all()
    np.testing.assert_allclose(found.mode, expected.x, atol=1e-7)
    np.testing.assert_allclose(found.cov, expected.cov, atol=1e-6)
    np.testing.assert_allclose(found.log_lik, expected.log_lik, atol=1e-7)


@pytest.mark.parametrize("solver", SOLVERS[1:], ids=repr)
def test_em_ends_at_the_same_group_with_any_solver(solver, learners):
    mean, sd = MODEL.typical
    start = populate(
        Group(), names=MODEL.names, mean=mean, sd=np.maximum(sd, 1.0), covariates={}, n_subjects=learners.n_subjects
    )
    estep = JaxEStep(MODEL, learners, np.tile(mean, (12, 1)), max_steps=500, solver=solver)
    run, fit = run_em(estep, start), pyem.fit_em(MODEL, learners)
    assert run.converged
    assert run.population.distance(fit.population) < 1e-6


def test_equal_solvers_share_a_compilation(learners):
    from pyem.numerics.jit import TRACES

    solve = lambda solver: JaxEStep(MODEL, learners, np.zeros((12, 2)), solver=solver)(group_prior(12))  # noqa: E731
    solve(Newton(longest=0.03))
    before = TRACES["rw1a1b", "modes"]
    solve(Newton(longest=0.03))
    assert TRACES["rw1a1b", "modes"] == before


# -- what a search does -----------------------------------------------------------------------------------------------------


def flat(x):
    """No prior."""
    return Derivatives(jnp.zeros(x.shape[1]), jnp.zeros_like(x), jnp.zeros((len(x), *x.shape)))


def search(likelihood, start, *, limits=None, tol=1e-16, max_steps=100, look=False):
    """The mode from `start` (P, S)."""
    limits = np.full(len(start), np.inf) if limits is None else np.array(limits)

    @jax.jit
    def run(x):
        at = Derivatives(*(jnp.asarray(leaf[0]) for leaf in unknown((1, *x.shape)))) if look else likelihood(x)
        return Newton().maximise(likelihood, flat, x, at, tol=tol, max_steps=max_steps, limits=limits)

    with jax.enable_x64(True):
        return jax.tree.map(np.asarray, run(jnp.asarray(start, float)))


def of(value):
    """Value and derivatives of a function of (P, S)."""
    return lambda x: derivatives(value, x)


def test_the_others_are_finished_where_one_parameter_is_at_its_bound():
    value = lambda x: 50 * x[0] - 0.25 * (x[1] - 25.0) ** 4 + x[0] * x[1]  # noqa: E731
    mode = search(of(value), np.zeros((2, 3)), limits=(1.0, 30.0))
    np.testing.assert_allclose(mode.x[0], 1.0, atol=1e-9)
    np.testing.assert_allclose(mode.x[1], 26.0, atol=1e-7)
    assert (mode.decrement <= 1e-16).all()
    assert not mode.stuck.any()


def test_a_parameter_leaves_its_bound_when_another_has_changed():
    """On the way the slope points outwards at the bound, at the mode it does not."""
    value = lambda x: -2 * (x[0] - 6 + x[1]) ** 2 - 0.1 * (x[1] - 5.5) ** 2  # noqa: E731
    mode = search(of(value), np.array([[0.9], [0.0]]), limits=(1.0, 30.0))
    np.testing.assert_allclose(mode.x[:, 0], [0.5, 5.5], atol=1e-7)


def test_a_search_that_ends_at_a_wall_is_stuck():
    value = lambda x: jnp.where(x[0] < 1, 3 * x[0] - 0.5 * x[0] ** 2, -jnp.inf)  # noqa: E731
    mode = search(of(value), np.zeros((1, 2)), max_steps=60)
    assert mode.stuck.all()
    np.testing.assert_allclose(mode.x, 1.0, atol=1e-6)
    assert (mode.decrement > 1).all()


def test_a_person_behind_a_wall_has_a_status_that_says_so():
    model = pyem.Model(
        "walled",
        [pyem.Parameter("m")],
        log_likelihood=lambda p, trials: jnp.where(p.m < 1, -0.5 * (p.m - 3.0) ** 2, -jnp.inf) + 0 * trials.y.sum(),
        responses=("y",),
    )
    data = pyem.Dataset.from_arrays({"y": np.zeros((3, 1, 4))})
    with pytest.warns(pyem.FitWarning, match="search stuck"):
        fit = pyem.fit_map(model, data, mean=[0.0], sd=[10.0])
    assert (fit.status == Status.STUCK).all()
    assert not fit.converged


@pytest.mark.parametrize("seed", range(3))
def test_a_search_ends_where_many_sides_of_a_kink_meet(seed):
    """The least of four planes over a bowl: the mode is a corner, and no two sides tell that."""
    random = np.random.default_rng(seed)
    slope = np.array([[1.0, 0.2], [-0.7, 1.0], [-0.5, -1.2], [0.9, -0.8]]) * random.uniform(2, 8, (4, 1))
    value = lambda x: (jnp.asarray(slope) @ (x - 0.3)).min(0) - 0.05 * ((x - 0.3) ** 2).sum(0)  # noqa: E731
    mode = search(of(value), random.normal(0, 2, (2, 50)), max_steps=400)
    assert mode.stuck.all()
    assert (np.abs(mode.x - 0.3).max(0) < 1e-6).mean() > 0.9


def test_people_at_corners_of_kinks_are_at_their_modes_and_have_a_curvature():
    """The largest of three planes, of which the data want less than there is: the mode is where all three meet."""
    planes = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]])

    def corner(p, state, trial):
        a, b = p.a - trial.ca, p.b - trial.cb
        return pyem.Normal(jnp.maximum(jnp.maximum(a, b), -a - b), 0.5)

    model = pyem.Model(
        "corner", (pyem.Parameter("a"), pyem.Parameter("b")), corner, responses=("y",), inputs=("ca", "cb")
    )
    random = np.random.default_rng(0)
    where = random.normal(0, 0.5, (5, 2))
    y = -0.6 + 0.3 * random.normal(size=(5, 2, 16))
    there = {name: np.broadcast_to(where[:, k, None, None], y.shape).copy() for k, name in enumerate(("ca", "cb"))}
    data = pyem.Dataset.from_arrays({"y": y, **there})
    fit = pyem.fit_map(model, data)
    assert (fit.status == Status.CONVERGED).all()
    np.testing.assert_allclose(fit.x, where, atol=1e-7)
    # The mean of the sides that has no slope: shares of 1 in all, times slopes of data, against the pull of the prior.
    slope = y.sum((1, 2)) / 0.25
    for s in range(5):
        share = np.linalg.solve(np.vstack([slope[s] * planes.T, np.ones(3)]), [*where[s], 1.0])
        assert (share > 0).all()
        curvature = np.eye(2) + 32 / 0.25 * np.einsum("k,kp,kq->pq", share, planes, planes)
        np.testing.assert_allclose(np.linalg.inv(fit.cov[s]), curvature, rtol=1e-5)
    assert pyem.fit_em(model, data).converged
    # The same prior as any function.
    by_hand = pyem.fit_map(model, data, log_prior=lambda p: -0.5 * (p.a**2 + p.b**2))
    np.testing.assert_allclose(by_hand.x, where, atol=1e-7)
    np.testing.assert_allclose(by_hand.cov, fit.cov, rtol=1e-5)


def test_what_is_left_to_gain_on_a_kink_includes_the_way_to_it():
    """Two parabolas that meet at 1, at a height of 2.5, where neither slope is 0."""
    value = lambda x: jnp.minimum(3 * x[0] - 0.5 * x[0] ** 2, 4 - x[0] - 0.5 * x[0] ** 2)  # noqa: E731
    with jax.enable_x64(True):
        x, there = jnp.array([[0.9]]), jnp.array([[1.2]])
        planner = Planner(of(value), flat, 1e-16, np.array([[np.inf]]), np.array([[1.0]]))
        at, one = derivatives(value, x), jnp.ones(1)
        side = no_side(x, at, sure=one > 0)._replace(x=there, at=derivatives(value, there), known=one > 0)
        plan = planner.plan(x, at, side, one, one)
    np.testing.assert_allclose(plan.value + plan.decrement, 2.5, atol=1e-12)
    np.testing.assert_allclose(plan.step, 0.1, atol=1e-12)


def test_no_step_is_taken_to_where_only_the_value_is_finite():
    def value(x):
        return jnp.where(x[0] < -5, 0.0, -jnp.sqrt(1 + x[0] ** 2))

    def half_known(x):
        at = derivatives(value, x)
        return at._replace(grad=jnp.where(x < -5, jnp.nan, at.grad))

    # The first step, from 2, leads to -8, where the value is better than anywhere else.
    mode = search(half_known, np.full((1, 1), 2.0))
    np.testing.assert_allclose(mode.x, 0.0, atol=1e-7)
    assert np.isfinite(mode.at.grad).all()


@pytest.mark.parametrize("wrong", [10.0, 3.0, 40.0])
def test_one_wrong_derivative_is_no_kink(wrong):
    """The slope at 0 points away from the mode at -1; both sides of 0 agree about it."""

    def off_at_zero(x):
        at = derivatives(lambda x: -5 * (x[0] + 1) ** 2, x)
        return at._replace(grad=jnp.where(x == 0, wrong, at.grad))

    mode = search(off_at_zero, np.zeros((1, 1)), look=True, max_steps=60)
    np.testing.assert_allclose(mode.x + mode.last, -1.0, atol=1e-7)


def test_a_derivative_that_is_wrong_at_exact_symmetry_does_no_harm():
    """NumPyro's Bernoulli has a derivative at a logit of exactly 0 that is off by half the trials."""
    rate = np.linspace(0.05, 0.95, 10)
    y = (np.random.default_rng(1).random((10, 1, 40)) < rate[:, None, None]).astype(int)
    data = pyem.Dataset.from_arrays({"y": y})
    by_logits = lambda p, s, t: dist.Bernoulli(logits=p.b)  # noqa: E731
    model = pyem.Model("intercept", [pyem.Parameter("b")], by_logits, responses=("y",))
    fit = pyem.fit_mle(model, data)
    share = y.mean((1, 2))
    np.testing.assert_allclose(pyem.Interval(0, 1)(fit.x[:, 0]), share, atol=1e-6)


def test_near_the_end_of_a_range_a_search_stops_early():
    """Each Newton step on the tail of an exponential gains a fixed share: 14 more from 1e-10 to 1e-16."""
    mode = search(of(lambda x: 40 * jax.nn.log_sigmoid(x[0])), np.zeros((1, 1)))
    assert 1e-12 < mode.decrement[0] <= 1e-10
    assert not mode.stuck.any()


# -- how it ended ---------------------------------------------------------------------------------------------------------


def coin(transform):
    policy = lambda p, s, t: pyem.Categorical(jnp.log(jnp.stack([1 - p.rate, p.rate])))  # noqa: E731
    return pyem.Model("coin", [pyem.Parameter("rate", transform)], policy, responses=("y",), options=2)


@pytest.mark.filterwarnings("ignore::pyem.FitWarning")
@pytest.mark.parametrize("trials", [3, 40, 2000])
def test_an_estimate_at_the_end_of_its_range_is_at_the_boundary(trials):
    y = np.stack([np.zeros(trials), np.ones(trials), np.arange(trials) % 3 == 0]).astype(int)[:, None]
    fit = pyem.fit_mle(coin(pyem.Interval(0, 1)), pyem.Dataset.from_arrays({"y": y}))
    assert fit.status.tolist() == [Status.AT_BOUND, Status.AT_BOUND, Status.CONVERGED]
    np.testing.assert_allclose(fit.params[:, 0], y.mean((1, 2)), atol=1e-4)


@pytest.mark.filterwarnings("ignore::pyem.FitWarning")
def test_an_open_end_is_a_boundary_too():
    """Someone who always takes the better option has no finite inverse temperature; learning rates are not at issue."""
    policy = lambda p, s, t: pyem.Categorical(p.beta * jnp.array([0.0, 1.0]))  # noqa: E731
    beta = pyem.Parameter("beta", pyem.Positive())
    model = pyem.Model("sure", [beta], policy, responses=("y",), options=2)
    y = np.stack([np.ones(20), np.arange(20) % 4 > 0, np.zeros(20)]).astype(int)[:, None]
    fit = pyem.fit_mle(model, pyem.Dataset.from_arrays({"y": y}))
    assert fit.status.tolist() == [Status.AT_BOUND, Status.CONVERGED, Status.AT_BOUND]


@pytest.mark.filterwarnings("ignore::pyem.FitWarning")
@pytest.mark.parametrize("transform", [pyem.Interval(0, 1), pyem.Positive(), pyem.Real()])
def test_a_likelihood_that_does_not_depend_on_a_parameter_is_flat(transform):
    policy = lambda p, s, t: pyem.Categorical(jnp.stack([0 * p.idle, p.b]))  # noqa: E731
    model = pyem.Model(
        "idle", [pyem.Parameter("b"), pyem.Parameter("idle", transform)], policy, responses=("y",), options=2
    )
    y = (np.arange(60).reshape(3, 1, 20) % 4 == 0).astype(int)
    fit = pyem.fit_mle(model, pyem.Dataset.from_arrays({"y": y}))
    assert (fit.status == Status.FLAT).all()
