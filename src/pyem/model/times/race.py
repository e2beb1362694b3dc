"""Races: the choice is the accumulator that finishes first, and the response time is when it does."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.typing import ArrayLike

from pyem.model.times.tails import HALF_DIGIT

NODES = 96
"""Number of Gauss-Legendre nodes, in the logarithm of time, for the probability that an accumulator finishes first."""
_HALVINGS = 16
_FIRST, _LAST = -21.0, 30.0
_NONE, _ALL = -1e-13, -40.0


class Racers(Protocol):
    """Independent accumulators, one for each option; the last axis of all results is that of options.

    A named tuple, whose parts have the options along the last axis or none.
    """

    def log_density(self, time: ArrayLike) -> Array:
        """Log-density, in nats, of finishing at `time`."""
        ...

    def log_survivor(self, time: ArrayLike) -> Array:
        """Log-probability, in nats, of not having finished by `time`."""
        ...

    def sample(self, key: Array) -> Array:
        """Draw a random time of each accumulator."""
        ...


class Race(NamedTuple):
    """A choice and its response time: which of several accumulators finishes first, and when.

    A value is a pair ``(choice, rt)``: `choice` is the place of the accumulator, from 0, `rt` the response time in seconds.

    Attributes
    ----------
    racers
        `RDM`, `LBA` or `LNR` of `pyem.model.times`, or any independent accumulators with ``log_density``, ``log_survivor`` and
        ``sample``.
    t
        Non-decision time, in seconds.

    Notes
    -----
    The density is that of the first accumulator times the survivors of all others, in closed form. The probability of a choice
    whatever its time is an integral over time, by 96 nodes on the stretch of the logarithm of time that matters: to 1e-10 for
    people as there are. A response time below `t` is impossible; its log-density is no infinity, but leads back, as of
    `pyem.Wiener`.

    Examples
    --------
    >>> from pyem.model.times import LNR
    >>> dist = Race(LNR(m=jnp.array([0.0, -0.5]), s=0.5), t=0.2)
    >>> round(float(dist.log_prob((1, 0.8))), 4)
    0.1182
    >>> [round(float(p), 3) for p in jnp.exp(dist.logits)]
    [0.24, 0.76]
    """

    racers: Racers
    t: ArrayLike = 0.0

    @property
    def n_options(self) -> int:
        """Number of accumulators."""
        return np.broadcast_shapes(*(jnp.shape(part)[-1:] for part in self.racers))[-1]  # type: ignore[attr-defined]

    @property
    def logits(self) -> Array:
        """Log-probabilities that each accumulator finishes first, last axis, whatever the time."""
        return self._log_first(jnp.inf)

    def log_prob(self, value: tuple[ArrayLike, ArrayLike]) -> Array:
        """Log-density, in nats, of the choice and its response time."""
        choice, rt = value
        time = (jnp.asarray(rt, jnp.result_type(float)) - self.t)[..., None]
        choice, options = jnp.asarray(choice)[..., None], np.arange(self.n_options)
        first, after = options == choice, options[:-1] >= choice
        one = self._each(lambda part: jnp.where(first, part, 0.0).sum(-1, keepdims=True)).log_density(time)[..., 0]
        others = self._each(lambda part: jnp.where(after, part[..., 1:], part[..., :-1]))
        return one + others.log_survivor(time).sum(-1)

    def _each(self, chosen: Callable[[Array], Array]) -> Racers:
        """Select accumulators by applying `chosen` to all parts that differ between them."""
        parts = (jnp.asarray(part) for part in self.racers)  # type: ignore[attr-defined]
        return type(self.racers)(*(part if part.ndim == 0 or part.shape[-1] == 1 else chosen(part) for part in parts))

    def cdf(self, value: tuple[ArrayLike, ArrayLike]) -> Array:
        """Probability that `choice` is first and by `rt`; over all choices it adds to 1 in the end."""
        return jnp.exp(self.log_cdf(value)[0])

    def log_cdf(self, value: tuple[ArrayLike, ArrayLike]) -> tuple[Array, Array]:
        """Log-probabilities, in nats, that `choice` is first and by `rt`, and that it is not."""
        choice, rt = value
        log_p = self._log_first(jnp.asarray(rt, jnp.result_type(float)) - self.t)
        mine = jnp.where(jnp.arange(log_p.shape[-1]) == jnp.asarray(choice)[..., None], log_p, 0.0).sum(-1)
        return mine, jnp.log1p(-jnp.minimum(jnp.exp(mine), 1 - HALF_DIGIT))

    def log_survivor(self, rt: ArrayLike) -> Array:
        """Log-probability, in nats, that there is no response by `rt`."""
        return self.racers.log_survivor((jnp.asarray(rt, jnp.result_type(float)) - self.t)[..., None]).sum(-1)

    def sample(self, key: Array) -> tuple[Array, Array]:
        """One random choice and its response time: exact."""
        times = self.racers.sample(key)
        return jnp.argmin(times, axis=-1), times.min(-1) + jnp.asarray(self.t)

    def _log_first(self, end: ArrayLike) -> Array:
        """Log-probability that each accumulator is the first, at a decision time up to `end`."""
        low, high = _stretch(self.racers)
        high = jnp.clip(jnp.log(jnp.maximum(end, 1e-300)), low, high)
        x, weight = np.polynomial.legendre.leggauss(NODES)
        ndim = max(low.ndim, high.ndim)
        along = lambda values: jnp.asarray(values).reshape(-1, *[1] * ndim)  # noqa: E731
        at = low + (high - low) * along((x + 1) / 2)
        time = jnp.exp(at)[..., None]
        left = self.racers.log_survivor(time)
        # The difference of the sum and its own part is not used, as both may be minus infinity.
        others = jnp.where(np.eye(left.shape[-1], dtype=bool), 0.0, left[..., None, :]).sum(-1)
        terms = self.racers.log_density(time) + others + at[..., None]
        total = jax.nn.logsumexp(terms + jnp.log(along(weight / 2))[..., None], axis=0)
        some = high > low
        return total + jnp.where(some, jnp.log(jnp.where(some, high - low, 1.0)), -jnp.inf)[..., None]


def _stretch(racers: Racers) -> tuple[Array, Array]:
    """Logarithms of the times between which nearly all first accumulators finish."""
    racers = jax.tree.map(lax.stop_gradient, racers)
    left = lambda at: racers.log_survivor(jnp.exp(at)[..., None]).sum(-1)  # noqa: E731
    shape = jax.eval_shape(left, jnp.asarray(0.0)).shape

    def halve(level: float, up: bool) -> Array:
        def step(_: int, ends: tuple[Array, Array]) -> tuple[Array, Array]:
            low, high = ends
            middle = (low + high) / 2
            before = left(middle) > level
            return jnp.where(before, middle, low), jnp.where(before, high, middle)

        ends = lax.fori_loop(0, _HALVINGS, step, (jnp.full(shape, _FIRST), jnp.full(shape, _LAST)))
        return ends[up]

    return halve(_NONE, False), halve(_ALL, True)
