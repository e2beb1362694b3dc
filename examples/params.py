"""Named, bounded parameters for simulations, in the manner of pyEM: copy this file and make the registry your own.

``build_params(["beta", "alpha"], 100)`` gives what an `EMModel` takes (names and transforms), and natural parameters of 100
people.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pyem.models.ddm import a_xform, st_xform, sv_xform, sz_xform, t0_xform
from pyem.utils.math import norm2alpha, norm2beta

Sampler = Callable[[np.random.Generator, int], np.ndarray]


@dataclasses.dataclass(frozen=True)
class ParamDef:
    """A parameter: the way from the unconstrained scale, how it varies among simulated people, and its range.

    Parameters
    ----------
    name
        As in the model.
    xform
        From the unconstrained to the natural scale.
    sample
        ``sample(rng, n)``: natural values of n people.
    bounds
        Lowest and highest natural value.
    desc
        What it means.
    """

    name: str
    xform: Callable[[Any], Any]
    sample: Sampler
    bounds: tuple[float, float]
    desc: str = ""


def identity(x: Any) -> Any:
    """For parameters without bounds."""
    return x


def kept(draw: Callable[[np.random.Generator, int], np.ndarray], low: float, high: float) -> Sampler:
    """Draws that fall into [low, high], by rejection."""

    def sample(rng: np.random.Generator, n: int) -> np.ndarray:
        found = np.empty(0)
        while len(found) < n:
            values = draw(rng, 4 * n + 16)
            found = np.concatenate([found, values[(values >= low) & (values <= high)]])
        return found[:n]

    return sample


def normal(mean: float, sd: float, low: float = -np.inf, high: float = np.inf) -> Sampler:
    """Draws from a normal distribution, cut to [low, high]."""
    return kept(lambda rng, n: rng.normal(mean, sd, size=n), low, high)


def uniform(low: float, high: float) -> Sampler:
    """Draws from a uniform distribution."""
    return lambda rng, n: rng.uniform(low, high, size=n)


REAL = (-np.inf, np.inf)
UNIT = (0.0, 1.0)


def _rate(name: str, desc: str) -> ParamDef:
    return ParamDef(name, norm2alpha, kept(lambda rng, n: rng.beta(1.1, 1.1, size=n), 0.05, 0.95), UNIT, desc)


PARAM_REGISTRY: dict[str, ParamDef] = {
    definition.name: definition
    for definition in (
        ParamDef("beta", norm2beta, normal(0.0, 2.0, 0.75, 10.0), (1e-5, 20.0), "inverse temperature"),
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
        *(ParamDef(f"b{k}", identity, normal(0.0, 1.0), REAL, f"weight of predictor {k}") for k in range(10)),
        _rate("gamma", "what is left of a predictor one trial later"),
        ParamDef("phi", identity, uniform(-0.6, 0.6), (-0.999, 0.999), "share of the last response that carries over"),
        *(
            ParamDef(f"beta{k}", norm2beta, uniform(1.0, 8.0), (1e-5, 20.0), f"inverse temperature of stage {k}")
            for k in (1, 2)
        ),
        _rate("alpha1", "learning rate of the first stage"),
        _rate("alpha2", "learning rate of the second stage"),
        _rate("lambda", "share of the reward's error that reaches the first stage"),
        _rate("omega", "weight of model-based values"),
        ParamDef("r", identity, normal(0.1, 0.1), REAL, "added to the first-stage option chosen last"),
        ParamDef("dprime", norm2beta, uniform(0.5, 3.0), (1e-5, 20.0), "sensitivity"),
        ParamDef("criterion", identity, normal(0.0, 0.4), REAL, "criterion"),
        ParamDef("pt_alpha", norm2alpha, uniform(0.4, 0.95), UNIT, "curvature of gains"),
        ParamDef("pt_beta", norm2alpha, uniform(0.4, 0.95), UNIT, "curvature of losses"),
        ParamDef("pt_lambda", norm2beta, uniform(1.0, 4.0), (1e-5, 20.0), "aversion to losses"),
        ParamDef("pt_gamma", norm2alpha, uniform(0.4, 0.9), UNIT, "curvature of the weights of probabilities"),
        ParamDef("pt_mu", norm2beta, uniform(0.3, 3.0), (1e-5, 20.0), "inverse temperature"),
        ParamDef("v_coef", identity, normal(1.5, 0.6, 0.2, 4.0), (-20.0, 20.0), "drift per unit of value"),
        ParamDef("a", a_xform, uniform(1.0, 2.5), (0.0, 4.0), "separation of the bounds"),
        ParamDef("t0", t0_xform, uniform(0.15, 0.4), (0.0, 0.5), "non-decision time, in seconds"),
        ParamDef("z", norm2alpha, uniform(0.35, 0.65), UNIT, "start, as a share of the separation"),
        ParamDef("sv", sv_xform, uniform(0.1, 1.0), (0.0, 2.5), "sd of the drift between trials"),
        ParamDef("st", st_xform, uniform(0.05, 0.2), (0.0, 0.4), "width of the non-decision time between trials"),
        ParamDef("sz", sz_xform, uniform(0.05, 0.3), (0.0, 0.9), "width of the start between trials"),
    )
}


def build_params(
    param_names: Sequence[str], nsubj: int, rng: np.random.Generator | None = None
) -> tuple[list[str], list[Callable[[Any], Any]], np.ndarray]:
    """Names and transforms for an `EMModel`, and natural parameters (S, P) of simulated people.

    Examples
    --------
    >>> names, xform, params = build_params(["beta", "alpha"], 5, np.random.default_rng(1))
    >>> names, params.shape
    (['beta', 'alpha'], (5, 2))
    """
    unknown = [name for name in param_names if name not in PARAM_REGISTRY]
    if unknown:
        raise ValueError(f"no parameter {', '.join(unknown)} in the registry; it has {', '.join(PARAM_REGISTRY)}")
    if nsubj < 1:
        raise ValueError(f"nsubj={nsubj}; at least one is needed")
    if rng is None:
        # np.random.seed governs the draws like those of the rest of a script.
        rng = np.random.default_rng(np.random.randint(2**31 - 1))  # noqa: NPY002
    definitions = [PARAM_REGISTRY[name] for name in param_names]
    params = np.column_stack([definition.sample(rng, nsubj) for definition in definitions])
    return list(param_names), [definition.xform for definition in definitions], params


def validate_params(names: Sequence[str], values: Sequence[float]) -> float | None:
    """What a fit function returns of natural values of one person that are out of bounds: 1e7; None if all are in range.

    Examples
    --------
    >>> validate_params(["alpha"], [0.5]), validate_params(["beta", "alpha"], [5.0, 1.2])
    (None, 10000000.0)
    """
    for name, value in zip(names, values, strict=True):
        low, high = PARAM_REGISTRY[name].bounds
        if not low <= value <= high:
            return 1e7
    return None
