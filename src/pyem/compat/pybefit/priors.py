"""Priors of agents' parameters, and variational posteriors of the same sites.

Every prior gives the site ``z`` (agent, parameter). Those with a group above the agents write ``z = mu + scale * x`` with
standard normal ``x``, which samplers and variational posteriors explore more easily than ``z`` itself.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from numpyro.distributions import constraints
from numpyro.distributions.transforms import ExpTransform, IdentityTransform


@dataclasses.dataclass(frozen=True)
class Sites:
    """Numbers of parameters and agents; the first arguments of every prior and posterior."""

    num_params: int
    num_agents: int

    def __post_init__(self) -> None:
        for name in ("num_params", "num_agents"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}; there is at least one")
        if getattr(self, "backend", "numpyro") != "numpyro":
            raise ValueError(f"backend={getattr(self, 'backend', None)!r}; this library has 'numpyro' only")

    def _standard(self, scale: float = 1.0) -> Any:
        return dist.Normal(jnp.zeros(self.num_params), scale).to_event(1)


@dataclasses.dataclass(frozen=True)
class Normal(Sites):
    """Each parameter of each agent is normal with mean 0 and the sd `init_scale`, independently.

    Examples
    --------
    >>> with numpyro.handlers.seed(rng_seed=0):
    ...     Normal(2, 10)().shape
    (10, 2)
    """

    init_scale: float = 1.0
    backend: str = "numpyro"

    def __call__(self) -> Any:
        """Sample the site ``z`` (agent, parameter)."""
        with numpyro.plate("agents", self.num_agents):
            return numpyro.sample("z", self._standard(self.init_scale))


@dataclasses.dataclass(frozen=True)
class NormalGamma(Sites):
    """A normal group whose means are standard normal and whose precisions are Gamma(2, 2): on average 1.

    Sites: ``mu`` (parameter) of the group's means, ``lam`` (parameter) of its precisions, ``x`` and ``z``
    (agent, parameter), ``z = mu + x / sqrt(lam)``.

    Examples
    --------
    >>> with numpyro.handlers.seed(rng_seed=0):
    ...     NormalGamma(2, 10)().shape
    (10, 2)
    """

    init_scale: float = 1.0
    backend: str = "numpyro"

    def __call__(self) -> Any:
        """Make the deterministic site ``z`` (agent, parameter)."""
        mu = numpyro.sample("mu", self._standard(self.init_scale))
        lam = numpyro.sample("lam", dist.Gamma(2.0, 2.0).expand([self.num_params]).to_event(1))
        with numpyro.plate("agents", self.num_agents):
            x = numpyro.sample("x", self._standard())
        return numpyro.deterministic("z", mu + x / jnp.sqrt(lam))


@dataclasses.dataclass(frozen=True)
class RegularisedHorseshoe(Sites):
    """A group in which most agents hardly differ from the means and a few differ much.

    Sites: ``mu`` (parameter), standard normal; ``tau`` (parameter), half-Cauchy; the slab ``c2`` (parameter), inverse
    Gamma(2, 2); ``lam`` (agent, parameter), half-Cauchy; ``x`` and ``z`` (agent, parameter) with
    ``z = mu + x tau lam sqrt(c2 / (c2 + tau^2 lam^2))``.

    References
    ----------
    Piironen, J., & Vehtari, A. (2017). Sparsity information and regularization in the horseshoe and other shrinkage priors.
    Electronic Journal of Statistics, 11(2), 5018-5051. https://doi.org/10.1214/17-EJS1337SI

    Examples
    --------
    >>> with numpyro.handlers.seed(rng_seed=0):
    ...     RegularisedHorseshoe(2, 10)().shape
    (10, 2)
    """

    init_scale: float = 1.0
    backend: str = "numpyro"

    def __call__(self) -> Any:
        """Make the deterministic site ``z`` (agent, parameter)."""
        mu = numpyro.sample("mu", self._standard(self.init_scale))
        tau = numpyro.sample("tau", dist.HalfCauchy(1.0).expand([self.num_params]).to_event(1))
        c2 = numpyro.sample("c2", dist.InverseGamma(2.0, 2.0).expand([self.num_params]).to_event(1))
        with numpyro.plate("agents", self.num_agents):
            lam = numpyro.sample("lam", dist.HalfCauchy(1.0).expand([self.num_params]).to_event(1))
            x = numpyro.sample("x", self._standard())
        return numpyro.deterministic("z", mu + x * _regularised(tau, lam, c2))


def _regularised(tau: Any, lam: Any, c2: Any) -> Any:
    return tau * lam * jnp.sqrt(c2 / (c2 + tau**2 * lam**2))


# -- variational posteriors ---------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class NormalPosterior(Sites):
    """A multivariate normal for each agent: its ``loc`` (agent, parameter) and ``scale_tril`` are fitted.

    `init_scale` is the sd of every parameter at the start.

    Examples
    --------
    >>> with numpyro.handlers.seed(rng_seed=0):
    ...     NormalPosterior(2, 10)().shape
    (10, 2)
    """

    init_scale: float = 0.1
    backend: str = "numpyro"

    def __call__(self) -> Any:
        """Sample the site ``z`` (agent, parameter)."""
        with numpyro.plate("agents", self.num_agents):
            return numpyro.sample("z", _correlated("", (self.num_agents, self.num_params), self.init_scale))


@dataclasses.dataclass(frozen=True)
class NormalGammaPosterior(Sites):
    """The posterior of `NormalGamma`: one multivariate normal of ``mu`` and ``log lam``, and one of each agent's ``x``."""

    init_scale: float = 0.1
    backend: str = "numpyro"

    def __call__(self) -> Any:
        """Make the deterministic site ``z`` (agent, parameter)."""
        mu, lam = _joint("group", {"mu": False, "lam": True}, (), self.num_params, self.init_scale)
        with numpyro.plate("agents", self.num_agents):
            (x,) = _joint("agent", {"x": False}, (self.num_agents,), self.num_params, self.init_scale)
        return numpyro.deterministic("z", mu + x / jnp.sqrt(lam))


