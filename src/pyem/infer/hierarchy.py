"""The joint posterior of a group and its people, in coordinates in which samplers move freely.

Every person's parameters are written as what a Gaussian approximation of their posterior *given the group* expects, plus a
standard normal variable times its standard deviation. The approximation comes from a fit by EM; it is corrected exactly by
the density, so that the posterior is that of the model whatever the coordinates are. In them the people and the group are
nearly independent and nearly standard normal, and the funnels and the correlations of the usual coordinates are gone.
Between the extremes, data that say nothing and data that say everything, these are the non-centred and the centred ones.

References
----------
Papaspiliopoulos, O., Roberts, G. O., & Sköld, M. (2007). A general framework for the parametrization of hierarchical models.
Statistical Science, 22(1), 59-73. https://doi.org/10.1214/088342307000000014
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.special import gammaln

from pyem.data.dataset import Dataset
from pyem.engine.differentiable import People, log_lik, people
from pyem.engine.evaluate import value_grad_hess
from pyem.infer.laplace import JaxEStep
from pyem.infer.units import in_standard_units, laplace_in_units
from pyem.model.model import Model
from pyem.numerics.linalg import UNROLLED, pivots
from pyem.population.group import Group
from pyem.population.patterns import correlated_blocks
from pyem.population.population import Population
from pyem.population.posterior import GaussianPrior, Laplace
from pyem.population.priors import HyperPriors, hyper_priors
from pyem.results.point import PointFit

Parametrization = Literal["standardized", "noncentered", "centered"]
PARAMETRIZATIONS: tuple[Parametrization, ...] = ("standardized", "noncentered", "centered")
Position = dict[str, Array]
"""``group`` (G,), where there is one, and ``people`` (P, S): coordinates that are nearly standard normal."""


class Anchor(NamedTuple):
    """A Gaussian approximation of each person's likelihood. It shapes the coordinates, not the posterior."""

    precision: Array
    """Precision of each Gaussian, (P, P, S), positive semidefinite."""
    shift: Array
    """The precision times the location, (P, S)."""
    weight: Array
    """Weights of the scale mixture of a heavy-tailed group, (P, S)."""


class GroupArgs(NamedTuple):
    """Arguments of the density of a `Hierarchy` besides the position."""

    people: People
    design: Array
    priors: HyperPriors
    anchor: Anchor
    center: Array
    """Centre of the group's coordinates, (G,)."""
    scale: Array
    """Scale of the group's coordinates, (G,)."""


