"""The distribution of a choice and its response time in the diffusion decision model."""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.typing import ArrayLike

from pyem.model.times import wiener_series as series
from pyem.model.times import wiener_varying as varying

NODES_Z, NODES_T = 5, 4
"""Numbers of Gauss-Legendre nodes for a start and a non-decision time that differ between trials, for log-probabilities of
times; densities have their own, in `wiener_varying`."""
MANY = 15
"""Number of either for probabilities that no likelihood is made of: of choices, and the distribution of times."""
SURVIVORS = 7
"""Number of Gauss-Hermite nodes for drifts of those who have not responded: most of them are slow, so that their drifts are
nearly Gaussian around a smaller mean, with a smaller standard deviation."""
DRIFTS = np.linspace(-7, 7, 41)
"""Standardised drifts between trials for probabilities of times, which are not integrated exactly. For functions without
poles near the real line equal steps are as good as a rule can be."""
_HALVINGS = 26
_HASTIEST, _SLOWEST = math.log(1e-8), math.log(24.0)
"""Logarithms of the shortest and longest standardised time; the rest has a probability below 1e-50 at any drift a person
could have."""


class Wiener(NamedTuple):
    """The diffusion decision model: which of two bounds a noisy process reaches first, and when.

    A value is a pair ``(choice, rt)``: `choice` is 1 for the upper and 0 for the lower bound, `rt` the response time in
    seconds.
    The standard deviation of the noise is 1 a second (other programs have 0.1: their drifts and bounds are a tenth of ours).

    Attributes
    ----------
    v
        Drift towards the upper bound.
    a
        Separation of the bounds, from the lower one at 0.
    z
        Starting point of the process, as a share of the separation.
    t
        Non-decision time, in seconds.
    sv
        Standard deviation of a Gaussian drift between trials; integrated exactly.
    sz
        Width of a uniform starting point between trials, as a share of the separation; where it would reach beyond a bound, it
        ends there. Integrated by Gauss-Legendre quadrature, as is `st`.
    st
        Width of a uniform non-decision time between trials, around `t`.

    Notes
    -----
    A response time below `t` is impossible. Its log-density is no infinity, but a parabola from -980 nats downwards, so that
    derivatives show the way back.

    References
    ----------
    Ratcliff, R., & McKoon, G. (2008). The diffusion decision model: theory and data for two-choice decision tasks. Neural
    Computation, 20(4), 873-922. https://doi.org/10.1162/neco.2008.12-06-420

    Navarro, D. J., & Fuss, I. G. (2009). Fast and accurate calculations for first-passage times in Wiener diffusion models.
    Journal of Mathematical Psychology, 53(4), 222-230. https://doi.org/10.1016/j.jmp.2009.02.003

    Examples
    --------
    >>> dist = Wiener(v=1.0, a=1.5, z=0.5, t=0.3)
    >>> round(float(dist.log_prob((1, 0.8))), 4)
    -0.2633
    >>> round(float(dist.cdf((1, 0.8))), 4), round(float(jax.nn.softmax(dist.logits)[1]), 4)
    (0.5321, 0.8176)
    """

    v: ArrayLike
    a: ArrayLike
    z: ArrayLike = 0.5
    t: ArrayLike = 0.0
    sv: ArrayLike | None = None
    sz: ArrayLike | None = None
    st: ArrayLike | None = None

    @property
    def n_options(self) -> int:
        """Number of options, two: the lower and the upper bound."""
        return 2

    @property
    def logits(self) -> Array:
        """Log-probabilities of the lower and the upper bound, last axis, whenever they are reached."""
        log_p, plain = self._replace(st=None)._spread()
        both = [_averaged(log_p, series.log_reached(*_towards(plain, choice))) for choice in (0, 1)]
        return jnp.stack(jnp.broadcast_arrays(*both), axis=-1)

    def log_prob(self, value: tuple[ArrayLike, ArrayLike]) -> Array:
        """Log-density, in nats, of the choice and its response time."""
        choice, rt = value
        time = jnp.asarray(rt, jnp.result_type(float)) - self.t
        v, a, w = _towards(self, choice)
        if self.sz is None and self.st is None:
            return series.log_density(time, v, a, w, self.sv)
        width = None if self.st is None else jnp.minimum(self.st, 2 * jnp.asarray(self.t))
        return varying.log_density(time, v, a, w, self.sv, None if self.sz is None else self._width_of_z(), width)

    def _width_of_z(self) -> Array:
        z = jnp.asarray(self.z)
        return jnp.minimum(jnp.asarray(self.sz), 2 * jnp.minimum(z, 1 - z))

    def cdf(self, value: tuple[ArrayLike, ArrayLike]) -> Array:
        """Probability that the bound of `choice` is reached first and by `rt`; over both bounds it adds to 1 in the end."""
        choice, rt = value
        log_p, plain = self._spread(rt)
        time = jnp.asarray(rt, jnp.result_type(float)) - plain.t
        found = series.reached_by(time, *_towards(plain, choice))
        return found if log_p is None else (jnp.exp(log_p) * found).sum(0)

    def log_cdf(self, value: tuple[ArrayLike, ArrayLike]) -> tuple[Array, Array]:
        """Log-probabilities, in nats, that the bound of `choice` is reached first and by `rt`, and that it is not."""
        choice, rt = value
        log_p, plain = self._spread(rt, z=NODES_Z, t=NODES_T)
        time = jnp.asarray(rt, jnp.result_type(float)) - plain.t
        by, not_by = series.log_reached_by(time, *_towards(plain, choice))
        return _averaged(log_p, by), _averaged(log_p, not_by)

    def log_survivor(self, rt: ArrayLike) -> Array:
        """Log-probability, in nats, that there is no response by `rt`."""
        log_p, plain = self._replace(sv=None)._spread(rt, z=NODES_Z, t=NODES_T)
        time = jnp.asarray(rt, jnp.result_type(float)) - plain.t
        log_r, v = (None, plain.v) if self.sv is None else _drifts_of_survivors(plain, self.sv, time)
        return _averaged(log_p, _averaged(log_r, series.log_survivor(time, *_towards(plain._replace(v=v), 0))))

    def icdf(self, choice: ArrayLike, q: ArrayLike) -> Array:
        """Response time by which a share `q` of the responses with `choice` has been made; without `sv`, `sz` and `st`."""
        if not (self.sv is None and self.sz is None and self.st is None):
            raise ValueError("icdf is for constant drift, start and non-decision time: leave out sv, sz and st")
        v, a, w = (jnp.asarray(part, jnp.result_type(float)) for part in _towards(self, choice))
        return jnp.asarray(self.t) + _solved(v, a, w, jnp.log(q) + series.log_reached(v, a, w))

    def sample(self, key: Array) -> tuple[Array, Array]:
        """One random choice and its response time: exact, by inversion of the distribution."""
        of_v, of_z, of_t, of_choice, of_rt = jax.random.split(key, 5)
        v, z, t = (jnp.asarray(part, jnp.result_type(float)) for part in (self.v, self.z, self.t))
        if self.sv is not None:
            v = v + jnp.asarray(self.sv) * jax.random.normal(of_v, v.shape, v.dtype)
        if self.sz is not None:
            z = z + self._width_of_z() * (jax.random.uniform(of_z, z.shape, z.dtype) - 0.5)
        if self.st is not None:
            t = t + jnp.minimum(jnp.asarray(self.st), 2 * t) * (jax.random.uniform(of_t, t.shape, t.dtype) - 0.5)
        plain = Wiener(v, self.a, z, t)
        choice = jax.random.categorical(of_choice, plain.logits)
        q = jax.random.uniform(of_rt, choice.shape, v.dtype, minval=jnp.finfo(v.dtype).tiny)
        return choice, plain.icdf(choice, q)

    def _ndim(self, *others: ArrayLike) -> int:
        return len(jnp.broadcast_shapes(*(jnp.shape(part) for part in (*self, *others) if part is not None)))

    def _spread(self, *others: ArrayLike, z: int = MANY, t: int = MANY) -> tuple[Array | None, Wiener]:
        """Log-probabilities of nodes, first axis, and the process at each node, without variation between trials."""
        axes: list[tuple[str, Array, np.ndarray, np.ndarray]] = []
        if self.sv is not None:
            p = np.exp(-0.5 * DRIFTS**2)
            axes.append(("v", jnp.asarray(self.sv), DRIFTS, p / p.sum()))
        if self.sz is not None:
            x, p = np.polynomial.legendre.leggauss(z)
            axes.append(("z", self._width_of_z(), x / 2, p / 2))
        if self.st is not None:
            x, p = np.polynomial.legendre.leggauss(t)
            axes.append(("t", jnp.minimum(jnp.asarray(self.st), 2 * jnp.asarray(self.t)), x / 2, p / 2))
        if not axes:
            return None, self
        grids = np.meshgrid(*(x for _, _, x, _ in axes), indexing="ij")
        logs = sum(np.meshgrid(*(np.log(p) for *_, p in axes), indexing="ij"))
        ndim = self._ndim(*others)
        along = lambda grid: jnp.asarray(grid.reshape(-1, *[1] * ndim))  # noqa: E731
        moved = {
            name: getattr(self, name) + width * along(grid) for (name, width, *_), grid in zip(axes, grids, strict=True)
        }
        return along(logs), self._replace(sv=None, sz=None, st=None, **moved)


