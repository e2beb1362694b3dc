"""Search for one person's mode, with the functions of the pyEM interface."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from pyem.compat.engines import engine_of
from pyem.compat.math import log_density
from pyem.compat.priors import GaussianPrior, Prior
from pyem.compat.start import under_prior
from pyem.infer.differences import METHODS, Search
from pyem.population.posterior import GaussianPrior as PriorOfEach
from pyem.population.posterior import Laplace, Status


@dataclasses.dataclass(frozen=True)
class OptimConfig:
    """Settings of the SciPy engine's search for one person's mode. The JAX engine needs none.

    Parameters
    ----------
    method, options
        Arguments of `scipy.optimize.minimize`, for the first search and for restarts; later ones are Newton
        steps from the last mode.
        The method may be written in any case of letters; gradients and Hessians, where it asks for them, are differences.
    max_restarts
        Random starts, at most, where a search fails.
    x_scale
        How far random starts are from the given one in pyEM; here they are draws from the prior, and this is kept only.

    Examples
    --------
    >>> OptimConfig(method="L-BFGS-B").max_restarts
    2
    """

    method: str = "BFGS"
    options: Mapping[str, Any] | None = None
    max_restarts: int = 2
    x_scale: float = 0.1

    def __post_init__(self) -> None:
        if isinstance(self.method, str) and self.method.lower() not in METHODS:
            raise ValueError(
                f"method={self.method!r}; choose a method of scipy.optimize.minimize: {', '.join(METHODS)}"
            )

    @property
    def search(self) -> Search:
        """Return these settings in the form of the engine."""
        return Search(self.method, tuple(sorted((self.options or {}).items())), self.max_restarts)


class SubjectMinimum(NamedTuple):
    """One person's mode, and the curvature there."""

    x: np.ndarray
    """Unconstrained parameters, (P,)."""
    inv_h: np.ndarray
    """Inverse Hessian of the negative log-posterior, (P, P)."""
    fval: float
    """Negative log-posterior, in nats."""
    nl_prior: float
    """Minus the log prior density, in nats."""
    success: bool
    result: Any
    """The result in the form of `scipy.optimize.minimize`."""


def single_subject_minimize(
    objfunc: Callable[..., Any],
    obj_args: Any,
    nparams: int,
    prior: Prior | Any = None,
    config: OptimConfig | None = None,
    rng: np.random.Generator | None = None,
    *,
    x0: Any = None,
) -> SubjectMinimum:
    """Find the mode of one person's posterior, or of the likelihood.

    Parameters
    ----------
    objfunc
        A fit function, ``f(params, *data, prior=None, output="npl")``.
    obj_args
        A list of what it takes, or a DataFrame.
    nparams
        Number of parameters.
    prior
        A prior, or a dict with ``mu`` and ``sigma`` (a variance); None for maximum likelihood.
    config
        Settings of the search.
    rng
        Generator of random restarts.
    x0
        Starting point; by default the prior's mean, or 0.

    Examples
    --------
    >>> from pyem.compat.priors import GaussianPrior
    >>> def fit(params, y, prior=None, output="npl"):
    ...     nll = 0.5 * sum((v - params[0]) ** 2 for v in y)
    ...     return nll if output == "nll" or prior is None else nll - prior.logpdf(params)
    >>> best = single_subject_minimize(fit, [[1.0, 3.0]], 1, GaussianPrior([0.0], [1.0]))
    >>> round(float(best.x[0]), 4)
    1.3333
    """
    config = config or OptimConfig()
    gaussian = None if prior is None else as_gaussian(prior)
    if gaussian is not None and gaussian.n != nparams:
        raise ValueError(f"the prior is for {gaussian.n} parameters, but nparams={nparams}")
    mean = np.zeros(nparams) if gaussian is None else gaussian.mu
    precision = np.zeros((nparams, nparams)) if gaussian is None else np.diag(1 / gaussian.sigma)
    start = mean if x0 is None else np.asarray(x0, float)
    seed = 0 if rng is None else int(rng.integers(2**31 - 1))
    engine = engine_of(objfunc, [obj_args], nparams)
    estep = engine.estep(start[None], search=config.search, n_jobs=1, seed=seed)
    each = PriorOfEach(mean[None], precision, np.ones((1, nparams)))
    found = (estep if gaussian is None else under_prior(estep, prior, each))(each, 1e-10)
    x, fval = found.mode[0], -float(found.log_lik[0])
    nl_prior = 0.0 if prior is None else -float(np.sum(log_density(_with_density(prior), x)))
    success = bool(found.status[0] == Status.CONVERGED)
    return SubjectMinimum(
        x, found.cov[0], fval + nl_prior, nl_prior, success, _as_scipy(found, fval + nl_prior, success)
    )


def _with_density(prior: Any) -> Any:
    """Give a prior a density, also where it is a dict that has only moments."""
    return as_gaussian(prior) if isinstance(prior, Mapping) else prior


def _as_scipy(found: Laplace, fval: float, success: bool) -> Any:
    from scipy.optimize import OptimizeResult

    words = Status(int(found.status[0])).text
    return OptimizeResult(x=found.mode[0], fun=fval, success=success, message=words, hess_inv=found.cov[0])


def as_gaussian(prior: Any) -> GaussianPrior:
    """Make a Gaussian prior of an object or a dict with ``mu`` and ``sigma``, or with moments to start from."""
    if isinstance(prior, GaussianPrior):
        return prior
    if isinstance(prior, Mapping):
        return GaussianPrior(prior["mu"], prior["sigma"])
    if hasattr(prior, "init_moments"):
        return GaussianPrior(*prior.init_moments())
    if hasattr(prior, "mu") and hasattr(prior, "sigma"):
        return GaussianPrior(prior.mu, prior.sigma)
    raise TypeError(
        f"prior {prior!r} has neither init_moments() nor mu and sigma (a variance), so that a fit cannot start from it; take "
        "one of pyem.core.priors, or give it init_moments()"
    )


def maximum_likelihood(
    fit_func: Callable[..., Any],
    all_data: Any,
    n_params: int,
    *,
    config: OptimConfig | None = None,
    n_starts: int = 5,
    n_jobs: int = -2,
    seed: int | None = None,
) -> Laplace:
    """Find every person's maximum of the likelihood, the best of several starts."""
    engine = engine_of(fit_func, all_data, n_params)
    shape = (len(all_data), n_params)
    flat = PriorOfEach(np.zeros(shape), np.zeros((n_params, n_params)), np.ones(shape))
    draws = np.random.default_rng(0 if seed is None else seed).normal(size=(n_starts - 1, *shape))
    best: Laplace | None = None
    for start in (np.zeros(shape), *draws):
        search = (config or OptimConfig()).search
        found = engine.estep(start, search=search, n_jobs=n_jobs, seed=seed or 0)(flat, 1e-9)
        best = found if best is None else better(best, found)
    assert best is not None
    return best


def better(a: Laplace, b: Laplace) -> Laplace:
    """Choose for each person the result with the larger likelihood."""
    rank = lambda found: np.where(np.isfinite(found.log_lik), found.log_lik, -np.inf)  # noqa: E731
    take = rank(b) > rank(a) + 1e-9
    pick = lambda one, other: np.where(take.reshape(-1, *[1] * (one.ndim - 1)), other, one)  # noqa: E731
    return Laplace(*(pick(one, other) for one, other in zip(a, b, strict=True)))
