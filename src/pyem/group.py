"""Population distributions over people's unconstrained parameters, and their M-step.

Every family is treated as a scale mixture of Gaussians: given the weights, each subject's prior is Gaussian, and a heavy-tailed
family gives people far from the rest a smaller weight (Lange, Little & Taylor, 1989).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from pyem.laplace import GaussianPrior, Laplace

Family = Literal["gaussian", "student_t", "laplace", "cauchy"]
FAMILIES: tuple[Family, ...] = ("gaussian", "student_t", "laplace", "cauchy")
MIN_SD = 1e-4
"""Group standard deviations do not fall below this: at zero the curvature of the prior would be infinite."""


@dataclasses.dataclass(frozen=True)
class Group:
    """How people differ: the family of the population distribution over unconstrained parameters.

    Parameters
    ----------
    family
        ``"gaussian"``, or the heavy-tailed ``"student_t"``, ``"laplace"``, ``"cauchy"``, which let outlying people be outlying.
    covariance
        ``"diagonal"``, or ``"full"`` to estimate the correlations of the parameters (Gaussian and Student-t).
    df
        Degrees of freedom of the Student-t.
    covariates
        Which covariates of the data shift which parameters: ``{"age": ["alpha"]}``, or names alone for all parameters. The
        mean of the group is then a linear regression on them, centred at their mean.

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
    covariance: Literal["diagonal", "full"] = "diagonal"
    df: float = 8.0
    covariates: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def __init__(
        self,
        family: Family = "gaussian",
        *,
        covariance: Literal["diagonal", "full"] = "diagonal",
        df: float = 8.0,
        covariates: Mapping[str, Sequence[str]] | Sequence[str] = (),
    ) -> None:
        if family not in FAMILIES:
            raise ValueError(f"unknown family {family!r}; choose one of {', '.join(FAMILIES)}")
        if covariance not in ("diagonal", "full"):
            raise ValueError(f"covariance={covariance!r}; choose 'diagonal' or 'full'")
        if covariance == "full" and family in ("laplace", "cauchy"):
            raise ValueError(f"a {family} group has independent parameters; use covariance='diagonal', or student_t")
        if not df > 0:
            raise ValueError(f"df={df}; degrees of freedom must be above 0")
        if isinstance(covariates, str):
            covariates = (covariates,)
        pairs = covariates.items() if isinstance(covariates, Mapping) else ((name, ()) for name in covariates)
        set_ = lambda name, value: object.__setattr__(self, name, value)  # noqa: E731
        set_("family", family)
        set_("covariance", covariance)
        set_("df", float(df))
        set_("covariates", tuple((name, tuple([on] if isinstance(on, str) else on)) for name, on in pairs))

    def log_prob(self, x: np.ndarray, mean: np.ndarray, cov: np.ndarray) -> np.ndarray:
        """Log-density (S,) of unconstrained parameters (S, P) around `mean` (S, P), with scale matrix `cov` (P, P)."""
        chol = np.linalg.cholesky(cov)
        z = np.linalg.solve(chol, (x - mean).T).T
        log_scale = np.log(np.diag(chol)).sum()
        return self._standard_log_prob(z) - log_scale

    def _standard_log_prob(self, z: np.ndarray) -> np.ndarray:
        p = z.shape[1]
        if self.family == "gaussian":
            return -0.5 * (z**2).sum(1) - 0.5 * p * math.log(2 * math.pi)
        if self.family == "laplace":
            return (-np.abs(z) * math.sqrt(2)).sum(1) - 0.5 * p * math.log(2)
        df = 1.0 if self.family == "cauchy" else self.df
        if self.covariance == "full":
            return _log_t((z**2).sum(1), df, p)
        return _log_t(z**2, df, 1).sum(1)

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


def _log_t(squared: np.ndarray, df: float, dim: int) -> np.ndarray:
    constant = math.lgamma((df + dim) / 2) - math.lgamma(df / 2) - 0.5 * dim * math.log(df * math.pi)
    return constant - 0.5 * (df + dim) * np.log1p(squared / df)


