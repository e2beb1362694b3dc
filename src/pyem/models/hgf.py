"""The hierarchical Gaussian filter of binary outcomes, and the Rescorla-Wagner rule beside it."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

import jax.numpy as jnp
from jax import Array

from pyem.model.model import Model
from pyem.model.parameter import Parameter
from pyem.model.record import Record
from pyem.model.transform import Interval, Positive, Real
from pyem.models.belief_responses import (
    B3,
    B4,
    BinaryPolicy,
    BinaryResponse,
    Prediction,
    flat_start,
    log_odds_probabilities,
    response_columns,
    response_parameters,
)
from pyem.models.hgf_volatility import (
    LIMIT,
    Spread,
    Update,
    free_and_held,
    learn_volatility,
    require_update,
    unless_diverged,
)

MATHYS = "https://doi.org/10.3389/fnhum.2011.00039"

OMEGA2 = Parameter("omega2", Real(), "tonic log volatility of the tendency (level 2), per trial", mean=-3.0)
OMEGA3 = Parameter("omega3", Real(), "log variance of steps of the log volatility (level 3), per trial", mean=-6.0)
ALPHA = Parameter("alpha", Interval(0, 1), "learning rate", mean=-1.0)

BEGINNINGS = {
    "kappa2": Parameter("kappa2", Positive(), "how much level 3 tells of the volatility of level 2", sd=0.3),
    "mu2_0": Parameter("mu2_0", Real(), "log odds of the outcome 1, as believed at first"),
    "sa2_0": Parameter("sa2_0", Positive(), "variance of that belief", mean=-2.3),
    "mu3_0": Parameter("mu3_0", Real(), "log volatility, as believed at first", mean=1.0),
    "sa3_0": Parameter("sa3_0", Positive(), "variance of that belief"),
}
"""Parameters that are usually held; those of level 3 come last."""


@dataclasses.dataclass(frozen=True)
class _Start:
    levels: int

    def __call__(self, p: Record) -> dict[str, Array]:
        state = {
            "muhat2": p.mu2_0,
            "sa2_before": p.sa2_0,
            "surprise": jnp.asarray(flat_start()),
            "diverged": jnp.zeros(()),
        }
        return state if self.levels == 2 else state | {"muhat3": p.mu3_0, "sa3_before": p.sa3_0}


@dataclasses.dataclass(frozen=True)
class _Predict:
    levels: int

    def __call__(self, p: Record, state: dict[str, Array]) -> Prediction:
        log_p = log_odds_probabilities(state["muhat2"])
        slope = jnp.exp(log_p.sum(-1))
        phasic = jnp.exp(jnp.minimum(p.kappa2 * state["muhat3"], LIMIT)) if self.levels == 3 else 0.0
        return Prediction(log_p, slope * state["sa2_before"], slope * phasic)


@dataclasses.dataclass(frozen=True)
class _Update:
    predict: _Predict
    update: Update

    def __call__(self, p: Record, state: dict[str, Array], trial: Record) -> tuple[dict[str, Array], dict[str, Array]]:
        said = self.predict(p, state)
        muhat1, sahat1 = jnp.exp(said.log_p[1]), jnp.exp(said.log_p.sum(-1))
        drift = p.kappa2 * state["muhat3"] if self.predict.levels == 3 else 0.0
        second = Spread(state["sa2_before"], drift + p.omega2)
        error = trial.outcome - muhat1
        sa2 = 1 / (1 / second.variance + sahat1)
        step = sa2 * error
        new = {"muhat2": state["muhat2"] + step, "sa2_before": sa2, "surprise": said.surprise(trial.outcome)}
        shown = {"muhat1": muhat1, "sahat1": sahat1, "sahat2": second.variance, "mu2": new["muhat2"], "sa2": sa2}
        shown |= {
            "surprise": new["surprise"],
            "da1": error,
            "v2": second.volatility,
            "w2": second.weight,
            "psi2": sa2,
            "epsi2": step,
        }
        possible = second.possible
        if self.predict.levels == 3:
            third = Spread(state["sa3_before"], p.omega3)
            moved = sa2 + jnp.square(step)
            above = learn_volatility(self.update, second, moved, state["muhat3"], third.variance, p.kappa2, p.omega2)
            new |= {"muhat3": above.mu, "sa3_before": above.sa}
            shown |= {"sahat3": third.variance, "mu3": above.mu, "sa3": above.sa, "da2": above.error}
            ratio = above.sa / second.variance
            shown |= {"psi3": ratio, "epsi3": ratio * above.error}
            possible &= above.possible & third.possible
        kept, diverged = unless_diverged(state, new, possible)
        return kept, {name: jnp.where(diverged, jnp.nan, value) for name, value in shown.items()}


@functools.lru_cache
def hgf(
    levels: int = 3,
    update: Update = "classic",
    response: BinaryResponse = "unit_square",
    kappa2: float | None = 1.0,
    mu2_0: float | None = 0.0,
    sa2_0: float | None = 0.1,
    mu3_0: float | None = 1.0,
    sa3_0: float | None = 1.0,
) -> Model:
    """Hierarchical Gaussian filter of an outcome that is 0 or 1: beliefs about its tendency, and about how fast that changes.

    Columns are the ``outcome`` (0 or 1), which teaches whether or not there was a response, and the ``choice`` (0 or 1), which
    predicts it. Blocks start afresh. An update without a value (a precision that is not above 0) has diverged: the likelihood
    of all responses after it is zero.

    From 320 outcomes ``omega3`` is not recovered (r .1): hold it, ``fix(model, omega3=-6)``, or compare with ``hgf(levels=2)``.

    Parameters
    ----------
    levels
        3, or 2 for a tendency that always changes at the same pace (``omega3`` is then no parameter).
    update
        ``"classic"`` or ``"ehgf"``, whose precisions cannot become negative, so that it diverges less often; see
        `pyem.models.hgf_volatility`.
    response
        ``"unit_square"`` (parameter ``zeta``); ``"softmax"`` of the believed probability (``beta``); ``"unit_square_rt"``,
        which also explains how long predictions took (``rt``, in seconds); ``"log_rt"``, response times to outcomes that are
        shown first, and no predictions; ``"bayes_optimal"``, the outcomes themselves: `pyem.fit_map` then finds the parameters
        under which they surprise least.
    kappa2, mu2_0, sa2_0, mu3_0, sa3_0
        How much level 3 tells of the volatility of level 2; mean and variance of the beliefs before the first trial. None for a
        free parameter.

    References
    ----------
    Mathys, C., Daunizeau, J., Friston, K. J., & Stephan, K. E. (2011). A Bayesian foundation for individual learning under
    uncertainty. Frontiers in Human Neuroscience, 5, 39. https://doi.org/10.3389/fnhum.2011.00039

    Mathys, C., et al. (2014). Uncertainty in perception and the hierarchical Gaussian filter. Frontiers in Human Neuroscience,
    8, 825. https://doi.org/10.3389/fnhum.2014.00825

    Marshall, L., et al. (2016). Pharmacological fingerprints of contextual uncertainty. PLoS Biology, 14(11), e1002575.
    https://doi.org/10.1371/journal.pbio.1002575

    Examples
    --------
    >>> hgf().names
    ('omega2', 'omega3', 'zeta')
    >>> hgf(levels=2, response="bayes_optimal", sa2_0=None).names
    ('omega2', 'sa2_0')
    """
    if levels not in (2, 3):
        raise ValueError(f"levels={levels}; a filter of binary outcomes has 2 or 3")
    require_update(update)
    begins: dict[str, float | None] = {"kappa2": kappa2, "mu2_0": mu2_0, "sa2_0": sa2_0, "mu3_0": mu3_0, "sa3_0": sa3_0}
    if levels == 2:
        begins = {name: begins[name] for name in ("mu2_0", "sa2_0")}
    free, held = free_and_held(BEGINNINGS, begins)
    predict = _Predict(levels)
    responding, without = response_parameters(response, (B3, B4) if levels == 3 else (B3,))
    return Model(
        "hgf",
        (OMEGA2, *((OMEGA3,) if levels == 3 else ()), *free, *responding),
        BinaryPolicy(predict, response),
        init=_Start(levels),
        update=_Update(predict, update),
        fixed=held + without,
        doc="Hierarchical Gaussian filter of binary outcomes",
        reference=MATHYS,
        **response_columns(response),
    )


def _believed(p: Record, state: dict[str, Array]) -> Prediction:
    return Prediction(jnp.log(state["belief"]))


@dataclasses.dataclass(frozen=True)
class _EvenOdds:
    def __call__(self, p: Record) -> dict[str, Array]:
        # Both outcomes are computed, so that the smaller probability keeps its digits.
        return {"belief": jnp.full(2, 0.5), "surprise": jnp.asarray(flat_start())}


def rescorla_wagner(p: Record, state: dict[str, Array], trial: Record) -> tuple[dict[str, Array], dict[str, Array]]:
    """Move the believed probability towards the outcome."""
    error = (jnp.arange(2) == trial.outcome) - state["belief"]
    surprise = _believed(p, state).surprise(trial.outcome)
    new = {"belief": state["belief"] + p.alpha * error, "surprise": surprise}
    return new, {"prediction_error": error[1], "surprise": surprise}


@functools.lru_cache
def rw_belief(response: BinaryResponse = "unit_square") -> Model:
    """Rescorla-Wagner learning of the probability of an outcome, with the responses of `hgf`: to compare the two.

    The believed probability of the outcome 1 starts at one half. Columns and `response` are those of `hgf`; of response times,
    ``b0``, ``b1`` (surprise), ``b2`` (variance of the outcome) and ``sigma`` are there.

    References
    ----------
    Rescorla, R. A., & Wagner, A. R. (1972). A theory of Pavlovian conditioning. In A. H. Black & W. F. Prokasy (Eds.),
    Classical conditioning II (pp. 64-99). Appleton-Century-Crofts.

    Mathys, C., et al. (2014). Uncertainty in perception and the hierarchical Gaussian filter. Frontiers in Human Neuroscience,
    8, 825. https://doi.org/10.3389/fnhum.2014.00825

    Examples
    --------
    >>> rw_belief().names
    ('alpha', 'zeta')
    """
    responding, without = response_parameters(response, ())
    return Model(
        "rw_belief",
        (ALPHA, *responding),
        BinaryPolicy(_believed, response),
        init=_EvenOdds(),
        update=rescorla_wagner,
        fixed=without,
        doc="Rescorla-Wagner learning of a probability",
        reference="https://doi.org/10.3389/fnhum.2014.00825",
        **response_columns(response),
    )


MODELS: dict[str, Callable[..., Model]] = {"hgf": hgf, "rw_belief": rw_belief}
