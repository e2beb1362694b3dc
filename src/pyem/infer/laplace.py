"""The E-step: every subject's mode and curvature under a Gaussian prior, for any engine that can supply them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.stages import Lowered

from pyem.data.dataset import Dataset
from pyem.engine.derivatives import Derivatives, derivatives
from pyem.engine.evaluate import chunk_derivatives
from pyem.engine.layout import Batch, Chunk, batch, is_light, join, over_shards, split
from pyem.infer.corners import LOOKS, Seen, at_corners
from pyem.infer.ending import at_an_end, ended_as, flat_somewhere
from pyem.infer.kinks import AT_BOUND
from pyem.infer.newton import Newton
from pyem.infer.solver import Mode, Solver
from pyem.model.model import Model
from pyem.model.rollout import may_diverge
from pyem.numerics.jit import TRACES, compiled
from pyem.numerics.linalg import inverse_and_log_det
from pyem.population.posterior import GaussianPrior, Laplace, Modes, Status

TOL = 1e-16
"""Nats left to gain at which a search ends, if each of its steps gains in accuracy."""
LAST = 1e-22
"""Nats left to gain at which the last search of an iteration over a group ends. Searches on the way to it leave more, but
in the end hardly more: where the group comes to rest would otherwise depend on what they leave, and so on the way."""
DEFAULT = Newton()
"""The solver of an E-step for which none is given."""
ASIDE = 1e-6
"""Distance from a given start at which a search begins: derivatives may be wrong where everything is exactly symmetric."""
ROUGH, FIRST_LOOK, NEXT_LOOK = 1e-7, 20, 8
"""Nats left to gain up to which a search always runs on, and number of evaluations after which a longer one pauses, at
first and when it is resumed: few people need more, for whom all others would have to wait."""
FEW_CONTEXTS = 4096
"""Number of contexts of all subjects up to which an E-step that is not optimised takes a few milliseconds."""


class _State(NamedTuple):
    x: Any
    at: Derivatives


class Outcome(NamedTuple):
    """Result of a search, with the curvature of what was maximised."""

    state: _State
    """State from which the next search begins."""
    mode: Array
    log_lik: Array
    cov: Array
    log_det: Array
    positive: Array
    decrement: Array
    stuck: Array
    grad: Array
    hess: Array


LogPrior = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]
"""Function of parameters (S, P): value (S,) up to a constant, gradient (S, P) and Hessian (S, P, P) of everybody's log
prior."""
_Search = Callable[[list[_State], int], list[Outcome]]
"""Function that searches from given states with at most a given number of evaluations."""


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


def beside(start: np.ndarray) -> np.ndarray:
    """`start` (S, P), off by a trifle that is different for each parameter."""
    # Multiples of the golden ratio: no two parameters, nor their differences, remain equal.
    shift = 0.5 + np.modf(0.618034 * np.arange(1, start.shape[1] + 1))[0]
    return start + ASIDE * shift * np.maximum(1.0, np.abs(start))


def finished(mode: Mode, prior: Callable[[Array], Derivatives]) -> Outcome:
    """Compute the posterior around a mode."""
    cov, log_det, positive = inverse_and_log_det(-(mode.hess + prior(mode.x).hess))
    x, log_lik, grad = mode.x, mode.at.value, mode.at.grad
    if mode.last is not None:
        bent = (mode.at.hess * mode.last[None]).sum(1)
        x, log_lik, grad = x + mode.last, log_lik + (mode.last * (grad + 0.5 * bent)).sum(0), grad + bent
    stuck = jnp.zeros_like(positive) if mode.stuck is None else mode.stuck
    return Outcome(_State(mode.x, mode.at), x, log_lik, cov, log_det, positive, mode.decrement, stuck, grad, mode.hess)


def _few_contexts(model: Model, solver: Solver, shard: Chunk, *_: Any) -> bool:
    """Whether so little has to be computed that compiling takes most of the time: few contexts, which trials share."""
    return "counts" in shard.trials and shard.trials.node.size <= FEW_CONTEXTS


def _few_trials(model: Model, solver: Solver, shard: Chunk, *_: Any) -> bool:
    """Whether a search takes so few milliseconds that most of the time of a fit is spent on compiling it."""
    return is_light(model, shard)


@compiled(0, 1, quick=_few_contexts, light=_few_trials)
def _gaussian_modes(
    model: Model,
    solver: Solver,
    shard: Chunk,
    state: _State,
    mean: Array,
    weight: Array,
    precision: Array,
    tol: Array,
    max_steps: Array,
) -> Outcome:
    TRACES[model.name, "modes"] += 1

    def one(args: tuple[Chunk, _State, Array, Array]) -> Outcome:
        chunk, state, mean, weight = args
        prior = gaussian(mean, precision, weight)
        likelihood = lambda x: chunk_derivatives(model, chunk, x)  # noqa: E731
        found = solver.maximise(likelihood, prior, *state, tol=tol, max_steps=max_steps, limits=model.limits)
        return finished(found, prior)

    return lax.map(one, (shard, state, mean, weight))


@compiled(0, 1, 2)
def _general_modes(
    model: Model,
    solver: Solver,
    log_prior: Callable[[Array], Array],
    shard: Chunk,
    state: _State,
    tol: Array,
    max_steps: Array,
) -> Outcome:
    TRACES[model.name, "general_modes"] += 1

    def one(args: tuple[Chunk, _State]) -> Outcome:
        chunk, state = args
        prior = lambda x: derivatives(jax.vmap(log_prior, in_axes=-1), x)  # noqa: E731
        likelihood = lambda x: chunk_derivatives(model, chunk, x)  # noqa: E731
        found = solver.maximise(likelihood, prior, *state, tol=tol, max_steps=max_steps, limits=model.limits)
        return finished(found, prior)

    return lax.map(one, (shard, state))


class JaxEStep:
    """The E-step of a `Model`: a search for all modes at once with exact derivatives, warm-started from the last call.

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

    Examples
    --------
    >>> import pyem
    >>> from pyem.infer.laplace import JaxEStep
    >>> from pyem.infer.newton import Newton
    >>> from pyem.population.posterior import GaussianPrior
    >>> model = pyem.models.get("rw1a1b")
    >>> data = pyem.simulate(model, subjects=3, key=1)
    >>> estep = JaxEStep(model, data, np.zeros((3, 2)), solver=Newton(longest=0.05))
    >>> estep(GaussianPrior(np.zeros((3, 2)), np.eye(2), np.ones((3, 2)))).mode.shape
    (3, 2)
    """

    def __init__(
        self, model: Model, data: Dataset, start: np.ndarray, *, max_steps: int = 100, solver: Solver = DEFAULT
    ) -> None:
        self.model = model
        self.max_steps = max_steps
        self.solver = solver
        self.batch: Batch = batch(model, data)
        self.restart(start)

    def restart(self, start: np.ndarray) -> None:
        """Begin the next search at `start` (S, P); what is compiled and laid out is used again."""
        self._states, self._begun = self._looking(beside(np.asarray(start, float))), False

    @property
    def states(self) -> list[_State]:
        """States from which the next search begins; they may be given to an E-step of the same people."""
        return self._states

    @states.setter
    def states(self, states: list[_State]) -> None:
        self._states, self._begun = states, True

    def __call__(self, prior: GaussianPrior, tol: float = TOL) -> Laplace:
        """Every subject's mode and curvature under `prior`."""

        def log_prior(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            root, gap = np.sqrt(prior.weight), x - prior.mean
            hess = -prior.precision * root[:, :, None] * root[:, None]
            grad = (hess @ gap[:, :, None])[:, :, 0]
            return 0.5 * (gap * grad).sum(1), grad, hess

        return self._finished(self._under(prior, tol), tol, log_prior)

    def _finished(self, search: _Search, tol: float, log_prior: LogPrior) -> Laplace:
        """Search, and mark as at their mode those whose search ended where several sides of a kink meet."""
        found = self._collect(search, tol)

        def look(x: np.ndarray) -> Seen:
            mode, log_lik, *_, grad, hess = join([out[1:] for out in search(self._looking(x), 1)], self.batch)
            return Seen(mode, log_lik, grad, hess, log_prior(mode))

        # A short search is left as it is, and one on the way to a fixed point: with some people at corners and others not yet,
        # groups went to and fro.
        if self.max_steps <= LOOKS or _on_the_way(tol):
            return found
        return at_corners(found, look, self.model.limits)

    def lowered(self, prior: GaussianPrior) -> list[Lowered]:
        """Return what a search under `prior` compiles, traced but not compiled yet."""
        trace = self._program(prior, TOL, self.max_steps, _gaussian_modes.lower)
        means, weights = self._split(prior)
        with jax.enable_x64(True):
            return list(map(trace, self.batch.shards, self._states, means, weights))

    def _under(self, prior: GaussianPrior, tol: float) -> _Search:
        means, weights = self._split(prior)

        def search(states: list[_State], max_steps: int) -> list[Outcome]:
            run = self._program(prior, tol, max_steps, _gaussian_modes)
            return over_shards(run, self.batch, states, means, weights)

        return search

    def _split(self, prior: GaussianPrior) -> tuple[list[np.ndarray], list[np.ndarray]]:
        return split(prior.mean, self.batch), split(prior.weight, self.batch)

    def _program(self, prior: GaussianPrior, tol: float, max_steps: int, way: Callable[..., Any]) -> Any:
        """A function of a shard and its states, means and weights that calls, or lowers, the search."""
        rest = prior.precision, np.float64(tol), np.int32(max_steps)
        return lambda shard, *args: way(self.model, self.solver, shard, *args, *rest)

    def general(self, log_prior: Callable[[Array], Array], tol: float = TOL) -> Laplace:
        """Approximate posteriors under any traceable log prior density of one subject's unconstrained parameters."""

        def search(states: list[_State], max_steps: int) -> list[Outcome]:
            run = lambda shard, state: _general_modes(  # noqa: E731
                self.model, self.solver, log_prior, shard, state, np.float64(tol), np.int32(max_steps)
            )
            return over_shards(run, self.batch, states)

        def value_and_slopes(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            with jax.enable_x64(True):
                at = derivatives(jax.vmap(log_prior, in_axes=-1), jnp.asarray(x.T))
                value, grad, hess = map(np.asarray, at)
            return value, grad.T, np.moveaxis(hess, -1, 0)

        return self._finished(search, tol, value_and_slopes)

    def _looking(self, x: np.ndarray) -> list[_State]:
        """States whose derivatives are not known."""
        with jax.enable_x64(True):
            return [_State(x, unknown(x.shape)) for x in split(x, self.batch)]

    def _collect(self, search: _Search, tol: float) -> Laplace:
        enough = self.max_steps if tol < ROUGH else NEXT_LOOK if self._begun else FIRST_LOOK
        outcomes = search(self._states, min(self.max_steps, enough))
        self._states, self._begun = [out.state for out in outcomes], True
        found = join([out[1:] for out in outcomes], self.batch)
        look = lambda x: join([out.log_lik for out in search(self._looking(x), 1)], self.batch)  # noqa: E731
        # Who is at an end of a range is told where the search ends.
        return ended_laplace(self.model, found, tol, None if _on_the_way(tol) else look)


def _on_the_way(tol: float) -> bool:
    """Whether a search is one of those on the way to a fixed point of the group."""
    return tol != TOL and tol > LAST


def ended_laplace(model: Model, found: Any, tol: float, look: Callable[[np.ndarray], np.ndarray] | None) -> Laplace:
    """Make the Laplace approximations of a search's result, with a status for how the search ended for each person.

    Parameters
    ----------
    model
        The fitted model.
    found
        The fields of `Outcome` from ``mode`` on, with the subject first.
    tol
        Tolerance of the search.
    look
        Log-likelihood (S,) at other parameters (S, P); None where it does not matter who is at an end of a range.
    """
    x, log_lik, cov, log_det, *ended, grad, hess = found
    status = ended_as(*ended, tol=tol)
    # A finite value with a derivative that is not would make the group's parameters NaN.
    finite = np.isfinite(log_lik) & np.isfinite(log_det) & np.isfinite(cov).all((1, 2)) & ~np.isnan(ended[1])
    done = (status == Status.CONVERGED) | (status == Status.FLAT)
    status[done & (np.abs(x) >= AT_BOUND * model.limits).any(1)] = Status.AT_BOUND
    if look is not None and (mute := finite & done & flat_somewhere(model, status, cov)).any():
        status[mute & at_an_end(model, x, log_lik, cov, mute, look)] = Status.AT_BOUND
    status[~finite] = Status.NOT_FINITE
    if (log_lik == -np.inf).any() and may_diverge(model):
        status[log_lik == -np.inf] = Status.DIVERGED
    return Modes.known(Laplace(x, cov, log_lik, log_det, status), grad, hess)
