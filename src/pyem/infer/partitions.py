"""E-steps of data in partitions on the disk: one partition at a time is read, laid out and searched.

What is kept between them is where everybody's search stands: parameters, value, gradient and Hessian.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pyem.data.partitioned import PartitionedDataset
from pyem.engine.opaque import is_opaque
from pyem.errors import ModelError
from pyem.infer.laplace import DEFAULT, TOL, JaxEStep
from pyem.infer.multimodal import JaxESteps
from pyem.infer.solver import Solver
from pyem.model.model import Model
from pyem.population.posterior import GaussianPrior, Laplace, joined


def partitioned_esteps(model: Model, data: PartitionedDataset, max_steps: int = 100) -> JaxESteps:
    """Make E-steps of a model and data in partitions.

    Raises
    ------
    ModelError
        If the model is a plain Python function.
    """
    if is_opaque(model):
        raise ModelError(
            f"model {model.name!r} is a plain Python function, which is not evaluated on data in partitions; fit the people of "
            "one partition, data.partition(0), or write the model with jax.numpy"
        )
    return JaxESteps(model, data, max_steps, kind=PartitionedEStep)


class PartitionedEStep:
    """The E-step of a `Model` and data in partitions, warm-started from the last call.

    Parameters
    ----------
    model, data
        The model, and its data.
    start
        First guess, (S, P), unconstrained.
    max_steps
        Evaluations of one subject in one call, at most.
    solver
        The optimiser.
    """

    def __init__(
        self,
        model: Model,
        data: PartitionedDataset,
        start: np.ndarray,
        *,
        max_steps: int = 100,
        solver: Solver = DEFAULT,
    ) -> None:
        self.model, self.data = model, data
        self._options: dict[str, Any] = {"max_steps": max_steps, "solver": solver}
        self.restart(start)

    def restart(self, start: np.ndarray) -> None:
        """Begin the next search at `start` (S, P)."""
        self._start = np.asarray(start, float)
        self.states: list[Any] = [None] * self.data.n_partitions

    def __call__(self, prior: GaussianPrior, tol: float = TOL) -> Laplace:
        """Every subject's mode and curvature under `prior`."""

        def modes(estep: JaxEStep, place: slice) -> Laplace:
            return estep(GaussianPrior(prior.mean[place], prior.precision, prior.weight[place]), tol)

        return self._each(modes)

    def general(self, log_prior: Callable[[Any], Any], tol: float = TOL) -> Laplace:
        """Approximate posteriors under any traceable log prior density of one subject's unconstrained parameters."""
        return self._each(lambda estep, place: estep.general(log_prior, tol))

    def _each(self, modes: Callable[[JaxEStep, slice], Laplace]) -> Laplace:
        found = [self._of_part(k, place, modes) for k, place in enumerate(self.data.places)]
        return joined(found)

    def _of_part(self, k: int, place: slice, modes: Callable[[JaxEStep, slice], Laplace]) -> Laplace:
        estep = JaxEStep(self.model, self.data.partition(k), self._start[place], **self._options)
        if self.states[k] is not None:
            estep.states = self.states[k]
        found = modes(estep, place)
        self.states[k] = estep.states
        return found
