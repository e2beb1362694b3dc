"""Moving bounds against bounds that stay, an integral equation, and steps in time; the model, and EZ-diffusion."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pyem
from pyem import Parameter, Positive, Wiener, models
from pyem.infer.starts import starting_points
from pyem.model.times.collapsing import collapsing
from pyem.models.response_times import ddm
from pyem.study import ez

RT = np.array([0.35, 0.5, 0.8, 1.5, 3.0, 0.4, 0.6, 1.0])


@jax.jit
def both(v, a, z, rate, time):
    """Log-densities of bounds that collapse exponentially, lower and upper, (2, time), and of either at any time."""
    dist = collapsing(v, a, z, 0.0, lambda at: jnp.exp(-rate * at))
    return jax.vmap(lambda t: jnp.stack([dist.log_prob((c, t)) for c in (0, 1)]), out_axes=1)(time), dist.logits


@pytest.mark.parametrize(("v", "a", "z"), [(1.0, 1.5, 0.5), (-2.0, 0.8, 0.3)])
def test_bounds_that_stay_are_those_of_the_diffusion_model(v, a, z):
    with jax.enable_x64(True):
        found, logits = both(v, a, z, 0.0, RT - 0.3)
        plain = Wiener(v, a, z, 0.3)
        np.testing.assert_allclose(found, [plain.log_prob((c, RT)) for c in (0, 1)], atol=1e-9)
        np.testing.assert_allclose(logits, plain.logits, atol=1e-5)


def volterra(h, slope, start: float, end: float, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Densities of both bounds at times up to `end`, without drift: the integral equation of Buonocore et al. (1990)."""
    t = np.linspace(0, end, n + 1)[1:]
    b, db, up, low = h(t), slope(t), np.zeros(n), np.zeros(n)

    def psi(at, moves, k, y, s):
        gap = t[k] - s
        return 0.5 * np.exp(-((at - y) ** 2) / (2 * gap)) / np.sqrt(2 * np.pi * gap) * (moves - (at - y) / gap)

    for k in range(n):
        for mine, sign in ((up, 1), (low, -1)):
            at, moves = sign * b[k], sign * db[k]
            past = up[:k] @ psi(at, moves, k, b[:k], t[:k]) + low[:k] @ psi(at, moves, k, -b[:k], t[:k])
            mine[k] = sign * 2 * (end / n * past - psi(at, moves, k, start, 0.0))
    return low, up


