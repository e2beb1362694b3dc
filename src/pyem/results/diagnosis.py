"""Diagnosis of draws: whether they can be trusted, and descriptions of what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from pyem.numerics.diagnostics import bfmi

if TYPE_CHECKING:
    from pyem.results.sample import SampleFit

RHAT_LIMIT = 1.01
"""Rhat above which chains disagree (Vehtari et al., 2021)."""
ESS_PER_CHAIN = 100
"""Effective draws of a chain below which quantiles and diagnostics are not reliable (Vehtari et al., 2021)."""


def agrees(value: np.ndarray) -> np.ndarray:
    """Whether chains agree, by Rhat; NaN counts as agreement."""
    return ~(value > RHAT_LIMIT)


def _extreme(fit: SampleFit, key: str, pick: Callable[[np.ndarray], int]) -> tuple[float, str]:
    """The value of a diagnostic that `pick` chooses among all parameters, and the label of its parameter."""
    named = fit.named()
    values = np.array([fit.checked[name][key][index] for _, name, index in named])
    values = np.where(np.isnan(values), 1.0 if key == "rhat" else np.inf, values)
    k = int(pick(values))
    return float(values[k]), named[k][0]


def worst(fit: SampleFit) -> str:
    """The largest Rhat, the smallest effective sample size and the divergences of a sampler, in a line."""
    largest, where = _extreme(fit, "rhat", np.argmax)  # type: ignore[arg-type]
    least, place = _extreme(fit, "ess_bulk", np.argmin)  # type: ignore[arg-type]
    return (
        f"largest Rhat {largest:.3f} ({where}), smallest effective sample size {least:.0f} ({place}), "
        f"{int(fit.stats['diverging'].sum())} divergences"
    )


def problems(fit: SampleFit) -> list[str]:
    """Descriptions of what is wrong with the draws, with advice."""
    if fit.method != "nuts":
        return [str(text) for text in fit.trace.get("problems", np.array([], object))]
    out = []
    n_divergent = int(fit.stats["diverging"].sum())
    if n_divergent:
        out.append(
            f"{n_divergent} of {fit.n_draws} draws diverged: the sampler could not follow the posterior somewhere, and what "
            "lies there is missing from the draws; raise target_accept to 0.95 or 0.99, or give narrower priors to the "
            "group's sds"
        )
    if fit.posterior["x"].shape[1] < 4:
        return [*out, "too few draws to tell whether the chains agree; raise draws"]
    disagree = [(label, fit.checked[name]["rhat"][index]) for label, name, index in fit.named()]
    disagree = [(label, value) for label, value in disagree if value > RHAT_LIMIT]
    if disagree:
        label, value = max(disagree, key=lambda pair: pair[1])
        out.append(
            f"chains disagree about {len(disagree)} parameters, most about {label} (Rhat {value:.3f}, should be below "
            f"{RHAT_LIMIT}): they have not forgotten where they started; raise warmup and draws, and look for parameters that "
            "the data cannot tell apart"
        )
    least, place = min(_extreme(fit, kind, np.argmin) for kind in ("ess_bulk", "ess_tail"))  # type: ignore[arg-type]
    if least < ESS_PER_CHAIN * fit.n_chains:
        out.append(
            f"the {fit.n_draws} draws of {place} are worth {least:.0f} independent ones only, too few for its interval; raise "
            "draws"
        )
    energy = bfmi(fit.stats["energy"])
    if (energy < 0.3).any():
        out.append(
            f"the chains move slowly between regions of different density (E-BFMI {energy.min():.2f}, should be above 0.3); "
            "raise warmup and draws, or give narrower priors to the group's sds"
        )
    return out
