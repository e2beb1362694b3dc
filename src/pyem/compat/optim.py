"""One person's mode, as functions of the pyEM interface."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from pyem.compat.engines import engine_of
from pyem.compat.priors import GaussianPrior
from pyem.infer.differences import METHODS, Search
from pyem.population.posterior import GaussianPrior as PriorOfEach
from pyem.population.posterior import Laplace, Status


@dataclasses.dataclass(frozen=True)
class OptimConfig:
    """How one person's mode is looked for by the SciPy engine. The JAX engine needs none of it.

    Parameters
    ----------
    method, options
        Arguments of `scipy.optimize.minimize`, for the first search and for restarts; later ones are Newton
        steps from the last mode.
        The method may be written in any case of letters; gradients and Hessians, where it asks for them, are differences.
    max_restarts
        Random starts, at most, where a search fails.

    Examples
    --------
    >>> OptimConfig(method="L-BFGS-B").max_restarts
    2
    """

    method: str = "BFGS"
    options: Mapping[str, Any] | None = None
    max_restarts: int = 2

    def __post_init__(self) -> None:
        if isinstance(self.method, str) and self.method.lower() not in METHODS:
            raise ValueError(
                f"method={self.method!r}; choose a method of scipy.optimize.minimize: {', '.join(METHODS)}"
            )

    @property
    def search(self) -> Search:
        """The same for the engine."""
        return Search(self.method, tuple(sorted((self.options or {}).items())), self.max_restarts)


class SubjectMinimum(NamedTuple):
    """One person's mode."""

    x: np.ndarray
    """Unconstrained parameters, (P,)."""
    inv_h: np.ndarray
    """Inverse Hessian of the negative log-posterior, (P, P)."""
    npl: float
    """Negative log-posterior, in nats."""
    nl_prior: float
    """Minus the log prior density, in nats."""
    success: bool


def single_subject_minimize(
    objfunc: Callable[..., Any],
    subject_data: Any,
    prior: Any = None,
    nparams: int | None = None,
    *,
    config: OptimConfig | None = None,
    x0: Any = None,
    seed: int | None = None,
) -> SubjectMinimum:
    """The mode of one person's posterior under a Gaussian prior, or of the likelihood.

    Parameters
    ----------
    objfunc
        A fit function, ``f(params, *data, prior=None, output="npl")``.
    subject_data
        A list of what it takes, or a DataFrame.
    prior
        A prior with ``mu`` and ``sigma`` (a variance), or a dict with them; None for maximum likelihood.
    nparams
        Number of parameters, where neither `prior` nor `x0` tells.
    config
        How to search.
    x0
        Where to start; the prior's mean, or 0.
    seed
        Seed of random restarts.

    Examples
    --------
    >>> from pyem.compat.priors import GaussianPrior
    >>> def fit(params, y, prior=None, output="npl"):
    ...     nll = 0.5 * sum((v - params[0]) ** 2 for v in y)
    ...     return nll if output == "nll" or prior is None else nll - prior.logpdf(params)
    >>> best = single_subject_minimize(fit, [[1.0, 3.0]], GaussianPrior([0.0], [1.0]))
    >>> round(float(best.x[0]), 4)
    1.3333
    """
    config = config or OptimConfig()
    gaussian = None if prior is None else as_gaussian(prior)
    n = gaussian.n if gaussian else (len(np.atleast_1d(x0)) if x0 is not None else nparams)
    if n is None:
        raise ValueError("say how many parameters there are: pass prior, x0 or nparams")
    mean = np.zeros(n) if gaussian is None else gaussian.mu
    precision = np.zeros((n, n)) if gaussian is None else np.diag(1 / gaussian.sigma)
    start = mean if x0 is None else np.asarray(x0, float)
    engine = engine_of(objfunc, [subject_data], n)
    estep = engine.estep(start[None], search=config.search, n_jobs=1, seed=seed or 0)
    found = estep(PriorOfEach(mean[None], precision, np.ones((1, n))), 1e-10)
    nl_prior = 0.0 if gaussian is None else -gaussian.logpdf(found.mode[0])
    return SubjectMinimum(
        found.mode[0],
        found.cov[0],
        float(nl_prior - found.log_lik[0]),
        nl_prior,
        bool(found.status[0] == Status.CONVERGED),
    )


def as_gaussian(prior: Any) -> GaussianPrior:
    """A Gaussian prior from an object or a dict with ``mu`` and ``sigma``, or from one with moments to start from."""
    if isinstance(prior, GaussianPrior):
        return prior
    if isinstance(prior, Mapping):
        return GaussianPrior(prior["mu"], prior["sigma"])
    if hasattr(prior, "init_moments"):
        return GaussianPrior(*prior.init_moments())
    if hasattr(prior, "mu") and hasattr(prior, "sigma"):
        return GaussianPrior(prior.mu, prior.sigma)
    raise ValueError(f"prior {prior!r} has neither init_moments() nor mu and sigma; fits cannot start from it")


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
    """Every person's maximum of the likelihood, the best of several starts."""
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
    """For each person, whichever has the larger likelihood."""
    rank = lambda found: np.where(np.isfinite(found.log_lik), found.log_lik, -np.inf)  # noqa: E731
    take = rank(b) > rank(a) + 1e-9
    pick = lambda one, other: np.where(take.reshape(-1, *[1] * (one.ndim - 1)), other, one)  # noqa: E731
    return Laplace(*(pick(one, other) for one, other in zip(a, b, strict=True)))
