"""Point estimates: maximum likelihood, maximum a posteriori, and hierarchical EM."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pyem.dataset import Dataset
from pyem.group import MIN_SD, Group, Population, populate
from pyem.infer.em import EMRun, run_em
from pyem.infer.errors import information
from pyem.infer.progress import progress_line
from pyem.laplace import GaussianPrior, JaxEStep, Laplace
from pyem.model import Model
from pyem.result import PointFit
from pyem.solve import Status
from pyem.validation import ModelError, validate


class FitWarning(UserWarning):
    """Something about a fit that its user should know; the message names the subjects."""


def fit_em(
    model: Model,
    data: Dataset,
    *,
    group: Group | None = None,
    max_iter: int = 500,
    tol: float = 1e-7,
    accelerate: bool = True,
    standard_errors: bool = True,
    progress: bool = False,
) -> PointFit:
    """Fit a model to a group of people by hierarchical expectation maximisation with Laplace approximation.

    Parameters
    ----------
    model, data
        What to fit to what.
    group
        The population distribution; Gaussian with independent parameters if not given.
    max_iter, tol, accelerate
        See `pyem.infer.em.run_em`.
    standard_errors
        Compute the standard errors of the group's parameters.
    progress
        Show a progress bar.

    Raises
    ------
    ValueError
        If there is one subject only, the data do not suit the model, or a covariate is of no use.

    References
    ----------
    Huys, Q. J. M., et al. (2011). Disentangling the roles of approach, activation and valence in instrumental and
    pavlovian responding. PLoS Computational Biology, 7(4), e1002028. https://doi.org/10.1371/journal.pcbi.1002028

    Examples
    --------
    >>> import pyem
    >>> model = pyem.models.get("rw1a1b")
    >>> data = pyem.simulate(model, subjects=20, key=1)
    >>> fit = pyem.fit_em(model, data)
    >>> fit.converged
    True
    """
    group = group or Group()
    validate(model, data)
    if max_iter < 1:
        raise ValueError(f"max_iter={max_iter}; at least one iteration is needed")
    if data.n_subjects < 2:
        raise ValueError(
            "fit_em estimates how people differ and needs at least 2 subjects; use fit_map or fit_mle for one"
        )
    mean, sd = model.typical
    start = populate(
        group,
        names=model.names,
        mean=mean,
        sd=np.maximum(sd, 1.0),
        covariates=data.covariates,
        n_subjects=data.n_subjects,
    )
    estep = JaxEStep(model, data, np.tile(mean, (data.n_subjects, 1)))
    with progress_line(progress, f"EM {model.name}", max_iter) as say:
        report = say and (
            lambda n, value, change: say(n, f"iteration {n}, log evidence {value:.3f}, change {change:.1e}")
        )
        run = run_em(estep, start, max_iter=max_iter, tol=tol, accelerate=accelerate, report=report)
    _some_finite(model, run.laplace)
    info = information(estep, run.population, run.laplace) if standard_errors else None
    for text in _remarks(run, model.names):
        warnings.warn(f"fit_em of {model.name!r}: {text}", FitWarning, stacklevel=2)
    return _result(
        "em", model, data, run.laplace, run.population, info, run.converged, run.message, run.trace, stacklevel=3
    )


def fit_map(
    model: Model,
    data: Dataset,
    *,
    mean: Any = None,
    sd: Any = None,
    log_prior: Callable[[Any], Any] | None = None,
    max_steps: int = 200,
) -> PointFit:
    """Maximum a posteriori estimates of every subject under one given prior.

    Parameters
    ----------
    model, data
        What to fit to what.
    mean, sd
        (P,) of a Gaussian prior on the unconstrained scale; the model's typical population if not given.
    log_prior
        Instead, a traceable function of the named natural parameters of one subject, for example
        ``lambda p: -p.beta / 5``: a log-density *of the natural parameters*; the Jacobian of the transforms is added.
    max_steps
        Evaluations for each subject, at most.

    Examples
    --------
    >>> import pyem
    >>> model = pyem.models.get("rw1a1b")
    >>> data = pyem.simulate(model, subjects=3, key=1)
    >>> pyem.fit_map(model, data).x.shape
    (3, 2)
    """
    validate(model, data)
    if log_prior is not None and (mean is not None or sd is not None):
        raise ValueError("give either log_prior or mean and sd, not both")
    typical_mean, typical_sd = model.typical
    mean = np.broadcast_to(np.asarray(typical_mean if mean is None else mean, float), (model.n_params,))
    sd = np.broadcast_to(np.asarray(typical_sd if sd is None else sd, float), (model.n_params,))
    if not (np.isfinite(mean).all() and np.isfinite(sd).all() and (sd > 0).all()):
        raise ValueError(f"the prior needs finite means and sds above 0, but was given mean={mean}, sd={sd}")
    estep = JaxEStep(model, data, np.tile(mean, (data.n_subjects, 1)), max_steps=max_steps)
    if log_prior is not None:
        laplace = estep.general(NaturalPrior(model, log_prior))
        density = _natural_log_prior(model, log_prior, laplace.mode)
        return _result("map", model, data, laplace, None, None, *_ended(laplace), {}, log_prior=density, stacklevel=3)
    population = populate(Group(), names=model.names, mean=mean, sd=sd, covariates={}, n_subjects=data.n_subjects)
    laplace = estep(population.prior)
    return _result("map", model, data, laplace, population, None, *_ended(laplace), {}, stacklevel=3)


def fit_mle(model: Model, data: Dataset, *, starts: int = 5, key: int | Any = 0, max_steps: int = 200) -> PointFit:
    """Maximum-likelihood estimates of every subject, the best of several starts.

    Parameters
    ----------
    model, data
        What to fit to what.
    starts
        Number of starting points: the typical parameters, and random ones around them.
    key
        Seed of the random starts.
    max_steps
        Evaluations for each subject and start, at most.

    Notes
    -----
    The likelihood of few trials often has no maximum inside the range of the parameters (someone who always chooses the
    same): such subjects have the status "at the boundary" or "flat likelihood".

    Examples
    --------
    >>> import pyem
    >>> model = pyem.models.get("rw1a1b")
    >>> data = pyem.simulate(model, subjects=3, key=1)
    >>> bool((pyem.fit_mle(model, data).log_lik >= pyem.fit_map(model, data).log_lik - 1e-9).all())
    True
    """
    validate(model, data)
    if starts < 1:
        raise ValueError(f"starts={starts}; at least one starting point is needed")
    mean, sd = model.typical
    shape = (data.n_subjects, model.n_params)
    flat = GaussianPrior(np.zeros(shape), np.zeros((model.n_params, model.n_params)), np.ones(shape))
    draws = np.random.default_rng(_seed(key)).normal(size=(starts - 1, *shape))
    best: Laplace | None = None
    for start in [np.tile(mean, (data.n_subjects, 1)), *(mean + 1.5 * sd * draws)]:
        found = JaxEStep(model, data, start, max_steps=max_steps)(flat)
        best = found if best is None else _better(best, found)
    assert best is not None
    return _result("mle", model, data, best, None, None, *_ended(best), {}, stacklevel=3)


def _better(a: Laplace, b: Laplace) -> Laplace:
    rank = lambda fit: np.where(np.isfinite(fit.log_lik), fit.log_lik, -np.inf)  # noqa: E731
    take = rank(b) > rank(a) + 1e-9
    pick = lambda one, other: np.where(take.reshape(-1, *[1] * (one.ndim - 1)), other, one)  # noqa: E731
    return Laplace(*(pick(one, other) for one, other in zip(a, b, strict=True)))


class NaturalPrior:
    """A log prior density of natural parameters as one of unconstrained parameters; equal for equal arguments."""

    def __init__(self, model: Model, log_prior: Callable[[Any], Any]) -> None:
        self._key = (model, log_prior)

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NaturalPrior) and self._key == other._key

    def __call__(self, x: Any) -> Any:
        """Log-density at the unconstrained parameters (P,) of one subject."""
        model, log_prior = self._key
        start, jacobian = 0, jnp.zeros(())
        for parameter in model.parameters:
            stop = start + len(parameter.names)
            jacobian = jacobian + parameter.transform.log_det(x[start:stop]).sum()
            start = stop
        return log_prior(model.record(x)) + jacobian


def _natural_log_prior(model: Model, log_prior: Callable[[Any], Any], x: np.ndarray) -> np.ndarray:
    with jax.enable_x64(True):
        return np.asarray(jax.vmap(NaturalPrior(model, log_prior))(jnp.asarray(x)))


def _ended(laplace: Laplace) -> tuple[bool, str]:
    done = laplace.status == Status.CONVERGED
    return bool(done.all()), f"{int(done.sum())} of {len(done)} subjects converged"


def _seed(key: Any) -> int:
    if isinstance(key, int | np.integer):
        return int(key)
    return int(np.asarray(jax.random.key_data(key)).ravel()[-1])


def _result(
    method: str,
    model: Model,
    data: Dataset,
    laplace: Laplace,
    population: Population | None,
    info: np.ndarray | None,
    converged: bool,
    message: str,
    trace: Mapping[str, np.ndarray],
    *,
    log_prior: np.ndarray | None = None,
    stacklevel: int,
) -> PointFit:
    _some_finite(model, laplace)
    laplace = _without_lost(laplace)
    if log_prior is None and population is not None:
        log_prior = population.log_prior(laplace.mode)
    fit = PointFit(
        method=method,
        model=model,
        data=data,
        x=laplace.mode,
        cov=laplace.cov,
        log_lik=laplace.log_lik,
        log_prior=log_prior,
        log_evidence=None if log_prior is None else laplace.log_evidence(log_prior),
        status=laplace.status,
        population=population if method == "em" else None,
        prior=(population.coef[0], population.cov) if method == "map" and population is not None else None,
        information=info,
        converged=converged,
        message=message,
        trace=dict(trace),
    )
    _warn_of_failures(fit, stacklevel + 1)
    return fit


def _some_finite(model: Model, laplace: Laplace) -> None:
    if not laplace.usable.any():
        raise ModelError(
            f"model {model.name!r} has no finite log-likelihood for any of the {len(laplace.status)} subjects where the search "
            "starts; look for a logarithm or a division of 0, a root of a negative number, or data far out of scale, and see "
            "what pyem.check(model, data) says"
        )


def _without_lost(laplace: Laplace) -> Laplace:
    """NaN for subjects whose likelihood is not finite: no number that looks like an estimate."""
    lost = ~laplace.usable
    if not lost.any():
        return laplace
    hide = lambda values: np.where(lost.reshape(-1, *[1] * (values.ndim - 1)), np.nan, values)  # noqa: E731
    mode, cov, log_lik, log_det = map(hide, laplace[:-1])
    return Laplace(mode, cov, log_lik, log_det, laplace.status)


def _remarks(run: EMRun, names: tuple[str, ...]) -> list[str]:
    """What the user should know about how the iteration went."""
    gained = _information_gained(run)
    mute = [name for name, share in zip(names, gained, strict=True) if share == 0]
    same = [name for name, floor in zip(names, np.diag(run.population.cov) < (1.5 * MIN_SD) ** 2, strict=True) if floor]
    remarks = []
    if mute:
        remarks.append(
            f"the likelihood of these data does not depend on {', '.join(mute)}: the mean and sd of the group are what the "
            "iteration started from, and mean nothing; fix it (pyem.fix), or use data in which it matters"
        )
    if same:
        remarks.append(
            f"as far as these data say, people do not differ in {', '.join(same)}: the sd of the group is 0 (and has no "
            "standard error), and everybody's estimate is the mean of the group"
        )
    if not run.converged:
        remarks.append(
            f"{run.message}; raise max_iter, or ask less of the data: fix or tie parameters (pyem.fix, pyem.tie), or choose "
            "covariance='diagonal' if it was 'full'"
        )
    return remarks


def _information_gained(run: EMRun) -> np.ndarray:
    """(P,): how much narrower people's posteriors are than the group, on average, as a share; exactly 0 if all say nothing."""
    use = run.laplace.usable
    weight, prior = run.population.weight[use], run.population.cov
    variance = np.diagonal(run.laplace.cov[use], axis1=1, axis2=2) * weight / np.diag(prior)
    moved = np.abs(run.laplace.mode - run.population.mean)[use] / np.sqrt(np.diag(prior))
    nothing = (np.abs(variance - 1).max(0) < 1e-9) & (moved.max(0) < 1e-9)
    return np.where(nothing, 0.0, np.maximum(1 - variance.mean(0), 1e-12))


def _warn_of_failures(fit: PointFit, stacklevel: int) -> None:
    failed = np.flatnonzero(fit.status != Status.CONVERGED)
    if not len(failed):
        return
    named = [f"{fit.data.subjects[s]} ({Status(fit.status[s]).text})" for s in failed[:10]]
    more = f" and {len(failed) - 10} more" if len(failed) > 10 else ""
    warnings.warn(
        f"fit_{fit.method} of {fit.model.name!r}: {len(failed)} of {len(fit.status)} subjects have no regular mode: "
        f"{', '.join(named)}{more}; see the column status of table()",
        FitWarning,
        stacklevel=stacklevel,
    )
