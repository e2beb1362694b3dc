"""Hierarchical EM with the settings and the output of the pyEM interface. It iterates by `pyem.infer.em_loop.run_em`."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from pyem.compat.engines import engine_of
from pyem.compat.groupdist import GroupRule, MStep, as_native, group_variance, make_group
from pyem.compat.math import log_density
from pyem.compat.optim import OptimConfig, as_gaussian
from pyem.compat.priors import GaussianPrior, Prior, default_prior
from pyem.compat.start import under_prior
from pyem.errors import FitWarning
from pyem.infer.differences import WALL
from pyem.infer.em_loop import run_em
from pyem.infer.multimodal import run_em_global
from pyem.numerics.threads import n_cores
from pyem.population.population import Population, populate
from pyem.population.posterior import EStep, Laplace

METHODS = {"sum": np.sum, "mean": np.mean, "median": np.median}
CUSTOM = (None, "relative_npl", "running_average")
WINDOW = 5
"""Number of iterations that the rule "running_average" averages."""
USUAL_CRIT = 1e-3


@dataclasses.dataclass(frozen=True)
class EMConfig:
    """Settings of hierarchical EM.

    Parameters
    ----------
    mstep_maxit
        Iterations, at most.
    convergence_method
        Summary of the people's negative log-posteriors: ``"sum"``, ``"mean"`` or ``"median"``.
    convergence_custom
        None: that number changes by less than `convergence_crit`. ``"relative_npl"``: from the third iteration, its change as
        a share of the last value does. ``"running_average"``: from the seventh, its distance from the mean of the five before.
    convergence_crit
        In nats (a proportion for ``"relative_npl"``). Beyond the rule, the group's parameters have to stand still; values above
        1e-3 ease that too, in proportion.
    convergence_precision
        Decimals to which changes are rounded first.
    njobs
        Processes of the SciPy engine, as in joblib.
    optim
        Settings of the search for one person's mode.
    seed
        Seed of the default prior's mean and of random restarts.
    mstep
        Family of the group distribution, see `make_group`.

    Examples
    --------
    >>> EMConfig(mstep_maxit=50).convergence_method
    'sum'
    """

    mstep_maxit: int = 200
    convergence_method: str = "sum"
    convergence_custom: str | None = None
    convergence_crit: float = USUAL_CRIT
    convergence_precision: int = 6
    njobs: int = -2
    optim: OptimConfig = OptimConfig()  # noqa: RUF009 - immutable
    seed: int | None = None
    mstep: Any = "gaussian"

    def __post_init__(self) -> None:
        if self.mstep_maxit < 1:
            raise ValueError(f"mstep_maxit must be >= 1, but was {self.mstep_maxit}")
        if self.convergence_method not in METHODS:
            raise ValueError(f"convergence_method={self.convergence_method!r}; choose one of {', '.join(METHODS)}")
        if self.convergence_custom not in CUSTOM:
            raise ValueError(f"convergence_custom={self.convergence_custom!r}; choose one of {CUSTOM}")
        make_group(self.mstep)

    def still(self, exact: bool) -> float:
        """Change of a group parameter below which the group counts as standing still."""
        return (1e-6 if exact else 1e-5) * max(1.0, self.convergence_crit / USUAL_CRIT)


class Progress:
    """The convergence rule, with output on the way."""

    def __init__(self, config: EMConfig, verbose: int, label: str) -> None:
        self.config = config
        self.verbose = int(verbose)
        self.label = label
        self.path: list[float] = []
        self.last: tuple[Population, Laplace] | None = None

    def __call__(self, population: Population, laplace: Laplace) -> bool:
        """Whether the rule holds after this iteration."""
        self.last = population, laplace
        npl = -(laplace.log_lik + population.log_prior(laplace.mode))
        self.path.append(float(METHODS[self.config.convergence_method](npl[laplace.usable])))
        change = self._change()
        n = len(self.path)
        if self.verbose > 1 or (self.verbose and n % 10 == 1):
            name = self.config.convergence_method
            print(f"{self.label}: iteration {n}, {name} of NPL {self.path[-1]:.4f}, change {change:.2g}", flush=True)
        return bool(round(change, self.config.convergence_precision) < self.config.convergence_crit)

    def _change(self) -> float:
        path, custom = self.path, self.config.convergence_custom
        if len(path) < 2:
            return np.inf
        if custom == "running_average" and len(path) > WINDOW + 1:
            return abs(path[-1] - float(np.mean(path[-WINDOW - 1 : -1])))
        change = abs(path[-1] - path[-2])
        return change / max(abs(path[-2]), 1e-300) if custom == "relative_npl" and len(path) > 2 else change

    def end(self, converged: bool, message: str) -> None:
        """Print how the iteration ended."""
        if self.verbose:
            print(f"{self.label}: {'converged' if converged else 'NOT CONVERGED'}, {message}", flush=True)


def fit_group(
    all_data: Sequence[Any] | None,
    fit_func: Callable[..., Any],
    param_names: Sequence[str],
    *,
    config: EMConfig,
    prior: Any = None,
    prior_mu: Any = None,
    prior_sigma: Any = None,
    verbose: int = 0,
) -> dict[str, Any]:
    """Fit a group; the result has the names and shapes of the pyEM interface."""
    n_params = len(param_names)
    all_data = checked_data(all_data)
    if n_params == 0:
        raise ValueError("EMfit received empty `param_names`: name at least one parameter")
    given = starting_prior(n_params, prior, prior_mu, prior_sigma, config.seed)
    engine = engine_of(fit_func, all_data, n_params)
    if prior is None and prior_mu is None and engine.typical is not None:
        # Our models begin where `fit_em` does: a likelihood of the group may have several maxima.
        mean, sd = engine.typical
        given = GaussianPrior(mean, np.maximum(sd, 1.0) ** 2)
    rule = make_group(config.mstep)
    first = _population(rule, given, n_params, len(all_data))
    progress = Progress(config, verbose, getattr(fit_func, "__name__", "EM"))
    begun = False

    def make(start: np.ndarray, *, short: bool = False) -> EStep:
        nonlocal begun
        search = dataclasses.replace(config.optim.search, quick=begun)
        begun = True
        seed = 0 if config.seed is None else int(config.seed)
        estep = engine.estep(start, search=search, n_jobs=config.njobs, seed=seed, short=short)
        return under_prior(estep, given, first.prior)

    options: Any = {
        "max_iter": config.mstep_maxit,
        "tol": config.still(engine.exact),
        "settled": progress,
    }
    found = run_em_global(
        make,
        first.mean,
        first,
        glance=engine.glance(),
        at_once=n_cores() if engine.exact else 1,
        mstep=MStep(rule),
        **options,
    )
    if rule.family == "laplace" and found.converged:
        # Steps that are not accelerated would take forever from afar where people hardly differ.
        own = MStep(rule, own=True)
        found = run_em(found.estep, found.population, mstep=own, accelerate=False, **options)
    _tell_of_lost(found.laplace, progress.label)
    progress.end(found.converged, found.message)
    assert progress.last is not None
    # If the iteration did not end, the last E-step and its group belong together.
    used, laplace = (found.population, found.laplace) if found.converged else progress.last
    moved = used.distance(first) > 0
    log_prior = used.log_prior(laplace.mode) if moved else _log_densities(given, laplace.mode)
    return _output(rule, found.population, laplace, log_prior, found.converged)


def checked_data(all_data: Sequence[Any] | None) -> Sequence[Any]:
    """Return the data after checking that they are there for every subject.

    Raises
    ------
    ValueError
        If not.
    """
    if all_data is None:
        raise ValueError("all_data must be provided to fit the model.")
    if len(all_data) == 0:
        raise ValueError("EMfit received empty `all_data`: it needs an entry for each subject")
    for s, data in enumerate(all_data):
        if data is None or (hasattr(data, "__len__") and len(data) == 0):
            raise ValueError(f"all_data[{s}] is empty; give a list of what the fit function takes, or leave it out")
    return all_data


def _population(rule: GroupRule, given: Any, n_params: int, n_subjects: int) -> Population:
    """The group from which EM starts, with the moments of the given prior."""
    moments = as_gaussian(given)
    return populate(
        as_native(rule),
        names=[f"parameter {k}" for k in range(n_params)],
        mean=moments.mu,
        sd=np.sqrt(moments.sigma),
        covariates={},
        n_subjects=n_subjects,
    )


def _log_densities(prior: Any, x: np.ndarray) -> np.ndarray:
    """Log-density of everybody's parameters (S, P) under the given prior itself."""
    # For a dict, only the moments are known to be right.
    prior = as_gaussian(prior) if isinstance(prior, dict) else prior
    return np.array([float(np.sum(log_density(prior, row))) for row in x])


