"""Rules of decision: the distribution of a choice, and of its time, given learned values."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any, Literal

from pyem.errors import require_kind
from pyem.model.distribution import option_logits
from pyem.model.model import Model
from pyem.model.moving import (
    LEARNED,
    LearningStart,
    LearningUpdate,
    MovingBound,
    MovingDiffusion,
    moving_bound,
    once_a_block,
)
from pyem.model.parameter import Parameter
from pyem.model.racing import BASES, Racing, driven
from pyem.model.racing import WEIGHT as RACING_WEIGHT
from pyem.model.record import Record
from pyem.model.times.deadline import Deadline, GoNoGo
from pyem.model.times.outliers import with_share
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
    """The distribution of a choice and its time, from the parameters of a model."""

    coding: Coding = "response"
    p_outlier: float | Literal["free"] = 0.0
    deadline: float | None = None
    go: bool = False
    varies: bool = False
    """Whether the start, or the non-decision time, differs between trials."""

    @property
    def trial_by_trial(self) -> bool:
        """Whether derivatives are taken of each trial by itself.

        With a deadline, starts and non-decision times that differ take probabilities by many nodes, which are the same on every
        trial, and which a pass over all trials finds but once.
        """
        return self.deadline is None or not self.varies

    def __call__(self, p: Record, state: Any, trial: Record) -> Any:
        """Policy of a model without learning."""
        return self.at(p, p.v * (2 * trial.stimulus - 1) if self.coding == "stimulus" else p.v)

    def at(self, p: Record, v: Any) -> Any:
        """The distribution at drift `v`."""
        plain = Wiener(v, p.a, p.z, p.t, **{name: p[name] for name in ("sv", "sz", "st") if name in p})
        return self.observed(p, plain)

    def observed(self, p: Record, dist: Any) -> Any:
        """Distribution of the observed response: with a deadline, and with outliers."""
        if self.deadline is not None:
            dist = (GoNoGo if self.go else Deadline)(dist, self.deadline)
        return with_share(dist, p, self.p_outlier)


def extras(sv: bool, sz: bool, st: bool, p_outlier: float | Literal["free"]) -> tuple[Parameter, ...]:
    """Parameters of the quantities that vary between trials."""
    if p_outlier != "free" and not 0 <= p_outlier < 1:
        raise ValueError(f"p_outlier={p_outlier}; give a probability below 1, or 'free' to have it estimated")
    asked = ((sv, SV), (sz, SZ), (st, ST), (p_outlier == "free", P_OUTLIER))
    return tuple(parameter for wanted, parameter in asked if wanted)


def outliers_until(
    longest: float | Literal["auto"], p_outlier: float | Literal["free"], deadline: float | None = None
) -> float | Literal["auto"] | None:
    """Longest outlier of a model in seconds, None if there are no outliers: the deadline, unless another value is given.

    Raises
    ------
    ValueError
        If the time is none, there are no outliers, or they would come after the deadline.

    Examples
    --------
    >>> outliers_until("auto", 0.05), outliers_until("auto", 0.05, deadline=2.0), outliers_until("auto", 0.0)
    ('auto', 2.0, None)
    """
    if longest == "auto":
        return None if p_outlier == 0 else "auto" if deadline is None else float(deadline)
    if isinstance(longest, str) or not 0 < longest < math.inf:
        raise ValueError(f"longest_outlier={longest!r}; give seconds since the stimulus, above 0, or 'auto'")
    if p_outlier == 0:
        raise ValueError(f"longest_outlier={longest:g} is for models with outliers; give p_outlier, or leave it out")
    if deadline is not None and longest > deadline:
        raise ValueError(f"longest_outlier={longest:g} is after the deadline, {deadline:g}; leave it out")
    return float(longest)


def longest_outlier(model: Model) -> float | Literal["auto"]:
    """Longest outlier, in seconds, if outliers are added to a model of choices with their times."""
    if model.longest_outlier is not None:
        return model.longest_outlier
    rule = model.policy
    deadline = rule.deadline if isinstance(rule, Diffusion | Racing) else None
    return "auto" if deadline is None else deadline


WEIGHT = Parameter(
    "v", Real(), "drift for a difference of values, per range of the rewards", mean=3.0, sd=1.5, per_reward=True
)


@dataclasses.dataclass(frozen=True)
class _ByValues:
    """The policy of a learning rule whose values drive a decision: its logits are drifts."""

    base: Callable[..., Any]
    beta: str
    decision: Diffusion | MovingDiffusion | Racing

    def __call__(self, p: Record, state: Any, trial: Record) -> Any:
        moving = isinstance(self.decision, MovingDiffusion)
        learned = state[LEARNED] if moving else state
        logits = option_logits(self.base(p.with_values(**{self.beta: p.v}), learned, trial))
        if logits is None:
            raise TypeError("a rule of decision is for choices among options, whose logits the policy has to tell")
        if isinstance(self.decision, Racing):
            return self.decision.at(p, driven(self.decision.kind, p, logits))
        drift = logits[..., 1] - logits[..., 0]
        if isinstance(self.decision, MovingDiffusion):
            return self.decision.at(p, drift, state)
        return self.decision.at(p, drift)


def with_decision(
    model: Model,
    decision: Literal["ddm", "lba", "rdm", "lnr"] = "ddm",
    *,
    sv: bool = False,
    sz: bool = False,
    st: bool = False,
    p_outlier: float | Literal["free"] = 0.0,
    longest_outlier: float | Literal["auto"] = "auto",
    bound: Literal["angle", "exponential"] | MovingBound | None = None,
) -> Model:
    """Replace the softmax of a learning rule by another rule of decision, for choices with their response times.

    In the diffusion model the drift is `v` times the difference of the values of option 1 and option 0, where the model had its
    inverse temperature times that; in a race each option has an accumulator, whose drift is `v0` plus `v` times its value.
    Like an inverse temperature, `v` is per range of the rewards. What else the model adds to the logits, such as a stickiness,
    it adds to the drift.

    Parameters
    ----------
    model
        A model with an inverse temperature; of two options, unless they race.
    decision
        ``"ddm"``, the diffusion decision model; or a race: ``"lba"``, linear ballistic accumulators; ``"rdm"``, diffusions,
        whose drifts are the softplus of the sum, and so above 0; ``"lnr"``, log-normal times, where ``m - v * value`` is the
        mean of the logarithm.
    sv, sz, st
        Arguments as in `pyem.models.response_times.ddm`.
    p_outlier, longest_outlier
        Arguments as in `pyem.models.response_times.ddm`.
    bound
        Bounds of the diffusion that move, as there; without `sz` and `st`.

    Raises
    ------
    ValueError
        If the model has no inverse temperature per range of the rewards, more options than can decide, or response times
        already.

    References
    ----------
    Pedersen, M. L., Frank, M. J., & Biele, G. (2017). The drift diffusion model as the choice rule in reinforcement learning.
    Psychonomic Bulletin & Review, 24(4), 1234-1251. https://doi.org/10.3758/s13423-016-1199-y

    Fontanesi, L., Gluth, S., Spektor, M. S., & Rieskamp, J. (2019). A reinforcement learning diffusion decision model for
    value-based decisions. Psychonomic Bulletin & Review, 26(4), 1099-1121. https://doi.org/10.3758/s13423-018-1554-2

    Miletić, S., Boag, R. J., Trutti, A. C., Stevenson, N., Forstmann, B. U., & Heathcote, A. (2021). A new model of decision
    processing in instrumental learning tasks. eLife, 10, e63055. https://doi.org/10.7554/eLife.63055

    Examples
    --------
    >>> from pyem.models import get
    >>> with_decision(get("rw2a1b"), "ddm").names
    ('v', 'alpha_pos', 'alpha_neg', 'a', 'z', 't')
    >>> with_decision(get("rw1a1b", options=3), "rdm").names
    ('v', 'alpha', 'v0', 'B', 'A', 't')
    >>> with_decision(get("rw1a1b"), "ddm", bound="angle").names
    ('v', 'alpha', 'a', 'z', 't', 'theta')
    """
    require_kind("design", model)
    weight = _weight(model, decision)
    kinds = dict(zip(("sv", "sz", "st"), (sv, sz, st), strict=True))
    if decision != "ddm" and any(kinds.values()):
        raise ValueError(
            f"{', '.join(name for name, on in kinds.items() if on)}: parts of 'ddm', which {decision!r} has not"
        )
    if bound is not None and (decision != "ddm" or sz or st):
        raise ValueError(f"bound={bound!r} is a part of 'ddm' without sz and st; leave it or them out")
    until = outliers_until(longest_outlier, p_outlier)
    told = kinds | {"p_outlier": p_outlier} | ({} if bound is None else {"bound": bound})
    told |= {} if longest_outlier == "auto" else {"longest_outlier": longest_outlier}
    recipe = (*model.recipe, ("with_decision", tuple(({"decision": decision} | told).items()))) if model.recipe else ()
    scale = WEIGHT if decision == "ddm" else RACING_WEIGHT
    name, rule, taken, changes = _rule(model, decision, bound, p_outlier)
    return dataclasses.replace(
        model,
        name=f"{model.name}+{name}",
        parameters=(
            *(scale if parameter.name == weight else parameter for parameter in model.parameters),
            *taken,
            *extras(sv, sz, st, p_outlier),
        ),
        policy=_ByValues(model.policy, weight, rule),  # type: ignore[arg-type]
        responses=((model.responses[0], "rt"), *model.responses[1:]),
        seconds=("rt",),
        share=False,
        longest_outlier=until,
        doc=f"{model.doc}, decided by {'diffusion' if decision == 'ddm' else 'a race'}",
        recipe=recipe,
        **changes,
    )


def _rule(
    model: Model, decision: Any, bound: str | MovingBound | None, p_outlier: float | Literal["free"]
) -> tuple[str, Diffusion | MovingDiffusion | Racing, tuple[Parameter, ...], dict[str, Any]]:
    """Name of a rule of decision, the rule, its parameters, and its other changes to a model."""
    if decision != "ddm":
        race = Racing(decision, model.options or 2, p_outlier=p_outlier)
        return decision, race, (BASES[race.kind], *race.parameters), {}
    if bound is None:
        return decision, Diffusion(p_outlier=p_outlier), (A, Z, T), {}
    moving = moving_bound(bound)
    changes: dict[str, Any] = {"init": LearningStart(model.init, moving)}
    if model.update is not None:
        changes["update"] = LearningUpdate(model.update)
    parameters = (*once_a_block((A, Z, T)), *moving.parameters)
    return f"ddm_{moving.name}", MovingDiffusion(moving, p_outlier=p_outlier), parameters, changes


def _weight(model: Model, decision: str) -> str:
    """Name of the inverse temperature of the model that the rule of decision is for."""
    if not isinstance(model, Model) or model.design is not None:
        raise ValueError("formulas come after the rule of decision: pyem.regress(with_decision(model), ...)")
    if decision not in ("ddm", *BASES):
        raise ValueError(f"decision={decision!r}; choose 'ddm', {', '.join(map(repr, BASES))}")
    weights = [parameter.name for parameter in model.parameters if parameter.per_reward]
    options = "options" if decision != "ddm" else "two options"
    few = model.options is not None and model.options >= 2 and (model.options == 2 or decision != "ddm")
    if model.policy is None or model.joint or not few or len(weights) != 1:
        raise ValueError(
            f"with_decision is for models of {options} with one inverse temperature, such as rw1a1b, but {model.name!r} has "
            f"options={model.options}, parameters {', '.join(model.names)} and responses {', '.join(model.responses)}"
        )
    return weights[0]