def _towards(dist: Wiener, choice: ArrayLike) -> tuple[Array, ArrayLike, Array]:
    """Drift, separation and start as seen from the bound of `choice`."""
    upper = jnp.asarray(choice) == 1
    v, z = jnp.asarray(dist.v), jnp.asarray(dist.z)
    return jnp.where(upper, -v, v), dist.a, jnp.where(upper, 1 - z, z)


def _drifts_of_survivors(plain: Wiener, sv: ArrayLike, time: Array) -> tuple[Array, Array]:
    """Drifts of those who have not responded by `time`, as a new first axis, and log-weights under the drifts of all.

    The probability not to have responded is about ``exp(-drift**2 time / 2)``; nodes are those of its product with the
    distribution of drifts.
    """
    v, sv, since = jnp.asarray(plain.v), jnp.asarray(sv), jnp.maximum(time, 0.0)
    x, p = np.polynomial.hermite_e.hermegauss(SURVIVORS)
    shape = (-1, *[1] * plain._ndim(sv, time))
    x, log_p = jnp.asarray(x.reshape(shape)), jnp.asarray(np.log(p / p.sum()).reshape(shape))
    share = 1 / (1 + sv**2 * since)
    moved = jnp.sqrt(share) * x - v * sv * since * share
    return log_p + 0.5 * (x**2 - moved**2 + jnp.log(share)), v + sv * moved


