"""The search for modes: smooth likelihoods, and those with kinks."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize

import pyem
from pyem.engine.derivatives import FEW_LANES, FORWARD, FORWARD_OF_FEW, Derivatives, derivatives
from pyem.engine.evaluate import log_lik_draws, value_grad_hess
from pyem.infer.newton import Newton
from pyem.infer.solver import Mode
from pyem.models.rl import rw4a1b_fit, rw4a1b_sim
from pyem.numerics.linalg import inverse_and_log_det, positive_solver
from pyem.population.posterior import Status

LIMITS = np.full(3, np.inf)


def flat(x):
    """No prior."""
    return Derivatives(jnp.zeros(x.shape[1]), jnp.zeros_like(x), jnp.zeros((len(x), *x.shape)))


def search(value, start, *, max_steps=100, tol=1e-16):
    """The mode from `start` (P, S), and how often the likelihood was evaluated."""
    count = 0

    def one_more(_):
        nonlocal count
        count += 1

    def counted(x):
        jax.debug.callback(one_more, x[0, 0])
        return derivatives(value, x)

    @jax.jit
    def found(start):
        at = derivatives(value, start)
        return Newton().maximise(counted, flat, start, at, tol=tol, max_steps=max_steps, limits=LIMITS[: len(start)])

    with jax.enable_x64(True):
        mode = Mode(*jax.tree.map(np.asarray, found(jnp.asarray(start))))
        jax.effects_barrier()
        return mode, count


def pieces(random, people):
    """Two concave quadratics for each person, so that the lesser of them has its mode on one side or on the kink."""
    root = random.normal(size=(2, people, 3, 3))
    curvature = root @ np.swapaxes(root, -1, -2) + np.eye(3)
    centre = random.normal(size=(2, people, 3))
    height = random.normal(0, 8, size=(2, people))
    return curvature, centre, height


def lesser(x, curvature, centre, height):
    """The lesser of both quadratics at x (P, S), and which it is."""
    gap = x.T - centre
    both = height - 0.5 * jnp.einsum("csp,cspq,csq->cs", gap, curvature, gap)
    return both.min(0)


def exact(curvature, centre, height):
    """The mode of the lesser of both for one person: the highest level that both reach."""
    one = lambda k, x: height[k] - 0.5 * (x - centre[k]) @ curvature[k] @ (x - centre[k])  # noqa: E731
    slope = lambda k, x: -curvature[k] @ (x - centre[k])  # noqa: E731
    found = minimize(
        lambda z: -z[3],
        np.append(centre.mean(0), -10.0),
        jac=lambda z: np.array([0, 0, 0, -1.0]),
        constraints=[
            {
                "type": "ineq",
                "fun": lambda z, k=k: one(k, z[:3]) - z[3],
                "jac": lambda z, k=k: np.append(slope(k, z[:3]), -1.0),
            }
            for k in range(2)
        ],
        options={"ftol": 1e-15, "maxiter": 500},
    )
    x = found.x[:3]
    values, slopes = [one(k, x) for k in range(2)], np.column_stack([slope(k, x) for k in range(2)])
    if abs(values[0] - values[1]) > 1e-6:
        return x, curvature[int(values[1] < values[0])], False
    weight = np.linalg.lstsq(np.vstack([slopes, np.ones(2)]), np.array([0, 0, 0, 1.0]), rcond=None)[0]
    return x, np.tensordot(weight, curvature, 1), True


def test_a_mode_on_a_kink_is_found_with_the_curvature_of_both_sides():
    people = 40
    curvature, centre, height = pieces(np.random.default_rng(1), people)
    start = np.random.default_rng(2).normal(0, 3, (3, people))
    mode, count = search(lambda x: lesser(x, curvature, centre, height), start)
    on_kink = 0
    for s in range(people):
        x, hess, kinked = exact(curvature[:, s], centre[:, s], height[:, s])
        on_kink += kinked
        np.testing.assert_allclose(mode.x[:, s], x, atol=2e-6)
        np.testing.assert_allclose(-mode.hess[:, :, s], hess, rtol=1e-4, atol=1e-4)
    assert 10 < on_kink < 35
    assert (mode.decrement <= 1e-16).all()
    assert count <= 40


def test_a_steep_bend_is_no_kink():
    """A long first step overshoots; the search must not end where a gradient is left."""
    mode, count = search(lambda x: 40 * jax.nn.log_sigmoid(4 * (x[0] - 3)) - x[0] ** 2 / 2, np.ones((1, 1)))
    np.testing.assert_allclose(mode.at.grad, 0, atol=1e-6)
    np.testing.assert_allclose(mode.x, 3.92100, atol=1e-5)
    np.testing.assert_array_equal(mode.hess, mode.at.hess)
    assert count <= 40


def test_a_smooth_mode_costs_what_newton_costs():
    shift = np.linspace(-3, 3, 9)
    mode, count = search(
        lambda x: -jnp.cosh(x[0] - shift) - 0.5 * x[1] ** 4 - x[1] ** 2 + x[0] * x[1], np.zeros((2, 9))
    )
    slope = np.sinh(mode.x[0] - shift) - mode.x[1], 2 * mode.x[1] ** 3 + 2 * mode.x[1] - mode.x[0]
    np.testing.assert_allclose(slope, 0, atol=1e-7)
    np.testing.assert_array_equal(mode.hess, mode.at.hess)
    assert count <= 12


@pytest.mark.slow
def test_a_person_s_mode_does_not_depend_on_the_others():
    curvature, centre, height = pieces(np.random.default_rng(3), 6)
    start = np.random.default_rng(4).normal(0, 3, (3, 6))
    together, _ = search(lambda x: lesser(x, curvature, centre, height), start)
    for s in range(6):
        one = np.array([s])
        alone, _ = search(lambda x, s=one: lesser(x, curvature[:, s], centre[:, s], height[:, s]), start[:, one])
        np.testing.assert_allclose(alone.x[:, 0], together.x[:, s], atol=1e-8)
        np.testing.assert_allclose(alone.hess[..., 0], together.hess[..., s], atol=1e-6)


def test_bends_are_no_kinks():
    """The likelihood of a straight line, its sd profiled out, from far away: long steps overshoot again and again."""
    random = np.random.default_rng(4)
    x = np.concatenate([np.ones((12, 50, 1)), random.normal(size=(12, 50, 2))], axis=2)
    truth = random.normal(0, 2, (12, 3))
    y = np.einsum("stp,sp->st", x, truth) + 0.3 * random.normal(size=(12, 50))
    value = lambda b: -25 * jnp.log(((y - jnp.einsum("stp,ps->st", x, b)) ** 2).sum(1))  # noqa: E731
    exact = np.array([np.linalg.lstsq(one, two, rcond=None)[0] for one, two in zip(x, y, strict=True)])
    mode, count = search(value, random.normal(0, 30, (3, 12)))
    np.testing.assert_allclose(mode.x.T, exact, atol=1e-7)
    np.testing.assert_array_equal(mode.hess, mode.at.hess)
    assert count <= 40


@pytest.fixture(scope="module")
def learners():
    """People who learn at other rates from gains and losses, their own and others'; the modes of some lie on kinks."""
    random = np.random.default_rng(7)
    params = np.column_stack([random.uniform(2, 9, 24), *random.uniform(0.1, 0.6, (4, 24))])
    sim = rw4a1b_sim(params, nblocks=12, ntrials=40, seed=5)
    names = ("choices", "outcomes_self", "outcomes_other", "option_pairs")
    people = [list(one) for one in zip(*(sim[name] for name in names), strict=True)]
    return rw4a1b_fit.layout(people, 5)


