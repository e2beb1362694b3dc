"""Hierarchical EM: people and the group that they come from."""

from __future__ import annotations

import warnings

import numpy as np

from pyem.data.dataset import Dataset
from pyem.engine.validate import validate
from pyem.errors import FitWarning
from pyem.infer.em_loop import EMRun, run_em
from pyem.infer.laplace import JaxEStep
from pyem.infer.outcome import as_point_fit, some_finite
from pyem.infer.progress import progress_line
from pyem.infer.standard_errors import information
from pyem.model.model import Model
from pyem.population.group import Group
from pyem.population.population import MIN_SD, populate
from pyem.results.point import PointFit


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
        See `pyem.infer.em_loop.run_em`.
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
    some_finite(model, run.laplace)
    info = information(estep, run.population, run.laplace) if standard_errors else None
    for text in _remarks(run, model.names):
        warnings.warn(f"fit_em of {model.name!r}: {text}", FitWarning, stacklevel=2)
    return as_point_fit(
        "em", model, data, run.laplace, run.population, info, run.converged, run.message, run.trace, stacklevel=3
    )


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
