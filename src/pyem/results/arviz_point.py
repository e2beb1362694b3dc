"""Point fits as ArviZ's containers."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from pyem.errors import FitWarning
from pyem.numerics.rng import gaussian_draws, generator
from pyem.population.posterior import Status
from pyem.results.netcdf import Section
from pyem.results.sections import (
    attributes,
    container,
    data_sections,
    log_likelihood_section,
    posterior_section,
)


def to_arviz(fit: Any, *, draws: int = 500, key: Any = 0, log_likelihood: bool = True) -> Any:
    """A fit as ArviZ `InferenceData` (with ArviZ 1 or later: as an xarray `DataTree`).

    Parameters
    ----------
    fit
        Of `fit_mle`, `fit_map` or `fit_em`.
    draws
        From each subject's posterior. That of a `PointFit` is the Laplace approximation: a Gaussian on the unconstrained
        scale.
    key
        Seed of the draws.
    log_likelihood
        Compute the pointwise log-likelihood, by far the largest group.

    Returns
    -------
    InferenceData or DataTree
        ``posterior``: a variable for each natural parameter (chain, draw, subject) and ``x`` (chain, draw, subject,
        parameter), unconstrained; ``log_likelihood`` in nats (chain, draw, obs), or (chain, draw, sequence) for a model
        that gives no value for single trials; ``observed_data`` and ``constant_data`` (obs): responses; subject, block,
        trial, inputs, outcomes and covariates. ``obs`` are the trials that count in the likelihood.

    Raises
    ------
    ValueError
        If the pointwise log-likelihood would be larger than 2 GiB.

    Notes
    -----
    The draws are independent and from one chain, so that R-hat and effective sample sizes say nothing about a sampler. Of
    subjects without a regular mode (column ``status`` of ``table()``) there is no Laplace approximation: their draws are NaN,
    and a warning names them.

    Examples
    --------
    >>> import pyem
    >>> model = pyem.models.get("rw1a1b")
    >>> fit = pyem.fit_em(model, pyem.simulate(model, subjects=5, trials=20, key=1))
    >>> dict(to_arviz(fit, draws=10).posterior["alpha"].sizes)
    {'chain': 1, 'draw': 10, 'subject': 5}
    """
    if hasattr(fit, "arviz_sections"):
        raise ValueError(f"a fit by {fit.method} has draws of its own; use its method to_arviz()")
    _warn_of_irregular(fit)
    return container(_sections(fit, draws, key, log_likelihood), attributes(fit))


def _sections(fit: Any, draws: int, key: Any, log_likelihood: bool) -> dict[str, Section]:
    """ArviZ's groups. A result that has draws of its own kind may have a method ``arviz_sections()`` for them."""
    if hasattr(fit, "arviz_sections"):
        return fit.arviz_sections(log_likelihood=log_likelihood)
    if draws < 0 or (log_likelihood and draws < 1):
        raise ValueError(f"draws={draws}; at least one is needed")
    x = np.moveaxis(posterior_draws(fit, draws, key), 1, 0)[None]
    parts: dict[str, Section] = {}
    if draws:
        parts["posterior"] = posterior_section(fit.model, fit.data, x)
    if log_likelihood:
        parts["log_likelihood"] = log_likelihood_section(fit.model, fit.data, x)
    return parts | data_sections(fit.model, fit.data)


def posterior_draws(fit: Any, draws: int, key: Any) -> np.ndarray:
    """Unconstrained parameters (S, draws, P) from every subject's posterior, as far as the fit knows it.

    From the fit's own draws where it has some; else from the Laplace approximation, and NaN where there is none.
    """
    rng = generator(key)
    if hasattr(fit, "draws"):
        return fit.draws(draws, key=rng)
    regular = _regular(fit)
    cov = np.where(regular[:, None, None], fit.cov, np.eye(fit.cov.shape[1]))
    x = gaussian_draws(fit.x, cov, draws, rng)
    x[~regular] = np.nan
    return x


def _regular(fit: Any) -> np.ndarray:
    return np.isin(fit.status, (Status.CONVERGED, Status.MAX_STEPS)) & np.isfinite(fit.cov).all((1, 2))


def _warn_of_irregular(fit: Any) -> None:
    gone = [str(label) for label in fit.data.subjects[~_regular(fit)]]
    if gone:
        warnings.warn(
            f"{len(gone)} of {fit.data.n_subjects} subjects have no regular mode, so their draws are NaN: "
            f"{', '.join(gone[:10])}{', ...' if len(gone) > 10 else ''}; see the column status of table()",
            FitWarning,
            stacklevel=3,
        )
