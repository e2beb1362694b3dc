"""The balloon analogue risk task: every pump may win a little more, or burst the balloon and lose it all."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING

import jax.numpy as jnp
from jax import Array

from pyem.model.distribution import Categorical
from pyem.model.model import Model
from pyem.model.parameter import Parameter
from pyem.model.record import Record
from pyem.model.transform import Interval, Positive, Real
from pyem.task.balloons import Balloons

if TYPE_CHECKING:
    import pandas as pd

VAN_RAVENZWAAIJ = "https://doi.org/10.1016/j.jmp.2010.08.010"
PARK = "https://doi.org/10.1016/j.jmp.2021.102532"


def _counts(p: Record) -> dict[str, Array]:
    """Number of pumps of this balloon; over the balloons before it, number of pumps and of those without a burst."""
    return {name: jnp.zeros(()) for name in ("here", "pumps", "held")}


def _count(p: Record, state: dict[str, Array], trial: Record) -> tuple[dict[str, Array], dict[str, Array]]:
    pumped, burst = trial.choice == 1, (trial.choice == 1) & (trial.burst > 0)
    here = state["here"] + pumped
    # Where nobody knows whether the balloon burst, it is taken to have held; a balloon that is banked cannot burst.
    over = ~pumped | (burst & trial.seen["burst"])
    new = {
        "here": jnp.where(over, 0.0, here),
        "pumps": state["pumps"] + jnp.where(over, here, 0.0),
        "held": state["held"] + jnp.where(over, here - (burst & trial.seen["burst"]), 0.0),
    }
    return new, {"pumps_so_far": state["here"], "burst_rate": 1 - state["held"] / jnp.maximum(state["pumps"], 1.0)}


def _bank_or_pump(advantage: Array) -> Categorical:
    return Categorical(jnp.stack([jnp.zeros_like(advantage), advantage]))


def _model(
    name: str, parameters: tuple[Parameter, ...], policy: Callable[..., Categorical], doc: str, ref: str
) -> Model:
    return Model(
        name,
        parameters,
        policy,
        init=_counts,
        update=_count,
        options=2,
        outcomes=("burst",),
        optional=("burst",),
        task=Balloons(),
        doc=doc,
        reference=ref,
    )


# -- four parameters -----------------------------------------------------------------------------------------------------

PHI = Parameter(
    "phi", Interval(0, 1), "belief, before any experience, that a pump does not burst the balloon", mean=2.5, sd=0.7
)
ETA = Parameter("eta", Positive(), "how fast that belief follows experience", mean=-3.0, sd=1.0)
GAMMA = Parameter("gamma", Positive(), "risk taking", mean=-0.2, sd=0.4)
TAU = Parameter("tau", Positive(), "consistency, per pump", mean=-0.7, sd=0.6)


def _target(p: Record, state: dict[str, Array], trial: Record) -> Categorical:
    held = (p.phi + p.eta * state["held"]) / (1 + p.eta * state["pumps"])
    # A balloon that is believed never to burst would be pumped for ever.
    wanted = -p.gamma / jnp.log(jnp.clip(held, 1e-12, 1 - 1e-12))
    return _bank_or_pump(p.tau * (wanted - (state["here"] + 1)))


@functools.lru_cache
def bart() -> Model:
    """The four-parameter model of the balloon task: a number of pumps is aimed at, from what is believed about bursts.

    A row is a decision: ``choice`` is 1 for a pump and 0 for banking the balloon, ``burst`` is 1 where the pump burst it. Of a
    table with a row for each balloon `pyem.models.balloon.pump_by_pump` makes one. The next balloon begins after either; its
    first decision has the trials before it in the same block. Whatever ``burst`` says of a trial without a pump has no effect.

    References
    ----------
    Van Ravenzwaaij, D., Dutilh, G., & Wagenmakers, E.-J. (2011). Cognitive model decomposition of the BART: Assessment and
    application. Journal of Mathematical Psychology, 55(1), 94-105. https://doi.org/10.1016/j.jmp.2010.08.010

    Wallsten, T. S., Pleskac, T. J., & Lejuez, C. W. (2005). Modeling behavior in a clinically diagnostic sequential risk-taking
    task. Psychological Review, 112(4), 862-880. https://doi.org/10.1037/0033-295X.112.4.862

    Examples
    --------
    >>> bart().names
    ('phi', 'eta', 'gamma', 'tau')
    """
    return _model(
        "bart",
        (PHI, ETA, GAMMA, TAU),
        _target,
        "Balloon task: pumps up to a target that follows experience",
        VAN_RAVENZWAAIJ,
    )


# -- exponential weights, mean and variance ------------------------------------------------------------------------------

PSI = Parameter(
    "psi", Interval(0, 1), "belief, before any experience, that a pump bursts the balloon", mean=-2.5, sd=0.7
)
XI = Parameter("xi", Positive(), "how fast experience takes the place of that belief, per pump", mean=-4.0, sd=1.0)
RHO = Parameter("rho", Real(), "liking of variance", mean=-0.1, sd=0.3)
LAMBDA = Parameter("loss_aversion", Positive(), "weight of what is lost when the balloon bursts", mean=-0.3, sd=0.5)
TAU_EWMV = Parameter("tau", Positive(), "inverse temperature, per unit of what a pump wins", mean=1.5, sd=0.6)


@dataclasses.dataclass(frozen=True)
class _MeanVariance:
    win: float

    def __call__(self, p: Record, state: dict[str, Array], trial: Record) -> Categorical:
        seen = state["pumps"]
        weight = jnp.exp(-p.xi * seen)
        burst = weight * p.psi + (1 - weight) * (1 - state["held"] / jnp.maximum(seen, 1.0))
        at_stake = p.loss_aversion * self.win * state["here"]
        mean = (1 - burst) * self.win - burst * at_stake
        variance = burst * (1 - burst) * (self.win + at_stake) ** 2
        return _bank_or_pump(p.tau * (mean + p.rho * variance))


@functools.lru_cache
def ewmv(win: float = 1.0) -> Model:
    """The exponential-weight mean-variance model of the balloon task: each pump is a gamble for its mean and its variance.

    Columns are those of `bart`. With experience the belief about bursts goes from ``psi`` to the share of pumps that burst.
    Written from a description of the model: its variance and the weight of experience are not compared with the paper's.

    Parameters
    ----------
    win
        Gain of a pump, in the unit of utilities; ``tau`` and ``rho`` are per unit of it.

    References
    ----------
    Park, H., Yang, J., Vassileva, J., & Ahn, W.-Y. (2021). Development of a novel computational model for the Balloon Analogue
    Risk Task: The exponential-weight mean-variance model. Journal of Mathematical Psychology, 102, 102532.
    https://doi.org/10.1016/j.jmp.2021.102532

    Examples
    --------
    >>> ewmv().names
    ('psi', 'xi', 'rho', 'tau', 'loss_aversion')
    """
    if win <= 0:
        raise ValueError(f"win={win}; a pump wins more than nothing")
    doc = "Balloon task: mean and variance of a pump, with a belief that gives way to experience"
    return _model("bart_ewmv", (PSI, XI, RHO, TAU_EWMV, LAMBDA), _MeanVariance(win), doc, PARK)


# -- tables --------------------------------------------------------------------------------------------------------------


def pump_by_pump(frame: pd.DataFrame, pumps: str = "pumps", exploded: str = "exploded") -> pd.DataFrame:
    """Turn a table with a row for each balloon into one with a row for each decision.

    Parameters
    ----------
    frame
        The balloons in the order in which they came.
    pumps
        Column with the number of pumps, the one that burst the balloon included.
    exploded
        Column that is 1 where the balloon burst and 0 where it was banked.

    Returns
    -------
    pandas.DataFrame
        The other columns, repeated; ``balloon``, the number of the row in `frame`; ``choice``, 1 for a pump and 0 for banking;
        and ``burst``, 1 for the pump that burst the balloon.

    Raises
    ------
    DataError
        If a number of pumps is missing, below 0 or not whole, `exploded` is not 0 or 1, or a balloon burst without a pump.

    Examples
    --------
    >>> import pandas as pd
    >>> balloons = pd.DataFrame({"subject": [1, 1], "pumps": [2, 1], "exploded": [0, 1]})
    >>> pump_by_pump(balloons)[["subject", "balloon", "choice", "burst"]].to_numpy().tolist()
    [[1, 0, 1, 0], [1, 0, 1, 0], [1, 0, 0, 0], [1, 1, 1, 1]]
    """
    import numpy as np

    from pyem.errors import DataError

    for name in (pumps, exploded):
        if name not in frame:
            raise DataError(f"there is no column {name!r}; the table has {', '.join(map(str, frame.columns))}")
    numbers, ends = (frame[name].to_numpy(dtype=float, na_value=np.nan) for name in (pumps, exploded))
    wrong = ~(numbers >= 0) | (numbers % 1 != 0) | ~np.isin(ends, (0, 1)) | ((numbers == 0) & (ends == 1))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise DataError(
            f"row {row} has {pumps}={frame[pumps].iloc[row]} and {exploded}={frame[exploded].iloc[row]}; pumps are whole "
            f"numbers from 0, {exploded} is 0 or 1, and no balloon bursts without a pump: mend the row, or leave it out"
        )
    rows = numbers.astype(int) + (ends == 0)
    which = np.repeat(np.arange(len(frame)), rows)
    nth = np.arange(len(which)) - np.repeat(np.cumsum(rows) - rows, rows)
    made = frame.drop(columns=[pumps, exploded]).iloc[which].reset_index(drop=True)
    pumped = nth < numbers[which]
    last = nth == rows[which] - 1
    return made.assign(balloon=which, choice=pumped.astype(int), burst=(pumped & last & (ends[which] == 1)).astype(int))


MODELS: dict[str, Callable[..., Model]] = {"bart": bart, "bart_ewmv": ewmv}
