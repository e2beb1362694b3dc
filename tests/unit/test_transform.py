"""Transforms: bijections, with the derivative that they say they have."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pyem import Interval, Ordered, Positive, Real

SCALARS = [Real(), Positive(), Interval(0, 1), Interval(0, 20), Interval(-3, -1)]
POINTS = np.array([-8.0, -2.5, -0.1, 0.0, 0.3, 1.0, 6.0])


@pytest.fixture(autouse=True)
def _double_precision():
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize("transform", SCALARS, ids=str)
def test_round_trip(transform):
    np.testing.assert_allclose(transform.inv(transform(POINTS)), POINTS, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("transform", SCALARS, ids=str)
def test_increases_strictly_within_its_bounds(transform):
    values = np.asarray(transform(POINTS))
    low, high = transform.bounds
    assert (np.diff(values) > 0).all()
    assert (values > low).all()
    assert (values < high).all()


@pytest.mark.parametrize("transform", SCALARS, ids=str)
def test_log_det_is_the_log_of_the_derivative(transform):
    slope = [float(jax.grad(lambda x: transform(x).sum())(point)) for point in POINTS]
    np.testing.assert_allclose(transform.log_det(POINTS), np.log(slope), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    ("transform", "x", "y"),
    [(Positive(), 0.5, np.exp(0.5)), (Interval(0, 1), -1.0, 1 / (1 + np.e)), (Interval(-2, 6), 0.0, 2.0)],
    ids=str,
)
def test_known_values(transform, x, y):
    assert float(transform(x)) == pytest.approx(y, rel=1e-14)


def test_ordered_round_trip_and_jacobian():
    x = jnp.array([-0.7, 0.2, -1.5, 0.9])
    y = Ordered()(x)
    assert (np.diff(y) > 0).all()
    np.testing.assert_allclose(Ordered().inv(y), x, rtol=1e-10)
    _, log_det = np.linalg.slogdet(jax.jacobian(Ordered())(x))
    assert float(Ordered().log_det(x).sum()) == pytest.approx(float(log_det), rel=1e-12)


def test_ordered_works_along_the_first_axis():
    x = np.random.default_rng(1).normal(size=(3, 5))
    each = np.stack([np.asarray(Ordered()(column)) for column in x.T], axis=1)
    np.testing.assert_allclose(Ordered()(x), each, rtol=1e-14)


@pytest.mark.parametrize("transform", [*SCALARS, Ordered()], ids=str)
def test_equal_transforms_are_one_key(transform):
    twin = type(transform)(*transform.bounds) if isinstance(transform, Interval) else type(transform)()
    assert twin == transform
    assert hash(twin) == hash(transform)


def test_other_intervals_are_other_keys():
    assert Interval(0, 1) != Interval(0, 2)
    assert Interval(0, 1) == Interval(0.0, 1.0)
    assert hash(Interval(0, 1)) == hash(Interval(0.0, 1.0))


@pytest.mark.parametrize(("low", "high"), [(1, 1), (2, 1), (float("nan"), 1)])
def test_an_interval_needs_low_below_high(low, high):
    with pytest.raises(ValueError, match="needs low < high"):
        Interval(low, high)


@pytest.mark.parametrize("transform", SCALARS, ids=str)
def test_values_outside_the_range_have_no_inverse(transform):
    outside = [bound + step for bound, step in zip(transform.bounds, (-0.5, 0.5), strict=True) if np.isfinite(bound)]
    assert not np.isfinite(transform.inv(np.array(outside))).any()


@pytest.mark.parametrize("transform", [*SCALARS, Ordered()], ids=str)
@pytest.mark.parametrize("what", ["__call__", "log_det", "inv"])
def test_numpy_arrays_stay_with_numpy_and_have_the_values_of_jax(transform, what):
    far = np.array([-700.0, -40.0, *POINTS, 40.0, 700.0]) if transform != Positive() else POINTS
    x = np.asarray(transform(POINTS)) if what == "inv" else far
    ours, theirs = getattr(transform, what)(x), getattr(transform, what)(jnp.asarray(x))
    assert type(ours) is np.ndarray
    np.testing.assert_allclose(ours, theirs, rtol=1e-14)
