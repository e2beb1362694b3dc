"""A group as one or more models with their data, for the JAX engine: one E-step and one evaluation for all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from pyem.data.dataset import Dataset
from pyem.engine.evaluate import log_lik_draws
from pyem.infer.glances import JaxGlance
from pyem.infer.laplace import JaxEStep
from pyem.model.model import Model
from pyem.population.posterior import GaussianPrior, Laplace


class Part(NamedTuple):
    """A part of the people, who can be computed together."""

    who: np.ndarray
    """Indices of these people in the group."""
    model: Model
    data: Dataset


class PartsEStep:
    """The E-step of a group in parts."""

    def __init__(self, parts: Sequence[Part], start: np.ndarray, *, max_steps: int = 100) -> None:
        self._who = [part.who for part in parts]
        self._esteps = [JaxEStep(part.model, part.data, start[part.who], max_steps=max_steps) for part in parts]

    def __call__(self, prior: GaussianPrior, tol: float = 1e-16) -> Laplace:
        """Every person's mode and curvature under `prior`."""
        if len(self._esteps) == 1:
            return self._esteps[0](prior, tol)
        each = [
            estep(GaussianPrior(prior.mean[who], prior.precision, prior.weight[who]), tol)
            for who, estep in zip(self._who, self._esteps, strict=True)
        ]
        return Laplace(*(_placed(self._who, columns) for columns in zip(*each, strict=True)))

    def general(self, log_prior: object, tol: float = 1e-16) -> Laplace:
        """Approximate posteriors under any traceable log prior density of one person's parameters."""
        each = [estep.general(log_prior, tol) for estep in self._esteps]  # type: ignore[arg-type]
        return Laplace(*(_placed(self._who, columns) for columns in zip(*each, strict=True)))


def parts_log_lik(parts: Sequence[Part], x: np.ndarray) -> np.ndarray:
    """Log-likelihood (K, S) of every person at draws `x` (K, S, P)."""
    each = [log_lik_draws(part.model, part.data, x[:, part.who]).T for part in parts]
    return _placed([part.who for part in parts], each).T


def parts_glance(parts: Sequence[Part]) -> Callable[[np.ndarray], np.ndarray]:
    """The log-likelihood of everybody at several places; see `pyem.infer.glances.JaxGlance`."""
    who, glances = [part.who for part in parts], [JaxGlance(part.model, part.data) for part in parts]
    return lambda x: _placed(who, [look(x[:, one]).T for one, look in zip(who, glances, strict=True)]).T


def _placed(who: Sequence[np.ndarray], columns: Sequence[np.ndarray]) -> np.ndarray:
    order = np.argsort(np.concatenate(who))
    return np.concatenate(columns)[order]
