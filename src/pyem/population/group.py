"""Population distributions over people's unconstrained parameters, and their M-step.

Every family is treated as a scale mixture of Gaussians: given the weights, each subject's prior is Gaussian, and a heavy-tailed
family gives people far from the rest a smaller weight (Lange, Little & Taylor, 1989).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, TypeVar

import numpy as np

from pyem.numerics.student_t import log_t

Family = Literal["gaussian", "student_t", "laplace", "cauchy"]
FAMILIES: tuple[Family, ...] = ("gaussian", "student_t", "laplace", "cauchy")


def names_of(given: str | Sequence[str]) -> tuple[str, ...]:
    """One name, or several, as a tuple.

    Examples
    --------
    >>> names_of("beta"), names_of(["t", "sigma"])
    (('beta',), ('t', 'sigma'))
    """
    return (given,) if isinstance(given, str) else tuple(given)


@dataclasses.dataclass(frozen=True)
class Group:
    """Distribution of people's unconstrained parameters: its family, covariates, covariance and common parameters.

    Parameters
    ----------
    family
        ``"gaussian"``, or the heavy-tailed ``"student_t"``, ``"laplace"``, ``"cauchy"``, which let outlying people be outlying.
    covariance
        ``"diagonal"``, or ``"full"`` to estimate the correlations of the parameters (Gaussian and Student-t); or blocks of
        names, ``[("alpha", "beta")]``: parameters of one block are correlated, others are not (Gaussian).
    df
        Degrees of freedom of the Student-t.
    covariates
        Parameters that each covariate of the data shifts: ``{"age": ["alpha"]}``, or names alone for all parameters. The
        mean of the group is then a linear regression on them, centred at their mean. A covariate of three or more categories
        stands for all of its contrasts.
    common
        Parameters that have one value for everybody, which is estimated with the group (Gaussian).
    sd
        Standard deviations that are given and not estimated, on the unconstrained scale: ``{"z": 0.1}`` (Gaussian).
    centred
        Whether covariates are centred at their mean; designs by formula (`pyem.regress`) have done so where it is right.
    without_mean
        Parameters whose mean is made of the covariates alone, as in ``alpha ~ 0 + diagnosis``.

    References
    ----------
    Lange, K. L., Little, R. J. A., & Taylor, J. M. G. (1989). Robust statistical modeling using the t distribution.
    Journal of the American Statistical Association, 84(408), 881-896. https://doi.org/10.2307/2290063

    Examples
    --------
    >>> Group(covariance="full").family
    'gaussian'
    """

    family: Family = "gaussian"
    covariance: Literal["diagonal", "full"] | tuple[tuple[str, ...], ...] = "diagonal"
    df: float = 8.0
    covariates: tuple[tuple[str, tuple[str, ...]], ...] = ()
    common: tuple[str, ...] = ()
    sd: tuple[tuple[str, float], ...] = ()
    centred: bool = True
    without_mean: tuple[str, ...] = ()

    def __init__(
        self,
        family: Family = "gaussian",
        *,
        covariance: Literal["diagonal", "full"] | Sequence[Sequence[str]] = "diagonal",
        df: float = 8.0,
        covariates: Mapping[str, Sequence[str]] | Sequence[str] = (),
        common: str | Sequence[str] = (),
        sd: Mapping[str, float] | None = None,
        centred: bool = True,
        without_mean: Sequence[str] = (),
    ) -> None:
        if family not in FAMILIES:
            raise ValueError(f"unknown family {family!r}; choose one of {', '.join(FAMILIES)}")
        common = names_of(common)
        given = tuple((name, float(value)) for name, value in sorted((sd or {}).items()))
        blocks = _blocks(covariance)
        _require_gaussian(family, blocks, common, given)
        if covariance == "full" and family in ("laplace", "cauchy"):
            raise ValueError(f"a {family} group has independent parameters; use covariance='diagonal', or student_t")
        if not 0 < df < math.inf:
            raise ValueError(f"df={df}; degrees of freedom must be above 0 and finite")
        if isinstance(covariates, str):
            covariates = (covariates,)
        pairs = covariates.items() if isinstance(covariates, Mapping) else ((name, ()) for name in covariates)
        set_ = lambda name, value: object.__setattr__(self, name, value)  # noqa: E731
        set_("family", family)
        set_("covariance", blocks)
        set_("df", float(df))
        set_("covariates", tuple((name, tuple([on] if isinstance(on, str) else on)) for name, on in pairs))
        set_("common", common)
        set_("sd", given)
        set_("centred", bool(centred))
        set_("without_mean", tuple(without_mean))

    def log_prob(self, x: np.ndarray, mean: np.ndarray, cov: np.ndarray) -> np.ndarray:
        """Log-density (..., S) of unconstrained parameters (..., S, P) around `mean` (S, P), with scale matrix `cov` (P, P)."""
        chol = np.linalg.cholesky(cov)
        z = np.linalg.solve(chol, (x - mean).reshape(-1, x.shape[-1]).T)
        log_scale = np.log(np.diag(chol)).sum()
        return (self.standard_log_prob(z) - log_scale).reshape(x.shape[:-1])

    def standard_log_prob(self, z: Any) -> Any:
        """Log-density of standardised parameters, whose first axis is the parameter; an array of NumPy or JAX."""
        p = z.shape[0]
        if self.family == "gaussian":
            return -0.5 * (z**2).sum(0) - 0.5 * p * math.log(2 * math.pi)
        if self.family == "laplace":
            return -math.sqrt(2) * abs(z).sum(0) - 0.5 * p * math.log(2)
        df = 1.0 if self.family == "cauchy" else self.df
        if self.covariance == "full":
            return log_t((z**2).sum(0), df, p)
        return log_t(z**2, df, 1).sum(0)

    def sample(self, mean: np.ndarray, cov: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
        """`n` draws (S, n, P) of each subject's unconstrained parameters around `mean` (S, P), with scale matrix `cov` (P, P).

        Examples
        --------
        >>> Group("cauchy").sample(np.zeros((4, 2)), np.eye(2), 10, np.random.default_rng(0)).shape
        (4, 10, 2)
        """
        shape = (len(mean), n, mean.shape[1])
        z = rng.laplace(scale=math.sqrt(0.5), size=shape) if self.family == "laplace" else rng.normal(size=shape)
        if self.family in ("student_t", "cauchy"):
            df = 1.0 if self.family == "cauchy" else self.df
            # A multivariate t has one scale for all parameters; independent ones have their own.
            per = (*shape[:2], 1) if self.covariance == "full" else shape
            z = z / np.sqrt(rng.chisquare(df, size=per) / df)
        return mean[:, None] + z @ np.linalg.cholesky(cov).T

    def weights(self, distance: np.ndarray) -> np.ndarray:
        """Expected precision weights (S, P) from expected squared standardised distances (S, P) (of each parameter)."""
        if self.family == "gaussian":
            return np.ones_like(distance)
        if self.family == "laplace":
            return math.sqrt(2) / np.sqrt(np.maximum(distance, 1e-12))
        df = 1.0 if self.family == "cauchy" else self.df
        if self.covariance == "full":
            p = distance.shape[1]
            total = distance.sum(1, keepdims=True)
            return np.broadcast_to((df + p) / (df + total), distance.shape).copy()
        return (df + 1) / (df + distance)


def _blocks(covariance: Any) -> Any:
    """Normalise a covariance: one of two words, or blocks of names."""
    if isinstance(covariance, str):
        if covariance not in ("diagonal", "full"):
            raise ValueError(f"covariance={covariance!r}; choose 'diagonal' or 'full', or give blocks of names")
        return covariance
    blocks = tuple((block,) if isinstance(block, str) else tuple(block) for block in covariance)
    names = [name for block in blocks for name in block]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"covariance names {', '.join(twice)} in more than one place; each parameter is in one block")
    return blocks


def _require_gaussian(family: str, blocks: Any, common: tuple[str, ...], sd: tuple[tuple[str, float], ...]) -> None:
    """Raise if a heavy-tailed family is asked for options that only a Gaussian group has, or an sd is not usable."""
    if bad := [f"{name}={value}" for name, value in sd if not (value > 0 and math.isfinite(value))]:
        raise ValueError(
            f"sd has {', '.join(bad)}; a finite number above 0 is needed, or name the parameter in common="
        )
    if both := [name for name, _ in sd if name in common]:
        raise ValueError(f"{', '.join(both)} cannot be common to everybody and have an sd; leave one of the two out")
    asked = {"common": common, "sd": sd, "covariance (in blocks)": not isinstance(blocks, str)}
    for name, value in asked.items():
        if value and family != "gaussian":
            raise ValueError(f"{name} needs a Gaussian group, but family={family!r}; leave one of the two out")


Given = TypeVar("Given")


def spelled_out(group: Given, known: Iterable[str]) -> Given:
    """Name each category of a covariate in a group, from those that the data have.

    What is no `Group` is given back as it is: the methods say what they expect in its place.

    Examples
    --------
    >>> spelled_out(Group(covariates=["diagnosis"]), ["age", "diagnosis[anxious]", "diagnosis[low]"]).covariates
    (('diagnosis[anxious]', ()), ('diagnosis[low]', ()))
    >>> spelled_out(None, ["age"]) is None
    True
    """
    if not isinstance(group, Group):
        return group
    names = list(known)
    pairs: dict[str, tuple[str, ...]] = {}
    for name, on in group.covariates:
        parts = [other for other in names if other.startswith(f"{name}[") and other.endswith("]")]
        pairs |= dict.fromkeys(parts if name not in names and parts else [name], on)
    if tuple(pairs.items()) == group.covariates:
        return group
    made = Group(group.family, covariance=group.covariance, df=group.df, covariates=pairs)
    for name in ("common", "sd", "centred", "without_mean"):
        object.__setattr__(made, name, getattr(group, name))
    return made  # type: ignore[return-value]
