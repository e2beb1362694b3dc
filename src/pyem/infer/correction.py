"""Draws of an approximation made into draws of the posterior, by importance, with the people integrated out."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from pyem.data.dataset import Dataset
from pyem.engine.integrals import alone, integrals, log_prior, mean_pareto_k, points_with_priors
from pyem.engine.mixtures import DF, Gaussians, GroupDraws
from pyem.errors import list_of
from pyem.infer.hierarchy import likelihood_of
from pyem.infer.laplace import JaxEStep
from pyem.numerics.jit import compiled
from pyem.numerics.pareto import GOOD, pareto_smoothed
from pyem.numerics.rng import generator
from pyem.numerics.student_t import log_t
from pyem.population.population import Population
from pyem.population.posterior import Laplace

OTHERS = 2
"""Further modes of each person that are kept, at most."""
APART = 2.0
"""Modes are different if they are so many posterior sds apart."""


class Corrected(NamedTuple):
    """Draws after the correction, or as they were where it cannot be trusted."""

    values: dict[str, np.ndarray]
    pareto_k: float
    """Pareto k of the weights of the group's draws; -inf without a group."""
    people_k: np.ndarray
    """Pareto k of the weights of each person's integral, (S,)."""

    @property
    def done(self) -> bool:
        """Whether the draws were corrected."""
        return bool(self.pareto_k <= GOOD and (self.people_k <= GOOD).all())

    def problems(self, data: Dataset) -> list[str]:
        """Explain why draws could not be corrected."""
        problems = []
        if not self.pareto_k <= GOOD:
            problems.append(
                f"the approximation of the group does not cover its posterior (Pareto k {self.pareto_k:.2f}, should be below "
                f"{GOOD}), so it was not corrected; its intervals may be too narrow: use fit_nuts"
            )
        poor = np.flatnonzero(~(self.people_k <= GOOD))
        if len(poor):
            named = list_of(data.subjects[poor].tolist())
            problems.append(
                f"the points that {len(poor)} of {len(self.people_k)} subjects ({named}) are integrated over do not cover "
                f"their posteriors (Pareto k up to {self.people_k.max():.2f}, should be below {GOOD}), so the draws were not "
                "corrected: raise integration_draws, or use fit_nuts"
            )
        return problems


def corrected(
    spec: Any, args: Any, data: Dataset, values: dict[str, np.ndarray], positions: Any, *, n: int, key: Array
) -> Corrected:
    """Draws from the posterior by importance, from draws of an approximation; as they are if a Pareto k is above 0.7.

    The group's parameters are drawn from a Student-t with the mean and a somewhat larger covariance than the
    approximation, and weighted by their marginal posterior: each person is integrated out over points around the modes of
    its posterior. Then people are drawn given the group. Without a group only the latter is left to do.
    """
    rng = generator(key)
    x = values["x"][0]
    gap = x - x.mean(0)
    around = (x.mean(0), np.einsum("dsp,dsq->spq", gap, gap) / len(x))
    if "group" not in positions:
        for size in (n, 4 * n):
            points = points_with_priors(spec.model, data, *around, args.priors, n=size, rng=rng)
            k = mean_pareto_k((points.log_weight + log_prior(spec.model, args.priors, points.x))[None])
            if (k <= GOOD).all():
                break
        _, drawn = alone(spec.model, points, args.priors, len(x), rng)
        return _kept({"x": drawn[None]}, values, -np.inf, k)
    v, log_q = _student_draws(positions["group"][0], len(x), rng)
    coef, sd, chol, log_hyper = unpacked_group(spec, args, v)
    group = GroupDraws(coef, sd, chol)
    people = around_modes(spec, args, data, group, around)
    found = integrals(spec.model, data, spec.group, np.asarray(args.design), group, people, around, n=n, rng=rng)
    log_weight, k = pareto_smoothed((found.value.sum(1) + log_hyper - log_q)[:, None])
    picked = rng.permutation(systematic(np.exp(log_weight[:, 0]), rng))
    group = group.some(picked)
    out = {"x": found.x[picked], "coef": group.coef, "sd": group.sd}
    if "corr" in values:
        out["corr"] = group.chol @ np.swapaxes(group.chol, 1, 2)
    return _kept({name: part[None] for name, part in out.items()}, values, float(k[0]), found.pareto_k)


def _kept(new: dict[str, np.ndarray], old: dict[str, np.ndarray], k: float, people_k: np.ndarray) -> Corrected:
    """The new draws if every k allows it."""
    found = Corrected(new, k, people_k)
    return found if found.done else found._replace(values=old)


