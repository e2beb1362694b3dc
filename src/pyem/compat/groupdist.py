"""The four families of group distributions, with the names and hyperparameters of the pyEM interface.

A group makes hyperparameters of everybody's modes and curvatures (``update``), and of these the mean and variance of the group
(``moments``) and the prior of the next E-step (``make_prior``).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

import numpy as np

from pyem.compat.priors import CauchyPrior, GaussianPrior, LaplacePrior, Prior, StudentTPrior, t_variance
from pyem.population.group import FAMILIES, Group
from pyem.population.population import Population
from pyem.population.posterior import Laplace

T_STEPS = 100
"""Largest number of reweighting steps in the M-step of a Student-t."""

Moments = tuple[np.ndarray, np.ndarray, int]
"""Mean and variance (P,) of the group, and 1 if they can be used, else 0."""


class GroupRule(Protocol):
    """A group distribution as the EM loop uses it."""

    family: ClassVar[str]

    @property
    def df(self) -> float:
        """Degrees of freedom; without meaning for families that have none."""
        ...

    def update(self, m: np.ndarray, inv_h: np.ndarray) -> Any:
        """Compute hyperparameters from everybody's modes (P, S) and inverse Hessians (P, P, S)."""
        ...

    def moments(self, hyper: Any) -> Moments:
        """Mean and variance (P,), and whether they can be used."""
        ...

    def make_prior(self, hyper: Any) -> Prior:
        """Return the prior of the next E-step."""
        ...


def _diagonals(m: Any, inv_h: Any) -> tuple[np.ndarray, np.ndarray]:
    """Modes (P, S) and the diagonal of each inverse Hessian, (P, S)."""
    m, inv_h = np.asarray(m, float), np.asarray(inv_h, float)
    if m.ndim != 2 or inv_h.shape != (len(m), *m.shape):
        raise ValueError(f"expected m (P, S) and inv_h (P, P, S), but was given {m.shape} and {inv_h.shape}")
    return m, np.einsum("pps->ps", inv_h)


def _checked(mu: Any, variance: Any) -> Moments:
    mu, variance = np.array(mu, float), np.array(variance, float)
    fine = np.isfinite(mu).all() and np.isfinite(variance).all() and (variance > 0).all()
    return mu, variance, int(fine)


@dataclasses.dataclass(frozen=True)
class GaussianGroup:
    """People's parameters are Gaussian and independent; hyperparameters are mean, variance and a flag.

    Examples
    --------
    >>> group = GaussianGroup()
    >>> mu, variance, valid = group.moments(group.update(np.array([[0.0, 2.0]]), np.ones((1, 1, 2))))
    >>> mu, variance, valid
    (array([1.]), array([2.]), 1)
    """

    family: ClassVar[str] = "gaussian"
    df: ClassVar[float] = math.inf

    def update(self, m: np.ndarray, inv_h: np.ndarray) -> Moments:
        """Mean of the modes, and mean of their squares and of the inverse curvatures, less the square of the mean."""
        m, h = _diagonals(m, inv_h)
        mu = m.mean(1)
        variance = (m**2 + h).mean(1) - mu**2
        return mu, variance, int((variance >= 0).all())

    def moments(self, hyper: Moments) -> Moments:
        """Mean and variance (P,), and 1 if they can be used."""
        mu, variance, flag = hyper
        return *_checked(mu, variance)[:2], int(flag and _checked(mu, variance)[2])

    def make_prior(self, hyper: Moments) -> GaussianPrior:
        """Return the Gaussian with these moments."""
        return GaussianPrior(hyper[0], hyper[1])