@dataclasses.dataclass(frozen=True)
class Population:
    """A `Group` with its values, for the people of one data set.

    Parameters
    ----------
    group
        The family.
    design
        (S, K): a column of ones and the centred covariates.
    free
        (K, P): which regression weights are estimated; the others are 0.
    coef
        (K, P): the group mean in the first row, effects of the covariates below it.
    cov
        (P, P): covariance (scale matrix, for a heavy-tailed family) around the mean.
    weight
        (S, P): the weights of the scale mixture, 1 for a Gaussian group.
    """

    group: Group
    design: np.ndarray
    free: np.ndarray
    coef: np.ndarray
    cov: np.ndarray
    weight: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        """(S, P): the mean of the population that each subject is drawn from."""
        return self.design @ self.coef

    @property
    def prior(self) -> GaussianPrior:
        """The Gaussian prior of each subject, given the weights."""
        return GaussianPrior(self.mean, np.linalg.inv(self.cov), self.weight)

    def log_prior(self, x: np.ndarray) -> np.ndarray:
        """(S,): log-density of the subjects' parameters (S, P) in the population."""
        return self.group.log_prob(x, self.mean, self.cov)

    def update(self, laplace: Laplace) -> Population:
        """The M-step: the population that maximises the expected log-density of the subjects' parameters."""
        use = laplace.usable
        if not use.any():
            return self
        weight = np.ones_like(self.weight)
        weight[use] = self.weights(laplace)[use]
        mean, var = laplace.mode[use], laplace.cov[use]
        design, w = self.design[use], weight[use]
        coef = self._regress(design, mean, w)
        root = np.sqrt(w)
        gap = root * (mean - design @ coef)
        scatter = (gap.T @ gap + np.einsum("sp,sq,spq->pq", root, root, var)) / len(mean)
        return dataclasses.replace(self, coef=coef, cov=_floored(scatter, self.group.covariance), weight=weight)

    def weights(self, laplace: Laplace) -> np.ndarray:
        """(S, P): weights of the scale mixture, given the subjects' posteriors."""
        if self.group.family == "gaussian":
            return self.weight
        white = np.linalg.inv(np.linalg.cholesky(self.cov))
        z = (laplace.mode - self.mean) @ white.T
        spread = np.einsum("ip,spq,iq->si", white, laplace.cov, white)
        return self.group.weights(z**2 + spread)

    def _regress(self, design: np.ndarray, target: np.ndarray, weight: np.ndarray) -> np.ndarray:
        """Generalised least squares of every parameter on its own columns."""
        precision = np.linalg.inv(self.cov)
        root = np.sqrt(weight)
        k, p = self.free.shape
        if k == 1 and self.group.family == "gaussian":
            return target.mean(0, keepdims=True)
        normal = np.einsum("sk,sp,pq,sq,sl->kplq", design, root, precision, root, design, optimize=True)
        right = np.einsum("sk,sp,pq,sq,sq->kp", design, root, precision, root, target, optimize=True)
        keep = self.free.ravel()
        solved = np.zeros(k * p)
        solved[keep] = np.linalg.solve(normal.reshape(k * p, k * p)[np.ix_(keep, keep)], right.ravel()[keep])
        return solved.reshape(k, p)

    # -- as a vector, for acceleration and standard errors ----------------------------------------------------------------

    @property
    def lower(self) -> Any:
        """Row and column of each free entry of the covariance's Cholesky factor."""
        p = self.cov.shape[0]
        return np.diag_indices(p) if self.group.covariance == "diagonal" else np.tril_indices(p)

    @property
    def vector(self) -> np.ndarray:
        """Free regression weights, then the Cholesky factor of the covariance with its diagonal as logs."""
        chol = np.linalg.cholesky(self.cov)
        chol[np.diag_indices_from(chol)] = np.log(np.diag(chol))
        return np.concatenate([self.coef[self.free], chol[self.lower]])

    def with_vector(self, vector: np.ndarray) -> Population:
        """The population of another `vector`."""
        n = int(self.free.sum())
        coef = np.zeros_like(self.coef)
        coef[self.free] = vector[:n]
        chol = np.zeros_like(self.cov)
        chol[self.lower] = vector[n:]
        diagonal = np.diag_indices_from(chol)
        chol[diagonal] = np.exp(np.clip(chol[diagonal], math.log(MIN_SD), 20.0))
        return dataclasses.replace(self, coef=coef, cov=chol @ chol.T)

    @property
    def is_diagonal(self) -> np.ndarray:
        """Which entries of `vector` belong to the diagonal of the Cholesky factor."""
        rows, columns = self.lower
        return np.concatenate([np.zeros(int(self.free.sum()), bool), np.asarray(rows) == np.asarray(columns)])

    @property
    def roots(self) -> np.ndarray:
        """Free regression weights, then the Cholesky factor itself; see `vector`."""
        return np.concatenate([self.coef[self.free], np.linalg.cholesky(self.cov)[self.lower]])

    @property
    def root_slope(self) -> np.ndarray:
        """The derivative of each of `roots` by its entry of `vector`."""
        return np.where(self.is_diagonal, self.roots, 1.0)

    def with_roots(self, roots: np.ndarray) -> Population:
        """The population of other `roots`."""
        logs = self.is_diagonal
        return self.with_vector(np.where(logs, np.log(np.where(logs, roots, 1.0)), roots))

    @property
    def at_floor(self) -> np.ndarray:
        """Which entries of `vector` are of a standard deviation that is as small as it may be, or of a correlation of 1."""
        rows, columns = self.lower
        tiny = np.sqrt(np.diag(self.cov)) < 1.5 * MIN_SD
        ends = (np.asarray(rows) == np.asarray(columns)) & (np.diag(np.linalg.cholesky(self.cov))[rows] < 1.5 * MIN_SD)
        return np.concatenate([np.zeros(int(self.free.sum()), bool), tiny[rows] | tiny[columns] | ends])

    def distance(self, other: Population) -> float:
        """Largest difference of a regression weight or an entry of the covariance's symmetric root (in sd units)."""
        root = np.abs(_root(self.cov) - _root(other.cov)).max()
        return float(max(np.abs(self.coef - other.coef).max(), root))

    def reordered(self, order: np.ndarray) -> Population:
        """The same population with its parameters in another order."""
        columns = {name: getattr(self, name)[:, order] for name in ("free", "coef", "weight")}
        return dataclasses.replace(self, cov=self.cov[np.ix_(order, order)], **columns)

    def score(self, laplace: Laplace) -> np.ndarray:
        """Gradient of the expected complete-data log-density by `vector`, given the subjects' posteriors."""
        use = laplace.usable
        root = np.sqrt(self.weights(laplace)[use])
        design = self.design[use]
        precision = np.linalg.inv(self.cov)
        gap = root * (laplace.mode[use] - design @ self.coef)
        by_coef = np.einsum("sk,sp,sp->kp", design, root, gap @ precision)
        scatter = gap.T @ gap + np.einsum("sp,sq,spq->pq", root, root, laplace.cov[use])
        chol = np.linalg.cholesky(self.cov)
        by_chol = (precision @ scatter @ precision - len(gap) * precision) @ chol
        diagonal = np.diag_indices_from(chol)
        by_chol[diagonal] *= chol[diagonal]
        return np.concatenate([by_coef[self.free], by_chol[self.lower]])


