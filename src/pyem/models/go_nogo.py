"""Go/no-go learning, and the Pavlovian bias: to act for possible gains, and to hold still before possible losses."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Literal

import jax.numpy as jnp
from jax import Array

from pyem.model.distribution import Categorical
from pyem.model.log_softmax import log_softmax
from pyem.model.model import Model
from pyem.model.parameter import Parameter
from pyem.model.record import Record
from pyem.model.transform import Interval, Positive, Real
from pyem.task.go_nogo import GoNoGo

Form = Literal["rw", "bias", "pavlovian", "valence"]

GUITART_MASIP = "https://doi.org/10.1016/j.neuroimage.2012.04.024"
XI = Parameter("xi", Interval(0, 1), "probability of a random response", mean=-2.5)
EPSILON = Parameter("epsilon", Interval(0, 1), "learning rate", mean=-1.0)
B = Parameter("b", Real(), "bias to go, in units of weighted outcomes", mean=0.3, sd=0.5)
PI = Parameter("pi", Real(), "how far the value of the cue itself speaks for going", mean=0.3, sd=0.5)
RHO = Parameter("rho", Positive(), "sensitivity to outcomes", mean=1.5, sd=0.5)
RHO_REW = Parameter("rho_rew", Positive(), "sensitivity to rewards", mean=1.5, sd=0.5)
RHO_PUN = Parameter("rho_pun", Positive(), "sensitivity to punishments", mean=1.5, sd=0.5)

_FORMS: dict[str, tuple[tuple[Parameter, ...], str]] = {
    "rw": ((XI, EPSILON, RHO), "Go/no-go learning from outcomes"),
    "bias": ((XI, EPSILON, B, RHO), "Go/no-go learning with a bias to go"),
    "pavlovian": ((XI, EPSILON, B, PI, RHO), "Go/no-go learning with a bias to go and a Pavlovian bias"),
    "valence": (
        (XI, EPSILON, B, PI, RHO_REW, RHO_PUN),
        "Go/no-go learning with a Pavlovian bias, rewards and punishments weighted apart",
    ),
}


@dataclasses.dataclass(frozen=True)
class _Start:
    cues: int

    def __call__(self, p: Record) -> dict[str, Array]:
        return {"q": jnp.zeros((self.cues, 2)), "v": jnp.zeros(self.cues)}


@dataclasses.dataclass(frozen=True)
class _Policy:
    form: Form

    def weights(self, p: Record, state: dict[str, Array], cue: Array) -> Array:
        bias = 0.0 if self.form == "rw" else p.b
        if self.form in ("pavlovian", "valence"):
            bias = bias + p.pi * state["v"][cue]
        return state["q"][cue] + jnp.array([0.0, 1.0]) * bias

    def __call__(self, p: Record, state: dict[str, Array], trial: Record) -> Categorical:
        meant = log_softmax(self.weights(p, state, trial.cue))
        return Categorical(jnp.logaddexp(jnp.log1p(-p.xi) + meant, jnp.log(p.xi / 2)))


@dataclasses.dataclass(frozen=True)
class _Update:
    policy: _Policy

    def __call__(self, p: Record, state: dict[str, Array], trial: Record) -> tuple[dict[str, Array], dict[str, Array]]:
        own = self.policy.form != "valence"
        felt = trial.outcome * (p.rho if own else jnp.where(trial.outcome > 0, p.rho_rew, p.rho_pun))
        at = (trial.cue, trial.choice)
        error = felt - state["q"][at]
        q = state["q"].at[at].add(p.epsilon * error)
        v = state["v"].at[trial.cue].add(p.epsilon * (felt - state["v"][trial.cue]))
        w = self.policy.weights(p, state, trial.cue)
        return {"q": q, "v": v}, {
            "prediction_error": error,
            "weight_go": w[1],
            "weight_nogo": w[0],
            "value_cue": state["v"][trial.cue],
        }


@functools.lru_cache
def go_nogo(form: Form = "pavlovian", cues: int = 4) -> Model:
    """Go/no-go learning with a table of values for each cue; ``choice`` is 1 for go and 0 for no-go.

    From 240 trials ``xi`` is hardly recovered (r just below .5): hold it, ``fix(model, xi=0.08)``, unless it is of interest.

    Parameters
    ----------
    form
        Four nested models: ``"rw"`` learns from outcomes, ``"bias"`` adds a bias to go, ``"pavlovian"`` the value of the cue
        itself, which speaks for going where something may be won and against it where something may be lost, and ``"valence"``
        weights rewards and punishments apart.
    cues
        Number of cues, each learned apart. Outcomes are -1, 0 and 1; of another scale, ``rho`` is per unit of it.

    References
    ----------
    Guitart-Masip, M., Huys, Q. J. M., Fuentemilla, L., Dayan, P., Duzel, E., & Dolan, R. J. (2012). Go and no-go learning in
    reward and punishment: interactions between affect and effect. NeuroImage, 62(1), 154-166.
    https://doi.org/10.1016/j.neuroimage.2012.04.024

    Examples
    --------
    >>> go_nogo().names
    ('xi', 'epsilon', 'b', 'pi', 'rho')
    >>> go_nogo().columns
    ('cue', 'choice', 'outcome')
    """
    if form not in _FORMS or cues < 1:
        raise ValueError(
            f"form={form!r}, cues={cues}; form is one of {', '.join(_FORMS)}, and there is at least one cue"
        )
    parameters, doc = _FORMS[form]
    policy = _Policy(form)
    return Model(
        f"go_nogo_{form}",
        parameters,
        policy,
        init=_Start(cues),
        update=_Update(policy),
        options=2,
        outcomes=("outcome",),
        inputs=("cue",),
        input_codes=(("cue", cues),),
        task=GoNoGo(),
        doc=doc,
        reference=GUITART_MASIP,
    )


MODELS: dict[str, Callable[..., Model]] = {
    f"go_nogo_{form}": functools.partial(go_nogo, form)
    for form in _FORMS  # type: ignore[arg-type]
}