def around_modes(
    spec: Any, args: Any, data: Dataset, group: GroupDraws, around: tuple[np.ndarray, np.ndarray]
) -> Gaussians:
    """Gaussian approximations of each person's likelihood: the one of the coordinates, and around further modes."""
    first = (np.moveaxis(np.asarray(args.anchor.precision), -1, 0), np.asarray(args.anchor.shift).T)
    population = _middle(spec, args, group)
    known, cov = around
    others: list[tuple[np.ndarray, np.ndarray]] = []
    seen = [known]
    for laplace in _looks(spec, data, population):
        if len(others) == OTHERS:
            break
        new = _is_new(laplace, cov, seen)
        if new.any():
            other = likelihood_of(laplace, population)
            others.append(tuple(_where(new, a, b) for a, b in zip(other, first, strict=True)))  # type: ignore[arg-type]
            seen.append(np.where(new[:, None], laplace.mode, known))
    precisions, shifts = zip(first, *others, strict=True)
    return Gaussians(np.stack(precisions), np.stack(shifts))


def _where(take: np.ndarray, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.where(take.reshape(-1, *[1] * (one.ndim - 1)), one, other)


def _middle(spec: Any, args: Any, group: GroupDraws) -> Population:
    """The group in the middle of its draws."""
    root = group.chol * group.sd[:, :, None]
    cov = (root @ np.swapaxes(root, 1, 2)).mean(0)
    design = np.asarray(args.design)
    ones = np.ones((len(design), len(cov)))
    return Population(spec.group, design, np.array(spec.free), group.coef.mean(0), cov, ones)


def _looks(spec: Any, data: Dataset, population: Population) -> list[Laplace]:
    """Everybody's modes, looked for from both sides of the group's mean along each parameter."""
    sd = np.sqrt(np.diag(population.cov))
    prior = population.prior
    ways = [sign * way for way in np.eye(len(sd)) for sign in (1.5, -1.5)]
    return [JaxEStep(spec.model, data, prior.mean + way * sd)(prior, 1e-8) for way in ways]


def _is_new(laplace: Laplace, cov: np.ndarray, seen: list[np.ndarray]) -> np.ndarray:
    """(S,): whether a regular mode was found that differs from all those in `seen`."""
    regular = laplace.usable & np.isfinite(laplace.cov).all((1, 2)) & np.isfinite(laplace.mode).all(1)
    width = np.sqrt(np.minimum(*(np.diagonal(c, axis1=1, axis2=2) for c in (laplace.cov, cov))))
    with np.errstate(invalid="ignore", divide="ignore"):
        apart = np.min([np.abs((laplace.mode - mode) / width).max(1) for mode in seen], axis=0)
    return np.asarray(regular & (apart > APART))


def _student_draws(v: np.ndarray, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draws (n, G) of a Student-t with the mean and 1.3 times the covariance of `v`, and their log-density."""
    chol = np.linalg.cholesky(1.3 * np.atleast_2d(np.cov(v.T)) + 1e-10 * np.eye(v.shape[1]))
    z = rng.normal(size=(n, v.shape[1])) / np.sqrt(rng.chisquare(DF, size=(n, 1)) / DF)
    return v.mean(0) + z @ chol.T, log_t((z**2).sum(1), DF, v.shape[1])


def systematic(weight: np.ndarray, rng: np.random.Generator, n: int | None = None) -> np.ndarray:
    """`n` indices (as many as there are if not given) drawn in proportion to `weight`, as evenly as can be."""
    n = n or len(weight)
    at = (np.arange(n) + rng.uniform()) / n
    return np.minimum(np.searchsorted(np.cumsum(weight) / weight.sum(), at), len(weight) - 1)


def unpacked_group(spec: Any, args: Any, v: np.ndarray) -> tuple[np.ndarray, ...]:
    """Weights, sds, Cholesky factors of the correlations, and log-density of the coordinates, at coordinates (D, G)."""
    with jax.enable_x64(True):
        coef, sd, chol, log_hyper = _group_at(spec, args.center, args.scale, args.priors, jnp.asarray(v))
        p = sd.shape[1]
        chol = np.broadcast_to(np.eye(p), (len(sd), p, p)) if chol is None else np.asarray(chol)
        return np.asarray(coef), np.asarray(sd), chol, np.asarray(log_hyper)


@compiled(0, quick=True)
def _group_at(spec: Any, center: Array, scale: Array, priors: Any, v: Array) -> Any:
    def one(v: Array) -> Any:
        coef, sd, chol, log_det = spec.unpack(center + scale * v)
        return coef, sd, chol, spec.log_hyper_prior(priors, coef, sd, chol) + log_det

    return jax.vmap(one)(v)
