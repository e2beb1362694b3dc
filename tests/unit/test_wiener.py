"""The Wiener first-passage distribution against sums of 50 digits, its own integrals, and its sampler."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from scipy import stats

from pyem import Wiener
from pyem.model.times import ExGaussian, ShiftedWald
from pyem.model.times import wiener_series as series

FALSE_ALARM = 1e-3
PEOPLE = [(0.0, 1.0, 0.5), (1.5, 2.0, 0.3), (-3.0, 1.2, 0.8), (5.0, 4.0, 0.1), (0.01, 0.5, 0.9)]


def exact(s: float, w: float) -> float:
    """The log-density without drift by the series that converges faster, with 50 digits."""
    with mpmath.workdps(50):
        s, w, pi = mpmath.mpf(s), mpmath.mpf(w), mpmath.pi
        if s < 1:
            images = mpmath.fsum((w + 2 * k) * mpmath.exp(-((w + 2 * k) ** 2) / (2 * s)) for k in range(-9, 10))
            return float(mpmath.log(images) - mpmath.log(2 * pi * s**3) / 2)
        waves = mpmath.fsum(k * mpmath.sin(k * pi * w) * mpmath.exp(-k * k * pi**2 * s / 2) for k in range(1, 16))
        return float(mpmath.log(pi * waves))


@pytest.mark.parametrize("n", [17, pytest.param(100, marks=pytest.mark.slow)])
def test_density_is_exact(n):
    s, w = np.meshgrid(np.geomspace(1e-3, 30, n), np.r_[1e-4, np.linspace(0.01, 0.99, n - 2), 1 - 1e-4])
    expected = np.vectorize(exact)(s, w)
    with jax.enable_x64(True):
        found = jax.jit(series.log_standard_density)(jnp.asarray(s), jnp.asarray(w))
    assert np.abs(np.asarray(found) - expected).max() < 1e-10


def test_derivatives_of_the_density_are_those_line_by_line():
    s, w = (part.ravel() for part in np.meshgrid(np.geomspace(6e-4, 30, 25), np.r_[0.02, 0.3, 0.5, 0.9, 0.99]))
    s = np.maximum(s, 1e-3 * w**2)
    both = lambda of: jax.jit(jax.vmap(lambda s, w: (jax.grad(of, (0, 1))(s, w), jax.hessian(of, (0, 1))(s, w))))(s, w)  # noqa: E731
    with jax.enable_x64(True):
        by_hand, plain = both(series.log_standard_density), both(series.log_standard_density.__wrapped__)
    by_hand, plain = (jax.tree.map(np.asarray, one) for one in (by_hand, plain))
    for found, known in zip(*map(jax.tree.leaves, (by_hand, plain)), strict=True):
        # A second derivative is the difference of numbers of this size.
        size = np.maximum(np.abs(known), 1 + (w / s) ** 2 * (1 + 1 / s))
        assert (np.abs(found - known) / size).max() < 1e-11
        assert np.median(np.abs(found / known - 1)) < 1e-12


def points(n: int, seed: int = 1) -> np.ndarray:
    """Times, also impossible ones, drifts, separations, starts and variability, (5, n)."""
    rng = np.random.default_rng(seed)
    low, high = np.array([[-1, 3], [-9, 9], [0.2, 4], [0.01, 0.99], [0, 2]]).T
    return rng.uniform(low[:, None], high[:, None], (5, n))


@jax.jit
def derivatives(at):
    one = lambda at: series.log_density(*at)  # noqa: E731
    return tuple(jax.vmap(f, -1, -1)(at) for f in (one, jax.grad(one), jax.hessian(one)))


def test_derivatives_are_finite_everywhere_and_those_of_the_density():
    at, step = points(3000), 1e-6
    # Both sides of the time at which the series meet, and of the earliest possible one.
    at[0, :4] = [*(series.MEET * at[2, 0] ** 2 * np.array([1 - 1e-9, 1 + 1e-9])), 1e-9, 0.0]
    at[1:, 1] = at[1:, 0]
    with jax.enable_x64(True):
        value, grad, hess = derivatives(jnp.asarray(at))
        assert all(bool(jnp.isfinite(part).all()) for part in (value, grad, hess))
        assert abs(value[0] - value[1]) < 1e-7
        usual = np.asarray(value) > -200
        assert usual.sum() > 1500
        for k in range(5):
            up, down = (derivatives(jnp.asarray(at + sign * step * np.eye(5)[:, [k]])) for sign in (1, -1))
            for first, second, slope in zip(up[:2], down[:2], (grad[k], hess[:, k]), strict=True):
                change = np.asarray((first - second) / (2 * step))
                scale = 1 + np.abs(np.asarray(slope))
                assert (np.abs(change - slope) / scale)[..., usual].max() < 1e-4


def test_what_is_impossible_leads_back_to_what_is_possible():
    with jax.enable_x64(True):
        values, grads, _ = derivatives(jnp.asarray([[-1.0, 0.0, 1e-5], [1.0] * 3, [1.5] * 3, [0.5] * 3, [0.0] * 3]))
    assert (np.asarray(values) < -900).all()
    assert (np.diff(values) > 0).all()
    assert (np.asarray(grads[0]) > 0).all()


def nodes(low: float, high: float, n: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Gauss-Legendre nodes of a time on the logarithmic scale, and their weights."""
    x, weight = np.polynomial.legendre.leggauss(n)
    time = np.exp(np.log(low) + (x + 1) / 2 * np.log(high / low))
    return time, weight / 2 * np.log(high / low) * time