@pytest.mark.slow
def test_people_whose_modes_lie_on_kinks_have_a_fixed_point(learners):
    model, data = learners
    fit = pyem.fit_em(model, data)
    assert fit.converged
    assert (fit.status == Status.CONVERGED).all()
    gap = np.linalg.norm(slope(model, data, fit), axis=1)
    assert (gap > 1e-3).sum() >= 2
    assert (gap < 1e-6).sum() >= 12
    plain = pyem.fit_em(model, data, accelerate=False)
    np.testing.assert_allclose(fit.population.coef, plain.population.coef, atol=1e-4)
    np.testing.assert_allclose(fit.population.cov, plain.population.cov, atol=1e-4)


def slope(model, data, fit):
    """Gradient of the log posterior at the modes, (S, P)."""
    grad = value_grad_hess(model, data, fit.x)[1]
    gap = fit.x - fit.population.coef[0]
    return grad - gap @ np.linalg.inv(fit.population.cov)


@pytest.mark.slow
def test_no_point_near_a_mode_on_a_kink_is_better(learners):
    model, data = learners
    fit = pyem.fit_em(model, data)
    random = np.random.default_rng(1)
    moves = random.normal(size=(2000, *fit.x.shape)) * 10.0 ** random.uniform(-6, -1, (2000, 1, 1))
    value = lambda x: log_lik_draws(model, data, x) + np.array([fit.population.log_prior(one) for one in x])  # noqa: E731
    best = value(fit.x[None])[0]
    assert (value(fit.x + moves) - best).max() < 1e-9