@dataclasses.dataclass(frozen=True)
class LaplaceGroup:
    """People's parameters have double exponential distributions; hyperparameters are ``loc`` and ``scale``.

    The M-step takes the place from which people are least far away on average, given their Gaussian posteriors.

    Examples
    --------
    >>> hyper = LaplaceGroup().update(np.array([[0.0, 1.0, 5.0]]), np.full((1, 1, 3), 1e-12))
    >>> hyper["loc"].round(4), hyper["scale"].round(4)
    (array([1.]), array([1.6667]))
    """

    family: ClassVar[str] = "laplace"
    df: ClassVar[float] = math.inf

    def update(self, m: np.ndarray, inv_h: np.ndarray) -> dict[str, np.ndarray]:
        """Compute hyperparameters from modes (P, S) and inverse Hessians (P, P, S)."""
        m, h = _diagonals(m, inv_h)
        q = np.sqrt(np.where(h >= 0, h, np.nan))
        loc = _balanced(m, q)
        return {"loc": loc, "scale": _distance(m - loc[:, None], q).mean(1)}

    def moments(self, hyper: Mapping[str, Any]) -> Moments:
        """Mean and variance (P,), and 1 if they can be used."""
        return _checked(hyper["loc"], 2 * np.asarray(hyper["scale"], float) ** 2)

    def make_prior(self, hyper: Mapping[str, Any]) -> LaplacePrior:
        """Return the Laplace distribution with these parameters."""
        return LaplacePrior(hyper["loc"], hyper["scale"])


