"""Bijections between the real line and the natural range of a parameter.

A transform is a small, hashable object, so that a model can be static under ``jax.jit``. ``transform(x)`` maps
unconstrained to natural values, ``inv`` maps back, ``log_det`` is the log of the Jacobian of the forward map.
"""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike


@dataclasses.dataclass(frozen=True)
class Real:
    """The identity, for parameters without bounds.

    Examples
    --------
    >>> float(Real()(1.5))
    1.5
    """

    limit: ClassVar[float] = float("inf")

    @property
    def bounds(self) -> tuple[float, float]:
        """Smallest and largest natural value."""
        return (-float("inf"), float("inf"))

    def __call__(self, x: ArrayLike) -> Array:
        """Unconstrained to natural."""
        return jnp.asarray(x)

    def inv(self, y: ArrayLike) -> Array:
        """Natural to unconstrained."""
        return jnp.asarray(y)

    def log_det(self, x: ArrayLike) -> Array:
        """Log absolute derivative of the forward map at unconstrained `x`."""
        return jnp.zeros_like(jnp.asarray(x))


@dataclasses.dataclass(frozen=True)
class Positive:
    """The exponential map, for parameters above zero.

    Examples
    --------
    >>> float(Positive()(0.0))
    1.0
    """

    limit: ClassVar[float] = 30.0

    @property
    def bounds(self) -> tuple[float, float]:
        """Smallest and largest natural value."""
        return (0.0, float("inf"))

    def __call__(self, x: ArrayLike) -> Array:
        """Unconstrained to natural."""
        return jnp.exp(x)

    def inv(self, y: ArrayLike) -> Array:
        """Natural to unconstrained."""
        return jnp.log(y)

    def log_det(self, x: ArrayLike) -> Array:
        """Log absolute derivative of the forward map at unconstrained `x`."""
        return jnp.asarray(x)


@dataclasses.dataclass(frozen=True)
class Interval:
    """A scaled logistic map onto the interval from `low` to `high`.

    ``Interval(0, 1)`` is the usual map of learning rates, ``Interval(0, 20)`` that of inverse temperatures.

    Examples
    --------
    >>> float(Interval(0, 20)(0.0))
    10.0
    """

    limit: ClassVar[float] = 30.0
    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise ValueError(f"Interval needs low < high, but was given low={self.low} and high={self.high}")

    @property
    def bounds(self) -> tuple[float, float]:
        """Smallest and largest natural value."""
        return (self.low, self.high)

    def __call__(self, x: ArrayLike) -> Array:
        """Unconstrained to natural."""
        return self.low + (self.high - self.low) * jax.nn.sigmoid(x)

    def inv(self, y: ArrayLike) -> Array:
        """Natural to unconstrained."""
        y = jnp.asarray(y)
        return jnp.log(y - self.low) - jnp.log(self.high - y)

    def log_det(self, x: ArrayLike) -> Array:
        """Log absolute derivative of the forward map at unconstrained `x`."""
        x = jnp.asarray(x)
        return jnp.log(self.high - self.low) - jax.nn.softplus(x) - jax.nn.softplus(-x)


@dataclasses.dataclass(frozen=True)
class Ordered:
    """Increasing vectors, along the first axis: the first value is free, the steps are exponentials.

    For parameters with ``size > 1``, such as the thresholds of a rating scale.

    Examples
    --------
    >>> [float(v) for v in Ordered()(jnp.array([1.0, 0.0, 0.0]))]
    [1.0, 2.0, 3.0]
    """

    limit: ClassVar[float] = float("inf")

    @property
    def bounds(self) -> tuple[float, float]:
        """Smallest and largest natural value."""
        return (-float("inf"), float("inf"))

    def __call__(self, x: ArrayLike) -> Array:
        """Unconstrained to natural."""
        x = jnp.asarray(x)
        return jnp.cumsum(jnp.concatenate([x[:1], jnp.exp(x[1:])]), axis=0)

    def inv(self, y: ArrayLike) -> Array:
        """Natural to unconstrained."""
        y = jnp.asarray(y)
        return jnp.concatenate([y[:1], jnp.log(jnp.diff(y, axis=0))])

    def log_det(self, x: ArrayLike) -> Array:
        """Log absolute derivative of each step at unconstrained `x`."""
        x = jnp.asarray(x)
        return jnp.concatenate([jnp.zeros_like(x[:1]), x[1:]])


Transform = Real | Positive | Interval | Ordered