def _tell_of_lost(laplace: Laplace, label: str) -> None:
    """Warn of subjects without a finite likelihood, who take no part in the group."""
    lost, n = np.flatnonzero(~laplace.usable), len(laplace.usable)
    if (~laplace.usable | (laplace.log_lik <= -WALL)).all():
        raise ValueError(
            f"{label} has no finite negative log-likelihood (a number below 1e6) for any of the {n} subjects; see what it "
            "returns for one of them at parameters of 0"
        )
    if not len(lost):
        return
    named = ", ".join(map(str, lost[:10])) + (f" and {len(lost) - 10} more" if len(lost) > 10 else "")
    warnings.warn(
        f"{label} has no finite negative log-likelihood for {len(lost)} of {n} subjects (at {named} in all_data); they are "
        "left out of the group, and scores of the group mean little until they are removed or mended",
        FitWarning,
        stacklevel=4,
    )


def starting_prior(n_params: int, prior: Any, mu: Any, sigma: Any, seed: int | None) -> Any:
    """The prior of the first E-step.

    Raises
    ------
    ValueError
        If it is given in two ways, by halves, or for another number of parameters.
    """
    if prior is not None and (mu is not None or sigma is not None):
        raise ValueError("Specify either prior or prior_mu/prior_sigma, not both.")
    if (mu is None) != (sigma is None):
        raise ValueError("Provide both prior_mu and prior_sigma (a variance), or neither.")
    if mu is not None:
        prior = GaussianPrior(mu, sigma)
    if prior is None:
        # A fit gives the same result each time it is called.
        return default_prior(n_params, 0 if seed is None else seed)
    moments = as_gaussian(prior)
    if moments.n != n_params:
        raise ValueError(f"the prior is for {moments.n} parameters, but the model has {n_params}")
    return prior


