"""Iterations over a group that have no fixed point end soon, and say why."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import pyem
from pyem.infer.em_loop import run_em
from pyem.population.group import Group
from pyem.population.population import populate
from pyem.population.posterior import Laplace, Status
from pyem.results.point_problems import STUCK, WANDERED, iteration_problems


class Jumps:
    """Nine people who are known well, and one whose mode is wherever the group's mean is not."""

    def __call__(self, prior, tol):
        away = np.where(prior.mean[-1] < 0, 3.0, -2.0)
        mode = np.concatenate([np.linspace(-0.3, 0.3, 9)[:, None], away[None]])
        cov = np.full((10, 1, 1), 0.01)
        cov[-1] = 4.0
        return Laplace(mode, cov, -(mode[:, 0] ** 2), -np.log(cov[:, 0, 0]), np.full(10, Status.CONVERGED))


def test_a_group_that_goes_to_and_fro_is_given_up_and_the_person_named_who_makes_it_do_so():
    start = populate(Group(), names=("a",), mean=np.ones(1), sd=np.ones(1), covariates={}, n_subjects=10)
    run = run_em(Jumps(), start)
    assert not run.converged
    assert run.message == WANDERED
    assert run.trace["evaluated"] < 300
    who = np.array([f"s{k}" for k in range(10)])
    (text,) = iteration_problems(run.population, run.converged, run.message, who, run.laplace.cov)
    assert "(of s9 they are wider than the group itself)" in text
    assert "integrate='exact'" in text


class Alike:
    """Ten people who differ by nothing, whose own estimates are 1 with a variance of 1."""

    def __call__(self, prior, tol):
        within = 1 / (1 + prior.precision[0, 0])
        mode = within * (1 + prior.precision[0, 0] * prior.mean)
        cov = np.full((10, 1, 1), within)
        return Laplace(mode, cov, -0.5 * (mode[:, 0] - 1) ** 2, -np.log(cov[:, 0, 0]), np.full(10, Status.CONVERGED))


@pytest.mark.parametrize("accelerate", [False, True])
def test_a_mean_that_moves_little_because_an_sd_is_0_is_not_taken_for_a_fixed_point(accelerate):
    start = populate(Group(), names=("a",), mean=np.zeros(1), sd=np.ones(1), covariates={}, n_subjects=10)
    start = dataclasses.replace(start, cov=start.floored(np.zeros((1, 1))))
    run = run_em(Alike(), start, accelerate=accelerate, scale=np.ones(1))
    assert run.converged == accelerate
    assert (run.message == STUCK) != accelerate
    if accelerate:
        np.testing.assert_allclose(run.population.coef, 1, atol=1e-6)
    else:
        (text,) = iteration_problems(run.population, False, run.message, np.arange(10), run.laplace.cov)
        assert "starts=5" in text


class Downhill(Alike):
    """The same people, whose approximate evidence falls with the sd, which EM takes to 0 all the same, ever more slowly."""

    def __call__(self, prior, tol):
        found = super().__call__(prior, tol)
        return found._replace(log_lik=found.log_lik + 3 / np.sqrt(prior.precision[0, 0]))


def test_fast_steps_may_lose_evidence_where_plain_ones_have_lost_it_for_long():
    """Where Laplace approximations are poor, EM may lead downhill; fast steps were then taken back for ever."""
    start = populate(Group(), names=("a",), mean=np.ones(1), sd=np.ones(1), covariates={}, n_subjects=10)
    run = run_em(Downhill(), start, scale=np.ones(1))
    evidence = run.trace["log_evidence"]
    assert run.converged
    assert run.population.vanished.all()
    # Not before a long time of plain steps, all of which lost some.
    assert len(evidence) > 200
    assert evidence[-1] < evidence.max() - 0.5


@pytest.mark.slow
def test_a_race_with_learning_ends_and_what_its_data_do_not_tell_is_named():
    """Of six people with 60 trials each: the range of the start of the accumulators is hardly told."""
    model = pyem.with_decision(pyem.models.get("rw2a1b"), "rdm")
    fits = [pyem.fit_em(model, pyem.simulate(model, subjects=6, trials=60, key=key)) for key in (5, 1, 3, 4)]
    assert fits[0].converged
    for fit in fits[1:]:
        assert fit.converged or fit.message in (STUCK, WANDERED)
        assert any("hardly inform A" in text and "pyem.fix(model, A=0.5)" in text for text in fit.problems())
    for fit in fits[2:]:
        assert pyem.fit_em(pyem.fix(model, A=0.5), fit.data).converged


@pytest.mark.slow
@pytest.mark.parametrize(
    ("key", "people", "blocks", "trials", "covariance", "least"),
    [(8, 22, 1, 10, "diagonal", -120.346), (42, 5, 3, 21, "full", -137.754)],
)
def test_fast_steps_neither_leave_a_better_fixed_point_nor_end_before_one(
    key, people, blocks, trials, covariance, least
):
    model = pyem.models.get("rw1a1b")
    data = pyem.simulate(model, subjects=people, blocks=blocks, trials=trials, key=key)
    fits = [pyem.fit_em(model, data, group=pyem.Group(covariance=covariance), tol=tol) for tol in (1e-4, 1e-7)]
    assert all(fit.converged for fit in fits)
    loose, tight = (fit.log_evidence.sum() for fit in fits)
    # Plain steps, thousands of them, come to the same.
    assert tight > least
    assert abs(loose - tight) < 0.01
