"""The group's parameters with their standard errors, as rows of a table."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from pyem.errors import Unavailable
from pyem.model.model import Model
from pyem.model.transform import Ordered
from pyem.population.population import Population
from pyem.results.open_ends import natural_ends, open_ended


def required_group(population: Population | None, method: str) -> Population:
    """Return the group of a fit, or raise if there is none.

    Raises
    ------
    Unavailable
        If it has none.
    """
    if population is None:
        other = "use fit_em" if method in ("mle", "map") else "give it one: group=Group(), or use fit_em"
        raise Unavailable(f"a fit by {method} has no group here; {other}; for people see table()")
    return population


def group_rows(model: Model, population: Population, information: np.ndarray | None) -> list[dict[str, Any]]:
    """A row for each mean, effect, sd and correlation of a group, from the information on its `vector`."""
    names = model.names
    covariance = group_covariance(population, information)
    df = freedom(population)
    se_coef = _weight_errors(population, covariance)
    rows = []
    labels = ["mean", *(f"effect of {name}" for name, _ in population.group.covariates)]
    for k, kind in enumerate(labels):
        for j, name in enumerate(names):
            if population.free[k, j]:
                rows.append(_row(kind, name, population.coef[k, j], se_coef[k, j], df, test=k > 0))
    means = [row for row in rows if row["kind"] == "mean"]
    ends = np.zeros((len(names), 3))
    ends[population.free[0]] = [[row["estimate"], row["low"], row["high"]] for row in means]
    natural, low, high = model.natural(ends.T)
    triples = np.stack([natural, *natural_ends(model.parameters, natural, low, high)], axis=1)[population.free[0]]
    for row, values in zip(means, triples, strict=True):
        row |= dict(zip(("natural", "natural_low", "natural_high"), values, strict=True))
    if population.group.family == "gaussian":
        middle = natural_mean(model, ends[:, 0], np.sqrt(np.diag(population.cov)))
        for row, value in zip(means, middle[population.free[0]], strict=True):
            row["natural_mean"] = value
    return rows + _spread_rows(names, population, covariance, df)


def natural_mean(model: Model, mean: np.ndarray, sd: np.ndarray) -> np.ndarray:
    """Mean over people of each natural parameter, (..., P), where the unconstrained ones are Gaussian with this mean and sd.

    NaN for vectors in increasing order, whose values are not made of one number each.
    """
    x, weight = np.polynomial.hermite_e.hermegauss(21)
    moved = mean + sd * x.reshape(-1, *[1] * mean.ndim)
    out = np.tensordot(weight / weight.sum(), model.natural(moved), 1)
    ordered = [isinstance(one.transform, Ordered) for one in model.parameters for _ in one.names]
    return np.where(ordered, np.nan, out)


def mean_errors(population: Population, information: np.ndarray) -> np.ndarray:
    """(P,): the standard error of the mean of each parameter, NaN where there is none."""
    return _weight_errors(population, group_covariance(population, information))[0]


def _weight_errors(population: Population, covariance: np.ndarray) -> np.ndarray:
    """Standard errors of the regression weights, in the shape of ``population.coef``."""
    out = np.full(population.coef.shape, np.nan)
    out[population.free] = np.sqrt(np.diag(covariance)[: int(population.free.sum())])
    return out


def _spread_rows(names: tuple[str, ...], population: Population, covariance: np.ndarray, df: int) -> list[dict]:
    start = population.vector

    def spreads(vector: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        cov = population.with_vector(vector).cov
        sd = np.sqrt(np.diag(cov))
        corr = (cov / np.outer(sd, sd))[np.tril_indices(len(sd), -1)]
        return np.log(sd), np.arctanh(np.clip(corr, -0.999999, 0.999999))

    log_sd, fisher = spreads(start)
    # They do not depend on the regression weights; entries beside the diagonal have the unit of their row.
    n_coef, (at, _) = int(population.free.sum()), population.lower
    sizes = np.where(population.is_diagonal[n_coef:], 1.0, np.sqrt(np.diag(population.cov))[at])
    step = 1e-5 * np.diag(sizes)
    moved = [[spreads(start + sign * np.r_[np.zeros(n_coef), h]) for sign in (1, -1)] for h in step]
    slopes = [[(a - b) / 2e-5 for a, b in zip(*ends, strict=True)] for ends in moved]
    inner = covariance[n_coef:, n_coef:] / np.outer(sizes, sizes)
    # If all are given, nothing of them is estimated.
    se = [_errors(np.array(slope), inner) for slope in zip(*slopes, strict=True)] or [
        np.full(np.shape(one), np.nan) for one in (log_sd, fisher)
    ]
    held = ~np.isnan(population.given_sd)
    rows = [
        _row("sd", name, value, np.nan if given else error, df, back=math.exp)
        for name, value, error, given, varies in zip(names, log_sd, se[0], held, population.random, strict=True)
        if varies
    ]
    pairs = zip(*np.tril_indices(len(names), -1), strict=True)
    return rows + [
        _row("correlation", f"{names[j]}, {names[i]}", value, error if abs(value) < 7 else np.nan, df, back=math.tanh)
        for (i, j), value, error in zip(pairs, fisher, se[1], strict=True)
        if population.estimated[i, j]
    ]


def _errors(slope: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Standard errors (k,) of functions with these slopes (vector, k); NaN only of those that depend on what is unknown."""
    unknown = ~np.isfinite(np.diag(covariance))
    variance = np.einsum("ik,ij,jk->k", slope, np.where(np.isfinite(covariance), covariance, 0.0), slope)
    return np.where((np.abs(slope[unknown]) > 1e-12).any(0), np.nan, np.sqrt(variance))