def _output(
    rule: GroupRule, population: Population, laplace: Laplace, log_prior: np.ndarray, converged: bool
) -> dict[str, Any]:
    return {
        "m": laplace.mode.T.copy(),
        "inv_h": np.moveaxis(laplace.cov, 0, -1).copy(),
        "posterior": {"mu": population.coef[0].copy(), "sigma": group_variance(rule, population)},
        "NPL": -(laplace.log_lik + log_prior),
        "NLPrior": -log_prior,
        "NLL": -laplace.log_lik,
        "convergence": bool(converged),
    }


def EMfit(
    all_data: Sequence[Any],
    objfunc: Callable[..., Any],
    param_names: Sequence[str],
    verbose: int = 1,
    *,
    config: EMConfig | None = None,
    prior: Prior | Any = None,
    **kwargs: Any,
) -> dict[str, Any]:
    """Fit a group by hierarchical EM.

    Parameters
    ----------
    all_data
        A list for each subject of the arguments of `objfunc`, or a DataFrame.
    objfunc
        A fit function, ``f(params, *data, prior=None, output="npl"|"nll"|"all")``.
    param_names
        One name for each parameter, in order.
    verbose
        0 prints nothing, 1 every tenth iteration, 2 all.
    config
        Settings of the iteration and of searches.
    prior
        The prior of the first E-step: an object, or a dict with ``mu`` and ``sigma`` (a variance).
    **kwargs
        Fields of `config` that are to differ from it, ``prior_mu`` and ``prior_sigma`` in place of `prior`, and
        ``optim_method, optim_options, max_restarts``. Other names are ignored, with a warning.

    Returns
    -------
    dict
        ``m`` (P, S) modes; ``inv_h`` (P, P, S); ``posterior`` with ``mu`` and ``sigma`` (variance), (P,); ``NPL, NLPrior, NLL``
        (S,), in nats; ``convergence``.

    Examples
    --------
    >>> import numpy as np
    >>> def fit(params, y, prior=None, output="npl"):
    ...     nll = 0.5 * np.sum((y - params[0]) ** 2)
    ...     return nll if output == "nll" or prior is None else nll - prior.logpdf(params)
    >>> out = EMfit([[np.array([1.0, 2.0])], [np.array([3.0, 5.0])], [np.array([-2.0, 0.0])]], fit, ["mean"], verbose=0)
    >>> round(float(out["posterior"]["mu"][0]), 3)
    1.5
    """
    given = {name: kwargs.pop(name, None) for name in ("prior_mu", "prior_sigma")}
    settings = with_settings(config or EMConfig(), kwargs)
    return fit_group(all_data, objfunc, param_names, config=settings, prior=prior, verbose=verbose, **given)


SEARCH = {"optim_method": "method", "optim_options": "options", "max_restarts": "max_restarts"}
"""Settings of searches, with their names in `OptimConfig`."""


def with_settings(config: EMConfig, settings: Mapping[str, Any]) -> EMConfig:
    """Return a configuration with other values of its fields; unknown names are ignored, with a warning."""
    known = {field.name for field in dataclasses.fields(EMConfig)}
    unknown = [name for name in settings if name not in known and name not in SEARCH]
    if unknown:
        warnings.warn(f"EMfit has no setting {', '.join(unknown)}; ignored", FitWarning, stacklevel=3)
    found = {name: value for name, value in settings.items() if name in known}
    search = {new: settings[old] for old, new in SEARCH.items() if old in settings}
    if search:
        found["optim"] = dataclasses.replace(found.get("optim", config.optim), **search)
    return dataclasses.replace(config, **found)
