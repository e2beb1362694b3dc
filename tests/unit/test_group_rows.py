"""Rows of tables of groups."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import integrate, stats
from scipy.special import expit

import pyem
from pyem.results.group_rows import natural_mean


def test_the_mean_of_people_is_that_of_their_distribution():
    model = pyem.models.get("ddm")
    mean, sd = np.array([1.0, 0.4, 0.3, -1.2]), np.array([0.5, 0.3, 0.8, 0.2])
    v, a, z, t = natural_mean(model, mean, sd)
    start = integrate.quad(lambda x: expit(x) * stats.norm.pdf(x, 0.3, 0.8), -10, 10)[0]
    assert (v, a, z, t) == pytest.approx((1.0, np.exp(0.4 + 0.045), start, np.exp(-1.2 + 0.02)), rel=1e-9)
    draws = natural_mean(model, np.stack([mean, mean]), np.stack([sd, 0 * sd]))
    np.testing.assert_allclose(draws, [[v, a, z, t], model.natural(mean)])