density = jax.jit(lambda dist, choice, rt: jnp.exp(dist.log_prob((choice, rt))))
cdf = jax.jit(lambda dist, choice, rt: dist.cdf((choice, rt)))


def people(**extra) -> Wiener:
    """Several distributions at once, along the first axis."""
    return Wiener(*np.array(PEOPLE).T[:, :, None], **extra)


@pytest.mark.parametrize("extra", [{}, {"sv": 1.2}, {"sz": 0.15}])
def test_both_bounds_together_have_probability_one(extra):
    # A start close to a bound is over within microseconds.
    time, weight = nodes(1e-7, 2000.0)
    with jax.enable_x64(True):
        masses = np.array([density(people(**extra), choice, time) @ weight for choice in (0, 1)])
        np.testing.assert_allclose(masses.sum(0), 1.0, atol=1e-8)
        np.testing.assert_allclose(masses, np.exp(people(**extra).logits)[:, 0].T, atol=1e-7)


def test_distribution_is_the_integral_of_the_density_and_its_inverse():
    ends = np.array([0.03, 0.3, 0.8, 4.0])
    with jax.enable_x64(True):
        gone = np.zeros((len(PEOPLE), len(ends)))
        for choice in (0, 1):
            found = np.asarray(cdf(people(t=0.2), choice, 0.2 + ends))
            for k, end in enumerate(ends):
                time, weight = nodes(1e-5, end)
                part = np.asarray(density(people(t=0.2), choice, 0.2 + time)) @ weight
                np.testing.assert_allclose(found[:, k], part, atol=1e-10)
            gone += found
        left = np.exp(jax.jit(Wiener.log_survivor)(people(t=0.2), 0.2 + ends))
        np.testing.assert_allclose(left, 1 - gone, atol=1e-12)
        q = np.array([1e-6, 0.1, 0.5, 1 - 1e-6])
        again = cdf(people(), 1, jax.jit(Wiener.icdf)(people(), 1, q)) / np.exp(people().logits[..., 1])
        np.testing.assert_allclose(again, np.broadcast_to(q, again.shape), rtol=1e-9)


@functools.partial(jax.jit, static_argnums=1)
def samples(key, n, dist):
    return jax.vmap(dist.sample)(jax.random.split(key, n))


@pytest.mark.parametrize("extra", [{}, pytest.param({"sv": 1.0, "sz": 0.2, "st": 0.2}, marks=pytest.mark.slow)])
def test_samples_have_the_distribution(extra):
    n = 2000
    dist = Wiener(1.0, 1.6, 0.4, 0.3, **extra)
    with jax.enable_x64(True):
        choice, rt = (np.asarray(part) for part in samples(jax.random.key(1), n, dist))
        p = np.asarray(jax.nn.softmax(dist.logits))
        assert stats.binomtest(int(choice.sum()), n, p[1]).pvalue > FALSE_ALARM
        for c in (0, 1):
            mine = np.asarray(cdf(dist, c, rt))[choice == c]
            gap = stats.kstest(mine / p[c], "uniform")
            assert gap.pvalue > FALSE_ALARM


