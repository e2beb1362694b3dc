"""A model's functions together with its description."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any


@dataclasses.dataclass(frozen=True)
class ModelSpec:
    """A model of the pyEM form: its functions, and their description.

    Nothing here needs one: `EMModel` takes the functions themselves.

    Parameters
    ----------
    id
        Short name.
    spec
        Parts of the model, in any form: ``{"rl": {"softmax": ["beta"], "rw": ["alpha"]}}``.
    desc
        One sentence.
    params
        A function that makes parameters, or None.
    sim, fit
        The simulation and the fit function.

    Examples
    --------
    >>> from pyem.models.rl import rw1a1b_fit, rw1a1b_model
    >>> rw1a1b_model.fit is rw1a1b_fit
    True
    """

    id: str
    spec: dict[str, Any]
    desc: str
    params: Callable[..., Any] | None
    sim: Callable[..., Any]
    fit: Callable[..., Any]