def _inverse(matrix: np.ndarray) -> np.ndarray | None:
    """The inverse of a positive definite matrix; None if it is not."""
    # Entries have units that may be far apart; without them the matrix is as well conditioned as it can be.
    scale = np.sqrt(np.abs(np.diag(matrix)))
    if not (np.isfinite(matrix).all() and scale.all()):
        return None
    values, vectors = np.linalg.eigh(matrix / scale[:, None] / scale)
    return (vectors / values) @ vectors.T / scale[:, None] / scale if values.min() > 0 else None


def group_covariance(population: Population, information: np.ndarray | None) -> np.ndarray:
    """Covariance of the group's `vector`: inverse information of the entries above their lower bound, NaN elsewhere.

    A group's variance is estimated by maximum likelihood, which divides by the number of people N and not by the N - k degrees
    of freedom that a regression of k weights leaves. The variance of means and effects is therefore multiplied by a factor of
    Hartung and Knapp: by how much people scatter around the regression, over its degrees of freedom, as a share of what the
    fit expects of them. Intervals and tests refer to Student's t with N - k degrees of freedom. Where sds are estimated, people
    scatter as the fit expects, and the factor is ``N / (N - k)`` as in the linear model. Where the sd of the group is 0, people
    may scatter less (`Population.scatter`). The factor is the mean over the parameters in which people may differ, and at
    least 1: no error is smaller than that of maximum likelihood.

    Where the likelihood has no peak in the covariance, as where a correlation is 1 or the iteration ended on a saddle, the
    errors of the regression weights are those that they have given the covariance: the two are nearly independent.

    References
    ----------
    Knapp, G., & Hartung, J. (2003). Improved tests for a random effects meta-regression with a single covariate. Statistics in
    Medicine, 22(17), 2693-2710. https://doi.org/10.1002/sim.1482

    Röver, C., Knapp, G., & Friede, T. (2015). Hartung-Knapp-Sidik-Jonkman approach and its modification for random-effects
    meta-analysis with few studies. BMC Medical Research Methodology, 15, 99. https://doi.org/10.1186/s12874-015-0091-1
    """
    n = len(population.vector)
    out = np.full((n, n), np.nan)
    if information is None:
        return out
    kept = ~population.at_floor
    weights = kept & (np.arange(n) < population.free.sum())
    for keep in (np.flatnonzero(kept), np.flatnonzero(weights)):
        some = _inverse(information[np.ix_(keep, keep)]) if len(keep) else None
        if some is not None:
            out[np.ix_(keep, keep)] = some + _correction(population, information, keep)
            break
    return out


def freedom(population: Population) -> int:
    """Degrees of freedom left by the regression of the group's mean, at least 1."""
    return max(len(population.design) - len(population.coef), 1)


def scatter_factor(population: Population) -> float:
    """Factor for the variance of means and effects, at least 1; see `group_covariance`."""
    random = population.random
    share = np.ones(len(random)) if population.scatter is None else population.scatter
    if not random.any():
        return 1.0
    return max(1.0, len(population.design) / freedom(population) * float(share[random].mean()))


def _correction(population: Population, information: np.ndarray, keep: np.ndarray) -> np.ndarray:
    """Correction of the maximum-likelihood covariance for the entries `keep` of the group's `vector`.

    It is a share of the variance that weights of what people differ in have given all else, so that it is the same whatever
    the coding of effects that are common to all.
    """
    each = np.broadcast_to(population.random, population.free.shape)[population.free]
    mine = np.flatnonzero(np.concatenate([each, np.zeros(len(population.lower[0]), bool)])[keep])
    out = np.zeros((len(keep), len(keep)))
    given = _inverse(information[np.ix_(keep[mine], keep[mine])]) if len(mine) else None
    if given is not None:
        out[np.ix_(mine, mine)] = (scatter_factor(population) - 1) * given
    return out


def _row(
    kind: str, parameter: str, estimate: float, se: float, df: int, *, test: bool = False, back: Any = None
) -> dict[str, Any]:
    """One row of the group table; `back` maps an estimate and interval from the scale on which they are symmetric."""
    from scipy.special import stdtr, stdtrit

    margin = stdtrit(df, 0.975) * se
    low, high = estimate - margin, estimate + margin
    row: dict[str, Any] = {"kind": kind, "parameter": parameter}
    if back:
        value = back(estimate)
        slope = (back(estimate + 1e-6) - back(estimate - 1e-6)) / 2e-6
        low, high = (back(min(max(end, -500.0), 500.0)) if np.isfinite(end) else np.nan for end in (low, high))
        if back is math.exp:
            low, high = open_ended(value, low, high)
        return row | {"estimate": value, "se": slope * se, "low": low, "high": high}
    row |= {"estimate": estimate, "se": se, "low": low, "high": high}
    if test:
        z = estimate / se
        row |= {"z": z, "p": 2 * stdtr(df, -abs(z))}
    return row