def _distance(d: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Expected absolute value of a Gaussian with mean `d` and sd `q`."""
    from scipy.special import erf

    z = d / np.maximum(q, 1e-150)
    return q * math.sqrt(2 / math.pi) * np.exp(-0.5 * z**2) + d * erf(z / math.sqrt(2))


def _balanced(m: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Place with the least mean expected distance in each row, (P,): half of the mass is on either side."""
    from scipy.special import erf

    low, high = m.min(1), m.max(1)
    for _ in range(200):
        middle = (low + high) / 2
        pull = erf((middle[:, None] - m) / np.maximum(q, 1e-150) / math.sqrt(2)).mean(1)
        low, high = np.where(pull < 0, middle, low), np.where(pull < 0, high, middle)
    return np.where(np.isfinite(q).all(1), (low + high) / 2, np.nan)


@dataclasses.dataclass(frozen=True)
class StudentTGroup:
    """People's parameters have independent Student-t distributions; hyperparameters are ``loc``, ``scale`` and ``df``.

    Parameters
    ----------
    df
        Degrees of freedom.

    Examples
    --------
    >>> StudentTGroup(df=5.0).df
    5.0
    """

    df: float = 8.0
    family: ClassVar[str] = "student_t"

    def __post_init__(self) -> None:
        object.__setattr__(self, "df", float(self.df))
        if not 0 < self.df < math.inf:
            raise ValueError(f"df={self.df}; degrees of freedom must be above 0 and finite")

    def update(self, m: np.ndarray, inv_h: np.ndarray) -> dict[str, Any]:
        """Compute hyperparameters from modes (P, S) and inverse Hessians (P, P, S)."""
        m, h = _diagonals(m, inv_h)
        loc, scale = _reweighted(m, h, self.df)
        return {"loc": loc, "scale": scale, "df": self.df}

    def moments(self, hyper: Mapping[str, Any]) -> Moments:
        """Mean and variance (P,), and 1 if they can be used."""
        return _checked(hyper["loc"], t_variance(np.asarray(hyper["scale"], float), hyper["df"]))

    def make_prior(self, hyper: Mapping[str, Any]) -> StudentTPrior:
        """Return the Student-t distribution with these parameters."""
        return StudentTPrior(hyper["loc"], hyper["scale"], hyper["df"])


@dataclasses.dataclass(frozen=True)
class CauchyGroup:
    """People's parameters have independent Cauchy distributions; hyperparameters are ``loc`` and ``scale``.

    Examples
    --------
    >>> CauchyGroup().df
    1.0
    """

    family: ClassVar[str] = "cauchy"
    df: ClassVar[float] = 1.0

    def update(self, m: np.ndarray, inv_h: np.ndarray) -> dict[str, np.ndarray]:
        """Compute hyperparameters from modes (P, S) and inverse Hessians (P, P, S)."""
        loc, scale = _reweighted(*_diagonals(m, inv_h), self.df)
        return {"loc": loc, "scale": scale}

    def moments(self, hyper: Mapping[str, Any]) -> Moments:
        """Centre and a hundred squared scales, as there is no variance, (P,), and 1 if they can be used."""
        return _checked(hyper["loc"], t_variance(np.asarray(hyper["scale"], float), self.df))

    def make_prior(self, hyper: Mapping[str, Any]) -> CauchyPrior:
        """Return the Cauchy distribution with these parameters."""
        return CauchyPrior(hyper["loc"], hyper["scale"])


def _reweighted(m: np.ndarray, h: np.ndarray, df: float) -> tuple[np.ndarray, np.ndarray]:
    """Centre and scale (P,) of Student-t distributions, in which people far from the rest weigh less."""
    c = np.median(m, axis=1)
    v = 2.198 * np.median(abs(m - c[:, None]), axis=1) ** 2 + 1e-6
    for _ in range(T_STEPS):
        w = (df + 1) / (df + ((m - c[:, None]) ** 2 + h) / v[:, None])
        new = (w * m).sum(1) / w.sum(1)
        spread = (w * ((m - new[:, None]) ** 2 + h)).sum(1) / w.sum(1)
        settled = np.allclose(new, c, rtol=1e-12, atol=1e-12) and np.allclose(spread, v, rtol=1e-12, atol=0)
        c, v = new, spread
        if settled:
            break
    return c, np.sqrt(np.where(v >= 0, v, np.nan))


_RULES: dict[str, Any] = {
    "gaussian": GaussianGroup,
    "laplace": LaplaceGroup,
    "student_t": StudentTGroup,
    "cauchy": CauchyGroup,
}


def make_group(name: Any = "gaussian", df: float = 8.0) -> GroupRule:
    """The group distribution that an M-step estimates.

    Parameters
    ----------
    name
        ``"gaussian"``, ``"laplace"``, ``"student_t"`` or ``"cauchy"``; a group is given back as it is.
    df
        Degrees of freedom of the Student-t; the others have none.

    Raises
    ------
    ValueError
        If there is no such family.

    Examples
    --------
    >>> make_group("student_t", df=5).df
    5.0
    """
    if isinstance(name, tuple(_RULES.values())):
        return name
    if isinstance(name, Group):
        name, df = name.family, name.df
    if name not in _RULES:
        raise ValueError(f"unknown mstep {name!r}; choose one of {', '.join(FAMILIES)}")
    return StudentTGroup(df) if name == "student_t" else _RULES[name]()


def as_native(rule: GroupRule) -> Group:
    """Return the group with this family for the library's own EM."""
    return Group(rule.family, df=rule.df) if rule.family == "student_t" else Group(rule.family)  # type: ignore[arg-type]


def variance_ratio(rule: GroupRule) -> float:
    """Variance in the pyEM interface, as a multiple of the squared scale of the library's own family."""
    return float(t_variance(np.ones(1), rule.df)[0]) if rule.family in ("student_t", "cauchy") else 1.0


def group_variance(rule: GroupRule, population: Population) -> np.ndarray:
    """Variance of each parameter in the group, (P,); a hundred squared scales for tails so heavy that there is none."""
    return variance_ratio(rule) * np.diag(population.cov)


@dataclasses.dataclass(frozen=True)
class MStep:
    """The M-step of the library's own EM if the group's moments can be used; else the group stays the same.

    Parameters
    ----------
    rule
        The group.
    own
        The moments themselves are the next group. They are those of the library's own fixed point but for a Laplace group,
        whose M-step is another here: that of the library takes people's distances from the centre to be uncertain too.
    """

    rule: GroupRule
    own: bool = False

    def __call__(self, population: Population, laplace: Laplace) -> Population:
        """Return the group of the next E-step."""
        use = laplace.usable
        if not use.any():
            return population
        hyper = self.rule.update(laplace.mode[use].T, np.moveaxis(laplace.cov[use], 0, -1))
        mu, variance, valid = self.rule.moments(hyper)
        if not valid:
            return population
        image = population.update(laplace)
        if not self.own:
            return image
        cov = image.floored(np.diag(variance / variance_ratio(self.rule)))
        return dataclasses.replace(image, coef=mu[None], cov=cov)