@dataclasses.dataclass(frozen=True)
class RegularisedHorseshoePosterior(Sites):
    """The posterior of `RegularisedHorseshoe`: one multivariate normal of the group's sites, and one of each agent's.

    Positive sites (``tau``, ``c2``, ``lam``) are normal on the log scale.
    """

    init_scale: float = 0.1
    backend: str = "numpyro"

    def __call__(self) -> Any:
        """Make the deterministic site ``z`` (agent, parameter)."""
        group = {"mu": False, "tau": True, "c2": True}
        mu, tau, c2 = _joint("group", group, (), self.num_params, self.init_scale)
        with numpyro.plate("agents", self.num_agents):
            both = {"lam": True, "x": False}
            lam, x = _joint("agent", both, (self.num_agents,), self.num_params, self.init_scale)
        return numpyro.deterministic("z", mu + x * _regularised(tau, lam, c2))


def _correlated(prefix: str, shape: tuple[int, ...], scale: float) -> Any:
    """A multivariate normal over the last axis whose mean and factor of the covariance are fitted."""
    loc = numpyro.param(f"{prefix}loc", jnp.zeros(shape))
    start = jnp.broadcast_to(scale * jnp.eye(shape[-1]), (*shape, shape[-1]))
    tril = numpyro.param(f"{prefix}scale_tril", start, constraint=constraints.lower_cholesky)
    return dist.MultivariateNormal(loc, scale_tril=tril)


def _joint(
    prefix: str, sites: dict[str, bool], batch: tuple[int, ...], num_params: int, scale: float
) -> tuple[Any, ...]:
    """Sites (..., parameter) that are correlated; the positive ones, marked True, on the log scale."""
    shape = (*batch, num_params * len(sites))
    normal = _correlated(f"{prefix}_", shape, scale)
    joint = numpyro.sample(f"{prefix}_joint", normal, infer={"is_auxiliary": True})
    out = []
    for part, (name, positive) in zip(jnp.split(joint, len(sites), axis=-1), sites.items(), strict=True):
        to = ExpTransform() if positive else IdentityTransform()
        value = to(part)
        # The density of all sites together is that of `joint`, times the change of volume of each.
        volume = -jnp.sum(to.log_abs_det_jacobian(part, value), -1)
        out.append(numpyro.sample(name, dist.Delta(value, log_density=volume, event_dim=1)))
    return tuple(out)
