"""The posterior of a group's parameters, with the people integrated out over points that stay."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from pyem.engine.many_groups import log_evidences
from pyem.engine.mixtures import GroupDraws
from pyem.engine.nodes import Nodes
from pyem.infer.correction import unpacked_group
from pyem.infer.hierarchy import Hierarchy, corr_vector, group_coordinates, hierarchy_of
from pyem.model.model import Model
from pyem.population.population import COMMON_SD, Population
from pyem.population.posterior import Moments
from pyem.population.priors import HyperPriors, hyper_priors

BLOCK = 256
"""Number of groups that are unpacked together, so that nothing is compiled for other numbers of groups."""
DETERMINED = 1e-6
"""Least share of a standard deviation that a correlation leaves."""
STEP = 0.1
"""Step of the differences that give the mode of the posterior and its curvature, in rough posterior sds."""

Density = Callable[[np.ndarray], np.ndarray]
"""Function that returns the log-density (D,) at coordinates of groups (D, G)."""


class Coordinates(NamedTuple):
    """Origin and units of the group's coordinates, with the priors of the group's parameters."""

    center: Any
    scale: Any
    priors: HyperPriors
    design: np.ndarray
    """Design matrix of the group's regressions, (S, K)."""


@dataclasses.dataclass(frozen=True, eq=False)
class GroupPosterior:
    """Coordinates (D, G) of groups, what they stand for, and their posterior density.

    Parameters
    ----------
    spec
        Specification of the group's parameters.
    at
        Origin and units of the coordinates, and the priors.
    population
        A group of the same kind.
    """

    spec: Hierarchy
    at: Coordinates
    population: Population

    def unpack(self, v: np.ndarray) -> tuple[GroupDraws, np.ndarray]:
        """Return the groups at coordinates `v` (D, G), and the log prior density of the coordinates (D,).

        Where parameters are common to all, the sds and correlations are those of the others only.
        """
        filled = np.concatenate([v, np.repeat(v[-1:], -len(v) % BLOCK, 0)])
        parts = [unpacked_group(self.spec, self.at, part) for part in np.split(filled, len(filled) // BLOCK)]
        coef, sd, chol, log_prior = (np.concatenate(arrays)[: len(v)] for arrays in zip(*parts, strict=True))
        log_prior = log_prior + np.log(np.asarray(self.at.scale)).sum()
        # Far from the middle a correlation may be 1 to rounding, and then the group has no density.
        ends = np.arange(chol.shape[1])
        chol[:, ends, ends] = np.maximum(chol[:, ends, ends], DETERMINED)
        if self.random.all():
            return GroupDraws(coef, sd, chol), log_prior
        own, common = self.random, coef[..., ~self.random]
        return GroupDraws(coef[..., own], sd[:, own], chol[:, own][:, :, own], common), log_prior

    @property
    def random(self) -> np.ndarray:
        """Parameters in which people differ, (P,)."""
        return self.population.random

    def vector(self, population: Population) -> np.ndarray:
        """Coordinates (G,) of a group."""
        sd = np.sqrt(np.diag(population.cov))
        parts = [population.coef[population.free], np.log(sd[self.spec.estimated])]
        corr = population.cov / np.outer(sd, sd)
        parts += [corr_vector(corr[np.ix_(block, block)]) for block in self.spec.blocks]
        return (np.concatenate(parts) - np.asarray(self.at.center)) / np.asarray(self.at.scale)

    def populations(self, v: np.ndarray) -> list[Population]:
        """Groups at coordinates `v` (D, G)."""
        return self.as_populations(self.unpack(v)[0])

    def as_populations(self, draws: GroupDraws) -> list[Population]:
        """Return populations with the parameters of each draw of the group."""
        values = self.values(draws)
        sd = np.where(self.random, values["sd"], COMMON_SD)
        corr = values.get("corr", np.eye(sd.shape[1])[None])
        covs = sd[:, :, None] * corr * sd[:, None]
        return [
            dataclasses.replace(self.population, coef=coef, cov=cov)
            for coef, cov in zip(values["coef"], covs, strict=True)
        ]

    def values(self, draws: GroupDraws) -> dict[str, np.ndarray]:
        """``coef`` (D, K, P), ``sd`` (D, P), 0 for what is common to all, and, where any are estimated, ``corr`` (D, P, P)."""
        corr = draws.chol @ np.swapaxes(draws.chol, 1, 2)
        if draws.common is not None:
            own, n = self.random, len(draws.sd)
            coef, sd = np.zeros((*draws.coef.shape[:2], len(own))), np.zeros((n, len(own)))
            coef[..., own], coef[..., ~own], sd[:, own] = draws.coef, draws.common, draws.sd
            whole = np.broadcast_to(np.eye(len(own)), (n, len(own), len(own))).copy()
            whole[np.ix_(np.arange(n), own, own)] = corr
        else:
            coef, sd, whole = draws.coef, draws.sd, corr
        return {"coef": coef, "sd": sd} | ({"corr": whole} if self.spec.blocks else {})

    def whole(self, x: np.ndarray, draws: GroupDraws) -> np.ndarray:
        """All parameters (D, S, P) of people, from those in which they differ."""
        if draws.common is None:
            return x
        out = np.empty((*x.shape[:2], len(self.random)))
        out[..., self.random], out[..., ~self.random] = x, self.population.design @ draws.common
        return out

    def log_density(self, parts: Sequence[Nodes]) -> Density:
        """The log posterior density on points, up to a constant that is the same for all points."""

        def at(v: np.ndarray) -> np.ndarray:
            draws, log_prior = self.unpack(v)
            return log_evidences(parts, self.spec.group, self.population.design, draws).sum(1) + log_prior

        return at


def group_posterior(
    model: Model, population: Population, moments: Moments, priors: Mapping[str, Any] | None
) -> GroupPosterior:
    """The posterior in coordinates made from a fit: a group, and posterior moments of its people."""
    spec = hierarchy_of(model, population, "standardized")
    within = np.median(np.diagonal(moments.cov, axis1=1, axis2=2), axis=0)
    center, scale = group_coordinates(model, population, within)
    with jax.enable_x64(True):
        at = Coordinates(
            jnp.asarray(center), jnp.asarray(scale), hyper_priors(model, population, priors), population.design
        )
    return GroupPosterior(spec, at, dataclasses.replace(population, penalty=0.0))


def mode_of(density: Density, start: np.ndarray, steps: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """Mode (G,) of a density and the inverse of its curvature there (G, G), by Newton's method with differences."""
    v, axes, sizes = start, np.eye(len(start)), np.ones(len(start))
    for _ in range(steps):
        value, grad, hess = _differences(density, v)
        sizes, axes = np.linalg.eigh(-hess)
        sizes = np.maximum(np.abs(sizes), 0.05)
        step = axes @ ((axes.T @ grad) / sizes)
        step *= min(1.0, 1.5 / np.abs(step).max())
        shares = np.array([1.0, 0.5, 0.25, 1.5])
        values = density(v + shares[:, None] * step)
        best = int(values.argmax())
        better = values[best] > value + 1e-4
        v = v + shares[best] * step if better else v
        if not better or np.abs(step).max() < 0.02:
            break
    return v, (axes / sizes) @ axes.T


def _differences(density: Density, v: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Value, gradient and Hessian of a density by differences, from one call."""
    g = len(v)
    unit = STEP * np.eye(g)
    rows, columns = np.triu_indices(g, 1)
    values = density(np.concatenate([v[None], v + unit, v - unit, v + unit[rows] + unit[columns]]))
    middle, up, down, both = values[0], values[1 : g + 1], values[g + 1 : 2 * g + 1], values[2 * g + 1 :]
    hess = np.diag((up + down - 2 * middle) / STEP**2)
    hess[rows, columns] = hess[columns, rows] = (both - up[rows] - up[columns] + middle) / STEP**2
    return float(middle), (up - down) / (2 * STEP), hess


def lopsided(density: Density, v: np.ndarray, cov: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of a density that falls at its own pace in each direction from its mode, along the axes of `cov`."""
    sizes, axes = np.linalg.eigh(cov)
    root = axes * np.sqrt(sizes)
    fall = density(v[None])[0] - density(np.concatenate([v + 1.4 * root.T, v - 1.4 * root.T]))
    scale = np.clip(1.4 / np.sqrt(2 * np.maximum(fall, 0.05)), 0.5, 3.0)
    up, down = np.split(scale, 2)
    return v + root @ (np.sqrt(0.5 / np.pi) * (up - down)), (root * (0.5 * (up**2 + down**2))) @ root.T