def _averaged(log_p: Array | None, terms: Array) -> Array:
    """Logarithm of the weighted mean over the first axis; the terms themselves if there are no nodes."""
    return terms if log_p is None else jax.nn.logsumexp(terms + log_p, axis=0)


def _solved(v: Array, a: Array, w: Array, log_q: Array) -> Array:
    """The time by which the lower bound is reached first with probability ``exp(log_q)``: halvings, then Newton's method."""
    q = jnp.exp(log_q)
    log_unit = 2 * jnp.log(a)
    shape = jnp.broadcast_shapes(jnp.shape(v), jnp.shape(a), jnp.shape(w), jnp.shape(q))
    low = jnp.broadcast_to(log_unit + _HASTIEST, shape)
    high = jnp.broadcast_to(log_unit + _SLOWEST, shape)

    def halve(_: int, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = ends
        middle = (low + high) / 2
        below = series.reached_by(jnp.exp(middle), v, a, w) < q
        return jnp.where(below, middle, low), jnp.where(below, high, middle)

    def improve(_: int, at: Array) -> Array:
        time = jnp.exp(at)
        slope = jnp.exp(series.log_density(time, v, a, w)) * time
        gap = q - series.reached_by(time, v, a, w)
        return jnp.clip(at + jnp.where(slope > 0, gap / jnp.where(slope > 0, slope, 1.0), 0.0), low, high)

    low, high = lax.fori_loop(0, _HALVINGS, halve, (low, high))
    return jnp.exp(lax.fori_loop(0, 2, improve, (low + high) / 2))
