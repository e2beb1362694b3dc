"""The models that come with the library, by name.

Examples
--------
>>> get("rw1a1b").names
('beta', 'alpha')
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable
from typing import Any

from pyem.model.model import Model
from pyem.models import (
    active_inference,
    associability,
    aversive,
    balloon,
    beliefs,
    card_sorting,
    change_points,
    choice,
    counterfactual,
    counts,
    detection,
    discounts,
    effort,
    exploration,
    gambles,
    go_nogo,
    happiness,
    hgf,
    hgf_continuous,
    iowa,
    learning,
    metacognition,
    probabilistic_selection,
    psychometric,
    rating,
    regression,
    reversal,
    reward_punishment,
    risk,
    social,
    two_step,
    volatility,
    working_memory,
)

_FACTORIES: dict[str, Callable[..., Model]] = {
    **learning.MODELS,
    **choice.MODELS,
    **counterfactual.MODELS,
    **associability.MODELS,
    **reward_punishment.MODELS,
    **probabilistic_selection.MODELS,
    **exploration.MODELS,
    **volatility.MODELS,
    **iowa.MODELS,
    **balloon.MODELS,
    **two_step.MODELS,
    **go_nogo.MODELS,
    **working_memory.MODELS,
    **beliefs.MODELS,
    **hgf.MODELS,
    **hgf_continuous.MODELS,
    **change_points.MODELS,
    **reversal.MODELS,
    **discounts.MODELS,
    **risk.MODELS,
    **gambles.MODELS,
    **effort.MODELS,
    **social.MODELS,
    **aversive.MODELS,
    **happiness.MODELS,
    **card_sorting.MODELS,
    **regression.MODELS,
    **counts.MODELS,
    **rating.MODELS,
    **detection.MODELS,
    **psychometric.MODELS,
    **metacognition.MODELS,
    **active_inference.MODELS,
}


def names() -> list[str]:
    """The identifiers of all models, in the order of the documentation."""
    return list(_FACTORIES)


def get(name: str, **options: Any) -> Model:
    """A model by its identifier; `options` such as ``options=4`` are those of the family.

    Raises
    ------
    ValueError
        If there is no such model (the message suggests the closest) or it has no such option.
    """
    if name not in _FACTORIES:
        near = difflib.get_close_matches(name, _FACTORIES, 1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ValueError(f"there is no model {name!r}; {hint}The models are {', '.join(_FACTORIES)}")
    try:
        made = _FACTORIES[name](**options)
        return dataclasses.replace(made, recipe=((name, tuple(options.items())),))
    except TypeError as error:
        raise ValueError(f"model {name!r} cannot be made with {options}: {error}") from None