def test_without_variability_it_is_the_limit_of_little():
    rt = np.linspace(0.4, 2.0, 5)
    with jax.enable_x64(True):
        plain = density(Wiener(1.0, 1.6, 0.4, 0.3), 1, rt)
        little = density(Wiener(1.0, 1.6, 0.4, 0.3, sv=1e-5, sz=1e-5, st=1e-5), 1, rt)
    np.testing.assert_allclose(np.log(little), np.log(plain), atol=1e-8)


def test_times_before_the_start_are_left_out_of_a_uniform_non_decision_time():
    dist = Wiener(1.0, 1.0, 0.5, 0.4, st=0.3)
    with jax.enable_x64(True):
        rt = np.array([0.3, 0.42, 0.5, 0.7])
        low, high = rt - 0.4 - 0.15, rt - 0.4 + 0.15
        early, late = (cdf(dist._replace(t=0.0, st=None), 1, np.maximum(at, 0.0)) for at in (low, high))
        np.testing.assert_allclose(density(dist, 1, rt), (late - early) / 0.3, rtol=2e-4, atol=1e-6)


def test_icdf_says_what_it_cannot_do():
    with pytest.raises(ValueError, match="leave out sv, sz and st"):
        Wiener(1.0, 1.0, sv=1.0).icdf(1, 0.5)


ALONE = {
    "shifted_wald": (ShiftedWald(3.0, 1.2, 0.2), stats.invgauss(1 / 3.6, loc=0.2, scale=1.44)),
    "ex_gaussian": (ExGaussian(0.5, 0.08, 0.2), stats.exponnorm(2.5, loc=0.5, scale=0.08)),
}


@pytest.mark.parametrize("name", ALONE)
def test_times_alone_are_those_of_scipy(name):
    dist, known = ALONE[name]
    rt, above = np.array([0.25, 0.4, 0.6, 1.0, 3.0]), known.sf(0.0)
    with jax.enable_x64(True):
        np.testing.assert_allclose(jax.jit(dist.log_prob)(rt), known.logpdf(rt) - np.log(above), rtol=1e-10)
        np.testing.assert_allclose(jax.jit(dist.cdf)(rt), (known.cdf(rt) - known.cdf(0.0)) / above, rtol=1e-8)
        drawn = jax.jit(jax.vmap(dist.sample))(jax.random.split(jax.random.key(2), 2000))
    assert stats.kstest(np.asarray(drawn), known.cdf).pvalue > FALSE_ALARM


@pytest.mark.parametrize(
    ("mu", "sigma", "tau"), [(0.1, 0.2, 0.15), (-0.3, 0.2, 0.1), (0.05, 0.3, 0.0001), (0.2, 0.0, 0.1)]
)
def test_an_ex_gaussian_near_0_is_truncated_there(mu, sigma, tau):
    # Without a normal part, SciPy's form ends: it is an exponential time then.
    known = stats.exponnorm(tau / sigma, loc=mu, scale=sigma) if sigma else stats.expon(loc=mu, scale=tau)
    dist, above = ExGaussian(mu, sigma, tau), known.sf(0.0)
    rt = np.array([-0.1, 0.0, 0.01, 0.25, 0.5, 1.0])
    with jax.enable_x64(True):
        expected = np.where(rt > 0, known.logpdf(rt) - np.log(above), -np.inf)
        np.testing.assert_allclose(jax.jit(dist.log_prob)(rt), expected, rtol=1e-7, atol=1e-7)
        expected = np.where(rt > 0, 1 - known.sf(rt) / above, 0.0)
        np.testing.assert_allclose(jax.jit(dist.cdf)(rt), expected, atol=1e-9)
        drawn = np.asarray(jax.jit(jax.vmap(dist.sample))(jax.random.split(jax.random.key(3), 4000)))
    assert (drawn > 0).all()
    assert stats.kstest(drawn, lambda at: 1 - known.sf(at) / above).pvalue > FALSE_ALARM


def test_an_ex_gaussian_that_is_hardly_skewed_is_a_normal_distribution():
    with jax.enable_x64(True):
        dist = ExGaussian(1.0, 0.2, 1e-12)
        rt = np.array([0.3, 0.9, 1.6])
        known = stats.norm(1.0, 0.2)
        np.testing.assert_allclose(dist.log_prob(rt), known.logpdf(rt) - np.log(known.sf(0.0)), atol=1e-8)
