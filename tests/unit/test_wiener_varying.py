"""Starts and non-decision times that differ between trials, against dense quadrature and by differences."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pyem import Wiener
from pyem.model.times import wiener_series as series

USUAL = np.array([[-4, 4], [0.6, 2.5], [0.25, 0.75], [0.15, 0.5], [0, 2], [0, 0.5], [0, 0.35]])
EXTREME = np.array([[-8, 8], [0.3, 4], [0.03, 0.97], [0.1, 0.5], [0, 4], [0, 1], [0, 1]])


def drawn(limits: np.ndarray, n: int) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Parameters (7, n), choices and times, some of which are from people without variability."""
    rng = np.random.default_rng(3)
    at = jnp.asarray(rng.uniform(*limits.T[:, :, None], (7, n)) * np.r_[np.ones(4), rng.integers(0, 2, 3)][:, None])
    at = at.at[4:, : n // 2].set(rng.uniform(*limits.T[:, 4:, None], (3, n // 2)))
    choice, rt = jax.jit(jax.vmap(lambda at, key: Wiener(*at).sample(key), (1, 0)))(
        at, jax.random.split(jax.random.key(1), n)
    )
    return at, choice, rt


@jax.jit
def densely(at: jax.Array, choice: jax.Array, rt: jax.Array) -> jax.Array:
    """The log-density by 300 x 200 nodes, which are denser where a start is near a bound and a time is short."""
    v, a, z, t, sv, sz, st = at
    x, p = (jnp.asarray(part)[:, None] for part in np.polynomial.legendre.leggauss(300))
    y, q = (jnp.asarray(part) for part in np.polynomial.legendre.leggauss(200))
    width, sz = jnp.minimum(st, 2 * t), jnp.minimum(sz, 2 * jnp.minimum(z, 1 - z))
    first, end = jnp.sqrt(jnp.maximum(rt - t - width / 2, 0.0)), jnp.sqrt(rt - t + width / 2)
    root = first + (end - first) * (x + 1) / 2
    share = jnp.where(width > 0, 2 * (end - first) / jnp.where(width > 0, width, 1.0), 1 / end)
    v, z = jnp.where(choice == 1, -v, v), jnp.where(choice == 1, 1 - z, z)

    def add(total: jax.Array, node: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
        start, weight = z + sz * node[0] / 2, node[1] / 2
        f = jnp.exp(series.log_density(root**2, v, a, start, sv)) * root * p / 2
        return total + weight * f.sum(0), None

    return jnp.log(jax.lax.scan(add, jnp.zeros_like(rt), (y, q))[0] * share)


@jax.jit
def derivatives(at: jax.Array, choice: jax.Array):
    one = lambda at, choice: Wiener(*at[:7]).log_prob((choice, at[7]))  # noqa: E731
    return tuple(jax.vmap(f, (1, 0), -1)(at, choice) for f in (one, jax.grad(one), jax.hessian(one)))


def test_few_nodes_are_close_to_many():
    with jax.enable_x64(True):
        at, choice, rt = drawn(USUAL, 400)
        found = np.asarray(derivatives(jnp.concatenate([at, rt[None]]), choice)[0])
        error = np.abs(found - np.asarray(densely(at, choice, rt)))
    assert np.quantile(error, 0.9) < 1e-3
    assert error.max() < 2e-2


@pytest.mark.parametrize("limits", [USUAL, EXTREME], ids=["usual", "extreme"])
def test_derivatives_are_those_of_the_density_and_finite(limits):
    step = 1e-6
    with jax.enable_x64(True):
        at, choice, rt = drawn(limits, 200)
        at = jnp.concatenate([at, rt[None]])
        _, grad, hess = derivatives(at, choice)
        assert bool(jnp.isfinite(grad).all() & jnp.isfinite(hess).all())
        for k in range(8):
            up, down = (derivatives(at.at[k].add(sign * step), choice) for sign in (1, -1))
            for first, second, slope in zip(up[:2], down[:2], (grad[k], hess[:, k]), strict=True):
                gap = np.abs((first - second) / (2 * step) - slope) / (1 + np.abs(slope))
                # A width may end within a step of where it would reach beyond a bound.
                assert np.quantile(gap, 0.97) < 1e-4


def test_impossible_times_and_bounds_that_are_starts_are_finite_and_lead_back():
    with jax.enable_x64(True):
        rt = jnp.asarray([-1.0, 0.0, 0.05, 0.1501, 0.2])
        at = jnp.broadcast_to(jnp.asarray([1.0, 1.5, 0.3, 0.3, 0.5, 0.6, 0.3])[:, None], (7, 5))
        value, grad, hess = derivatives(jnp.concatenate([at, rt[None]]), jnp.zeros(5))
        assert bool(jnp.isfinite(value).all() & jnp.isfinite(grad).all() & jnp.isfinite(hess).all())
        assert (np.diff(value)[:3] > 0).all()
        assert (np.asarray(grad[7])[:3] > 0).all()
        on_bound = Wiener(1.0, 1.5, 0.0, 0.3, sv=0.5, sz=0.2, st=0.1).log_prob((0, 0.8))
    assert float(on_bound) == -np.inf


def test_third_derivatives_as_differences_do_not_depend_on_the_step():
    # With an edge of the log-density on a few trials of a data set, they would grow as steps become shorter.
    with jax.enable_x64(True):
        at = jnp.asarray([1.2, 1.5, 0.49, 0.38, 2.8, 0.86, 0.34])
        choice, rt = jax.vmap(lambda key: Wiener(*at).sample(key))(jax.random.split(jax.random.key(2), 2000))
        whole = jnp.broadcast_to(at[:, None], (7, 2000))
        hess = lambda at: np.asarray(derivatives(jnp.concatenate([at, rt[None]]), choice)[2])[:7, :7].sum(-1)  # noqa: E731
        # By the non-decision time and its width they change within 1e-4, as some responses are as fast as can be.
        for k in (0, 1, 2, 4, 5):
            by_step = [
                (hess(whole.at[k].add(step)) - hess(whole.at[k].add(-step))) / (2 * step) for step in (1e-4, 1e-6)
            ]
            np.testing.assert_allclose(*by_step, atol=0.005 * np.abs(by_step[0]).max())


@jax.jit
def densely_by(at: jax.Array, deadline: jax.Array) -> list[jax.Array]:
    """Log-probabilities, by many nodes, of the lower bound by a deadline, of its not being reached then, and of no response."""
    v, a, z, t, sv, sz, st = (part[:, None] for part in at)
    sz, st = jnp.minimum(sz, 2 * jnp.minimum(z, 1 - z)), jnp.minimum(st, 2 * t)
    x, p = np.polynomial.legendre.leggauss(12)
    drift = np.linspace(-7, 7, 61)
    grid = np.meshgrid(drift, x / 2, x / 2, indexing="ij")
    of_v, of_z, of_t = (part.ravel() for part in grid)
    weights = (np.exp(-0.5 * drift**2)[:, None, None] * p[:, None] * p).ravel()
    time, start, moved = deadline[:, None] - t - st * of_t, z + sz * of_z, v + sv * of_v
    terms = (*series.log_reached_by(time, moved, a, start), series.log_survivor(time, moved, a, start))
    return [jax.nn.logsumexp(term, axis=1, b=weights / weights.sum()) for term in terms]


def test_few_nodes_are_close_to_many_where_a_deadline_passes():
    rng = np.random.default_rng(4)
    at, deadline = rng.uniform(*USUAL.T[:, :, None], (7, 20)), rng.uniform(0.7, 2.5, 20)
    few = jax.jit(lambda at, by: (*Wiener(*at).log_cdf((jnp.zeros(20, int), by)), Wiener(*at).log_survivor(by)))
    with jax.enable_x64(True):
        for one, many in zip(few(at, deadline), densely_by(at, deadline), strict=True):
            error = np.abs(np.asarray(one) - np.asarray(many))
            assert np.sqrt((error**2).mean()) < 1e-4
            assert error.max() < 1e-3


def test_survivors_are_finite_and_continuous_where_nothing_varies_or_nobody_can_have_responded():
    def survivor(at, deadline):
        return Wiener(*at).log_survivor(deadline)

    with jax.enable_x64(True):
        at = jnp.array([1.0, 1.5, 0.5, 0.3, 0.5, 0.2, 0.1])
        moved = jnp.stack([at, at, at, at.at[4].set(6.0), at.at[4:].set(0.0), *(at.at[k].set(0.0) for k in (4, 5, 6))])
        deadlines = jnp.array([0.1, 0.3, 8.0, 1.0, 1.0, 1.0, 1.0, 1.0])
        value, slope = jax.jit(jax.vmap(jax.value_and_grad(survivor)))(moved, deadlines)
        assert bool(jnp.isfinite(value).all() & jnp.isfinite(slope).all())
        for k, name in enumerate(("sv", "sz", "st")):
            without = jax.jit(lambda at, name=name: Wiener(*at)._replace(**{name: None}).log_survivor(1.0))(at)
            np.testing.assert_allclose(value[5 + k], without, rtol=1e-12)
