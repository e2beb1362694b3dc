"""Priors of a group's parameters as a function of the group, for the mode of their posterior and errors at the mode.

The density is by means, effects, standard deviations and correlations, not by their logarithms: with uniform priors the mode is
where the likelihood of the group is largest.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pyem.model.model import Model
from pyem.numerics.jit import compiled
from pyem.population.by_vector import by_entry, derivative
from pyem.population.population import Population, Slopes
from pyem.population.priors import HyperPriors

STEPS, LONGEST, ENOUGH = 50, 0.5, 1e-10
"""Largest number of steps of an M-step, longest step in sds of the group or as a logarithm, and length of the last step."""


@dataclasses.dataclass(frozen=True, eq=False)
class GroupPrior:
    """Independent priors of a group's parameters, and an LKJ prior of correlations.

    Parameters
    ----------
    priors
        Priors in the units of the model and of the table.
    shift, scale
        (P,): parameters in these units are the first plus the second times those of the group.
    rows
        (K,): units of the rows of the design, 1 for the intercept.
    coef_at, sd_at
        (K, P) and (P,): which of the densities is that of each regression weight and of each sd.
    """

    priors: HyperPriors
    shift: np.ndarray
    scale: np.ndarray
    rows: np.ndarray
    coef_at: np.ndarray
    sd_at: np.ndarray

    @classmethod
    def of(
        cls, priors: HyperPriors, population: Population, shift: np.ndarray, scale: np.ndarray, rows: np.ndarray
    ) -> GroupPrior:
        """Make the prior of a group that is searched for in other units; see `pyem.infer.units.Units`."""
        n, n_effects = len(priors.mean), len(priors.effect)
        coef_at = np.zeros(population.free.shape, int)
        coef_at[0] = np.arange(n)
        effects = population.free.copy()
        effects[0] = False
        coef_at[effects] = n + np.arange(n_effects)
        return cls(priors, shift, scale, rows, coef_at, n + n_effects + np.arange(n))

    def reordered(self, order: np.ndarray) -> GroupPrior:
        """Return the prior with the parameters in another order."""
        columns = {name: getattr(self, name)[order] for name in ("shift", "scale", "sd_at")}
        return dataclasses.replace(self, coef_at=self.coef_at[:, order], **columns)

    def slopes(self, population: Population) -> Slopes:
        """The log-density of the group, and its derivatives by `roots`."""
        free, estimated = population.free, np.isnan(population.given_sd)
        sd = np.sqrt(np.diag(population.cov))
        coef_unit = self.scale / self.rows[:, None]
        coef = population.coef * coef_unit
        coef[0] += self.shift
        at = np.ones(2 * len(sd) + len(self.priors.effect))
        at[self.coef_at[free]], at[self.sd_at[estimated]] = coef[free], (sd * self.scale)[estimated]
        value, slope, bend = _densities(self.priors, at)
        used = np.concatenate([self.coef_at[free], self.sd_at[estimated]])
        by_coef = (slope[self.coef_at] * coef_unit)[free], (bend[self.coef_at] * coef_unit**2)[free]
        by_sd = np.where(estimated, [slope[self.sd_at] * self.scale, bend[self.sd_at] * self.scale**2], 0.0)
        log_det, by_chol = _of_factor(population, sd, by_sd, float(self.priors.concentration) - 1)
        hess = np.zeros((len(by_coef[0]) + len(by_chol[0]),) * 2)
        n = len(by_coef[0])
        hess[:n, :n], hess[n:, n:] = np.diag(by_coef[1]), by_chol[1]
        return Slopes(float(value[used].sum() + log_det), np.concatenate([by_coef[0], by_chol[0]]), hess)

    def update(self, population: Population, score: Callable[[Population], np.ndarray]) -> Population:
        """Maximise with the prior, by Newton's method from the end of the M-step without it.

        `score` is the gradient of what is maximised without the prior, by the group's `vector`.
        """

        def whole(moved: Population) -> np.ndarray:
            return score(moved) + moved.root_slope * self.slopes(moved).grad

        at = whole(population)
        for _ in range(STEPS):
            step = self._step(population, score, at)
            longest = np.abs(step / _units(population)).max(initial=0.0)
            step = step * min(1.0, LONGEST / max(longest, 1e-300))
            tried, there = population.with_vector(population.vector + step), at
            for _ in range(10):
                there = whole(tried)
                # Beyond the maximum along the way, the slope points back.
                if there @ step >= -0.5 * (at @ step):
                    break
                step = step / 2
                tried = population.with_vector(population.vector + step)
            population, at = tried, there
            if longest < ENOUGH:
                break
        return population

    def _step(self, population: Population, score: Callable[[Population], np.ndarray], at: np.ndarray) -> np.ndarray:
        """Newton step by the group's `vector` from where the slope is `at`."""
        prior, slope, unit = self.slopes(population), population.root_slope, _units(population)
        bent = slope[:, None] * prior.hess * slope + np.diag(np.where(population.is_diagonal, slope * prior.grad, 0.0))
        fall = -derivative(population, score)
        sizes, axes = np.linalg.eigh(unit[:, None] * ((fall + fall.T) / 2 - bent) * unit)
        step = unit * (axes @ ((axes.T @ (unit * at)) / np.maximum(np.abs(sizes), 1e-8)))
        return np.where(population.at_floor & (step < 0), 0.0, step)


