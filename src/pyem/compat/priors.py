"""Priors of the pyEM interface: a log-density of one person's unconstrained parameters, and moments to start from."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

from pyem.compat.math import array_module


@runtime_checkable
class Prior(Protocol):
    """Anything with a log-density; `init_moments` where a fit is to start from it."""

    def logpdf(self, x: Any) -> float:
        """Log-density of one person's parameters (P,), in nats."""
        ...


def _vector(name: str, value: Any) -> np.ndarray:
    array = np.atleast_1d(np.asarray(value, float))
    if array.ndim != 1 or not len(array) or not np.isfinite(array).all():
        raise ValueError(f"{name} should be one finite number for each parameter, but was {value!r}")
    return array


def _pair(names: tuple[str, str], first: Any, second: Any) -> tuple[np.ndarray, np.ndarray]:
    a, b = _vector(names[0], first), _vector(names[1], second)
    if a.shape != b.shape:
        raise ValueError(f"{names[0]} has {len(a)} values and {names[1]} has {len(b)}; give as many of each")
    return a, b


def _positive(words: str, *values: np.ndarray) -> None:
    if not all((value > 0).all() for value in values):
        raise ValueError(f"{words} must be positive, but was given {' and '.join(map(str, values))}")


def t_variance(scale: np.ndarray, df: Any) -> np.ndarray:
    """Variance of a Student-t with this scale, limited to a hundred squared scales, also where it is infinite."""
    df = np.asarray(df, float)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(df > 2, df / (df - 2), np.inf)
    return scale**2 * np.minimum(ratio, 100.0)


class _Independent:
    """A prior whose parameters are independent: subclasses give a term for each."""

    @property
    def n(self) -> int:
        """Number of parameters."""
        return len(self.init_moments()[0])

    def terms(self, x: Any) -> Any:
        """Log-density of each parameter, (..., P)."""
        raise NotImplementedError

    def logpdf(self, x: Any) -> float:
        """Log-density of one person's parameters `x` (P,), in nats."""
        x = np.asarray(x, float).ravel()
        if len(x) != self.n:
            raise ValueError(f"the prior is for {self.n} parameters, but was given {len(x)}")
        with np.errstate(all="ignore"):
            return float(np.sum(self.terms(x)))

    def __getitem__(self, name: str) -> Any:
        # Functions written for the older interface read prior["logpdf"](params).
        if name in ("logpdf", "mu", "sigma"):
            moments = dict(zip(("mu", "sigma"), self.init_moments(), strict=True))
            return self.logpdf if name == "logpdf" else moments[name]
        raise KeyError(name)

    def init_moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance (P,) with which a fit starts."""
        raise NotImplementedError


@dataclasses.dataclass(eq=False)
class GaussianPrior(_Independent):
    """Independent Gaussians.

    Parameters
    ----------
    mu
        Means, (P,).
    sigma
        *Variances*, (P,).

    Examples
    --------
    >>> round(GaussianPrior([0.0], [1.0]).logpdf([0.0]), 4)
    -0.9189
    """

    mu: Any
    sigma: Any

    def __post_init__(self) -> None:
        self.mu, self.sigma = _pair(("mu", "sigma"), self.mu, self.sigma)
        _positive("sigma (variance)", self.sigma)

    @property
    def variance(self) -> np.ndarray:
        """Variances, which are also called `sigma`."""
        return self.sigma

    def terms(self, x: Any) -> Any:
        """Log-density of each parameter, (..., P)."""
        return -0.5 * ((x - self.mu) ** 2 / self.sigma + np.log(2 * math.pi * self.sigma))

    def init_moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance (P,)."""
        return self.mu.copy(), self.sigma.copy()


def default_prior(nparams: int, seed: int | None = None) -> GaussianPrior:
    """The prior of a first E-step when none is given: variance 100, means drawn near 0.

    Examples
    --------
    >>> default_prior(2, seed=1).sigma
    array([100., 100.])
    """
    if nparams < 1:
        raise ValueError(f"nparams={nparams}; a prior needs at least one parameter")
    return GaussianPrior(0.1 * np.random.default_rng(seed).standard_normal(nparams), np.full(nparams, 100.0))


@dataclasses.dataclass(eq=False)
class UniformPrior(_Independent):
    """Uniform between `lo` and `hi`, (P,); the log-density outside is minus infinity.

    Examples
    --------
    >>> round(UniformPrior([-2.0], [2.0]).logpdf([0.5]), 4)
    -1.3863
    """

    lo: Any
    hi: Any

    def __post_init__(self) -> None:
        self.lo, self.hi = _pair(("lo", "hi"), self.lo, self.hi)
        if not (self.hi > self.lo).all():
            raise ValueError(f"hi must exceed lo, but lo={self.lo} and hi={self.hi}")

    def terms(self, x: Any) -> Any:
        """Log-density of each parameter, (..., P)."""
        inside = (x >= self.lo) & (x <= self.hi)
        return array_module(x).where(inside, -np.log(self.hi - self.lo), -np.inf)

    def init_moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance (P,)."""
        return (self.lo + self.hi) / 2, (self.hi - self.lo) ** 2 / 12


@dataclasses.dataclass(eq=False)
class LaplacePrior(_Independent):
    """Double exponential around `loc` with mean absolute deviation `scale`, (P,).

    Examples
    --------
    >>> round(LaplacePrior([0.0], [0.5]).logpdf([0.0]), 4)
    0.0
    """

    loc: Any
    scale: Any

    def __post_init__(self) -> None:
        self.loc, self.scale = _pair(("loc", "scale"), self.loc, self.scale)
        _positive("scale", self.scale)

    def terms(self, x: Any) -> Any:
        """Log-density of each parameter, (..., P)."""
        return -abs(x - self.loc) / self.scale - np.log(2 * self.scale)

    def smooth_terms(self, x: Any) -> Any:
        """Terms without the kink, for searches that need derivatives; less than `terms` by 0.01 at most."""
        z = (x - self.loc) / self.scale
        return -array_module(x).sqrt(z * z + 1e-4) - np.log(2 * self.scale)

    def init_moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance (P,)."""
        return self.loc.copy(), 2 * self.scale**2


