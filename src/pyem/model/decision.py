"""Rules of decision: what is done with the values that were learned, and how long that takes."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any, Literal

from pyem.model.distribution import option_logits
from pyem.model.model import Model
from pyem.model.parameter import Parameter
from pyem.model.record import Record
from pyem.model.times.deadline import Deadline, GoNoGo
from pyem.model.times.outliers import WithOutliers
from pyem.model.times.wiener import Wiener
from pyem.model.transform import Interval, Positive, Real

Coding = Literal["response", "stimulus"]

V = Parameter("v", Real(), "drift towards the upper bound (option 1), a second", mean=1.0, sd=1.0)
A = Parameter("a", Positive(), "separation of the bounds", mean=math.log(1.5), sd=0.3)
Z = Parameter("z", Interval(0, 1), "start, as a share of the separation from the lower bound", sd=0.3)
T = Parameter("t", Positive(), "non-decision time, in seconds", mean=math.log(0.3), sd=0.3)
SV = Parameter("sv", Positive(), "standard deviation of the drift between trials", mean=math.log(0.5), sd=0.5)
SZ = Parameter(
    "sz", Interval(0, 1), "width of the start between trials, as a share of the separation", mean=-1.5, sd=0.5
)
ST = Parameter(
    "st", Positive(), "width of the non-decision time between trials, in seconds", mean=math.log(0.1), sd=0.5
)
P_OUTLIER = Parameter("p_outlier", Interval(0, 1), "probability of a response of another origin", mean=-3.0)


@dataclasses.dataclass(frozen=True)
class Diffusion:
    """The distribution of a choice and its time from the parameters that a model has."""

    coding: Coding = "response"
    p_outlier: float | Literal["free"] = 0.0
    deadline: float | None = None
    go: bool = False

    def __call__(self, p: Record, state: Any, trial: Record) -> Any:
        """The policy of a model without learning."""
        return self.at(p, p.v * (2 * trial.stimulus - 1) if self.coding == "stimulus" else p.v)

    def at(self, p: Record, v: Any) -> Any:
        """The distribution at drift `v`."""
        plain = Wiener(v, p.a, p.z, p.t, **{name: p[name] for name in ("sv", "sz", "st") if name in p})
        return self.observed(p, plain)

    def observed(self, p: Record, dist: Any) -> Any:
        """What is seen of a decision: by a deadline, and with outliers."""
        if self.deadline is not None:
            dist = (GoNoGo if self.go else Deadline)(dist, self.deadline)
        if self.p_outlier == 0:
            return dist
        return WithOutliers(dist, p.p_outlier if self.p_outlier == "free" else self.p_outlier)


def extras(sv: bool, sz: bool, st: bool, p_outlier: float | Literal["free"]) -> tuple[Parameter, ...]:
    """The parameters of what varies between trials."""
    if p_outlier != "free" and not 0 <= p_outlier < 1:
        raise ValueError(f"p_outlier={p_outlier}; give a probability below 1, or 'free' to have it estimated")
    asked = ((sv, SV), (sz, SZ), (st, ST), (p_outlier == "free", P_OUTLIER))
    return tuple(parameter for wanted, parameter in asked if wanted)


WEIGHT = Parameter(
    "v", Real(), "drift for a difference of values, per range of the rewards", mean=3.0, sd=1.5, per_reward=True
)


@dataclasses.dataclass(frozen=True)
class _ByValues:
    """The policy of a learning rule whose values drive a diffusion: its logits are drifts."""

    base: Callable[..., Any]
    beta: str
    decision: Diffusion

    def __call__(self, p: Record, state: Any, trial: Record) -> Any:
        logits = option_logits(self.base(p.with_values(**{self.beta: p.v}), state, trial))
        if logits is None or logits.shape[-1] != 2:
            raise TypeError(
                "the diffusion decision model decides between two options, whose logits the policy has to tell"
            )
        return self.decision.at(p, logits[..., 1] - logits[..., 0])


def with_decision(
    model: Model,
    decision: Literal["ddm"] = "ddm",
    *,
    sv: bool = False,
    sz: bool = False,
    st: bool = False,
    p_outlier: float | Literal["free"] = 0.0,
) -> Model:
    """The same learning rule, and another rule of decision in place of the softmax: choices with their response times.

    The drift is `v` times the difference of the values of option 1 and option 0, where the model had its inverse temperature
    times that; like the latter, `v` is per range of the rewards. What else the model adds to the logits, such as a stickiness,
    it adds to the drift.

    Parameters
    ----------
    model
        A model of two options with an inverse temperature.
    decision
        ``"ddm"``: the diffusion decision model.
    sv, sz, st, p_outlier
        As for `pyem.models.response_times.ddm`.

    Raises
    ------
    ValueError
        If the model has not two options, no inverse temperature per range of the rewards, or response times already.

    References
    ----------
    Pedersen, M. L., Frank, M. J., & Biele, G. (2017). The drift diffusion model as the choice rule in reinforcement learning.
    Psychonomic Bulletin & Review, 24(4), 1234-1251. https://doi.org/10.3758/s13423-016-1199-y

    Fontanesi, L., Gluth, S., Spektor, M. S., & Rieskamp, J. (2019). A reinforcement learning diffusion decision model for
    value-based decisions. Psychonomic Bulletin & Review, 26(4), 1099-1121. https://doi.org/10.3758/s13423-018-1554-2

    Examples
    --------
    >>> from pyem.models import get
    >>> with_decision(get("rw2a1b"), "ddm").names
    ('v', 'alpha_pos', 'alpha_neg', 'a', 'z', 't')
    """
    if not isinstance(model, Model) or model.design is not None:
        raise ValueError("formulas come after the rule of decision: pyem.regress(with_decision(model), ...)")
    if decision != "ddm":
        raise ValueError(f"decision={decision!r}; choose 'ddm'")
    weights = [parameter.name for parameter in model.parameters if parameter.per_reward]
    if model.policy is None or model.joint or model.options != 2 or len(weights) != 1:
        raise ValueError(
            f"with_decision is for models of two options with one inverse temperature, such as rw1a1b, but {model.name!r} has "
            f"options={model.options}, parameters {', '.join(model.names)} and responses {', '.join(model.responses)}"
        )
    kept = tuple(WEIGHT if parameter.name == weights[0] else parameter for parameter in model.parameters)
    told = {"sv": sv, "sz": sz, "st": st, "p_outlier": p_outlier}
    recipe = (*model.recipe, ("with_decision", tuple(({"decision": decision} | told).items()))) if model.recipe else ()
    return dataclasses.replace(
        model,
        name=f"{model.name}+{decision}",
        parameters=(*kept, A, Z, T, *extras(sv, sz, st, p_outlier)),
        policy=_ByValues(model.policy, weights[0], Diffusion(p_outlier=p_outlier)),
        responses=((model.responses[0], "rt"), *model.responses[1:]),
        seconds=("rt",),
        share=False,
        doc=f"{model.doc}, decided by diffusion",
        recipe=recipe,
    )
