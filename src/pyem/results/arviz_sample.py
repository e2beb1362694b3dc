"""Draws from a posterior as ArviZ's groups: posterior, prior, sampler statistics, log-likelihood, predictions, data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from pyem.engine.pointwise import Observed, by_trial
from pyem.results.netcdf import Section
from pyem.results.sections import (
    as_labels,
    attributes,
    chain_coordinates,
    container,
    data_sections,
    posterior_section,
    with_attributes,
)

if TYPE_CHECKING:
    from pyem.results.sample import SampleFit

LARGEST = 2**25
"""Values of a pointwise log-likelihood that are kept unless asked for: 256 MiB."""

Unit = Literal["trial", "block", "subject", "auto"]


def to_arviz(
    fit: SampleFit,
    *,
    log_likelihood: Unit | None = "auto",
    prior: int = 500,
    posterior_predictive: int = 100,
    key: Any = 0,
) -> Any:
    """A fit by `fit_nuts` or `fit_svi` as ArviZ `InferenceData` (with ArviZ 1 or later: an xarray `DataTree`).

    Parameters
    ----------
    fit
        The draws.
    log_likelihood
        Pointwise log-likelihood by trial, block or subject (with the subject's parameters as drawn), or None for none.
        ``"auto"``: by trial if that is no more than 256 MiB, else by subject.
    prior
        Number of draws from the prior, 0 for none.
    posterior_predictive
        Number of data sets drawn from the posterior, one step ahead (see `pyem.posterior_predictive`), 0 for none.
    key
        Seed of these.

    Returns
    -------
    InferenceData or DataTree
        ``posterior``: a variable for each natural parameter (chain, draw, subject), ``x`` (chain, draw, subject, parameter),
        unconstrained, and of the group ``group_mean``, ``group_sd`` (chain, draw, parameter), ``group_effect`` (chain, draw,
        covariate, parameter), ``group_correlation``; ``prior`` likewise; ``sample_stats``; ``log_likelihood`` in nats;
        ``posterior_predictive``; ``observed_data`` and ``constant_data``.

    Examples
    --------
    >>> idata = fit.to_arviz()  # doctest: +SKIP
    >>> arviz.summary(idata, var_names=["group_mean", "group_sd"])  # doctest: +SKIP
    """
    if log_likelihood not in ("trial", "block", "subject", "auto", None):
        raise ValueError(f"log_likelihood={log_likelihood!r}; choose 'trial', 'block', 'subject', 'auto' or None")
    parts = cheap_sections(fit)
    if prior:
        parts["prior"] = _prior(fit, prior, key)
    if log_likelihood:
        parts["log_likelihood"] = _log_likelihood(fit, log_likelihood)
    if posterior_predictive and fit.model.policy is not None:
        parts["posterior_predictive"] = _predictive(fit, posterior_predictive, key)
    attrs = attributes(fit)
    return container(with_attributes(parts, attrs), attrs)


def cheap_sections(fit: SampleFit) -> dict[str, Section]:
    """The groups that cost nothing: posterior, sampler statistics, data."""
    parts = {"posterior": _parameters(fit, fit.posterior)}
    if fit.stats:
        stats: dict[str, Any] = {name: (("chain", "draw"), values) for name, values in fit.stats.items()}
        parts["sample_stats"] = Section(stats | chain_coordinates(fit.posterior["x"]))
    return parts | data_sections(fit.model, fit.data)


def _parameters(fit: SampleFit, draws: dict[str, np.ndarray]) -> Section:
    part = posterior_section(fit.model, fit.data, draws["x"])
    if "coef" not in draws:
        return part
    assert fit.group is not None
    first, names = ("chain", "draw"), np.array(fit.model.names, object)
    out: dict[str, Any] = {
        "group_mean": ((*first, "parameter"), draws["coef"][:, :, 0]),
        "group_sd": ((*first, "parameter"), draws["sd"]),
    }
    if fit.group.covariates:
        out["group_effect"] = ((*first, "covariate", "parameter"), draws["coef"][:, :, 1:])
        out["covariate"] = (("covariate",), np.array([name for name, _ in fit.group.covariates], object))
    if "corr" in draws:
        out["group_correlation"] = ((*first, "parameter", "other_parameter"), draws["corr"])
        out["other_parameter"] = (("other_parameter",), names)
    return Section({**part.variables, **out}, part.attrs)


def _prior(fit: SampleFit, n: int, key: Any) -> Section:
    from pyem.population.priors import rebuilt
    from pyem.simulation.predictive import prior_draws

    known = rebuilt(fit.model, fit.priors, fit.group, fit.free)
    draws = prior_draws(fit.model, fit.data, fit.group, known, n, key)
    return _parameters(fit, {name: values[None] for name, values in draws.items()})


def _log_likelihood(fit: SampleFit, unit: Unit) -> Section:
    from pyem.selection.cross_validation import trial_chunks

    model, data = fit.model, fit.data
    if unit == "auto":
        few = fit.n_draws * len(Observed(model, data).row) <= LARGEST
        unit = "trial" if few and by_trial(model, data) else "subject"
    chunks = list(trial_chunks(fit, "trial" if unit == "trial" else "block"))
    values = np.concatenate([part for part, _, _ in chunks], axis=1)
    lane = np.concatenate([part for _, part, _ in chunks])
    dim, labels = "obs", np.arange(values.shape[1])
    if unit == "block":
        dim = "block"
        labels = np.array([f"{data.subjects[data.lane_subject[k]]}/{data.lane_block[k]}" for k in lane], object)
    elif unit == "subject":
        dim, labels = "subject", as_labels(data.subjects)
        values = np.add.reduceat(values, np.flatnonzero(np.diff(data.lane_subject[lane], prepend=-1)), axis=1)
    name = model.responses[0] if len(model.responses) == 1 else "response"
    by_chain = values.reshape(*fit.posterior["x"].shape[:2], -1)
    variables: dict[str, Any] = {name: (("chain", "draw", dim), by_chain), dim: ((dim,), labels)}
    return Section(variables | chain_coordinates(by_chain))


def _predictive(fit: SampleFit, n: int, key: Any) -> Section:
    from pyem.simulation.predictive import posterior_predictive

    predicted = posterior_predictive(fit, draws=n, key=key)
    observed = Observed(fit.model, fit.data)
    drawn = {name: values[:, observed.row, observed.lane][None] for name, values in predicted.responses.items()}
    variables: dict[str, Any] = {name: (("chain", "draw", "obs"), values) for name, values in drawn.items()}
    variables["obs"] = (("obs",), np.arange(len(observed.row)))
    return Section(variables | chain_coordinates(next(iter(drawn.values()))))
