"""Everybody's modes given the values of some parameters, which may be different for every person and search.

What is held is a number for each person that the compiled function is given, so that one function serves all values, and
searches under different values go on side by side.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from pyem.data.dataset import Dataset
from pyem.engine.derivatives import Derivatives, derivatives
from pyem.engine.evaluate import chunk_derivatives, chunk_log_lik
from pyem.engine.layout import Chunk, batch, join, over_shards, split
from pyem.infer.laplace import DEFAULT, TOL, Outcome, beside, ended_laplace, finished, gaussian
from pyem.infer.natural_prior import NaturalPrior, PersonPrior, PriorFunction
from pyem.infer.solver import Solver
from pyem.model.model import Model
from pyem.model.parameter import Parameter
from pyem.model.transform import Real
from pyem.numerics.jit import TRACES, compiled
from pyem.population.posterior import GaussianPrior, Laplace

Density = NaturalPrior | PriorFunction | None


def holding(model: Model, names: Sequence[str], values: Any) -> Model:
    """The model with other values (D, ...) of parameters that are fixed in it already."""
    given = dict(zip(names, values, strict=True))
    return dataclasses.replace(model, fixed=tuple((name, given.get(name, value)) for name, value in model.fixed))


def _released(model: Model, names: tuple[str, ...]) -> Model:
    """Make the named parameters the last ones of the model, without a transform, so that the engine is given their values."""
    last = tuple(Parameter(name, Real(), mean=0.0, sd=1.0) for name in names)
    fixed = tuple((name, value) for name, value in model.fixed if name not in names)
    return dataclasses.replace(model, parameters=(*model.parameters, *last), fixed=fixed)


def _prior(
    model: Model, names: tuple[str, ...], density: Density, x: Array, held: Array, of: tuple[Array, ...]
) -> Derivatives:
    """Derivatives of every subject's log prior (P, S): a Gaussian, plus a density given the held values if there is one."""
    mean, weight, precision = of
    total = gaussian(mean, precision, weight)(x)
    if density is None:
        return total
    one = lambda x, held: density.under(holding(model, names, held))(x)  # noqa: E731
    more = derivatives(lambda x: jax.vmap(one, in_axes=(-1, -1))(x, held), x)
    return jax.tree.map(jnp.add, total, more)


@compiled(0, 1, 2, 3)
def _modes_of_each(
    model: Model,
    names: tuple[str, ...],
    solver: Any,
    density: Density,
    shard: Chunk,
    x: Array,
    held: Array,
    mean: Array,
    weight: Array,
    precision: Array,
    tol: Array,
    max_steps: Array,
) -> Outcome:
    TRACES[model.name, "modes_of_each"] += 1
    whole = _released(model, names)

    def one(args: tuple[Chunk, Array, Array, Array, Array]) -> Outcome:
        chunk, x, held, mean, weight = args
        likelihood = lambda x, held: chunk_derivatives(whole, chunk, x, held)  # noqa: E731
        prior = lambda x, held: _prior(model, names, density, x, held, (mean, weight, precision))  # noqa: E731
        found = solver.maximise_each(likelihood, prior, x, held, tol=tol, max_steps=max_steps, limits=model.limits)
        return jax.vmap(lambda mode, held: finished(mode, lambda x: prior(x, held)))(found, held)

    return lax.map(one, (shard, x, held, mean, weight))


@compiled(0, 1)
def _values(model: Model, names: tuple[str, ...], shard: Chunk, x: Array, held: Array) -> Array:
    TRACES[model.name, "values_given"] += 1
    whole = _released(model, names)

    def one(args: tuple[Chunk, Array, Array]) -> Array:
        chunk, x, held = args
        return lax.map(lambda at: chunk_log_lik(whole, chunk, *at), (x, held))

    return lax.map(one, (shard, x, held))


class Conditional:
    """Searches for everybody's modes given what is held.

    Parameters
    ----------
    model
        Model in which the parameters `names` are fixed, at any value.
    names
        Names of the held parameters, whose values may differ between people and searches.
    data
        Data to fit.
    prior
        Prior of each person; None for none.
    max_steps
        Evaluations of each search, at most.
    solver
        The optimiser, one that can do several searches of each subject.
    """

    def __init__(
        self,
        model: Model,
        names: Sequence[str],
        data: Dataset,
        prior: PersonPrior | None = None,
        *,
        max_steps: int = 200,
        solver: Solver = DEFAULT,
    ) -> None:
        # Contexts shared by people in the same state are not shared by people who hold different values.
        self._model, self._names = dataclasses.replace(model, share=False), tuple(names)
        self._max_steps, self._solver = max_steps, solver
        self._batch = batch(self._model, data)
        self._density = None if prior is None else prior.function
        self._gaussian = _flat(data.n_subjects, model.n_params)
        if prior is not None and prior.population is not None:
            self._gaussian = prior.population.prior

    def modes(
        self,
        x: np.ndarray,
        held: np.ndarray,
        tol: float = TOL,
        prior: GaussianPrior | None = None,
        *,
        ends: bool = True,
    ) -> list[Laplace]:
        """Search for each subject's mode from K starts `x` (K, S, P), holding `held` (K, S, D), to within `tol` nats.

        A Gaussian `prior` takes the place of the one that was given. Without `ends`, the status does not tell whether a flat
        mode is at an end of a range, for which places at both ends have to be evaluated.
        """
        prior = prior or self._gaussian
        found = self._search(np.stack([beside(one) for one in x]), held, self._max_steps, tol, prior)

        def look(k: int) -> Callable[[np.ndarray], np.ndarray]:
            return lambda there: self._search(np.repeat(there[None], len(x), axis=0), held, 1, tol, prior)[1][:, k]

        each = [[one[:, k] for one in found] for k in range(len(x))]
        return [ended_laplace(self._model, one, tol, look(k) if ends else None) for k, one in enumerate(each)]

    def values(self, x: np.ndarray, held: np.ndarray) -> np.ndarray:
        """Log-likelihood (K, S) at `x` (K, S, P) given `held` (K, S, D)."""
        with jax.enable_x64(True):
            args = [split(np.swapaxes(one, 0, 1), self._batch) for one in (x, held)]
            run = lambda shard, *args: _values(self._model, self._names, shard, *args)  # noqa: E731
            return join(over_shards(run, self._batch, *args), self._batch).T

    def _search(
        self, x: np.ndarray, held: np.ndarray, max_steps: int, tol: float, prior: GaussianPrior
    ) -> list[np.ndarray]:
        """The fields of `Outcome` from ``mode`` on, each (S, K, ...)."""
        each = (*(np.swapaxes(one, 0, 1) for one in (x, held)), prior.mean, prior.weight)
        with jax.enable_x64(True):
            run = lambda shard, *args: _modes_of_each(  # noqa: E731
                *(self._model, self._names, self._solver, self._density),
                *(shard, *args, prior.precision, np.float64(tol), np.int32(max_steps)),
            )
            out = over_shards(run, self._batch, *(split(one, self._batch) for one in each))
            return list(join([one[1:] for one in out], self._batch))


def _flat(n: int, p: int) -> GaussianPrior:
    return GaussianPrior(np.zeros((n, p)), np.zeros((p, p)), np.ones((n, p)))
