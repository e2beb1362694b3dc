"""Choice of the engine that makes a model's E-step: JAX, or SciPy for a plain Python function."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from jax.stages import Lowered

from pyem.data.dataset import Dataset
from pyem.data.partitioned import PartitionedDataset
from pyem.engine.evaluate import log_lik_draws
from pyem.engine.opaque import PersonLogLik, is_opaque, people_trials
from pyem.infer.differences import Search
from pyem.infer.glances import Glance, JaxGlance
from pyem.infer.laplace import JaxEStep
from pyem.infer.multimodal import JaxESteps, Make
from pyem.infer.opaque import OpaqueEStep
from pyem.infer.partitions import partitioned_esteps
from pyem.model.model import Model
from pyem.numerics.threads import n_cores
from pyem.population.posterior import EStep, GaussianPrior

SHORT = 10
"""Largest number of Newton steps of a short E-step of the SciPy engine."""


class NegativeLogLik:
    """One person's negative log-likelihood as the SciPy engine calls it."""

    def __init__(self, model: Model) -> None:
        self.log_lik = PersonLogLik(model)

    def __call__(self, x: np.ndarray, trials: Any, prior: Any) -> float:
        """Return the negative log-likelihood at unconstrained `x` (P,); the prior does not matter."""
        return -self.log_lik(x, trials)


def estep_maker(model: Model, data: Dataset, *, max_steps: int = 100, seed: int = 0, warm: bool = False) -> Make:
    """A function that makes E-steps of `model` and `data` from given parameters.

    Parameters
    ----------
    model, data
        The model, and its data.
    max_steps
        Evaluations (Newton steps of the SciPy engine) of one person in one call, at most.
    seed
        Seed of the random restarts of the SciPy engine.
    warm
        All E-steps after the first one start from what an earlier one found, so that the SciPy engine need not search widely.
    """
    if isinstance(data, PartitionedDataset):
        return partitioned_esteps(model, data, max_steps)
    if not is_opaque(model):
        return JaxESteps(model, data, max_steps)
    likelihood, people = NegativeLogLik(model), people_trials(model, data)
    first = True

    def make(start: np.ndarray, *, short: bool = False) -> OpaqueEStep:
        nonlocal first
        search = Search(max_steps=SHORT) if short else Search(max_steps=min(max_steps, Search().max_steps))
        search, first = dataclasses.replace(search, quick=warm and not first), False
        return OpaqueEStep(likelihood, people, start, search=search, seed=seed)

    return make


def glance_of(model: Model, data: Dataset, first: Callable[[], Any] | None = None) -> Glance | None:
    """The log-likelihood of everybody at several places; None for a plain Python function, where each costs as much.

    Before it is compiled for the first time, `first` is called; see `JaxGlance`.
    """
    if isinstance(data, PartitionedDataset):
        return functools.partial(log_lik_draws, model, data)
    return None if is_opaque(model) else JaxGlance(model, data, first)


def compile_ahead(esteps: Sequence[EStep], priors: Sequence[GaussianPrior], threads: int) -> None:
    """Compile the searches of several models under given priors, side by side in so many threads.

    One after the other is traced, each while those before it are being compiled: threads that trace at the same time wait for
    each other, as only one of them runs at a time, and none would be compiled until all are traced.
    """
    jobs = []
    with ThreadPoolExecutor(threads) as pool:
        for estep, prior in zip(esteps, priors, strict=True):
            jobs += [pool.submit(program.compile) for program in lowered(estep, prior)]
    for job in jobs:
        job.result()


def lowered(estep: EStep, prior: GaussianPrior) -> list[Lowered]:
    """Programs of a search under `prior`, traced but not compiled yet; none for a plain Python function."""
    return estep.lowered(prior) if isinstance(estep, JaxEStep) else []


def at_once(model: Model) -> int:
    """Number of E-steps that run side by side; the SciPy engine runs one at a time, in processes of its own."""
    return 1 if is_opaque(model) else n_cores()
