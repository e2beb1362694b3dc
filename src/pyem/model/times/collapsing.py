"""The distribution of a choice and its response time where the bounds of the diffusion move."""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from pyem.model.times import moving_bounds as bounds
from pyem.model.times.moving_bounds import Bound, Moving

POINTS = 400
"""Number of points of the logarithm of time at which the distribution is summed for choices without times and for samples."""
_SOONEST = 1e-4


class Collapsing(NamedTuple):
    """A choice and its response time: which of two moving bounds a noisy process reaches first, and when.

    As `pyem.Wiener`, but the bounds are at ``a / 2 * bound(time)`` above and below the middle. Made by `collapsing`, which
    solves for the bound once; `v`, `sv` and `t` may be others afterwards (``_replace``). All parameters are single numbers;
    use `jax.vmap` for more.

    Notes
    -----
    The log-density is within 3e-5 nats of an integral equation on a fine grid where the bounds collapse at a rate of up to 1 a
    second, and within .03 at a rate of 5 with `a` of 5; straight bounds are exact to 1e-9. Later than ten seconds after the
    start, what bounds change stays as it was.

    Examples
    --------
    >>> def log_density(rt):
    ...     return collapsing(v=1.0, a=1.5, z=0.5, t=0.3, bound=lambda time: jnp.exp(-time)).log_prob((1, rt))
    >>> round(float(jax.jit(log_density)(0.8)), 3)
    -0.481
    """

    v: ArrayLike
    a: ArrayLike
    z: ArrayLike
    t: ArrayLike
    bound: Bound
    moving: Moving
    sv: ArrayLike | None = None

    @property
    def n_options(self) -> int:
        """Number of options, two: the lower and the upper bound."""
        return 2

    @property
    def logits(self) -> Array:
        """Log-probabilities of the lower and the upper bound, last axis, whenever they are reached."""
        _, log_mass = self._masses()
        return jax.nn.logsumexp(log_mass, axis=0)

    def log_prob(self, value: tuple[ArrayLike, ArrayLike]) -> Array:
        """Log-density, in nats, of the choice and its response time."""
        choice, rt = value
        both = self._log_density(jnp.asarray(rt, jnp.result_type(float)) - self.t)
        return jnp.where(jnp.asarray(choice) == 1, both[1], both[0])

    def sample(self, key: Array) -> tuple[Array, Array]:
        """One random choice and its response time: by inversion of the distribution on its grid, without steps in time."""
        edges, log_mass = self._masses()
        of_place, of_time = jax.random.split(key)
        place = jax.random.categorical(of_place, log_mass.ravel())
        cell, choice = place // 2, place % 2
        share = jax.random.uniform(of_time, (), edges.dtype)
        return choice, jnp.asarray(self.t) + jnp.exp(edges[cell] + share * (edges[cell + 1] - edges[cell]))

    def _log_density(self, time: Array) -> Array:
        half, start = jnp.asarray(self.a) / 2, 2 * jnp.asarray(self.z) - 1
        sv = None if self.sv is None else jnp.asarray(self.sv)
        return bounds.log_density(self.bound, self.moving, half, start, time, jnp.asarray(self.v), sv)

    def _masses(self) -> tuple[Array, Array]:
        """Edges of cells of the logarithm of time, and log-probabilities of each cell and bound, (cell, 2)."""
        near = jnp.asarray(self.a) * jnp.minimum(self.z, 1 - jnp.asarray(self.z))
        # A start close to a bound ends sooner; still earlier times have a probability below 1e-12.
        first = jnp.log(jnp.minimum(_SOONEST, near**2 / 50))
        edges = first + (math.log(4 * bounds.LAST) - first) * np.linspace(0, 1, POINTS + 1)
        middle = (edges[:-1] + edges[1:]) / 2
        log_mass = jax.vmap(self._log_density)(jnp.exp(middle)) + (middle + jnp.log(edges[1] - edges[0]))[:, None]
        return edges, jnp.asarray(log_mass)


def collapsing(
    v: ArrayLike, a: ArrayLike, z: ArrayLike, t: ArrayLike, bound: Bound, sv: ArrayLike | None = None
) -> Collapsing:
    """The distribution of a diffusion between moving bounds.

    Parameters
    ----------
    v, a, z, t, sv
        Parameters as in `pyem.Wiener`; `a` is the separation in the beginning.
    bound
        Function of the seconds since the start, in `jax.numpy`: the distance of the bounds as a share of the first one, smooth
        and 1 at time 0. Bounds end at a fiftieth.

    Examples
    --------
    >>> def log_density(rt):
    ...     return collapsing(v=1.0, a=1.5, z=0.5, t=0.3, bound=jnp.ones_like).log_prob((1, rt))
    >>> round(float(jax.jit(log_density)(0.8)), 3)
    -0.263
    """
    half, start = jnp.asarray(a) / 2, 2 * jnp.asarray(z) - 1
    return Collapsing(v, a, z, t, bound, bounds.solved(bound, half, start), sv)