def _units(population: Population) -> np.ndarray:
    """Unit of each entry of the `vector`: the sd between people, or 1 for a logarithm."""
    return by_entry(population, np.sqrt(np.diag(population.cov)))


def _of_factor(population: Population, sd: np.ndarray, by_sd: np.ndarray, more: float) -> tuple[float, Any]:
    """Log-determinant of the correlations times `more`, with gradient and Hessian by the entries of the Cholesky factor.

    `by_sd` (2, P) are the derivatives by the sds of what else depends on these.
    """
    rows, columns = (np.asarray(part) for part in population.lower)
    chol, diagonal = population.chol, rows == columns
    together = population.estimated.sum(1) > 1
    by_sd = by_sd + more * np.where(together, [-2 / sd, 2 / sd**2], 0.0)
    entry, ends = chol[rows, columns] / sd[rows], np.where(together, 2 * more / np.diag(chol), 0.0)
    grad = by_sd[0][rows] * entry + np.where(diagonal, ends[rows], 0.0)
    same = rows[:, None] == rows
    bent = (by_sd[1] - by_sd[0] / sd)[rows] * entry[:, None] * entry
    hess = np.where(same, bent, 0.0) + np.diag(
        (by_sd[0] / sd)[rows] - np.where(diagonal, (ends / np.diag(chol))[rows], 0.0)
    )
    log_det = 2 * (np.log(np.diag(chol)) - np.log(sd))[together].sum()
    return more * float(log_det), (grad, hess)


def _densities(priors: HyperPriors, at: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Log-density with first and second derivative of each mean, effect and sd at `at` (D,)."""
    with jax.enable_x64(True):
        return tuple(np.asarray(part) for part in _slopes(priors, jnp.asarray(at)))  # type: ignore[return-value]


@compiled(quick=True)
def _slopes(priors: HyperPriors, at: Any) -> tuple[Any, Any, Any]:
    each = [*priors.mean, *priors.effect, *priors.sd]

    def values(at: Any) -> Any:
        return jnp.stack([one.log_prob(place) for one, place in zip(each, at, strict=True)])

    # Each density depends on its own place only.
    grad = jax.grad(lambda at: values(at).sum())
    slope, bend = jax.jvp(grad, (at,), (jnp.ones_like(at),))
    return values(at), slope, bend


def require_smooth(model: Model, priors: HyperPriors) -> None:
    """Raise if a density ends within the range of a parameter, or has a corner.

    Raises
    ------
    ValueError
        If there is such a one: the mode of the posterior may be just there, and has no curvature.
    """
    import numpyro.distributions as dist

    means = [(prior, f"the group mean of {name}") for name, prior in zip(model.names, priors.mean, strict=True)]
    sds = [(prior, f"the group sd of {name}") for name, prior in zip(model.names, priors.sd, strict=True)]
    sizes = np.geomspace(1e-3, 1e3, 13) * float(np.max(model.typical[1]))
    for prior, what in [*means, *((prior, "an effect of a covariate") for prior in priors.effect), *sds]:
        if isinstance(prior, dist.Laplace | dist.AsymmetricLaplace):
            raise ValueError(
                f"the prior {type(prior).__name__} of {what} has a corner, where the mode of the posterior has no curvature; "
                "choose SoftLaplace, StudentT or Normal, or use fit_bayes or fit_nuts, which need no mode"
            )
        points = sizes if "sd" in what.split() else np.concatenate([-sizes, sizes])
        assert prior.support is not None
        with jax.enable_x64(True):
            inside = np.asarray(prior.support(jnp.asarray(points)))
        if not inside.all():
            raise ValueError(
                f"the prior {type(prior).__name__} of {what} has no density at {points[~inside][0]:.4g}: the mode of the "
                "posterior may be where it ends, and has no curvature there; choose a distribution over the whole range, or "
                "use fit_bayes or fit_nuts, which need no mode"
            )
