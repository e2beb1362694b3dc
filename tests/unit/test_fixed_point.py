"""Newton steps towards fixed points: they end where plain steps do, and sooner."""

from __future__ import annotations

import numpy as np
import pytest

from pyem.infer.fixed_point import StableNewton

RNG = np.random.default_rng(1)
TURN = np.linalg.qr(RNG.normal(size=(3, 3)))[0]


def climb(x):
    """A short step up a landscape with a saddle at 0 and two peaks at +1 and -1 along the first axis, turned."""
    y = TURN.T @ x
    return x + TURN @ (np.array([0.2 * (y[0] - y[0] ** 3), -0.02 * y[1], -0.5 * y[2]]))


def slopes_of(iteration, x, h=1e-3):
    return np.column_stack([(iteration(x + h * e) - iteration(x)) / h for e in np.eye(len(x))])


@pytest.mark.parametrize("beside", [0.3, -0.01, 1e-6])
def test_it_leaves_a_saddle_as_plain_steps_do(beside):
    start = x = TURN @ np.array([beside, 0.5, 0.1])
    steps, seen = StableNewton(slopes_of(climb, x), np.ones(3)), []
    while len(seen) < 45:
        image = climb(x)
        if np.abs(image - x).max() < 1e-10 and steps.stable:
            break
        x = steps(x, image, longest=0.25)
        seen.append(steps.stable)
    assert len(seen) < 45
    plain = start
    for _ in range(1200):
        plain = climb(plain)
    np.testing.assert_allclose(x, plain, atol=1e-8)
    assert not seen[0]
    assert steps.stable


def test_no_coordinate_moves_farther_than_allowed_in_its_units():
    units = np.array([1.0, 10.0, 0.1])
    away = TURN @ np.array([3.0, 40.0, 5.0])
    moved = StableNewton(slopes_of(climb, away), units)(away, climb(away), longest=0.25) - away
    assert np.abs(moved / units).max() == pytest.approx(0.25)


def test_slopes_that_are_unknown_leave_the_plain_step():
    image = climb(np.ones(3))
    np.testing.assert_array_equal(StableNewton(np.full((3, 3), np.nan), np.ones(3))(np.ones(3), image, 1.0), image)
