"""Priors of the pyEM interface: a log-density of one person's unconstrained parameters, and moments to start from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from pyem.compat.math import array_module


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


def _positive(name: str, value: np.ndarray) -> None:
    if not (value > 0).all():
        raise ValueError(f"{name} must be above 0, but was {value}")


class _Independent:
    """A prior whose parameters are independent: subclasses give a term for each."""

    n: int

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

    def __init__(self, mu: Any, sigma: Any) -> None:
        self.mu, self.sigma = _pair(("mu", "sigma"), mu, sigma)
        _positive("sigma (a variance)", self.sigma)
        self.n = len(self.mu)

    def __repr__(self) -> str:
        return f"GaussianPrior(mu={self.mu}, sigma={self.sigma})"

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


class UniformPrior(_Independent):
    """Uniform between `lo` and `hi`, (P,); the log-density outside is minus infinity.

    Examples
    --------
    >>> round(UniformPrior([-2.0], [2.0]).logpdf([0.5]), 4)
    -1.3863
    """

    def __init__(self, lo: Any, hi: Any) -> None:
        self.lo, self.hi = _pair(("lo", "hi"), lo, hi)
        if not (self.hi > self.lo).all():
            raise ValueError(f"hi must be above lo, but lo={self.lo} and hi={self.hi}")
        self.n = len(self.lo)

    def __repr__(self) -> str:
        return f"UniformPrior(lo={self.lo}, hi={self.hi})"

    def terms(self, x: Any) -> Any:
        """Log-density of each parameter, (..., P)."""
        inside = (x >= self.lo) & (x <= self.hi)
        return array_module(x).where(inside, -np.log(self.hi - self.lo), -np.inf)

    def init_moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance (P,)."""
        return (self.lo + self.hi) / 2, (self.hi - self.lo) ** 2 / 12


class LaplacePrior(_Independent):
    """Double exponential around `loc` with mean absolute deviation `scale`, (P,).

    Examples
    --------
    >>> round(LaplacePrior([0.0], [0.5]).logpdf([0.0]), 4)
    0.0
    """

    def __init__(self, loc: Any, scale: Any) -> None:
        self.loc, self.scale = _pair(("loc", "scale"), loc, scale)
        _positive("scale", self.scale)
        self.n = len(self.loc)

    def __repr__(self) -> str:
        return f"LaplacePrior(loc={self.loc}, scale={self.scale})"

    def terms(self, x: Any) -> Any:
        """Log-density of each parameter, (..., P)."""
        return -abs(x - self.loc) / self.scale - np.log(2 * self.scale)

    def smooth_terms(self, x: Any) -> Any:
        """The same without the kink, for searches that need derivatives; less by 0.01 at most."""
        z = (x - self.loc) / self.scale
        return -array_module(x).sqrt(z * z + 1e-4) - np.log(2 * self.scale)

    def init_moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance (P,)."""
        return self.loc.copy(), 2 * self.scale**2


class StudentTPrior(_Independent):
    """Student's t around `loc` with `scale` (P,) and `df` degrees of freedom.

    Examples
    --------
    >>> round(StudentTPrior([0.0], [1.0], df=1).logpdf([0.0]), 4)
    -1.1447
    """

    def __init__(self, loc: Any, scale: Any, df: float = 8.0) -> None:
        self.loc, self.scale = _pair(("loc", "scale"), loc, scale)
        _positive("scale", self.scale)
        self.n = len(self.loc)
        self.df = float(df)
        if not (math.isfinite(self.df) and self.df > 0):
            raise ValueError(f"df must be above 0, but was {df}")

    def __repr__(self) -> str:
        return f"{type(self).__name__}(loc={self.loc}, scale={self.scale}, df={self.df:g})"

    def terms(self, x: Any) -> Any:
        """Log-density of each parameter, (..., P)."""
        df = self.df
        constant = math.lgamma((df + 1) / 2) - math.lgamma(df / 2) - 0.5 * math.log(df * math.pi)
        z = (x - self.loc) / self.scale
        return constant - np.log(self.scale) - 0.5 * (df + 1) * array_module(x).log1p(z * z / df)

    def init_moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Centre and variance (P,); where there is no variance (df of 2 or less), the squared scale."""
        return self.loc.copy(), self.scale**2 * (self.df / (self.df - 2) if self.df > 2 else 1.0)


class CauchyPrior(StudentTPrior):
    """Cauchy around `loc` with `scale`, (P,).

    Examples
    --------
    >>> round(CauchyPrior([0.0], [1.0]).logpdf([0.0]), 4)
    -1.1447
    """

    def __init__(self, loc: Any, scale: Any) -> None:
        super().__init__(loc, scale, df=1.0)


class IndependentPrior(_Independent):
    """A prior of its own for each parameter.

    Parameters
    ----------
    priors
        In the order of the parameters; each is a prior of one parameter.

    Examples
    --------
    >>> both = IndependentPrior([GaussianPrior(0.0, 1.0), UniformPrior(-1.0, 1.0)])
    >>> round(both.logpdf([0.0, 0.0]), 4)
    -1.6121
    """

    def __init__(self, priors: Sequence[Any]) -> None:
        self.priors = tuple(priors)
        if not self.priors:
            raise ValueError("IndependentPrior needs at least one prior")
        for k, prior in enumerate(self.priors):
            if not (hasattr(prior, "logpdf") and hasattr(prior, "init_moments")):
                raise ValueError(
                    f"prior {k} is {prior!r}; it needs logpdf(x) and init_moments(), as those of pyem.compat.priors"
                )
            if getattr(prior, "n", 1) != 1:
                raise ValueError(f"prior {k} is for {prior.n} parameters, but should be for one")
        self.n = len(self.priors)

    def __repr__(self) -> str:
        return f"IndependentPrior({list(self.priors)})"

    def terms(self, x: Any) -> Any:
        """Log-density of each parameter, (..., P)."""
        return self._each(x, "terms")

    def smooth_terms(self, x: Any) -> Any:
        """The same without kinks, where a prior offers that."""
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
