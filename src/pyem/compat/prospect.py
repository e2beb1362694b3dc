"""The pyEM functions of prospect theory: gambles with two outcomes against sure amounts, each probability by itself."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import numpy as np

from pyem.compat.adapt import Bundle, bundle
from pyem.compat.fields import (
    Fields,
    Values,
    by_person,
    inside,
    numbers,
    people_of,
    refuse,
    seed_of,
    subject_values,
    whole,
)
from pyem.compat.ranges import RATE, WIDE, in_ranges
from pyem.models.gambles import cumulative_prospect, utility
from pyem.models.risk import tversky_kahneman_weight
from pyem.simulation.play import simulate as simulate_task
from pyem.task.designs import Design

NAMES = ("alpha", "beta", "lambda", "gamma", "mu")
LEAST = 1e-5
"""Smallest value of lambda and mu."""
LEAST_GAMMA = 0.01
CHANCES = (0.1, 0.3, 0.5, 0.7, 0.9)

MODEL = dataclasses.replace(
    in_ranges(
        cumulative_prospect(cumulative=False, own_weights=False),
        {"alpha": RATE, "beta": RATE, "loss_aversion": WIDE, "gamma": RATE, "tau": WIDE},
    ),
    name="pt",
)
"""The library's model, which calls lambda ``loss_aversion`` and mu ``tau``."""


def pt_weight(p: Any, gamma: Any) -> Any:
    """Decision weight of a probability: p^g / (p^g + (1 - p)^g)^(1/g), with g of .01 at least.

    Examples
    --------
    >>> round(pt_weight(0.1, 0.61), 4)
    0.1863
    """
    with jax.enable_x64(True):
        return _plain(tversky_kahneman_weight(np.asarray(p, float), np.maximum(np.asarray(gamma, float), LEAST_GAMMA)))


def pt_value(x: Any, alpha: Any, beta: Any, lam: Any) -> Any:
    """Subjective value of an amount: x^alpha of a gain, -lam |x|^beta of a loss.

    Examples
    --------
    >>> pt_value(-4.0, 0.8, 0.5, 2.0)
    -4.0
    """
    with jax.enable_x64(True):
        return _plain(utility(np.asarray(x, float), alpha, beta, lam))


def _plain(values: Any) -> Any:
    array = np.asarray(values)
    return float(array) if array.ndim == 0 else array


def _fields(gamble: Any, probs: Any, certain: Any, choice: Any) -> Fields:
    pairs = {"gamble": np.asarray(gamble, float), "probs": np.asarray(probs, float)}
    single = {"certain": numbers("certain", certain), "choice": numbers("choice", choice)}
    n = single["certain"].shape[-1]
    for name, values in (*pairs.items(), *single.items()):
        expected = (n, 2) if name in pairs else (1, n)
        if values.shape != expected:
            shape = f"({n}, 2)" if name in pairs else f"({n},)"
            raise ValueError(f"{name} must have shape {shape}, as there are {n} trials, but has {values.shape}")
    codes = single["choice"]
    odd = codes[~np.isnan(codes) & (codes != 0) & (codes != 1)]
    if len(odd):
        raise ValueError(
            f"choice has {odd[0]:g}; expected 1 for the gamble and 0 for the sure amount, or NaN if missed"
        )
    chances = pairs["probs"]
    if ((chances < 0) | (chances > 1)).any():
        raise ValueError("probs must be between 0 and 1")
    return {
        **{f"outcome{k + 1}": pairs["gamble"][None, :, k] for k in (0, 1)},
        **{f"probability{k + 1}": chances[None, :, k] for k in (0, 1)},
        "certain": single["certain"],
        "choice": np.where(np.isnan(codes), -1, codes).astype(int),
    }


def _found(values: Values) -> dict[str, np.ndarray]:
    """Reports of each trial, (T,)."""
    assert values.log_probs is not None
    chance = np.exp(values.log_probs[0, :, 1])
    return {"Vg": values.latents["value_gamble"][0], "Vc": values.latents["value_certain"][0], "ch_prob": chance}


