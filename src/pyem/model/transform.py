"""Bijections between the real line and the natural range of a parameter.

A transform is a small, hashable object, so that a model can be static under ``jax.jit``. ``transform(x)`` maps
unconstrained to natural values, ``inv`` maps back, ``log_det`` is the log of the Jacobian of the forward map.

NumPy arrays come back as NumPy arrays, computed by NumPy; everything else is computed by JAX.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.special import ndtr, ndtri
from jax.typing import ArrayLike
from scipy.special import ndtr as scipy_ndtr
from scipy.special import ndtri as scipy_ndtri


def _arrays(x: ArrayLike) -> tuple[Any, Any]:
    """The array library to compute with, and `x` as its array."""
    # Outside of traced functions JAX would compile every operation anew for every shape of array.
    library = np if isinstance(x, np.ndarray) else jnp
    return library, library.asarray(x)


def _sigmoid(x: ArrayLike) -> Any:
    if not isinstance(x, np.ndarray):
        return jax.nn.sigmoid(x)
    small = np.exp(-np.abs(x))
    return np.where(x < 0, small, 1.0) / (1.0 + small)


def _log(y: ArrayLike) -> Any:
    # Outside of the range there is no inverse: NaN or an infinity says so.
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log(y) if isinstance(y, np.ndarray) else jnp.log(y)


def _softplus(x: ArrayLike) -> Any:
    return np.logaddexp(x, 0.0) if isinstance(x, np.ndarray) else jax.nn.softplus(x)


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
        """Map unconstrained to natural values."""
        return _arrays(x)[1]

    def inv(self, y: ArrayLike) -> Array:
        """Map natural to unconstrained values."""
        return _arrays(y)[1]

    def log_det(self, x: ArrayLike) -> Array:
        """Log absolute derivative of the forward map at unconstrained `x`."""
        library, values = _arrays(x)
        return library.zeros_like(values)


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
        """Map unconstrained to natural values."""
        library, values = _arrays(x)
        return library.exp(values)

    def inv(self, y: ArrayLike) -> Array:
        """Map natural to unconstrained values."""
        return _log(y)

    def log_det(self, x: ArrayLike) -> Array:
        """Log absolute derivative of the forward map at unconstrained `x`."""
        return _arrays(x)[1]


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
        """Map unconstrained to natural values."""
        return self.low + (self.high - self.low) * _sigmoid(x)

    def inv(self, y: ArrayLike) -> Array:
        """Map natural to unconstrained values."""
        _, values = _arrays(y)
        return _log(values - self.low) - _log(self.high - values)

    def log_det(self, x: ArrayLike) -> Array:
        """Log absolute derivative of the forward map at unconstrained `x`."""
        _, values = _arrays(x)
        return math.log(self.high - self.low) - _softplus(values) - _softplus(-values)


@dataclasses.dataclass(frozen=True)
class Probit:
    """A scaled normal distribution function onto the interval from `low` to `high`.

    It has lighter tails than `Interval`: values near the ends are reached within a few units.

    Examples
    --------
    >>> float(Probit(0, 20)(0.0))
    10.0
    """

    limit: ClassVar[float] = 7.0
    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise ValueError(f"Probit needs low < high, but was given low={self.low} and high={self.high}")

    @property
    def bounds(self) -> tuple[float, float]:
        """Smallest and largest natural value."""
        return (self.low, self.high)

    def __call__(self, x: ArrayLike) -> Array:
        """Map unconstrained to natural values."""
        cdf = scipy_ndtr(x) if isinstance(x, np.ndarray) else ndtr(x)
        return self.low + (self.high - self.low) * cdf

    def inv(self, y: ArrayLike) -> Array:
        """Map natural to unconstrained values."""
        library, values = _arrays(y)
        share = (values - self.low) / (self.high - self.low)
        return scipy_ndtri(share) if library is np else ndtri(share)

    def log_det(self, x: ArrayLike) -> Array:
        """Log absolute derivative of the forward map at unconstrained `x`."""
        _, values = _arrays(x)
        return math.log(self.high - self.low) - 0.5 * math.log(2 * math.pi) - 0.5 * values**2


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
        """Map unconstrained to natural values."""
        library, values = _arrays(x)
        return library.cumsum(library.concatenate([values[:1], library.exp(values[1:])]), axis=0)

    def inv(self, y: ArrayLike) -> Array:
        """Map natural to unconstrained values."""
        library, values = _arrays(y)
        return library.concatenate([values[:1], _log(library.diff(values, axis=0))])

    def log_det(self, x: ArrayLike) -> Array:
        """Log absolute derivative of each step at unconstrained `x`."""
        library, values = _arrays(x)
        return library.concatenate([library.zeros_like(values[:1]), values[1:]])


@dataclasses.dataclass(frozen=True)
class OneOf:
    """The identity, for a parameter that has one of a few values, in increasing order.

    Examples
    --------
    >>> OneOf((2.0, 3.0, 5.0)).bounds
    (2.0, 5.0)
    """

    limit: ClassVar[float] = float("inf")
    values: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.values) < 2 or any(not a < b for a, b in itertools.pairwise(self.values)):
            raise ValueError(f"values={self.values}; give at least two numbers, in increasing order")

    @property
    def bounds(self) -> tuple[float, float]:
        """Smallest and largest natural value."""
        return (self.values[0], self.values[-1])

    def __call__(self, x: ArrayLike) -> Array:
        """Map unconstrained to natural values."""
        return _arrays(x)[1]

    def inv(self, y: ArrayLike) -> Array:
        """Map natural to unconstrained values; NaN for numbers that are none of the values."""
        library, values = _arrays(y)
        known = (values[..., None] == library.asarray(self.values)).any(-1)
        return library.where(known, values, library.nan)

    def log_det(self, x: ArrayLike) -> Array:
        """Log absolute derivative of the forward map, 0."""
        library, values = _arrays(x)
        return library.zeros_like(values)


Transform = Real | Positive | Interval | Probit | Ordered | OneOf
