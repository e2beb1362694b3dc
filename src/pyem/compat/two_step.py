"""The pyEM functions of the two-step task: one run of trials with two choices each."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from pyem.compat.adapt import Bundle, bundle
from pyem.compat.bandits import played
from pyem.compat.fields import Fields, Values, numbers, people_of, refuse
from pyem.compat.ranges import WIDE, in_ranges
from pyem.model.model import Model
from pyem.task.two_step import TwoStep

NAMES = {"lambda_": "lambda", "w": "omega", "stick": "r"}
"""Names in pyEM for parameters of the library's models."""
KEYS = ("choices1", "states2", "choices2", "rewards")
COLUMNS = ("choice1", "state2", "choice2", "reward")


@dataclasses.dataclass(frozen=True)
class _Told:
    """The two-step task, with the probabilities of reward as a column of each trial."""

    task: TwoStep
    n_options: int = 2

    def init(self, key: Any) -> Any:
        return self.task.init(key)

    def present(self, state: Any, key: Any) -> dict[str, Any]:
        return self.task.present(state, key)

    def between(self, state: Any, response: str, trial: Any, key: Any) -> dict[str, Any]:
        return self.task.between(state, response, trial, key)

    def respond(self, state: Any, trial: Any, key: Any) -> tuple[Any, dict[str, Any]]:
        new, outcome = self.task.respond(state, trial, key)
        return new, {**outcome, "rewprob": state}


def planner(factory: Callable[..., Model], id: str, desc: str) -> Bundle:
    """The functions of a model of the two-step task that counts the transitions so far."""
    base = factory(transitions="counted")
    wide = {name: WIDE for name in base.names if name.startswith("beta")}
    model = dataclasses.replace(in_ranges(base, wide), name=id)
    names = tuple(NAMES.get(name, name) for name in model.names)

    def fields(choices1: Any, states2: Any, choices2: Any, rewards: Any) -> Fields:
        given: dict[str, Any] = dict(zip(KEYS, (choices1, states2, choices2, rewards), strict=True))
        found = {name: numbers(name, values) for name, values in given.items()}
        for name, values in found.items():
            if values.shape[0] != 1 or np.ndim(given[name]) != 1:
                raise ValueError(
                    f"{name} must have shape (ntrials,), one run of trials, but has {np.shape(given[name])}"
                )
        return {"reward": found["rewards"]} | {
            column: _codes(name, found[name]) for name, column in zip(KEYS[:3], COLUMNS[:3], strict=True)
        }

    def report(values: Values, choices1: Any, states2: Any, choices2: Any, rewards: Any) -> dict[str, Any]:
        return dict(zip(KEYS, (choices1, states2, choices2, rewards), strict=True))

    def simulate(params: Any, ntrials: int = 200, seed: int | None = None) -> dict[str, Any]:
        people, values = played(base, _within(params, names), 1, ntrials, seed, _Told(TwoStep()))
        columns = dict(zip(KEYS, (people.fields[name].T for name in COLUMNS), strict=True))
        second = [_second_stage(model, v, s) for v, s in zip(values, columns["states2"], strict=True)]
        return {
            "params": np.array(params, float),
            **{name: column.astype(float if name == "rewards" else int) for name, column in columns.items()},
            "ch_prob1": np.stack([np.exp(v.log_probs[0]) for v in values if v.log_probs is not None]),
            "ch_prob2": np.stack(second),
            "rewprob": np.moveaxis(people.fields["rewprob"], (0, -1), (-1, 0)),
        }

    simulate.__doc__ = _SIM_DOC.format(names=", ".join(names))
    return bundle(
        id,
        module="pyem.models.rl_mb",
        desc=desc,
        spec={"rl": {"two_step": list(names)}},
        fields=fields,
        model=lambda subjects, n_params: model,
        report=report,
        simulate=simulate,
    )


def _codes(name: str, values: np.ndarray) -> np.ndarray:
    """Codes 0 and 1, -1 where missing."""
    odd = values[~np.isnan(values) & (values != 0) & (values != 1)]
    if len(odd):
        raise ValueError(f"{name} has {odd[0]:g}; expected 0 and 1, or NaN where missing")
    return np.where(np.isnan(values), -1, values).astype(int)


def _within(params: Any, names: tuple[str, ...]) -> np.ndarray:
    """Parameters (S, P) of simulated people; inverse temperatures have no upper bound here."""
    values = people_of(params, names, "be (nsubjects, {n}) = ")
    for name, column in zip(names, values.T, strict=True):
        if name == "r":
            refuse(~np.isfinite(column), column, name, "r must be finite")
        elif name.startswith("beta"):
            refuse(~((column > 0) & np.isfinite(column)), column, name, f"{name} out of bounds (0, inf)")
        else:
            refuse(~((column >= 0) & (column <= 1)), column, name, f"{name} out of bounds [0, 1]")
    return values


def _second_stage(model: Model, values: Values, states: np.ndarray) -> np.ndarray:
    """Probabilities of the options of the state that was reached, (trial, option)."""
    beta = values.params[model.names.index("beta2")]
    q = values.state["q2"][0, np.arange(len(states)), states.astype(int)]
    weights = np.exp(beta * (q - q.max(-1, keepdims=True)))
    return weights / weights.sum(-1, keepdims=True)


_SIM_DOC = """Simulate people who do the two-step task.

Parameters
----------
params
    Natural parameters, (S, P): {names}.
ntrials
    Trials, in one run.
seed
    Whole number; without it NumPy's global generator decides.

Returns
-------
dict
    ``params`` (S, P); ``choices1, states2, choices2``, 0 or 1, and ``rewards`` (S, T); ``ch_prob1, ch_prob2`` (S, T, 2);
    ``rewprob``, the chances of a reward, (S, state, action, T).
"""
