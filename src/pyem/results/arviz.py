"""Any fit as ArviZ's groups: posterior, prior, sampler statistics, log-likelihood, predictions, data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from pyem.engine.pointwise import Observed
from pyem.results.draws import at_least_one, one_chain, warn_of_irregular
from pyem.results.fit import Unit
from pyem.results.netcdf import Section
from pyem.results.sections import (
    attributes,
    chain_coordinates,
    container,
    data_sections,
    group_variables,
    log_likelihood_section,
    posterior_section,
    with_attributes,
)

if TYPE_CHECKING:
    from pyem.results.fit import Fit


def to_arviz(
    fit: Fit,
    *,
    draws: int = 500,
    log_likelihood: Unit | bool | None = True,
    prior: int = 0,
    posterior_predictive: int = 0,
    key: Any = 0,
) -> Any:
    """A fit as ArviZ `InferenceData` (with ArviZ 1 or later: as an xarray `DataTree`).

    Parameters
    ----------
    fit
        A fit by any method.
    draws
        Number of draws from each subject's posterior, as in `fit.draws`. A sampler's own draws are exported whole.
    log_likelihood
        Pointwise log-likelihood, by far the largest group, by ``"trial"``, ``"block"`` or ``"subject"`` (with the subject's
        parameters as drawn). True: by trial, or by sequence of trials where the model gives no value for single ones.
        ``"auto"``: by trial if that is no more than 256 MiB, else by subject. False or None: none.
    prior
        Number of draws from the prior, 0 for none.
    posterior_predictive
        Number of data sets drawn from the posterior, one step ahead (see `pyem.posterior_predictive`), 0 for none.
    key
        Seed of all draws.

    Returns
    -------
    InferenceData or DataTree
        ``posterior``: a variable for each natural parameter (chain, draw, subject) and ``x`` (chain, draw, subject,
        parameter), unconstrained; of the group, where the method knows its uncertainty, ``group_mean``, ``group_sd`` (chain,
        draw, parameter), ``group_effect`` (chain, draw, covariate, parameter), ``group_correlation``; ``prior`` likewise;
        ``sample_stats`` of a sampler; ``log_likelihood`` in nats (chain, draw, obs), or (chain, draw, sequence), (chain, draw,
        block), (chain, draw, subject); ``posterior_predictive``; ``observed_data`` and ``constant_data`` (obs): responses;
        subject, block, trial, inputs, outcomes and covariates. ``obs`` are the trials that count in the likelihood.

    Raises
    ------
    ValueError
        If the log-likelihood by trial would be larger than 2 GiB (for True; ``"trial"`` means it).
    Unavailable
        If `prior` asks for draws from a prior that the fit does not keep.

    Notes
    -----
    Draws that are not a sampler's are independent and from one chain, so that R-hat and effective sample sizes say nothing
    about a sampler. Of subjects without a regular mode (column ``status`` of ``table()``) there is no Laplace approximation:
    their draws are NaN, and a warning names them.

    Examples
    --------
    >>> import pyem
    >>> model = pyem.models.get("rw1a1b")
    >>> fit = pyem.fit_em(model, pyem.simulate(model, subjects=5, trials=20, key=1))
    >>> dict(to_arviz(fit, draws=10).posterior["alpha"].sizes)
    {'chain': 1, 'draw': 10, 'subject': 5}
    """
    at_least_one(draws)
    warn_of_irregular(fit, stacklevel=3)
    parts = sections(fit, draws=draws, log_likelihood=log_likelihood, key=key)
    if prior:
        drawn = one_chain(fit.prior_draws(prior, key=key)).values
        parts["prior"] = _parameters(fit, drawn)
    if posterior_predictive:
        parts["posterior_predictive"] = _predictive(fit, posterior_predictive, key)
    attrs = attributes(fit)
    return container(with_attributes(parts, attrs), attrs)


def sections(fit: Fit, *, draws: int, log_likelihood: Unit | bool | None, key: Any) -> dict[str, Section]:
    """The groups that need nothing but draws and data; without the posterior if `draws` is 0."""
    if log_likelihood not in (*get_args(Unit), True, False, None):
        raise ValueError(
            f"log_likelihood={log_likelihood!r}; choose {', '.join(map(repr, get_args(Unit)))}, True, or False for none"
        )
    if draws < 0 or (log_likelihood and draws < 1):
        raise ValueError(f"draws={draws}; at least one is needed")
    parts: dict[str, Section] = {}
    if draws:
        chains = fit.chains(draws, key=key)
        parts["posterior"] = _parameters(fit, chains.values)
        if chains.stats:
            stats: dict[str, Any] = {name: (("chain", "draw"), values) for name, values in chains.stats.items()}
            parts["sample_stats"] = Section(stats | chain_coordinates(chains.values["x"]))
        if log_likelihood:
            parts["log_likelihood"] = log_likelihood_section(fit.model, fit.data, chains.values["x"], log_likelihood)
    return parts | data_sections(fit.model, fit.data)


def _parameters(fit: Fit, values: Mapping[str, np.ndarray]) -> Section:
    """Parameters of people and, where there are draws of it, of the group."""
    part = posterior_section(fit.model, fit.data, values["x"])
    if "coef" not in values or fit.population is None:
        return part
    return Section({**part.variables, **group_variables(fit.model, fit.population.group, values)}, part.attrs)


def _predictive(fit: Fit, n: int, key: Any) -> Section:
    from pyem.simulation.predictive import posterior_predictive

    predicted = posterior_predictive(fit, draws=n, key=key)
    observed = Observed(fit.model, fit.data)
    variables: dict[str, Any] = {}
    for name, values in predicted.responses.items():
        drawn = np.moveaxis(values, -1, 2)[:, observed.row, observed.lane][None]
        places = tuple(f"{name}_dim_{k}" for k in range(drawn.ndim - 3))
        variables[name] = (("chain", "draw", "obs", *places), drawn)
    variables["obs"] = (("obs",), np.arange(len(observed.row)))
    return Section(variables | chain_coordinates(np.empty((1, n))))
