"""The information on a group, where people's likelihoods are Gaussian and all is known in closed form."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy import stats

import pyem
from pyem.infer.standard_errors import louis_information, score_and_information, with_scatter
from pyem.population.population import Population, populate
from pyem.population.posterior import Laplace, Modes
from pyem.results.group_rows import group_covariance, group_rows, scatter_factor


def known_people(sd: tuple[float, float], corr: float, error: float) -> tuple[Population, Laplace]:
    """A group of two correlated parameters, and people whose likelihoods are Gaussian, of about this error."""
    rng = np.random.default_rng(7)
    start = populate(
        pyem.Group(covariance="full"), names=("a", "b"), mean=np.zeros(2), sd=np.ones(2), covariates={}, n_subjects=30
    )
    cov = np.array([[sd[0] ** 2, corr * sd[0] * sd[1]], [corr * sd[0] * sd[1], sd[1] ** 2]])
    root = rng.normal(size=(30, 2, 3)) / error
    hess = -root @ np.swapaxes(root, 1, 2)
    y = rng.multivariate_normal([0.3, -0.2], cov + error**2 * np.eye(2), size=30)
    group = dataclasses.replace(start, coef=np.array([[0.1, 0.1]]), cov=cov)
    posterior = np.linalg.inv(np.linalg.inv(cov) - hess)
    mode = y + np.einsum("spq,sq->sp", posterior @ np.linalg.inv(cov), group.mean - y)
    grad = np.einsum("spq,sq->sp", hess, mode - y)
    found = Laplace(mode, posterior, np.zeros(30), np.linalg.slogdet(posterior)[1], np.zeros(30, int))
    return group, Modes.known(found, grad, hess)


@pytest.mark.parametrize("corr", [0.3, 0.99999999])
def test_the_information_of_a_group_is_that_of_the_marginal_likelihood(corr):
    group, people = known_people((0.7, 0.5), corr, 0.6)
    assert people.derivatives is not None
    grad, hess = people.derivatives
    y = people.mode - np.linalg.solve(hess, grad[:, :, None])[:, :, 0]
    score, information = score_and_information(group, people)

    def slopes(roots: np.ndarray) -> np.ndarray:
        """The score of y ~ N(mean, cov + error) in closed form."""
        chol = np.zeros((2, 2))
        chol[np.tril_indices(2)] = roots[2:]
        precise = np.linalg.inv(chol @ chol.T - np.linalg.inv(hess))
        gap = np.einsum("spq,sq->sp", precise, y - roots[:2])
        by_chol = ((gap.T @ gap - precise.sum(0)) @ chol)[np.tril_indices(2)]
        return np.concatenate([gap.sum(0), by_chol])

    roots = np.concatenate([group.coef[0], np.linalg.cholesky(group.cov)[np.tril_indices(2)]])
    np.testing.assert_allclose(score, slopes(roots), rtol=1e-6, atol=1e-6)
    numeric = [(slopes(roots - h) - slopes(roots + h)) / 2e-5 for h in 1e-5 * np.eye(5)]
    np.testing.assert_allclose(information, numeric, rtol=1e-5, atol=1e-4)


def test_the_interval_of_a_correlation_is_that_of_fisher():
    group, people = known_people((0.7, 0.5), 0.3, 1e-3)
    for _ in range(50):
        group = group.update(people)
    rows = group_rows(pyem.models.get("rw1a1b"), group, louis_information(group, people))
    (row,) = [row for row in rows if row["kind"] == "correlation"]
    x = people.mode
    assert row["estimate"] == pytest.approx(np.corrcoef(x.T)[0, 1], abs=1e-4)
    half = stats.t(29).ppf(0.975) / np.sqrt(30)
    z = np.arctanh([row["low"], row["estimate"], row["high"]])
    np.testing.assert_allclose(z, z[1] + half * np.array([-1, 0, 1]), rtol=1e-3)


def two_groups(error: float) -> tuple[Population, Laplace, np.ndarray]:
    """Patients and controls whose estimates have all the same error, and the group at its maximum likelihood."""
    y, patient = np.random.default_rng(3).normal(size=10), np.repeat([0.0, 1.0], 5)
    start = populate(
        pyem.Group(covariates=["patient"]),
        names=("a",),
        mean=np.zeros(1),
        sd=np.ones(1),
        covariates={"patient": patient},
        n_subjects=10,
    )
    coef, rest, *_ = np.linalg.lstsq(start.design, y[:, None], rcond=None)
    variance = max(float(rest[0]) / 10 - error**2, start.least**2)
    group = dataclasses.replace(start, coef=coef, cov=np.array([[variance]]))
    posterior = np.full((10, 1, 1), 1 / (1 / variance + 1 / error**2))
    mode = y[:, None] + posterior[:, 0] / variance * (group.mean - y[:, None])
    found = Laplace(mode, posterior, np.zeros(10), -np.log(posterior[:, 0, 0]), np.zeros(10, int))
    hess = np.full((10, 1, 1), -1 / error**2)
    return group, Modes.known(found, hess[:, 0] * (mode - y[:, None]), hess), y


@pytest.mark.parametrize("error", [1e-3, 0.5, 1.7, 1.8, 3.0])
def test_the_effect_of_a_covariate_has_the_error_of_ordinary_regression_but_none_below_that_of_people(error):
    group, people, y = two_groups(error)
    scattered = with_scatter(group, lambda: people)
    covariance = group_covariance(scattered, louis_information(group, people))
    ordinary = np.sqrt(np.diag(covariance)[:2])
    gap = y - group.mean[:, 0]
    residual = max(gap @ gap / 8, error**2)
    np.testing.assert_allclose(ordinary**2, residual * np.diag(np.linalg.inv(group.design.T @ group.design)), rtol=1e-5)


def test_the_errors_that_are_tried_are_on_both_sides_of_an_sd_of_0():
    tried = [two_groups(error)[:2] for error in (0.5, 1.7, 1.8, 3.0)]
    assert [bool(group.vanished[0]) for group, _ in tried] == [False, True, True, True]
    # Where points keep an sd from falling to 0, one that is far above where they would hold it is not 0.
    sd = float(np.sqrt(tried[0][0].cov[0, 0]))
    held = [dataclasses.replace(tried[0][0], least=share * sd) for share in (0.5, 0.9)]
    assert [bool(group.vanished[0]) for group in held] == [False, True]
    factors = [scatter_factor(with_scatter(group, lambda people=people: people)) for group, people in tried]
    assert factors[0] == 10 / 8
    assert factors[0] > factors[1] > factors[2] > factors[3] == 1