@pytest.mark.parametrize("n", [1, 2, 3, 9])
def test_small_matrices_are_solved_without_waiting_for_threads(n):
    """Programs that run at the same time and call LAPACK for many matrices may wait for each other's threads for ever."""
    rng = np.random.default_rng(n)
    root = rng.normal(size=(5, n, n))
    every = root @ np.swapaxes(root, 1, 2) + 0.1 * np.eye(n)
    every[0] -= 3 * np.eye(n)
    g = rng.normal(size=(n, 5))

    def both(h, g):
        return inverse_and_log_det(h), positive_solver(h)(g)

    with jax.enable_x64(True):
        lowered = jax.jit(both).lower(np.moveaxis(every, 0, -1), g)
        (inverse, log_det, positive), step = lowered.compile()(np.moveaxis(every, 0, -1), g)
    assert "custom_call" not in lowered.as_text()
    inverse, regular = np.moveaxis(np.asarray(inverse), -1, 0), every[1:]
    np.testing.assert_array_equal(positive, np.linalg.eigvalsh(every).min(1) > 0)
    np.testing.assert_allclose(inverse[1:] @ regular, np.broadcast_to(np.eye(n), regular.shape), atol=1e-10)
    np.testing.assert_allclose(log_det[1:], np.linalg.slogdet(regular)[1], atol=1e-10)
    np.testing.assert_allclose(np.einsum("spq,qs->ps", regular, step[:, 1:]), g[:, 1:], atol=1e-10)
    assert ((np.asarray(step) * g).sum(0) > 0).all()


@pytest.mark.parametrize("lanes", [FEW_LANES, FEW_LANES + 1])
@pytest.mark.parametrize("p", [FORWARD, FORWARD_OF_FEW, FORWARD_OF_FEW + 1])
def test_derivatives_by_both_modes_are_those_of_the_closed_form(p, lanes):
    with jax.enable_x64(True):
        x = jnp.asarray(np.random.default_rng(p).normal(size=(p, lanes)))
        found = derivatives(lambda x: jnp.exp(x.sum(0)) + (x**3).sum(0), x)
    same, x = np.exp(np.asarray(x).sum(0)), np.asarray(x)
    np.testing.assert_allclose(found.value, same + (x**3).sum(0), rtol=1e-12)
    np.testing.assert_allclose(found.grad, same + 3 * x**2, rtol=1e-12)
    np.testing.assert_allclose(found.hess, same + 6 * np.eye(p)[:, :, None] * x, rtol=1e-12, atol=1e-12)