def _t_terms(x: Any, loc: np.ndarray, scale: np.ndarray, df: np.ndarray) -> Any:
    from scipy.special import gammaln

    constant = gammaln((df + 1) / 2) - gammaln(df / 2) - 0.5 * np.log(df * math.pi) - np.log(scale)
    z = (x - loc) / scale
    return constant - 0.5 * (df + 1) * array_module(x).log1p(z * z / df)


@dataclasses.dataclass(eq=False)
class StudentTPrior(_Independent):
    """Student's t around `loc` with `scale` (P,) and `df` degrees of freedom, one number or (P,).

    Examples
    --------
    >>> round(StudentTPrior([0.0], [1.0], df=1).logpdf([0.0]), 4)
    -1.1447
    """

    loc: Any
    scale: Any
    df: Any

    def __post_init__(self) -> None:
        self.loc, self.scale = _pair(("loc", "scale"), self.loc, self.scale)
        df = np.asarray(self.df, float)
        if df.shape not in ((), (1,), self.loc.shape):
            raise ValueError(f"df has shape {df.shape}; expected one number, or one for each of {len(self.loc)}")
        if not (np.isfinite(df) & (df > 0)).all() or not (self.scale > 0).all():
            raise ValueError(f"scale and df must be positive, but scale={self.scale} and df={self.df}")
        self.df = float(df) if df.ndim == 0 else df

    def terms(self, x: Any) -> Any:
        """Log-density of each parameter, (..., P)."""
        return _t_terms(x, self.loc, self.scale, np.asarray(self.df))

    def init_moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Centre and variance (P,), limited to a hundred squared scales, also where there is no variance."""
        return self.loc.copy(), t_variance(self.scale, self.df)


@dataclasses.dataclass(eq=False)
class CauchyPrior(_Independent):
    """Cauchy around `loc` with `scale`, (P,).

    Examples
    --------
    >>> round(CauchyPrior([0.0], [1.0]).logpdf([0.0]), 4)
    -1.1447
    """

    loc: Any
    scale: Any

    def __post_init__(self) -> None:
        self.loc, self.scale = _pair(("loc", "scale"), self.loc, self.scale)
        _positive("scale", self.scale)

    def terms(self, x: Any) -> Any:
        """Log-density of each parameter, (..., P)."""
        return _t_terms(x, self.loc, self.scale, np.ones(1))

    def init_moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Centre and a hundred squared scales (P,), as there is no variance."""
        return self.loc.copy(), t_variance(self.scale, 1.0)


@dataclasses.dataclass(eq=False)
class IndependentPrior(_Independent):
    """A prior of its own for each parameter.

    Parameters
    ----------
    priors
        Priors in the order of the parameters, each of one parameter.

    Examples
    --------
    >>> both = IndependentPrior([GaussianPrior(0.0, 1.0), UniformPrior(-1.0, 1.0)])
    >>> round(both.logpdf([0.0, 0.0]), 4)
    -1.6121
    """

    priors: Sequence[Any]

    def __post_init__(self) -> None:
        self.priors = tuple(self.priors)
        if not self.priors:
            raise ValueError("IndependentPrior needs at least one prior")
        for k, prior in enumerate(self.priors):
            if not (hasattr(prior, "logpdf") and hasattr(prior, "init_moments")):
                raise ValueError(
                    f"IndependentPrior component {k} is {prior!r}; it needs logpdf(x) and init_moments(), as those of "
                    "pyem.core.priors have"
                )
            if (n := getattr(prior, "n", 1)) != 1:
                raise ValueError(
                    f"IndependentPrior component {k} must be a 1-D {type(prior).__name__}, a prior of one parameter, but "
                    f"it is for {n}"
                )

    @property
    def n(self) -> int:
        """Number of parameters."""
        return len(self.priors)

    def logpdf(self, x: Any) -> float:
        """Log-density of one person's parameters `x` (P,), in nats."""
        if np.size(x) != self.n:
            raise ValueError(f"x length must match number of component priors, {self.n}, but it is {np.size(x)}")
        return super().logpdf(x)

    def terms(self, x: Any) -> Any:
        """Log-density of each parameter, (..., P)."""
        return self._each(x, "terms")

    def smooth_terms(self, x: Any) -> Any:
        """Terms without kinks, where a prior offers these."""
        return self._each(x, "smooth_terms")

    def _each(self, x: Any, name: str) -> Any:
        xp = array_module(x)
        each = [getattr(prior, name, getattr(prior, "terms", prior.logpdf)) for prior in self.priors]
        return xp.stack([xp.sum(xp.asarray(term(x[k : k + 1]))) for k, term in enumerate(each)])

    def init_moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance (P,)."""
        moments = [prior.init_moments() for prior in self.priors]
        mean, variance = (np.concatenate([np.atleast_1d(m[k]) for m in moments]) for k in (0, 1))
        return mean, variance
