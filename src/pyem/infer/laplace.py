"""The E-step: every subject's mode and curvature under a Gaussian prior, for any engine that can supply them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from pyem.data.dataset import Dataset
from pyem.engine.derivatives import Derivatives, derivatives
from pyem.engine.evaluate import chunk_derivatives
from pyem.engine.layout import Batch, Chunk, batch, join, over_shards, split
from pyem.infer.newton import Mode, newton
from pyem.model.model import Model
from pyem.numerics.jit import TRACES, compiled
from pyem.numerics.linalg import inverse_and_log_det
from pyem.population.posterior import GaussianPrior, Laplace, Status

FEW_CONTEXTS = 4096
"""Up to this many contexts of all subjects, an E-step that is not optimised takes a few milliseconds."""


class _State(NamedTuple):
    x: Any
    at: Derivatives


class _Outcome(NamedTuple):
    x: Array
    at: Derivatives
    cov: Array
    log_det: Array
    positive: Array
    decrement: Array


def gaussian(mean: Array, precision: Array, weight: Array) -> Callable[[Array], Derivatives]:
    """Log-density up to a constant, gradient and Hessian of Gaussian priors: (P, S), (P, P), (P, S)."""
    root = jnp.sqrt(weight)
    full = precision[:, :, None] * root[:, None] * root[None]

    def at(x: Array) -> Derivatives:
        gap = mean - x
        grad = (full * gap[None]).sum(1)
        return Derivatives(-0.5 * (gap * grad).sum(0), grad, -full)

    return at


def unknown(shape: tuple[int, ...]) -> Derivatives:
    """Derivatives (chunk, ..., place) that are not known yet: the first step of `newton` then only looks."""
    chunks, p, places = shape
    hess = np.broadcast_to(-np.eye(p)[:, :, None], (chunks, p, p, places))
    return Derivatives(np.full((chunks, places), -np.inf), np.zeros(shape), hess)  # type: ignore[arg-type]


def _finish(mode: Mode, prior: Callable[[Array], Derivatives]) -> _Outcome:
    cov, log_det, positive = inverse_and_log_det(-(mode.hess + prior(mode.x).hess))
    return _Outcome(mode.x, mode.at, cov, log_det, positive, mode.decrement)


def _few_contexts(model: Model, shard: Chunk, *_: Any) -> bool:
    """Whether there is so little to compute that compiling takes the time: few contexts that trials share."""
    return "counts" in shard.trials and shard.trials.node.size <= FEW_CONTEXTS


@compiled(0, quick=_few_contexts)
def _gaussian_modes(
    model: Model,
    shard: Chunk,
    state: _State,
    mean: Array,
    weight: Array,
    precision: Array,
    tol: Array,
    max_steps: Array,
) -> _Outcome:
    TRACES[model.name, "modes"] += 1

    def one(args: tuple[Chunk, _State, Array, Array]) -> _Outcome:
        chunk, state, mean, weight = args
        prior = gaussian(mean, precision, weight)
        likelihood = lambda x: chunk_derivatives(model, chunk, x)  # noqa: E731
        return _finish(newton(likelihood, prior, *state, tol=tol, max_steps=max_steps, limits=model.limits), prior)

    return lax.map(one, (shard, state, mean, weight))


@compiled(0, 1)
def _general_modes(
    model: Model, log_prior: Callable[[Array], Array], shard: Chunk, state: _State, tol: Array, max_steps: Array
) -> _Outcome:
    TRACES[model.name, "general_modes"] += 1

    def one(args: tuple[Chunk, _State]) -> _Outcome:
        chunk, state = args
        prior = lambda x: derivatives(jax.vmap(log_prior, in_axes=-1), x)  # noqa: E731
        likelihood = lambda x: chunk_derivatives(model, chunk, x)  # noqa: E731
        return _finish(newton(likelihood, prior, *state, tol=tol, max_steps=max_steps, limits=model.limits), prior)

    return lax.map(one, (shard, state))


class JaxEStep:
    """The E-step of a `Model`: batched Newton with exact Hessians, warm-started from the last call.

    Parameters
    ----------
    model, data
        What to fit to what.
    start
        First guess, (S, P), unconstrained.
    max_steps
        Evaluations of one subject in one call, at most.
    """

    def __init__(self, model: Model, data: Dataset, start: np.ndarray, *, max_steps: int = 100) -> None:
        self.model = model
        self.max_steps = max_steps
        self.batch: Batch = batch(model, data)
        with jax.enable_x64(True):
            self._states = [_State(x, unknown(x.shape)) for x in split(start, self.batch)]

    def __call__(self, prior: GaussianPrior, tol: float = 1e-16) -> Laplace:
        """Every subject's mode and curvature under `prior`."""
        with jax.enable_x64(True):
            means, weights = split(prior.mean, self.batch), split(prior.weight, self.batch)
        run = lambda shard, *args: _gaussian_modes(  # noqa: E731
            self.model, shard, *args, prior.precision, np.float64(tol), np.int32(self.max_steps)
        )
        return self._collect(over_shards(run, self.batch, self._states, means, weights), tol)

    def general(self, log_prior: Callable[[Array], Array], tol: float = 1e-16) -> Laplace:
        """The same under any log prior density of one subject's unconstrained parameters, a traceable function."""
        run = lambda shard, state: _general_modes(  # noqa: E731
            self.model, log_prior, shard, state, np.float64(tol), np.int32(self.max_steps)
        )
        return self._collect(over_shards(run, self.batch, self._states), tol)

    def _collect(self, outcomes: list[_Outcome], tol: float) -> Laplace:
        self._states = [_State(out.x, out.at) for out in outcomes]
        kept = [(out.x, out.cov, out.at.value, out.log_det, out.positive, out.decrement) for out in outcomes]
        x, cov, value, log_det, positive, decrement = join(kept, self.batch)
        status = np.full(len(x), int(Status.CONVERGED))
        status[decrement > max(tol, 1e-8)] = Status.MAX_STEPS
        status[~positive] = Status.FLAT
        status[(np.abs(x) >= self.model.limits).any(1)] = Status.AT_BOUND
        # A finite value with a derivative that is not would make the group's parameters NaN.
        finite = np.isfinite(value) & np.isfinite(log_det) & np.isfinite(cov).all((1, 2)) & ~np.isnan(decrement)
        status[~finite] = Status.NOT_FINITE
        return Laplace(x, cov, value, log_det, status)
