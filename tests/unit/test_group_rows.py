"""Rows of tables of groups."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import integrate, stats
from scipy.special import expit

import pyem
from pyem.population.group import Group
from pyem.population.population import populate
from pyem.results.group_rows import group_rows, natural_mean
from pyem.results.point_problems import group_problems


def test_the_mean_of_people_is_that_of_their_distribution():
    model = pyem.models.get("ddm")
    mean, sd = np.array([1.0, 0.4, 0.3, -1.2]), np.array([0.5, 0.3, 0.8, 0.2])
    v, a, z, t = natural_mean(model, mean, sd)
    start = integrate.quad(lambda x: expit(x) * stats.norm.pdf(x, 0.3, 0.8), -10, 10)[0]
    assert (v, a, z, t) == pytest.approx((1.0, np.exp(0.4 + 0.045), start, np.exp(-1.2 + 0.02)), rel=1e-9)
    draws = natural_mean(model, np.stack([mean, mean]), np.stack([sd, 0 * sd]))
    np.testing.assert_allclose(draws, [[v, a, z, t], model.natural(mean)])


@pytest.mark.parametrize(
    ("curvature", "said"),
    [
        ([9.0, 9.0, 4.0, 4.0], []),
        ([9.0, 9.0, 4.0, -1.0], ["standard errors of the group's sds and correlations cannot be told"]),
        ([9.0, -1.0, 4.0, 4.0], ["the group's standard errors cannot be told"]),
    ],
)
def test_errors_that_cannot_be_told_are_told_of(curvature, said):
    model = pyem.models.get("rw1a1b")
    group = {"names": model.names, "mean": np.zeros(2), "sd": np.ones(2), "covariates": {}, "n_subjects": 9}
    population = populate(Group(), **group)
    texts = group_problems(model, population, np.diag(curvature))
    assert [text.startswith(one) for text, one in zip(texts, said, strict=True)] == [True] * len(said)
    assert all("ask less of the data: fix" in text for text in texts)
    rows = {(row["kind"], row["parameter"]): row["se"] for row in group_rows(model, population, np.diag(curvature))}
    # Whatever has no error in the table is told of.
    missing = {kind for (kind, _), error in rows.items() if np.isnan(error)}
    assert missing == ({"mean", "sd"} if min(curvature[:2]) < 0 else {"sd"} if said else set())