@dataclasses.dataclass(frozen=True)
class Hierarchy:
    """People drawn from a group. Static under jit; `GroupArgs` are traced.

    Parameters
    ----------
    model, group
        Likelihood and family of the population.
    free
        Whether each regression weight is estimated, (K, P), as nested tuples.
    parametrization
        ``"standardized"``, ``"noncentered"`` or ``"centered"``.
    held
        Standard deviations that are given, 0 for what is common to all, None where they are estimated, (P,).
    blocks
        Places of parameters that are correlated, for each block.
    """

    model: Model
    group: Group
    free: tuple[tuple[bool, ...], ...]
    parametrization: Parametrization
    held: tuple[float | None, ...]
    blocks: tuple[tuple[int, ...], ...]

    def split_values(self) -> tuple[Hierarchy, Any]:
        """Split off the values of the model's fixed parameters: this posterior without them, and the values themselves."""
        model, values = self.model.split_values()
        return dataclasses.replace(self, model=model), values

    def join_values(self, values: Any) -> Hierarchy:
        """Put the values of fixed parameters back: the inverse of `split_values`."""
        return dataclasses.replace(self, model=self.model.join_values(values))

    @property
    def n_group(self) -> int:
        """Number of group parameters, G."""
        n_corr = sum(len(block) * (len(block) - 1) // 2 for block in self.blocks)
        return int(np.sum(self.free)) + len(self.estimated) + n_corr

    @property
    def estimated(self) -> np.ndarray:
        """Indices of the parameters whose standard deviation is estimated."""
        return np.array([k for k, sd in enumerate(self.held) if sd is None], int)

    @property
    def random(self) -> np.ndarray:
        """Indices of the parameters in which people differ."""
        return np.array([k for k, sd in enumerate(self.held) if sd != 0], int)

    # -- the group ----------------------------------------------------------------------------------------------------------

    def unpack(self, v: Array) -> tuple[Array, Array, Array | None, Array]:
        """Regression weights (K, P), sds (P,), Cholesky factor of the correlations or None, and log-Jacobian."""
        free, estimated = np.array(self.free), self.estimated
        n, p = int(free.sum()), self.model.n_params
        coef = jnp.zeros(free.shape, v.dtype).at[np.nonzero(free)].set(v[:n])
        log_sd = v[n : n + len(estimated)]
        given = jnp.asarray([sd or 0.0 for sd in self.held], v.dtype)
        sd = given.at[estimated].set(jnp.exp(log_sd))
        if not self.blocks:
            return coef, sd, None, log_sd.sum()
        chol, log_det, start = jnp.eye(p, dtype=v.dtype), log_sd.sum(), n + len(estimated)
        for block in self.blocks:
            stop = start + len(block) * (len(block) - 1) // 2
            part, more = _corr_cholesky(v[start:stop])
            chol, log_det, start = chol.at[np.ix_(block, block)].set(part), log_det + more, stop
        return coef, sd, chol, log_det

    def log_hyper_prior(self, priors: HyperPriors, coef: Array, sd: Array, chol: Array | None) -> Array:
        """Log-density of the group's parameters."""
        total = sum(prior.log_prob(value) for prior, value in zip(priors.mean, coef[0], strict=True))
        total += sum(priors.sd[k].log_prob(sd[k]) for k in self.estimated)
        rows, columns = np.nonzero(np.array(self.free)[1:])
        effects = [coef[1 + k, j] for k, j in zip(rows, columns, strict=True)]
        total += sum(prior.log_prob(value) for prior, value in zip(priors.effect, effects, strict=True))
        for block in self.blocks:
            assert chol is not None
            total += _lkj(chol[np.ix_(block, block)], priors.concentration)
        return total  # type: ignore[return-value]

    def log_group(self, x: Array, mean: Array, sd: Array, chol: Array | None) -> Array:
        """Log-density (S,) of people's parameters (P, S) in the group."""
        x, mean, sd, chol = self._of_people(x, mean, sd, chol)
        z = (x - mean) / sd[:, None]
        log_scale = jnp.log(sd).sum()
        if chol is not None:
            z = jax.scipy.linalg.solve_triangular(chol, z, lower=True)
            log_scale += jnp.log(jnp.diag(chol)).sum()
        return self.group.standard_log_prob(z) - log_scale

    # -- the people ---------------------------------------------------------------------------------------------------------

    def place(
        self, anchor: Anchor, mean: Array, sd: Array, chol: Array | None, z: Array, center: Any
    ) -> tuple[Array, Array]:
        """People's parameters (P, S) at coordinates `z` of those in which they differ, and the log-Jacobian."""
        whole, (_, mean, sd, chol) = mean, self._of_people(mean, mean, sd, chol)
        if center is not None:
            center = self._of_people(center[0], *center[:3])[1:] + center[3:]
        x, log_det = self._placed(anchor, mean, sd, chol, z, center)
        return (x, log_det) if len(x) == len(whole) else (whole.at[self.random].set(x), log_det)

    def _of_people(self, x: Array, mean: Array, sd: Array, chol: Array | None) -> Any:
        """Take the entries of the parameters in which people differ."""
        some = self.random
        if len(some) == len(self.held):
            return x, mean, sd, chol
        return x[some], mean[some], sd[some], None if chol is None else chol[np.ix_(some, some)]

    def _placed(
        self, anchor: Anchor, mean: Array, sd: Array, chol: Array | None, z: Array, center: Any
    ) -> tuple[Array, Array]:
        if self.parametrization == "noncentered":
            spread = sd[:, None] * (z if chol is None else chol @ z)
            log_det = jnp.log(sd).sum() + (0.0 if chol is None else jnp.log(jnp.diag(chol)).sum())
            return mean + spread, log_det * z.shape[1]
        if self.parametrization == "centered":
            mean, sd, _, _ = center
            return mean + sd[:, None] * z, jnp.log(sd).sum() * z.shape[1]
        precision = _inverse(sd, chol)
        root = jnp.sqrt(anchor.weight)
        prior = precision[:, :, None] * root[:, None] * root[None]
        # In sds of the group, so that nothing depends on the units of parameters.
        each = sd[:, None]
        inverse = each[:, None] * each[None] * (anchor.precision + prior)
        x, log_det = standardized(inverse, each * (anchor.shift + (prior * mean[None]).sum(1)), z)
        return each * x, log_det + z.shape[1] * jnp.log(sd).sum()

    def log_density(self, args: GroupArgs, position: Position) -> Array:
        """Log of the joint density of the data and the coordinates."""
        out, log_det = self._values(args, position)
        hyper = self.log_hyper_prior(args.priors, out["coef"], out["sd"], out.get("chol"))
        prior = self.log_group(out["x"], out["mean"], out["sd"], out.get("chol"))
        return log_lik(self.model, args.people, out["x"]).sum() + prior.sum() + hyper + log_det

    def values(self, args: GroupArgs, position: Position) -> dict[str, Array]:
        """Parameters of the people, ``x`` (S, P), and of the group: ``coef``, ``sd`` and, if full, ``corr``."""
        out, _ = self._values(args, position)
        kept = {"x": out["x"].T, "coef": out["coef"], "sd": out["sd"]}
        return kept | ({"corr": out["chol"] @ out["chol"].T} if "chol" in out else {})

    def _values(self, args: GroupArgs, position: Position) -> tuple[dict[str, Array], Array]:
        coef, sd, chol, log_det = self.unpack(args.center + args.scale * position["group"])
        mean = (args.design @ coef).T
        center = None
        if self.parametrization == "centered":
            at, *rest = self.unpack(args.center)
            center = ((args.design @ at).T, *rest)
        x, more = self.place(args.anchor, mean, sd, chol, position["people"], center)
        out = {"x": x, "coef": coef, "sd": sd, "mean": mean} | ({} if chol is None else {"chol": chol})
        return out, log_det + more + jnp.log(args.scale).sum()

    def start(self, args: GroupArgs, key: Array, size: Any = 1.0) -> Position:
        """A random position, from roughly the posterior."""
        one, two = jax.random.split(key)
        n_params, n_subjects = args.anchor.shift.shape
        return {
            "group": size * jax.random.normal(one, (self.n_group,)),
            "people": size * jax.random.normal(two, (n_params, n_subjects)),
        }


def standardized(precision: Array, shift: Array, z: Array) -> tuple[Array, Array]:
    """A draw (P, S) of Gaussians with given precision (P, P, S) and precision times mean, and the log-Jacobian."""
    if precision.shape[0] <= UNROLLED:
        low, diag = pivots(precision)
        n = len(diag)
        # x = inv(L') (inv(D) inv(L) shift + D^-1/2 z): one sweep down and one up.
        down: list[Array] = []
        for i in range(n):
            down.append(shift[i] - sum((low[i][k] * down[k] for k in range(i)), jnp.zeros_like(shift[0])))
        out = [down[i] / diag[i] + z[i] / jnp.sqrt(diag[i]) for i in range(n)]
        for i in reversed(range(n)):
            for k in range(i):
                out[k] = out[k] - low[i][k] * out[i]
        return jnp.stack(out), -0.5 * sum(jnp.log(d).sum() for d in diag)  # type: ignore[return-value]
    chol = jnp.linalg.cholesky(jnp.moveaxis(precision, -1, 0))
    solve = lambda a, b, trans: jax.scipy.linalg.solve_triangular(a, b, lower=True, trans=trans)  # noqa: E731
    swept = jax.vmap(lambda a, b: solve(a, b, 0))(chol, shift.T)
    x = jax.vmap(lambda a, b: solve(a, b, 1))(chol, swept + z.T)
    return x.T, -jnp.log(jnp.diagonal(chol, axis1=1, axis2=2)).sum()


def _inverse(sd: Array, chol: Array | None) -> Array:
    """Inverse (P, P) of the covariance with given sds and Cholesky factor of the correlations."""
    if chol is None:
        return jnp.diag(sd**-2)
    white = jax.scipy.linalg.solve_triangular(chol, jnp.diag(1 / sd), lower=True)
    return white.T @ white


def _corr_cholesky(v: Array) -> tuple[Array, Array]:
    """Cholesky factor of a correlation matrix from unconstrained numbers, and the log-Jacobian (Lewandowski et al.)."""
    from numpyro.distributions.transforms import CorrCholeskyTransform

    transform: Any = CorrCholeskyTransform()
    chol = transform(v)
    return chol, transform.log_abs_det_jacobian(v, chol)


def _lkj(chol: Array, concentration: Array) -> Array:
    """Log-density of the LKJ distribution of correlations, as one of their Cholesky factor."""
    p = chol.shape[0]
    order = jnp.arange(p - 2, -1, -1)
    below = jnp.arange(1, p)
    # Each row's part of the volume, as an integral over a ball.
    halves = concentration + (p - 1 - below) / 2
    constant = 0.5 * below * math.log(math.pi) + gammaln(halves) - gammaln(halves + 0.5 * below)
    return (jnp.log(jnp.diag(chol)[1:]) * (order + 2 * (concentration - 1)) - constant).sum()


# -- where to start -----------------------------------------------------------------------------------------------------


def hierarchy_of(model: Model, pop: Population, parametrization: Parametrization) -> Hierarchy:
    """The specification of people drawn from a group like `pop`."""
    held = tuple(None if np.isnan(sd) else float(sd) for sd in pop.given_sd)
    free = tuple(tuple(map(bool, row)) for row in pop.free)
    return Hierarchy(model, pop.group, free, parametrization, held, correlated_blocks(pop.estimated))


def group_layout(
    model: Model, data: Dataset, group: Group, priors: Any, pop: Population, parametrization: Parametrization
) -> tuple[Hierarchy, GroupArgs]:
    """The posterior of a group in coordinates that know nothing of the data yet, with the shapes of those of `group_args`."""
    spec = hierarchy_of(model, pop, parametrization)
    n, p = data.n_subjects, len(spec.random)
    with jax.enable_x64(True):
        anchor = Anchor(jnp.zeros((p, p, n)), jnp.zeros((p, n)), jnp.ones((p, n)))
        center, scale = jnp.zeros(spec.n_group), jnp.ones(spec.n_group)
        hyper = hyper_priors(model, pop, priors)
        return spec, GroupArgs(people(model, data), jnp.asarray(pop.design), hyper, anchor, center, scale)


def group_args(
    model: Model, data: Dataset, group: Group, priors: Any, fit: PointFit, parametrization: Parametrization
) -> tuple[Hierarchy, GroupArgs]:
    """The posterior of a group, in coordinates made from a fit by EM."""
    pop = fit.population
    assert pop is not None
    spec, args = group_layout(model, data, group, priors, pop, parametrization)
    within = np.median(np.diagonal(fit.cov, axis1=1, axis2=2), axis=0)
    if len(spec.random) < len(within):
        # For common parameters, the error of the mean is that of all people together.
        curvature = -np.nansum(np.diagonal(value_grad_hess(model, data, fit.x)[2], axis1=1, axis2=2), axis=0)
        sd = model.typical[1]
        within = np.where(pop.random, within, sd**2 * data.n_subjects / np.maximum(sd**2 * curvature, 1e-8))
    center, scale = group_coordinates(model, pop, within)
    with jax.enable_x64(True):
        anchor = jax.tree.map(jnp.asarray, likelihood_anchor(model, data, fit.x, pop))
        return spec, args._replace(anchor=anchor, center=jnp.asarray(center), scale=jnp.asarray(scale))


def group_coordinates(model: Model, pop: Population, within: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Roughly the posterior mean and sd of the group's coordinates (G,), from what is not known of a person, (P,)."""
    n, typical = len(pop.design), model.typical[1]
    sd = np.sqrt(np.diag(pop.cov))
    within = np.minimum(within, (3 * typical) ** 2)
    # A variance that EM finds to be zero is only small: start where the posterior has mass.
    sd0 = np.maximum(sd, np.sqrt(0.01 * typical**2 + 0.1 * within))
    error = np.sqrt((sd0**2 + within) / n)
    error = np.where(pop.random, error, np.sqrt(within / n))
    spread = np.where(pop.free, error / np.where(pop.design.std(0) > 0, pop.design.std(0), 1.0)[:, None], 1.0)
    spread[0] = error
    estimated = np.isnan(pop.given_sd)
    center = [pop.coef[pop.free], np.log(sd0[estimated])]
    scale = [spread[pop.free], np.minimum(np.sqrt((1 + within / sd0**2) / (2 * n)), 0.7)[estimated]]
    corr = pop.cov / np.outer(sd, sd)
    for block in correlated_blocks(pop.estimated):
        center.append(corr_vector(0.9 * corr[np.ix_(block, block)] + 0.1 * np.eye(len(block))))
        scale.append(np.full(len(center[-1]), min(1.0, 2 / math.sqrt(n))))
    return np.concatenate(center), np.concatenate(scale)


def likelihood_anchor(model: Model, data: Dataset, x: np.ndarray, pop: Population) -> Anchor:
    """The likelihood's curvature and location at each person's mode, under a group that is not narrow.

    Where EM finds that people hardly differ, all modes are the group's mean, and the curvature there says little about where
    a person may be. Under a group as wide as a typical one, modes are where the person's own data have them.
    """
    sd = np.sqrt(np.diag(pop.cov))
    wide = np.where(np.isnan(pop.given_sd), np.maximum(sd, model.typical[1]), sd)
    pop = dataclasses.replace(pop, cov=pop.cov * np.outer(wide / sd, wide / sd))
    inner = in_standard_units(model)
    shift, scale = (np.asarray(part, float) for part in inner.units)
    prior = GaussianPrior((pop.mean - shift) / scale, pop.precision * np.outer(scale, scale), pop.weight)
    found = laplace_in_units(shift, scale, JaxEStep(inner, data, inner.from_units(x))(prior, 1e-8))
    precision, shift = likelihood_of(found, pop)
    return Anchor(np.moveaxis(precision, 0, -1), shift.T, pop.weight[:, pop.random].T.copy())  # type: ignore[arg-type]


def likelihood_of(laplace: Laplace, pop: Population) -> tuple[np.ndarray, np.ndarray]:
    """Each person's likelihood as a Gaussian, from posteriors: precision (S, P, P), and precision times location (S, P)."""
    root = np.sqrt(pop.weight)
    prior = np.linalg.inv(pop.cov)[None] * root[:, :, None] * root[:, None]
    known = laplace.usable & np.isfinite(laplace.cov).all((1, 2))
    precision = np.linalg.inv(np.where(known[:, None, None], laplace.cov, np.linalg.inv(prior))) - prior
    # The likelihood given the common parameters.
    some = np.flatnonzero(pop.random)
    precision, prior = precision[:, some][:, :, some], prior[:, some][:, :, some]
    # In sds of the group, so that the limit for 0 does not depend on the units.
    unit = np.sqrt(np.diag(pop.cov)[some])
    values, vectors = np.linalg.eigh(np.outer(unit, unit) * (precision + np.swapaxes(precision, 1, 2)) / 2)
    vectors = vectors / unit[:, None]
    precision = np.einsum("spi,si,sqi->spq", vectors, np.maximum(values, 0.0), vectors)
    # At the mode the pull of the likelihood balances that of the prior.
    mode = np.where(known[:, None], laplace.mode, pop.mean)[:, some]
    pull = np.einsum("spq,sq->sp", prior, mode - pop.mean[:, some])
    return precision, np.einsum("spq,sq->sp", precision, mode) + pull


def corr_vector(corr: np.ndarray) -> np.ndarray:
    """Unconstrained numbers that stand for a correlation matrix."""
    from numpyro.distributions.transforms import CorrCholeskyTransform

    with jax.enable_x64(True):
        return np.asarray(CorrCholeskyTransform()._inverse(jnp.asarray(np.linalg.cholesky(corr))))
