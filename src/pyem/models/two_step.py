"""The two-step task: how far people plan with a model of the task, and how far they repeat what was rewarded."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, Literal

import jax.numpy as jnp
from jax import Array

from pyem.model.distribution import Categorical
from pyem.model.model import Model
from pyem.model.modifiers import fix
from pyem.model.parameter import Parameter
from pyem.model.record import Record
from pyem.model.transform import Interval, Positive, Real
from pyem.task.two_step import TwoStep

Weights = Literal["hybrid", "separate"]
Transitions = Literal["known", "counted"]

DAW = "https://doi.org/10.1016/j.neuron.2011.02.027"
GILLAN = "https://doi.org/10.7554/eLife.11305"

BETA1 = Parameter("beta1", Positive(), "inverse temperature of the first stage", mean=1.4, sd=0.5)
BETA_MB = Parameter("beta_mb", Positive(), "inverse temperature of model-based values", mean=0.7, sd=0.5)
BETA_MF = Parameter("beta_mf", Positive(), "inverse temperature of model-free values", mean=0.7, sd=0.5)
BETA2 = Parameter("beta2", Positive(), "inverse temperature of the second stage", mean=1.2, sd=0.5)
ALPHA1 = Parameter("alpha1", Interval(0, 1), "learning rate of the first stage")
ALPHA2 = Parameter("alpha2", Interval(0, 1), "learning rate of the second stage")
LAMBDA = Parameter(
    "lambda_", Interval(0, 1), "share of the reward's error that reaches the first stage at once", mean=0.3
)
W = Parameter("w", Interval(0, 1), "weight of model-based values, the rest being that of model-free ones")
STICK = Parameter("stick", Real(), "added to the first-stage option chosen last", mean=0.15, sd=0.15)


def _start(p: Record) -> dict[str, Array]:
    return {"q1": jnp.zeros(2), "q2": jnp.zeros((2, 2)), "last": jnp.zeros(2), "straight": jnp.zeros(())}


@dataclasses.dataclass(frozen=True)
class _ModelBased:
    """Model-based values of the first-stage options: the best value of each state, weighted by its probability."""

    transitions: Transitions
    common: float

    def __call__(self, state: dict[str, Array]) -> Array:
        best = state["q2"].max(-1)
        known = self.transitions == "known"
        own = self.common if known else jnp.where(state["straight"] > 0, self.common, 1 - self.common)
        return own * best + (1 - own) * best[::-1]


@dataclasses.dataclass(frozen=True)
class _Policy:
    weights: Weights
    planned: _ModelBased

    def __call__(self, p: Record, state: dict[str, Array], trial: Record) -> dict[str, Any]:
        planned, repeated = self.planned(state), state["q1"]
        if self.weights == "separate":
            first = p.beta_mb * planned + p.beta_mf * repeated + p.stick * state["last"]
        else:
            first = p.beta1 * (p.w * planned + (1 - p.w) * repeated + p.stick * state["last"])
        return {
            "choice1": Categorical(first),
            "choice2": lambda trial: Categorical(p.beta2 * state["q2"][trial.state2]),
        }


@dataclasses.dataclass(frozen=True)
class _Update:
    planned: _ModelBased

    def __call__(self, p: Record, state: dict[str, Array], trial: Record) -> tuple[dict[str, Array], dict[str, Array]]:
        first, where = trial.choice1, (trial.state2, trial.choice2)
        error1 = state["q2"][where] - state["q1"][first]
        error2 = trial.reward - state["q2"][where]
        new = {
            "q1": state["q1"].at[first].add(p.alpha1 * (error1 + p.lambda_ * error2)),
            "q2": state["q2"].at[where].add(p.alpha2 * error2),
            "last": (jnp.arange(2) == first).astype(state["last"].dtype),
            "straight": state["straight"] + jnp.where(trial.state2 == first, 1.0, -1.0),
        }
        latents = {"prediction_error1": error1, "prediction_error2": error2}
        return new, latents | {"value_mb": self.planned(state)[first], "value_mf": state["q1"][first]}


@functools.lru_cache
def two_step(weights: Weights = "hybrid", transitions: Transitions = "known", common: float = 0.7) -> Model:
    """Two-step task: model-based and model-free values of the first choice together; SARSA(lambda) learns the latter.

    A row of the table is a trial with both of its choices: ``choice1``, the state ``state2`` that it led to, ``choice2`` there,
    and ``reward``; codes are 0 and 1. Either choice may be missing: the other one counts, but the trial teaches nothing. The
    state that an option of the first stage commonly leads to has the option's own code.

    From 201 trials ``alpha1`` is not recovered (r .3): make the learning rates of both stages one, ``tie(model,
    alpha1="alpha2")``, as is often done.

    Parameters
    ----------
    weights
        ``"hybrid"``: an inverse temperature ``beta1`` and a weight ``w`` of model-based values, as in Daw et al.;
        ``"separate"``: an inverse temperature of each, ``beta_mb`` and ``beta_mf``, as in Gillan et al.
    transitions
        ``"known"``: people know which state follows commonly; ``"counted"``: they take for it whichever followed more often in
        the block so far, and after equally many of both they believe that options lead to the other option's state.
    common
        Probability of the common transition, as people believe.

    References
    ----------
    Daw, N. D., Gershman, S. J., Seymour, B., Dayan, P., & Dolan, R. J. (2011). Model-based influences on humans' choices and
    striatal prediction errors. Neuron, 69(6), 1204-1215. https://doi.org/10.1016/j.neuron.2011.02.027

    Gillan, C. M., Kosinski, M., Whelan, R., Phelps, E. A., & Daw, N. D. (2016). Characterizing a psychiatric symptom dimension
    related to deficits in goal-directed control. eLife, 5, e11305. https://doi.org/10.7554/eLife.11305

    Examples
    --------
    >>> two_step().columns
    ('choice1', 'state2', 'choice2', 'reward')
    >>> two_step("separate").names
    ('beta_mb', 'beta_mf', 'beta2', 'alpha1', 'alpha2', 'lambda_', 'stick')
    """
    if weights not in ("hybrid", "separate") or transitions not in ("known", "counted") or not 0.5 < common <= 1:
        raise ValueError(
            f"weights={weights!r}, transitions={transitions!r}, common={common}; weights are 'hybrid' or 'separate', "
            "transitions 'known' or 'counted', and common is above .5"
        )
    planned = _ModelBased(transitions, common)
    separate = weights == "separate"
    first, last = ((BETA_MB, BETA_MF), (LAMBDA, STICK)) if separate else ((BETA1,), (LAMBDA, W, STICK))
    return Model(
        "two_step_separate" if separate else "two_step",
        (*first, BETA2, ALPHA1, ALPHA2, *last),
        _Policy(weights, planned),
        init=_start,
        update=_Update(planned),
        options=2,
        responses=("choice1", "choice2"),
        outcomes=("reward",),
        between=(("choice2", ("state2",)),),
        input_codes=(("state2", 2), ("choice2", 2)),
        task=TwoStep(common),
        doc=f"Two-step task, model-based and model-free values {'each with a temperature' if separate else 'weighted'}",
        reference=GILLAN if separate else DAW,
    )


def _held(name: str, doc: str, transitions: Transitions, common: float, values: dict[str, float]) -> Model:
    return dataclasses.replace(fix(two_step("hybrid", transitions, common), **values), name=name, doc=doc, recipe=())


@functools.lru_cache
def sarsa(transitions: Transitions = "known", common: float = 0.7) -> Model:
    """Two-step task without a model of it: SARSA(lambda), the hybrid with ``w`` = 0.

    Parameters
    ----------
    transitions, common
        As for `two_step`; they make no difference here but to the value that a planner would have seen.

    References
    ----------
    Daw, N. D., Gershman, S. J., Seymour, B., Dayan, P., & Dolan, R. J. (2011). Model-based influences on humans' choices and
    striatal prediction errors. Neuron, 69(6), 1204-1215. https://doi.org/10.1016/j.neuron.2011.02.027

    Examples
    --------
    >>> sarsa().names
    ('beta1', 'beta2', 'alpha1', 'alpha2', 'lambda_', 'stick')
    """
    return _held("two_step_sarsa", "Two-step task, model-free SARSA(lambda)", transitions, common, {"w": 0.0})


@functools.lru_cache
def model_based(transitions: Transitions = "known", common: float = 0.7) -> Model:
    """Two-step task by planning only: the hybrid with ``w`` = 1, where ``alpha1`` and ``lambda_`` have no effect.

    Parameters
    ----------
    transitions, common
        Arguments as in `two_step`.

    References
    ----------
    Daw, N. D., Gershman, S. J., Seymour, B., Dayan, P., & Dolan, R. J. (2011). Model-based influences on humans' choices and
    striatal prediction errors. Neuron, 69(6), 1204-1215. https://doi.org/10.1016/j.neuron.2011.02.027

    Examples
    --------
    >>> model_based().names
    ('beta1', 'beta2', 'alpha2', 'stick')
    """
    held = {"w": 1.0, "alpha1": 0.0, "lambda_": 0.0}
    return _held("two_step_model_based", "Two-step task, model-based planning only", transitions, common, held)


MODELS: dict[str, Callable[..., Model]] = {
    "two_step": two_step,
    "two_step_sarsa": sarsa,
    "two_step_model_based": model_based,
    "two_step_separate": functools.partial(two_step, "separate"),
}
