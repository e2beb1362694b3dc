"""The pyEM functions of choices between offers whose value falls with distance, delay, odds or effort.

All nine have one shape: a value of what the offer loses with for each block, amounts for each trial, and logistic choices by
the difference in money. There is no inverse temperature: that of the library's models is held at 1.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from pyem.compat.adapt import Bundle, bundle, renamed
from pyem.compat.bandits import stacked_reports
from pyem.compat.discounting_data import (
    DEFAULT_DELAYS,
    DEFAULT_EFFORT_LEVELS,
    DEFAULT_PROBS,
    DEFAULT_SOCIAL_DISTS,
    ED_PAYOUTS,
    PED_BENEFICIARY,
    PED_EFFORT_LEVELS,
    PED_PAYOUTS,
    PRD_PAYOUTS,
    TASK1_PAYOUTS,
    TD_PAYOUTS,
    Words,
    block_values,
    payouts_given,
    whose_turn,
)
from pyem.compat.fields import Fields, Values, by_person, inside, people_of, refuse, seed_of, subject_values
from pyem.compat.ranges import WIDE, in_ranges
from pyem.model.model import Model
from pyem.simulation.play import simulate as simulate_task
from pyem.task.designs import Design


@dataclasses.dataclass(frozen=True)
class Family:
    """Properties that the models of one kind of discounting share.

    Parameters
    ----------
    block
        The argument that has one value for each block.
    default, payouts
        Default values of it, and default payouts (T, 2) or (T, 2, 2).
    words
        Words for the two options in data.
    names
        Names of the two options in reports: ``V_sooner, p_later, choices_later``.
    columns
        ``columns(payouts, values)``: the model's columns (B, T) from the payouts (B, T, ...) and the block's values (B, 1).
    social
        Payouts are for oneself and another.
    """

    block: str
    default: np.ndarray
    payouts: np.ndarray
    words: Words
    names: tuple[str, str]
    columns: Callable[[np.ndarray, np.ndarray], Fields]
    social: bool = False


def _social(payouts: np.ndarray, values: np.ndarray) -> Fields:
    sides = ("selfish", "prosocial")
    found = {f"own_{side}": payouts[..., k, 0] for k, side in enumerate(sides)}
    found |= {f"other_{side}": payouts[..., k, 1] for k, side in enumerate(sides)}
    return found | {"social_distance": values}


def _delay(payouts: np.ndarray, values: np.ndarray) -> Fields:
    return {"amount_sooner": payouts[..., 0], "amount_later": payouts[..., 1], "delay_later": values}


def _odds(payouts: np.ndarray, values: np.ndarray) -> Fields:
    return {"amount_certain": payouts[..., 0], "amount_risky": payouts[..., 1], "probability": values}


def _effort(payouts: np.ndarray, values: np.ndarray) -> Fields:
    low = {"amount_low": payouts[..., 0], "effort_low": np.zeros_like(values)}
    return low | {"amount_high": payouts[..., 1], "effort_high": values}


SOCIAL = Family(
    "social_dists",
    DEFAULT_SOCIAL_DISTS,
    TASK1_PAYOUTS,
    Words(("selfish", "self", "s"), ("prosocial", "other", "p")),
    ("selfish", "prosocial"),
    _social,
    social=True,
)
DELAY = Family(
    "delays",
    DEFAULT_DELAYS,
    TD_PAYOUTS,
    Words(("sooner", "ss", "immediate"), ("later", "ll", "delayed")),
    ("sooner", "later"),
    _delay,
)
ODDS = Family(
    "probs", DEFAULT_PROBS, PRD_PAYOUTS, Words(("certain", "safe"), ("risky", "gamble")), ("certain", "risky"), _odds
)
EFFORT = Family(
    "effort_levels",
    DEFAULT_EFFORT_LEVELS,
    ED_PAYOUTS,
    Words(("low_effort", "low", "rest"), ("high_effort", "high", "work")),
    ("low", "high"),
    _effort,
)
PROSOCIAL_EFFORT = dataclasses.replace(EFFORT, default=PED_EFFORT_LEVELS, payouts=PED_PAYOUTS)


@dataclasses.dataclass(frozen=True)
class _Kind:
    """A model of a family, and its columns and reports."""

    family: Family
    model: Model
    names: tuple[str, ...]
    beneficiary: bool

    def design(self, payouts: Any, values: Any, whose: Any, n_blocks: int | None) -> tuple[np.ndarray, Fields]:
        """Payouts (B, T, ...), and the model's columns (B, T) that describe the offers."""
        family = self.family
        given = block_values(family.block, family.default if values is None else values, n_blocks)
        paid = payouts_given(family.payouts if payouts is None else payouts, len(given), social=family.social)
        everywhere = np.broadcast_to(given[:, None], paid.shape[:2])
        columns = family.columns(paid, everywhere)
        if self.beneficiary:
            turns = whose_turn(PED_BENEFICIARY if whose is None else whose, len(given))
            if "beneficiary" in self.model.inputs:
                columns["beneficiary"] = np.broadcast_to(turns[:, None], paid.shape[:2])
        return paid, columns

    def report(
        self, values: Values, choice: np.ndarray, paid: np.ndarray, columns: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Reports of each trial of one subject."""
        assert values.log_probs is not None
        one, two = self.family.names
        first, second = (values.latents[f"value_{name}"] for name in (one, two))
        chance = np.exp(values.log_probs)
        chosen = np.where(choice < 0, np.nan, choice)
        took = np.where(choice == 1, second, np.where(choice == 0, first, np.nan))
        outcome = np.take_along_axis(paid, np.maximum(choice, 0)[..., *[None] * (paid.ndim - 2)], axis=2)[:, :, 0]
        outcome = np.where(choice.reshape(*choice.shape, *[1] * (outcome.ndim - 2)) < 0, np.nan, outcome)
        out = {"EV": took, "delta_V": second - first, "ch_prob": chance, "outcomes": outcome}
        if self.family.social:
            # Payouts besides one's own are valued as payments to the other person.
            own = np.where(choice == 1, columns["own_prosocial"], columns["own_selfish"])
            out |= {"U_self": np.where(choice < 0, np.nan, own), "U_other": took - own}
        else:
            out |= {f"V_{one}": first, f"V_{two}": second}
        return out | {f"p_{two}": chance[..., 1], f"choices_{two}": chosen}

    def shown(self, given: Any, whose: Any, n_blocks: int) -> Fields:
        """Reports of each block, (B,)."""
        family = self.family
        out = {family.block: block_values(family.block, family.default if given is None else given)}
        if self.beneficiary:
            out["beneficiary"] = whose_turn(PED_BENEFICIARY if whose is None else whose, n_blocks)
        return out

    def fields(self, choices: Any, payouts: Any = None, given: Any = None, whose: Any = None) -> Fields:
        """One subject's columns of the model."""
        codes = self.family.words.codes(choices)
        paid, columns = self.design(payouts, given, whose, len(codes))
        if paid.shape[:2] != codes.shape:
            raise ValueError(f"choices have shape {codes.shape}, but payouts are of {paid.shape[:2]} blocks and trials")
        return {"choice": codes, **columns}

    def reported(
        self, values: Values, choices: Any, payouts: Any = None, given: Any = None, whose: Any = None
    ) -> dict[str, Any]:
        """Report (``output="all"``) of one subject."""
        codes = self.family.words.codes(choices)
        paid, columns = self.design(payouts, given, whose, len(codes))
        blocks = {"payouts": paid, **self.shown(given, whose, len(codes))}
        found = self.report(values, codes, paid, columns)
        return {"choices": choices, **blocks, **found, "nll_trialwise": -values.log_lik}

    def simulate(
        self, params: Any, payouts: Any = None, given: Any = None, whose: Any = None, seed: int | None = None
    ) -> dict[str, Any]:
        """Simulate people with these parameters."""
        natural = people_of(params, self.names)
        for name, column in zip(self.names, natural.T, strict=True):
            refuse(~((column > 0) & np.isfinite(column)), column, name, f"{name} must be > 0")
        paid, columns = self.design(payouts, given, whose, None)
        task = Design(shown={name: values[None] for name, values in columns.items()})
        inner, (blocks, trials) = inside(self.model, natural), paid.shape[:2]
        people = simulate_task(self.model, inner, key=seed_of(seed), blocks=blocks, trials=trials, task=task)
        codes = by_person(people, "choice")
        values = subject_values(self.model, people, people.truth)
        each = [self.report(v, c, paid, columns) for v, c in zip(values, codes, strict=True)]
        same = {"payouts": paid, **self.shown(given, whose, blocks)}
        nll = np.stack([-v.log_lik for v in values])
        return {
            "params": natural,
            **{name: np.repeat(array[None], len(natural), axis=0) for name, array in same.items()},
            "choices": self.family.words.said(codes),
            **stacked_reports(each),
            "nll": nll,
            "nll_total": nll.sum((1, 2)),
        }


def discounter(
    id: str, family: Family, model: Model, names: tuple[str, ...], desc: str, *, beneficiary: bool = False
) -> Bundle:
    """The functions of one model.

    Parameters
    ----------
    id, desc
        Entries of the `ModelSpec`.
    family
        Properties that the model shares with others.
    model
        The library's model without an inverse temperature.
    names
        Names of the parameters in pyEM, in order.
    beneficiary
        There is an argument ``beneficiary``, which says for each block whose reward it is.
    """
    wide = dataclasses.replace(in_ranges(model, dict.fromkeys(model.names, WIDE)), name=id)
    kind = _Kind(family, wide, names, beneficiary)
    called = {"given": family.block, "whose": "beneficiary" if beneficiary else None}
    simulate = renamed(kind.simulate, **called)
    simulate.__doc__ = _SIM_DOC.format(
        names=", ".join(names), block=family.block, first=family.names[0], second=family.names[1]
    )
    return bundle(
        id,
        module="pyem.models.discounting",
        desc=desc,
        spec={"discounting": {"values": list(names), "choice": "logistic, slope 1"}},
        fields=renamed(kind.fields, **called),
        model=lambda subjects, n_params: _model(wide, names, n_params),
        report=renamed(kind.reported, **called),
        simulate=simulate,
    )


def _model(model: Model, names: tuple[str, ...], n_params: int) -> Model:
    if n_params != len(names):
        raise ValueError(
            f"params must have shape ({len(names)},) in normalized space: [{', '.join(names)}], but has ({n_params},)"
        )
    return model


_SIM_DOC = """Simulate people who choose between two offers.

Parameters
----------
params
    Natural parameters, (S, P): {names}, above 0.
payouts
    Amounts of the two options, (T, 2) or (B, T, 2) (for oneself and another person: (T, 2, 2), option before person); there
    are defaults.
{block}
    One value for each block, (B,); there are defaults.
beneficiary
    Where there is one: 0 for oneself, 1 for another person, for each block.
seed
    Whole number; without it NumPy's global generator decides.

Returns
-------
dict
    ``params`` (S, P); ``payouts`` (S, B, T, ...), ``{block}`` (S, B); ``choices`` in words; ``EV``, the value of the choice,
    ``delta_V``, the value of the {second} less that of the {first} option, ``outcomes``, ``p_{second}``, ``choices_{second}``,
    ``nll`` (S, B, T); ``ch_prob`` (S, B, T, 2); ``nll_total`` (S,); and the parts of the values.
"""