@pytest.mark.parametrize(
    ("a", "z", "rate", "end", "rtol"),
    # What collapses fast from far away is known to two digits only.
    [(1.5, 0.4, 0.3, 0.8, 3e-5), (1.5, 0.4, 1.0, 0.8, 3e-5), (5.0, 0.5, 5.0, 0.48, 0.01), (3.0, 0.2, 2.0, 0.6, 1e-3)],
)
def test_collapsing_bounds_solve_the_integral_equation(a, z, rate, end, rtol):
    solve = lambda n: np.array(  # noqa: E731
        volterra(
            lambda t: a / 2 * np.exp(-rate * t), lambda t: -rate * a / 2 * np.exp(-rate * t), (z - 0.5) * a, end, n
        )
    )
    coarse, fine = solve(600), solve(1200)
    at = np.arange(1, 9) * end / 8
    # Both of its errors are of the power 1.5 of the step.
    known = fine[:, 149::150] + (fine[:, 149::150] - coarse[:, 74::75]) / (2**1.5 - 1)
    with jax.enable_x64(True):
        found = np.exp(both(0.0, a, z, rate, at)[0])
    # Smaller ones the integral equation itself does not tell.
    np.testing.assert_allclose(found, known, rtol=rtol, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize(
    "bound",
    [
        lambda rate, time: jnp.exp(-rate * time),
        lambda rate, time: 1 / (1 + rate * time),
        lambda rate, time: jnp.exp(-((rate * time) ** 2)),
        lambda rate, time: 1 - rate * time,
    ],
    ids=["exponential", "hyperbolic", "bell", "straight"],
)
def test_densities_of_both_bounds_integrate_to_one(bound):
    rng, n = np.random.default_rng(1), 400
    ends = [(-4, 4), (np.log(0.3), np.log(5)), (0.03, 0.97), (np.log(0.05), np.log(5))]
    v, a, z, rate = (rng.uniform(low, high, n) for low, high in ends)
    with jax.enable_x64(True):
        total = jax.jit(
            jax.vmap(lambda v, a, z, r: jnp.exp(collapsing(v, a, z, 0.0, lambda t: bound(r, t)).logits).sum())
        )
        found = np.asarray(total(v, np.exp(a), z, np.exp(rate)))
    assert found.max() < 1.01
    assert found.min() > 0.985


def test_a_bound_that_leaves_no_time_for_a_response_shows_the_way_back():
    def log_f(theta):
        dist = collapsing(1.0, 1.5, 0.5, 0.3, lambda time: 1 - 2 * jnp.tan(theta) * time / 1.5)
        return dist.log_prob((1, 2.0))

    theta, step = np.linspace(0.3, 1.4, 24), 1e-5 * np.array([[-1.0], [0.0], [1.0]])
    with jax.enable_x64(True):
        value, slope = jax.jit(jax.vmap(jax.value_and_grad(log_f)))((theta + step).ravel())
    below, at, above = np.asarray(value).reshape(3, -1)
    assert (np.diff(at) < 0).all()
    np.testing.assert_allclose(np.asarray(slope)[24:48], (above - below) / 2e-5, rtol=1e-3)


@pytest.mark.slow
def test_drift_between_collapsing_bounds_is_that_of_steps_in_time():
    rng, n, dt = np.random.default_rng(0), 20000, 2e-4
    x, time, choice, live = np.zeros(n), np.zeros(n), np.zeros(n, int), np.ones(n, bool)
    for k in range(1, 15000):
        x[live] += dt + np.sqrt(dt) * rng.normal(size=live.sum())
        # Steps see a bound late by .5826 of their standard deviation (Siegmund).
        hit = live & (np.abs(x) >= 0.75 * np.exp(-k * dt) - 0.5826 * np.sqrt(dt))
        time[hit], choice[hit] = k * dt, x[hit] > 0
        live &= ~hit
    with jax.enable_x64(True):
        dist = collapsing(1.0, 1.5, 0.5, 0.0, lambda time: jnp.exp(-time))
        drawn = jax.jit(jax.vmap(dist.sample))(jax.random.split(jax.random.key(0), n))
        p = float(jnp.exp(dist.logits[1]))
    assert abs(choice.mean() - p) < 4 * np.sqrt(p * (1 - p) / n)
    assert abs(np.asarray(drawn[0]).mean() - p) < 4 * np.sqrt(p * (1 - p) / n)
    error = time.std() * np.sqrt(2 / n)
    assert abs(np.asarray(drawn[1]).mean() - time.mean()) < 4 * error
    assert abs(np.asarray(drawn[1]).std() - time.std()) < 4 * error


def test_the_model_says_what_it_cannot_do():
    half = Parameter("half", Positive(), "seconds to half of the distance")
    own = pyem.MovingBound(lambda p, time: 1 / (1 + time / p.half), (half,), "hyperbolic")
    model = ddm(bound=own)
    assert (model.name, model.names) == ("ddm_hyperbolic", ("v", "a", "z", "t", "half"))
    with pytest.raises(ValueError, match="choose 'angle', 'exponential'"):
        ddm(bound="linear")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="leave them or bound= out"):
        ddm(bound="angle", deadline=2.0)
    fields = {"choice": [[[0, 1]]], "rt": [[[0.6, 0.7]]], "load": [[[0.0, 1.0]]]}
    with pytest.raises(ValueError, match="solves for 'theta' once a block"):
        pyem.fit_map(pyem.regress(ddm(bound="angle"), "theta ~ load"), pyem.Dataset.from_arrays(fields))


def test_a_learner_with_bounds_that_move_says_what_it_has():
    moving = pyem.with_decision(models.get("rw1a1b"), bound="angle")
    assert (moving.name, moving.names) == ("rw1a1b+ddm_angle", ("v", "alpha", "a", "z", "t", "theta"))
    assert [one.name for one in moving.parameters if one.per_block] == ["a", "z", "theta"]
    for bad in ({"decision": "rdm"}, {"sz": True}):
        with pytest.raises(ValueError, match="a part of 'ddm' without sz and st"):
            pyem.with_decision(models.get("rw1a1b"), bound="angle", **bad)


