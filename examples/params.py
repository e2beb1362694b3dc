"""Named, bounded parameters for simulations, in the manner of pyEM: copy this file and make the registry your own.

``build_params(["beta", "alpha"], 100)`` gives what an `EMModel` takes (names and transforms), and natural parameters of 100
people.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pyem.utils.math import norm2alpha, norm2beta


@dataclasses.dataclass(frozen=True)
class ParamDef:
    """A parameter: its range, the way from the unconstrained scale, and how it varies among simulated people.

    Parameters
    ----------
    name
        As in the model.
    low, high
        Bounds on the natural scale.
    xform
        From the unconstrained to the natural scale.
    draw
        ``draw(rng, n)``: natural values of n people.
    desc
        What it means.
    """

    name: str
    low: float
    high: float
    xform: Callable[[Any], Any]
    draw: Callable[[np.random.Generator, int], np.ndarray]
    desc: str = ""


def identity(x: Any) -> Any:
    """For parameters without bounds."""
    return x


def truncated_normal(low: float, high: float, sd: float) -> Callable[[np.random.Generator, int], np.ndarray]:
    """Draws from a normal distribution around 0 cut to [low, high], by rejection."""

    def draw(rng: np.random.Generator, n: int) -> np.ndarray:
        kept = np.empty(0)
        while len(kept) < n:
            values = rng.normal(0.0, sd, size=4 * n + 16)
            kept = np.concatenate([kept, values[(values >= low) & (values <= high)]])
        return kept[:n]

    return draw


def bounded_beta(low: float, high: float, a: float = 1.1, b: float = 1.1) -> Callable[..., np.ndarray]:
    """Draws from a beta distribution cut to [low, high], by rejection."""

    def draw(rng: np.random.Generator, n: int) -> np.ndarray:
        kept = np.empty(0)
        while len(kept) < n:
            values = rng.beta(a, b, size=2 * n + 16)
            kept = np.concatenate([kept, values[(values >= low) & (values <= high)]])
        return kept[:n]

    return draw


def normal(mean: float, sd: float) -> Callable[[np.random.Generator, int], np.ndarray]:
    """Draws from a normal distribution."""
    return lambda rng, n: rng.normal(mean, sd, size=n)


def _rate(name: str, desc: str) -> ParamDef:
    return ParamDef(name, 0.0, 1.0, norm2alpha, bounded_beta(0.05, 0.95), desc)


PARAM_REGISTRY: dict[str, ParamDef] = {
    definition.name: definition
    for definition in (
        ParamDef("beta", 0.0, 20.0, norm2beta, truncated_normal(0.75, 10.0, 2.0), "inverse temperature"),
        _rate("alpha", "learning rate"),
        _rate("alpha_pos", "learning rate from better-than-expected outcomes"),
        _rate("alpha_neg", "learning rate from worse-than-expected outcomes"),
        _rate("alpha_self", "learning rate from one's own rewards"),
        _rate("alpha_other", "learning rate from another person's rewards"),
        _rate("alpha_noone", "learning rate from rewards that nobody gets"),
        _rate("alpha_self_pos", "learning rate from good news for oneself"),
        _rate("alpha_self_neg", "learning rate from bad news for oneself"),
        _rate("alpha_other_pos", "learning rate from good news for another person"),
        _rate("alpha_other_neg", "learning rate from bad news for another person"),
        _rate("lambda1", "probability that a source shows its own colour, as the subject believes"),
        _rate("gamma", "what is left of a predictor one trial later"),
        *(
            ParamDef(f"b{k}", -np.inf, np.inf, identity, normal(0.0, 1.0), f"weight of predictor {k}")
            for k in range(10)
        ),
    )
}


def build_params(
    names: Sequence[str], nsubjects: int, seed: int | None = None
) -> tuple[list[str], list[Callable[[Any], Any]], np.ndarray]:
    """Names and transforms for an `EMModel`, and natural parameters (S, P) of simulated people.

    Examples
    --------
    >>> names, xform, params = build_params(["beta", "alpha"], 5, seed=1)
    >>> names, params.shape
    (['beta', 'alpha'], (5, 2))
    """
    unknown = [name for name in names if name not in PARAM_REGISTRY]
    if unknown:
        raise ValueError(f"no parameter {', '.join(unknown)} in the registry; it has {', '.join(PARAM_REGISTRY)}")
    if nsubjects < 1:
        raise ValueError(f"nsubjects={nsubjects}; at least one is needed")
    # Without a seed, np.random.seed governs the draws like those of the rest of a script.
    rng = np.random.default_rng(np.random.randint(2**31 - 1) if seed is None else seed)  # noqa: NPY002
    definitions = [PARAM_REGISTRY[name] for name in names]
    params = np.column_stack([definition.draw(rng, nsubjects) for definition in definitions])
    return list(names), [definition.xform for definition in definitions], validate_params(names, params)


def validate_params(names: Sequence[str], params: Any) -> np.ndarray:
    """Natural parameters (S, P), if all are within their bounds.

    Raises
    ------
    ValueError
        That names the first which is not.

    Examples
    --------
    >>> validate_params(["alpha"], [[0.5]])
    array([[0.5]])
    """
    values = np.asarray(params, float)
    if values.ndim != 2 or values.shape[1] != len(names):
        raise ValueError(f"params has shape {values.shape}; expected (subjects, {len(names)}): {', '.join(names)}")
    for name, column in zip(names, values.T, strict=True):
        low, high = PARAM_REGISTRY[name].low, PARAM_REGISTRY[name].high
        bad = np.flatnonzero(~((column >= low) & (column <= high)))
        if len(bad):
            raise ValueError(f"{name} = {column[bad[0]]:g} of subject {bad[0]} is outside [{low:g}, {high:g}]")
    return values
