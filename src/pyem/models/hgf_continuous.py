"""The hierarchical Gaussian filter of continuous outcomes."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any, Literal, get_args

import jax.numpy as jnp
import numpy as np
from jax import Array

from pyem.model.distribution import Normal
from pyem.model.model import Model
from pyem.model.parameter import Parameter
from pyem.model.record import Record
from pyem.model.transform import Positive, Real
from pyem.models.hgf_volatility import Spread, Update, free_and_held, learn_volatility, require_update, unless_diverged
from pyem.task.beliefs import ChangePoints
from pyem.task.offers import Offers

ContinuousResponse = Literal["gaussian", "bayes_optimal"]
"""Response that is explained: predictions, or the outcomes, as predicted by somebody who believes what the model says."""

OMEGA1 = Parameter("omega1", Real(), "tonic log volatility of the mean (level 1), per trial", mean=-4.0)
OMEGA2 = Parameter("omega2", Real(), "log variance of steps of the log volatility (level 2), per trial", mean=-4.0)
ALPHA = Parameter(
    "alpha", Positive(), "variance of outcomes around the mean, in squared units of the outcome", mean=-2.0
)
MU1_0 = Parameter("mu1_0", Real(), "mean, as believed at first, in units of the outcome", sd=0.5)
ZETA = Parameter("zeta", Positive(), "sd of predictions around the believed mean, in units of the outcome", mean=-2.0)

BEGINNINGS = {
    "kappa1": Parameter("kappa1", Positive(), "how much level 2 tells of the volatility of level 1", sd=0.3),
    "mu2_0": Parameter("mu2_0", Real(), "log volatility, as believed at first", mean=1.0),
    "sa2_0": Parameter("sa2_0", Positive(), "variance of that belief", mean=-2.3),
}
"""Parameters that are usually held."""


def _begin(p: Record) -> dict[str, Array]:
    return {
        "muhat1": p.mu1_0,
        "sa1_before": p.alpha,
        "muhat2": p.mu2_0,
        "sa2_before": p.sa2_0,
        "diverged": jnp.zeros(()),
    }


def _spread(p: Record, state: dict[str, Array]) -> Spread:
    return Spread(state["sa1_before"], p.kappa1 * state["muhat2"] + p.omega1)


@dataclasses.dataclass(frozen=True)
class _Policy:
    response: ContinuousResponse

    def __call__(self, p: Record, state: dict[str, Array], trial: Record) -> Normal:
        if self.response == "gaussian":
            return Normal(state["muhat1"], p.zeta)
        return Normal(state["muhat1"], jnp.sqrt(_spread(p, state).variance + p.alpha))


@dataclasses.dataclass(frozen=True)
class _Update:
    update: Update

    def __call__(self, p: Record, state: dict[str, Array], trial: Record) -> tuple[dict[str, Array], dict[str, Array]]:
        first, second = _spread(p, state), Spread(state["sa2_before"], p.omega2)
        error = trial.outcome - state["muhat1"]
        rate = first.variance / (first.variance + p.alpha)
        sa1, step = rate * p.alpha, rate * error
        above = learn_volatility(
            self.update, first, sa1 + jnp.square(step), state["muhat2"], second.variance, p.kappa1, p.omega1
        )
        new = {"muhat1": state["muhat1"] + step, "sa1_before": sa1, "muhat2": above.mu, "sa2_before": above.sa}
        shown = {"sahat1": first.variance, "mu1": new["muhat1"], "sa1": sa1, "dau": error, "epsi1": step}
        shown |= {"v1": first.volatility, "w1": first.weight, "psi1": rate}
        shown |= {"sahat2": second.variance, "mu2": above.mu, "sa2": above.sa, "da1": above.error}
        ratio = above.sa / first.variance
        shown |= {"psi2": ratio, "epsi2": ratio * above.error}
        kept, diverged = unless_diverged(state, new, first.possible & second.possible & above.possible)
        return kept, {name: jnp.where(diverged, jnp.nan, value) for name, value in shown.items()}


def on_scale(model: Model, x: np.ndarray, y: np.ndarray) -> Model:
    """Give the model a typical population in the units of the responses `y`."""
    del x
    sd = float(y.std()) or 1.0
    log = math.log(sd)
    # From their means in units of 1, so that what is in these units already stays the same.
    means = {one.name: one.mean + k * log for one, k in ((OMEGA1, 2), (ALPHA, 2), (ZETA, 1))}  # type: ignore[operator]

    def moved(one: Parameter) -> Parameter:
        if one.name == "mu1_0":
            return dataclasses.replace(one, mean=float(y.mean()), sd=MU1_0.sd * sd)  # type: ignore[operator]
        return dataclasses.replace(one, mean=means.get(one.name, one.mean))

    return dataclasses.replace(model, parameters=tuple(moved(one) for one in model.parameters))


@functools.lru_cache
def hgf_continuous(
    update: Update = "classic",
    response: ContinuousResponse = "gaussian",
    kappa1: float | None = 1.0,
    mu2_0: float | None = 1.0,
    sa2_0: float | None = 0.1,
) -> Model:
    """Hierarchical Gaussian filter of a number: beliefs about its mean, and about how fast that changes.

    Columns are the ``outcome``, which teaches whether or not there was a response, and the ``prediction`` made before it, in
    the same units. The belief about the mean starts at ``mu1_0``, as uncertain as one outcome leaves it (variance ``alpha``).
    Blocks start afresh. An update without a value has diverged: the likelihood of all responses after it is zero.

    Parameters
    ----------
    update
        ``"classic"`` or ``"ehgf"``, whose precisions cannot become negative, so that it diverges less often; see
        `pyem.models.hgf_volatility`.
    response
        ``"gaussian"``: predictions around the believed mean; ``"bayes_optimal"``: the outcomes themselves, for the parameters
        under which they surprise least (`pyem.fit_map`).
    kappa1, mu2_0, sa2_0
        How much level 2 tells of the volatility of level 1; mean and variance of the belief about log volatility before the
        first trial. None for a free parameter.

    References
    ----------
    Mathys, C., et al. (2014). Uncertainty in perception and the hierarchical Gaussian filter. Frontiers in Human Neuroscience,
    8, 825. https://doi.org/10.3389/fnhum.2014.00825

    Examples
    --------
    >>> hgf_continuous().names
    ('omega1', 'omega2', 'alpha', 'mu1_0', 'zeta')
    """
    require_update(update)
    if response not in get_args(ContinuousResponse):
        raise ValueError(f"response={response!r}; choose 'gaussian' or 'bayes_optimal'")
    begins = {"kappa1": kappa1, "mu2_0": mu2_0, "sa2_0": sa2_0}
    free, held = free_and_held(BEGINNINGS, begins)
    columns: dict[str, Any] = {"responses": ("outcome",), "task": Offers(())}
    if response == "gaussian":
        task = ChangePoints(noise=0.3, low=-1.0, high=1.0)
        columns = {"responses": ("prediction",), "outcomes": ("outcome",), "updates": "shown", "task": task}
    return Model(
        "hgf_continuous",
        (OMEGA1, OMEGA2, ALPHA, MU1_0, *free, *((ZETA,) if response == "gaussian" else ())),
        _Policy(response),
        init=_begin,
        update=_Update(update),
        fixed=held,
        autoscale=on_scale,
        doc="Hierarchical Gaussian filter of continuous outcomes",
        reference="https://doi.org/10.3389/fnhum.2014.00825",
        **columns,
    )


MODELS: dict[str, Callable[..., Model]] = {"hgf_continuous": hgf_continuous}