@pytest.mark.slow
def test_learning_decides_between_bounds_that_move():
    plain, moving = (pyem.with_decision(models.get("rw1a1b"), bound=bound) for bound in (None, "angle"))
    fields = {"choice": [[[1, 0]]], "rt": [[[0.6, 0.7]]], "reward": [[[1.0, 0.0]]]}
    data = pyem.Dataset.from_arrays(fields)
    still = pyem.log_lik(plain, data, [2.0, 0.4, 1.5, 0.4, 0.2])
    np.testing.assert_allclose(pyem.log_lik(moving, data, [2.0, 0.4, 1.5, 0.4, 0.2, 1e-9]), still, atol=1e-7)

    # On the first trial the values are alike, on the second option 1 has 0.2 more.
    def of_trial(v, time):
        dist = collapsing(v, 1.5, 0.4, 0.0, lambda at: 1 - 2 * jnp.tan(0.3) * at / 1.5)
        return jnp.stack([dist.log_prob((choice, time)) for choice in (0, 1)])

    with jax.enable_x64(True):
        each = np.asarray(jax.jit(jax.vmap(of_trial))(np.array([0.0, 0.4]), np.array([0.4, 0.5])))
    found = pyem.log_lik(moving, data, [2.0, 0.4, 1.5, 0.4, 0.2, 0.3])
    np.testing.assert_allclose(found, each[0, 1] + each[1, 0], rtol=1e-9)
    estimates = pyem.fit_map(moving, data)
    assert {"value0", "value1"} == {name for name in estimates.latents() if "value" in name or "bounds" in name}


@pytest.mark.slow
@pytest.mark.parametrize("bound", ["angle", "exponential"])
def test_fits_of_moving_bounds_find_what_made_the_data(bound):
    model = pyem.fix(pyem.models.get("ddm", bound=bound), z=0.5)
    data = pyem.simulate(model, subjects=20, trials=200, key=5)
    fit = pyem.fit_em(model, data)
    still = pyem.fit_em(pyem.fix(pyem.models.get("ddm"), z=0.5), data)
    assert fit.log_lik.sum() > still.log_lik.sum() + 10
    for name in ("v", "t"):
        k = model.names.index(name)
        assert np.corrcoef(data.true_params[:, k], fit.params[:, k])[0, 1] > 0.7


def test_ez_diffusion_is_its_published_example_and_says_what_is_missing():
    # Wagenmakers et al. (2007): accuracy .802, variance .112 and mean .723 give .0999, .14 and .3, with a noise of .1.
    np.testing.assert_allclose(ez.estimates(0.802, 0.723, 0.112), (0.999, 1.400, 0.300), atol=5e-4)
    assert np.isnan(ez.estimates(0.9, 0.5, 0.0)).all()
    fields = {"choice": [[[1, 1, 1, 0]], [[1, 1, 1, 1]]], "rt": [[[0.5, 0.6, 0.8, 0.7]], [[0.5, 0.6, 0.8, 0.7]]]}
    table = pyem.ez_diffusion(pyem.Dataset.from_arrays(fields))
    assert table.accuracy.tolist() == [0.75, 1.0]
    assert np.isfinite(table[["v", "a", "t"]].to_numpy()).all()
    with pytest.raises(pyem.DataError, match="no 'rt'"):
        pyem.ez_diffusion(pyem.Dataset.from_arrays({"choice": fields["choice"]}))


def test_searches_start_from_ez_estimates():
    model = pyem.models.get("ddm")
    fields = {"choice": [[[1, 1, 1, 0]], [[1, 1, 1, 1]]], "rt": [[[0.5, 0.6, 0.8, 0.7]], [[0.5, 0.5, 0.5, 0.5]]]}
    data = pyem.Dataset.from_arrays(fields)
    (x,) = starting_points(model, data, "ez", 1, 0)
    known, typical = model.natural(x)
    v, a, t = ez.estimates(0.75, 0.65, np.var(fields["rt"][0], ddof=1))
    np.testing.assert_allclose(known[[0, 1, 3]], (v, a, min(t, 0.95 * 0.5)), rtol=1e-12)
    np.testing.assert_allclose(typical, model.natural(model.typical[0]))
    by_stimulus = pyem.Dataset.from_arrays(fields | {"stimulus": [[[1, 1, 1, 0]], [[1, 1, 1, 1]]]})
    (right,) = starting_points(pyem.models.get("ddm_stimulus"), by_stimulus, "ez", 1, 0)
    assert right[0, 0] > x[0, 0]
    with pytest.raises(ValueError, match="the one that has a name is 'ez'"):
        starting_points(model, data, "easy", 1, 0)
    with pytest.raises(ValueError, match="for diffusion decision models with v, a and t"):
        starting_points(pyem.models.get("lba"), data, "ez", 1, 0)
