"""Parameters with one value for everybody, where people are integrated out by Laplace approximation."""

from __future__ import annotations

import numpy as np
import pytest

import pyem
from pyem.infer.common import climbed
from pyem.infer.common_evidence import Expansion, Point
from pyem.population.group import Group
from pyem.population.population import Population, populate

PEOPLE = 5


def group(mean: tuple[float, float], sd: float) -> Population:
    """People differ in the first of two parameters; the second is common to all."""
    made = populate(
        Group(common=["b"]),
        names=("a", "b"),
        mean=np.array(mean),
        sd=np.array([sd, 1.0]),
        covariates={},
        n_subjects=PEOPLE,
    )
    assert made.random.tolist() == [True, False]
    return made


def quadratics() -> tuple[Expansion, list]:
    """Log-likelihoods that are quadratic, known from where somebody happened to look, and as functions."""
    rng = np.random.default_rng(4)
    root = rng.normal(size=(PEOPLE, 2, 3))
    hess, peak = -root @ np.swapaxes(root, 1, 2), rng.normal(size=(PEOPLE, 2))
    x = rng.normal(size=(PEOPLE, 2))
    functions = [
        lambda a, b, s=s: (
            0.5
            * np.einsum("...p,pq,...q->...", np.stack([a, b], -1) - peak[s], hess[s], np.stack([a, b], -1) - peak[s])
        )
        for s in range(PEOPLE)
    ]
    slope = np.einsum("spq,sq->sp", hess, x - peak)
    value = np.array([f(*x[s]) for s, f in enumerate(functions)])
    return Expansion(x, value, slope, hess, np.zeros(PEOPLE, int)), functions


@pytest.mark.parametrize(("mean", "sd"), [((0.3, -0.5), 0.7), ((-1.0, 2.0), 2.0), ((0.0, 0.0), 0.05)])
def test_where_likelihoods_are_quadratic_nothing_has_to_be_evaluated_again(mean, sd):
    known, functions = quadratics()
    population = group(mean, sd)
    # The integral over people, on a fine grid.
    z = np.linspace(-9, 9, 20_001)
    prior = np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi) * (z[1] - z[0])
    exact = sum(np.log(prior @ np.exp(f(mean[0] + sd * z, np.full_like(z, mean[1])))) for f in functions)
    found = known.at_modes(population).under(population, None)
    assert found.value == pytest.approx(exact, abs=1e-9)
    # The gradient is that of the value.
    vector = population.vector
    for k, move in enumerate(1e-5 * np.eye(len(vector))):
        near = [population.with_vector(vector + sign * move) for sign in (1, -1)]
        up, down = (known.at_modes(other).under(other, None).value for other in near)
        assert found.grad[k] == pytest.approx((up - down) / 2e-5, abs=1e-6)


def test_the_search_ends_where_a_common_value_goes_on_for_ever():
    looked = []

    def evidence(population: Population) -> Point:
        # The group's mean has a peak, its sd another; the likelihood of the common value only ever rises, to a limit.
        vector = population.vector
        looked.append(vector)
        a, b, log_sd = vector
        value = -50 * (a - 1) ** 2 - np.exp(b) - 20 * log_sd**2
        return Point(population, None, value, np.array([-100 * (a - 1), -np.exp(b), -40 * log_sd]))  # type: ignore[arg-type]

    at, message = climbed(evidence, evidence(group((0.0, 0.0), 2.0)), [], 500, 1e-7)
    assert message == ""
    assert at.value > -1e-5
    assert at.population.coef[0, 0] == pytest.approx(1.0, abs=1e-6)
    # Steps on to minus infinity gain nothing more, and would go on until rounding ends them.
    assert -30 < at.population.coef[0, 1] < -12
    assert len(looked) < 200


def test_a_common_value_begins_where_everybody_can_have_it():
    # The mean of people's non-decision times is later than the fastest response of one of them.
    model = pyem.models.get("lnr")
    data = pyem.simulate(model, subjects=10, trials=100, key=2)
    fastest = data.to_frame()["rt"].min()
    apart = pyem.fit_em(model, data)
    assert apart.group_table()["natural"]["mean", "t"] > fastest
    fit = pyem.fit_em(model, data, group=pyem.Group(common=["t"]))
    assert fit.converged, fit.message
    assert fit.group_table()["natural"]["mean", "t"] < fastest
    assert len(fit.trace["log_evidence"]) < 50
    # One value for all cannot say more than one for each, and says little less.
    assert apart.log_evidence.sum() - 50 < fit.log_evidence.sum() < apart.log_evidence.sum()


def jumps() -> tuple[pyem.Model, pyem.Dataset, Group]:
    """Some of these people's posteriors change shape under groups that are near each other."""
    model = pyem.models.get("rw1a1b")
    return model, pyem.simulate(model, subjects=40, trials=40, key=2), Group(common=["beta"])


def test_where_the_laplace_approximation_has_no_maximum_the_remedy_is_named():
    model, data, group = jumps()
    with pytest.warns(pyem.FitWarning, match=r"no step is better.*integrate='exact'"):
        fit = pyem.fit_em(model, data, group=group)
    assert "Laplace approximations change by jumps" in fit.summary()
    assert "use fit_em(..., integrate='exact')" in fit.summary()


@pytest.mark.slow
def test_the_remedy_helps():
    model, data, group = jumps()
    exact = pyem.fit_em(model, data, group=group, integrate="exact")
    assert exact.converged, exact.message
    # At the maximum, groups with other common values have less evidence.
    beta = exact.group_table()["natural"]["mean", "beta"]
    for other in (0.9 * beta, 1.1 * beta):
        held = pyem.fit_em(pyem.fix(model, beta=other), data, integrate="exact")
        assert held.log_evidence.sum() < exact.log_evidence.sum()
