"""Iterations over a group that have no fixed point end soon, and say why."""

from __future__ import annotations

import numpy as np

from pyem.infer.em_loop import run_em
from pyem.population.group import Group
from pyem.population.population import populate
from pyem.population.posterior import Laplace, Status
from pyem.results.point_problems import WANDERED, iteration_problems


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