def _report(values: Values, gamble: Any, probs: Any, certain: Any, choice: Any) -> dict[str, Any]:
    return {"gamble": gamble, "probs": probs, "certain": certain, "choice": choice, **_found(values)}


def _trials(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw outcomes (T, 2), their probabilities and sure amounts (T,) of one person."""
    fifth = n // 5
    kind = rng.permutation(np.repeat([1, -1, 0], [fifth, fifth, n - 2 * fifth]))
    mixed = kind == 0
    gamble = rng.uniform(5.0, 50.0, (n, 2)) * np.where(mixed[:, None], [[1.0, -1.0]], kind[:, None])
    gamble[~mixed & (rng.random(n) < 0.5), 1] = 0.0
    first = rng.choice(CHANCES, n)
    small = mixed & (rng.random(n) < 0.7)
    first = np.where(small, 0.5, first)
    probs = np.column_stack([first, 1 - first])
    around = (probs * gamble).sum(1) + rng.uniform(-1, 1, n) * 0.4 * np.abs(gamble).max(1)
    return gamble, probs, np.where(small, rng.uniform(-3.0, 3.0, n), around)


def _within(params: Any) -> np.ndarray:
    values = people_of(params, NAMES)
    for name, column in zip(NAMES, values.T, strict=True):
        low, high = (LEAST, 20.0) if name in ("lambda", "mu") else (0.0, 1.0)
        words = f"{name} values out of bounds [{'1e-5' if low else '0'},{high:g}]"
        refuse(~((column >= low) & (column <= high)), column, name, words)
    return values


def _simulate(params: Any, ntrials: int = 150, seed: int | None = None, **ignored: Any) -> dict[str, Any]:
    """Simulate people who choose between gambles and sure amounts.

    A fifth of the gambles are of gains, a fifth of losses, and the others mixed, in an order of each person's own. Outcomes are
    between 5 and 50 in size. The sure amount is near the expected value, and for most mixed gambles, then with even chances,
    near 0.

    Parameters
    ----------
    params
        Natural parameters, (S, 5): alpha, beta, lambda, gamma, mu.
    ntrials
        Trials.
    seed
        Whole number; without it NumPy's global generator decides.
    **ignored
        Settings of other tasks.

    Returns
    -------
    dict
        ``params`` (S, 5); ``gamble``, ``probs`` (S, T, 2); ``certain``, ``choice``, 1 for the gamble, the values ``Vg`` and
        ``Vc``, and ``ch_prob`` of the gamble (S, T).
    """
    values, seed, n = _within(params), seed_of(seed), whole("ntrials", ntrials)
    rng = np.random.default_rng(seed)
    gamble, probs, certain = (np.stack(part) for part in zip(*(_trials(rng, n) for _ in values), strict=True))
    shown = {f"outcome{k + 1}": gamble[:, None, :, k] for k in (0, 1)}
    shown |= {f"probability{k + 1}": probs[:, None, :, k] for k in (0, 1)}
    task = Design(shown={**shown, "certain": certain[:, None]})
    people = simulate_task(MODEL, inside(MODEL, values), key=seed, blocks=1, trials=n, task=task)
    found = [_found(v) for v in subject_values(MODEL, people, people.truth)]
    return {
        "params": values,
        "gamble": gamble,
        "probs": probs,
        "certain": certain,
        "choice": by_person(people, "choice")[:, 0].astype(float),
        **{name: np.stack([one[name] for one in found]) for name in found[0]},
    }


def prospect_theory() -> Bundle:
    """The functions of the model."""
    return bundle(
        "pt",
        module="pyem.models.pt",
        desc="Prospect theory of choices between gambles with two outcomes and sure amounts",
        spec={"pt": {"value": ["alpha", "beta", "lambda"], "weight": ["gamma"], "logistic": ["mu"]}},
        fields=_fields,
        model=lambda subjects, n_params: MODEL,
        report=_report,
        simulate=_simulate,
        allowed=lambda params, *data: bool(min(params[2], params[4]) >= LEAST),
    )