def _root(cov: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(cov)
    return (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T


def _floored(cov: np.ndarray, covariance: str) -> np.ndarray:
    if covariance == "diagonal":
        return np.diag(np.maximum(np.diag(cov), MIN_SD**2))
    values, vectors = np.linalg.eigh((cov + cov.T) / 2)
    return (vectors * np.maximum(values, MIN_SD**2)) @ vectors.T


def populate(
    group: Group,
    *,
    names: Sequence[str],
    mean: np.ndarray,
    sd: np.ndarray,
    covariates: Mapping[str, np.ndarray],
    n_subjects: int,
) -> Population:
    """A population to start from: `mean` and `sd` (P,), no effects.

    Raises
    ------
    ValueError
        If a covariate is unknown, constant or collinear with others, or shifts an unknown parameter.
    """
    design, free = _design(group, list(names), covariates, n_subjects)
    coef = np.zeros((design.shape[1], len(names)))
    coef[0] = mean
    return Population(group, design, free, coef, np.diag(np.asarray(sd, float) ** 2), np.ones((n_subjects, len(names))))


def _design(
    group: Group, names: list[str], covariates: Mapping[str, np.ndarray], n_subjects: int
) -> tuple[np.ndarray, np.ndarray]:
    columns, free = [np.ones(n_subjects)], [np.ones(len(names), bool)]
    for name, on in group.covariates:
        if name not in covariates:
            raise ValueError(
                f"there is no covariate {name!r} in the data (it has {', '.join(covariates) or 'none'}); "
                f"pass covariates=[{name!r}] when making the Dataset"
            )
        unknown = [parameter for parameter in on if parameter not in names]
        if unknown:
            raise ValueError(f"covariate {name!r} is to shift {unknown}, but the model has {', '.join(names)}")
        values = np.asarray(covariates[name], float)
        if np.ptp(values) == 0:
            raise ValueError(
                f"covariate {name!r} is {values[0]:g} for every subject; a constant has no effect, remove it"
            )
        columns.append(values - values.mean())
        free.append(np.array([not on or parameter in on for parameter in names]))
    design = np.stack(columns, axis=1)
    if not group.covariates:
        return design, np.stack(free)
    if n_subjects < design.shape[1] + 1:
        raise ValueError(
            f"{n_subjects} subjects are too few for the effects of {design.shape[1] - 1} covariates: at least "
            f"{design.shape[1] + 1} are needed; leave covariates out"
        )
    _, sizes, directions = np.linalg.svd(design / np.sqrt((design**2).mean(0)), full_matrices=False)
    if sizes[-1] < 1e-8 * math.sqrt(n_subjects):
        involved = [
            name for (name, _), part in zip(group.covariates, directions[-1, 1:], strict=True) if abs(part) > 1e-6
        ]
        raise ValueError(
            f"covariates {', '.join(map(repr, involved))} are collinear for these {n_subjects} subjects: one is a linear "
            "combination of the others, so that their effects cannot be told apart; remove one"
        )
    return design, np.stack(free)
