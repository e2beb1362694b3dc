"""Races: accumulators against 60 digits, choices against their integral, samplers, options of the models, learning and
racing."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from scipy import stats

import pyem
from pyem import models
from pyem.model.times import LBA, LNR, RDM, Race, lba_left, rate, rdm_left, tails
from tests.oracle.racing import race

FALSE_ALARM = 1e-3
RACES = {
    "lba": Race(LBA(jnp.array([1.0, 2.5]), 0.6, 0.5), 0.2),
    "rdm": Race(RDM(jnp.array([1.0, 3.0]), 0.9, 0.5), 0.2),
    "lnr": Race(LNR(jnp.array([-0.3, -0.9, 0.1]), 0.5), 0.2),
}


def normal(z):
    return mpmath.erfc(-z / mpmath.sqrt(2)) / 2


def phi(z):
    return mpmath.exp(-z * z / 2) / mpmath.sqrt(2 * mpmath.pi)


def exact(kind: str, *given: float) -> tuple[float, float]:
    """Log-density and log-survivor of one accumulator, by the published closed forms with so many digits that none is lost."""
    with mpmath.workdps(300):
        t, v, near, width = map(mpmath.mpf, given)
        far, root = near + width, mpmath.sqrt(t)
        if kind == "rdm":
            h = lambda k: v * normal((k - v * t) / root) - phi((k - v * t) / root) / root  # noqa: E731

            def left(k):
                z = (k - v * t) / root
                both = mpmath.exp(2 * v * k) * normal(-(k + v * t) / root) + normal(z)
                return root * (z * normal(z) + phi(z)) - both / (2 * v)

            return float(mpmath.log((h(far) - h(near)) / width)), float(mpmath.log((left(far) - left(near)) / width))
        low, high, share = (near - v * t) / t, (far - v * t) / t, normal(v)
        density = (v * (normal(high) - normal(low)) + phi(low) - phi(high)) / width / share
        beyond = lambda z: phi(z) - z * normal(-z)  # noqa: E731
        return float(mpmath.log(density)), float(mpmath.log(1 - (beyond(low) - beyond(high)) / (high - low) / share))


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "made"), [("rdm", RDM), ("lba", LBA)])
def test_accumulators_are_exact_from_early_to_late_and_from_narrow_to_wide_starts(kind, made):
    rng = np.random.default_rng(3)
    t, near, width = (
        np.exp(rng.uniform(np.log(ends[0]), np.log(ends[1]), 200)) for ends in ((0.02, 20), (0.02, 4), (1e-4, 4))
    )
    v = np.exp(rng.uniform(np.log(0.01), np.log(8), 200)) if kind == "rdm" else rng.uniform(-3, 8, 200)
    expected = np.array([exact(kind, *each) for each in zip(t, v, near, width, strict=True)])
    with jax.enable_x64(True):
        both = jax.jit(lambda racers, t: (racers.log_density(t), racers.log_survivor(t)))(made(v, near, width), t)
    for found, known in zip(both, expected.T, strict=True):
        seen = known > -900
        assert (np.abs(np.asarray(found) - known) / np.maximum(1, np.abs(known)))[seen].max() < 1e-10


@pytest.mark.slow
@pytest.mark.parametrize("made", [RDM, LBA, LNR])
def test_derivatives_are_finite_everywhere(made):
    rng = np.random.default_rng(0)
    n = 3 if made is not LNR else 2
    at = np.c_[rng.uniform(-1, 4, 500), rng.uniform(-20, 20, (500, n))]

    def both(a):
        racers = made(jnp.exp(a[1]) if made is RDM else a[1], *jnp.exp(a[2:]))
        return jnp.stack([racers.log_density(a[0]), racers.log_survivor(a[0])])

    with jax.enable_x64(True):
        parts = jax.jit(
            jax.vmap(lambda a: (both(a), jax.jacfwd(jax.jacfwd(both))(a), jax.jacfwd(jax.jacrev(both))(a)))
        )(at)
    assert all(bool(jnp.isfinite(part).all()) for part in parts)


DISTANCES = {"rate": rate.log_mean_rate, "lba": lba_left.log_mean_left, "rdm": rdm_left.log_mean_left}


@pytest.mark.parametrize(
    "name", ["rate", pytest.param("lba", marks=pytest.mark.slow), pytest.param("rdm", marks=pytest.mark.slow)]
)
def test_derivatives_by_hand_are_those_line_by_line(name):
    rng = np.random.default_rng(5)
    t, near, width = (
        np.exp(rng.uniform(np.log(ends[0]), np.log(ends[1]), 400)) for ends in ((0.1, 10), (0.02, 4), (1e-4, 4))
    )
    drift = np.exp(rng.uniform(np.log(0.01), np.log(8), 400)) if name == "rdm" else rng.uniform(-3, 8, 400)
    unit = np.sqrt(t) if name == "rdm" else t
    at = np.c_[near / unit, (near + width) / unit, drift * unit if name == "rdm" else drift]
    by_hand, plain = DISTANCES[name], DISTANCES[name].__wrapped__

    def both(function):
        of_one = lambda a: function(*a)  # noqa: E731
        return jax.jit(jax.vmap(lambda a: (jax.jacfwd(of_one)(a), jax.jacfwd(jax.jacfwd(of_one))(a))))(at)

    with jax.enable_x64(True):
        for found, known in zip(both(by_hand), both(plain), strict=True):
            size = np.abs(known).reshape(400, -1).max(1)
            error = np.abs(np.asarray(found) - known).reshape(400, -1).max(1)
            assert (error / np.maximum(1, size)).max() < 1e-6
            assert np.median(error / np.maximum(1, size)) < 1e-11


@pytest.mark.parametrize("drift", [0.0, 1e-6, 0.0249, 0.0251, 0.5, 8.0])
def test_integrals_over_the_distance_are_exact_for_slow_and_fast_drifts(drift):
    ends = 0.3, 2.5
    with jax.enable_x64(True):
        k = jnp.array(ends)
        z = k - drift
        tail, top = stats.norm.sf(z), stats.norm.pdf(z)
        d, e, f = rdm_left._quotients(z, tail, top, top * tails.mills(k + drift), jnp.asarray(2 * drift))
        found = [np.diff(each)[0] for each in (d, k * d - e, k**2 * d - 2 * k * e + 2 * f)]
    with mpmath.workdps(40):
        reflected = lambda k: mpmath.exp(2 * k * drift) * normal(-(k + mpmath.mpf(drift)))  # noqa: E731
        known = [float(mpmath.quad(lambda k, n=n: k**n * reflected(k), ends)) for n in range(3)]
    np.testing.assert_allclose(found, known, rtol=0, atol=1e-10)


def test_mills_ratio_is_exact_at_any_distance():
    m = np.r_[0.0, np.geomspace(1e-300, 1e-3, 20), np.linspace(0.01, 40, 200), np.geomspace(40, 1e8, 20)]
    with jax.enable_x64(True):
        found = np.asarray(tails.mills(jnp.asarray(m)))
    with mpmath.workdps(40):
        known = [mpmath.exp(mpmath.mpf(x) ** 2 / 2) * mpmath.erfc(mpmath.mpf(x) / mpmath.sqrt(2)) for x in m]
        errors = [abs(float(a / (mpmath.sqrt(mpmath.pi / 2) * b) - 1)) for a, b in zip(found, known, strict=True)]
    assert max(errors) < 3e-15


def _log_mills(m):
    return mpmath.log(normal(-m) / phi(m))


def _log_ndtr(z):
    return mpmath.log1p(-normal(-z)) if z > 0 else mpmath.log(normal(z))


@pytest.mark.parametrize(("name", "known", "lowest"), [("log_mills", _log_mills, 0.0), ("log_ndtr", _log_ndtr, -200.0)])
def test_logarithms_of_normal_tails_have_exact_derivatives(name, known, lowest):
    function, at = getattr(tails, name), [lowest, -1.0 if lowest else 1e-9, 1e-3, 0.5, 4.0, 19.9, 20.1, 300.0]
    with jax.enable_x64(True):
        ways = (function, jax.grad(function), jax.grad(jax.grad(function)), jax.jacfwd(jax.grad(jax.grad(function))))
        found = np.array([[float(way(jnp.asarray(x))) for x in at] for way in ways])
    with mpmath.workdps(80):
        exact = [[mpmath.diff(known, mpmath.mpf(x), n, h=mpmath.mpf(10) ** -18) for x in at] for n in range(4)]
    for n, tolerance in enumerate((1e-14, 1e-12, 1e-9)):
        np.testing.assert_allclose(found[n], np.array(exact[n], float), rtol=tolerance, atol=1e-300)
    assert np.isfinite(found).all()


@pytest.mark.parametrize("ends", [(0.03, 0.1, 18.9), (0.24, 0.37, 16.0), (0.02, 1.5, 3.0), (0.7, 1.2, 25.0)])
def test_the_drift_s_derivatives_keep_their_digits_where_hardly_anybody_is_left(ends):
    near, far, drift = ends
    back = lambda k: mpmath.exp(2 * k * drift) * normal(-(k + drift))  # noqa: E731
    with mpmath.workdps(30):
        whole, once, twice = (
            mpmath.quad(part, mpmath.linspace(near, far, 6))
            for part in (
                lambda k: normal(k - drift) - back(k),
                lambda k: -2 * k * back(k),
                lambda k: 2 * k * phi(k - drift) - 4 * k**2 * back(k),
            )
        )
        known = [
            float(mpmath.log(whole / (far - near))),
            float(once / whole),
            float(twice / whole - (once / whole) ** 2),
        ]
    with jax.enable_x64(True):
        of_drift = lambda v: rdm_left.log_mean_left(jnp.asarray(near), jnp.asarray(far), v)  # noqa: E731
        found = [float(of(jnp.asarray(drift))) for of in (of_drift, jax.grad(of_drift), jax.grad(jax.grad(of_drift)))]
    np.testing.assert_allclose(found[:2], known[:2], rtol=1e-9)
    np.testing.assert_allclose(found[2], known[2], rtol=1e-6)


def test_branches_that_are_not_taken_have_finite_derivatives_in_reverse_mode():
    # A rate that is below 1e-154 in the branch for the middle of the distribution, which is not taken here.
    with jax.enable_x64(True):
        second = jax.jit(jax.hessian(lambda at: rate.log_mean_rate(*at)))(jnp.array([30.0, 55.0, 2.8]))
    assert bool(jnp.isfinite(second).all())


@pytest.mark.parametrize(
    "kind", [pytest.param("lba", marks=pytest.mark.slow), pytest.param("rdm", marks=pytest.mark.slow), "lnr"]
)
def test_a_race_is_a_distribution_and_its_samples_have_it(kind):
    dist, n = RACES[kind], 2000
    with jax.enable_x64(True):
        p, by, left, drawn = jax.jit(
            lambda: (
                jnp.exp(dist.logits),
                dist.cdf((1, jnp.array([0.1, 0.5, 0.9]))),
                jnp.exp(dist.log_survivor(0.9)),
                jax.vmap(dist.sample)(jax.random.split(jax.random.key(1), n)),
            )
        )()
        assert abs(float(p.sum()) - 1) < 1e-10
        x, weight = np.polynomial.legendre.leggauss(80)
        time = 0.2 + (x + 1) / 2 * 0.7
        masses = [float(0.35 * weight @ np.exp(jax.jit(dist.log_prob)((k, jnp.asarray(time))))) for k in range(len(p))]
    assert float(by[0]) == 0
    np.testing.assert_allclose(float(by[2]), masses[1], atol=1e-8)
    np.testing.assert_allclose(1 - float(left), sum(masses), atol=1e-8)
    choice, rt = (np.asarray(part) for part in drawn)
    assert stats.chisquare(np.bincount(choice, minlength=len(p)), n * np.asarray(p)).pvalue > FALSE_ALARM
    assert stats.binomtest(int((rt <= 0.9).sum()), n, sum(masses)).pvalue > FALSE_ALARM


def test_a_race_with_a_deadline_and_its_words():
    late = models.get("lnr", deadline=1.0)
    assert (late.options, late.names) == (3, ("m0", "m1", "s", "t"))
    found = pyem.log_lik(late, _data([[0, 2]], [[0.6, 9.0]]), [-0.3, -0.9, 0.5, 0.2])
    with jax.enable_x64(True):
        dist = Race(LNR(jnp.array([-0.3, -0.9]), 0.5), 0.2)
        expected = float(dist.log_prob((0, 0.6)) + dist.log_survivor(1.0))
    np.testing.assert_allclose(found, expected, rtol=1e-10)
    for bad in ({"coding": "side"}, {"options": 1}, {"deadline": 0.0}, {"p_outlier": 1.5}):
        with pytest.raises(ValueError, match=str(next(iter(bad)))):
            models.get("lba", **bad)
    with pytest.raises(ValueError, match="parts of 'ddm'"):
        pyem.with_decision(models.get("rw1a1b"), "rdm", sv=True)


def _data(choice, rt, **more) -> pyem.Dataset:
    return pyem.Dataset.from_arrays({"choice": np.array([choice]), "rt": np.array([rt])} | more)


def test_learning_and_racing_is_the_race_of_the_values():
    learner = pyem.with_decision(models.get("rw1a1b", options=3), "lnr")
    assert learner.names == ("v", "alpha", "m", "s", "t")
    choice, rt, reward = [1, 0, 2], [0.7, 0.6, 0.9], [1.0, 0.0, 1.0]
    found = pyem.log_lik(learner, _data([choice], [rt], reward=np.array([[reward]])), [2.0, 0.4, -0.3, 0.5, 0.2])[0]
    q, total = np.full(3, 0.5), 0.0
    for c, seconds, paid in zip(choice, rt, reward, strict=True):
        p = {"m": -0.3 - 2.0 * q, "s": 0.5, "t": 0.2}
        total += race("lnr", p, [{"choice": c, "rt": seconds}], options=3)[0]
        q[c] += 0.4 * (paid - q[c])
    assert abs(found - total) < 1e-10


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["lba", "rdm", "lnr"])
def test_fits_of_races_find_what_made_the_data(kind):
    model = models.get(kind)
    data = pyem.simulate(model, subjects=20, trials=200, key=5)
    fit = pyem.fit_em(model, data)
    assert fit.converged
    assert fit.problems() == []
    for k in (1, model.names.index("t")):
        assert np.corrcoef(data.true_params[:, k], fit.params[:, k])[0, 1] > 0.7
