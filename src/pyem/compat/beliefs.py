"""The pyEM functions of belief updating."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pyem.compat.adapt import Bundle, bundle
from pyem.compat.bandits import played
from pyem.compat.fields import Fields, Values, by_person, letters
from pyem.model.model import Model

PONDS = "ABC"


def ponds(factory: Callable[..., Model], desc: str, spec: dict[str, Any]) -> Bundle:
    """``_sim, _fit, _model`` of a model of choices among three ponds."""

    def fields(choices: Any, observations: Any) -> Fields:
        return {
            "choice": letters("choices", choices, PONDS),
            "observation": letters("observations", observations, PONDS),
        }

    def report(values: Values, choices: Any, observations: Any) -> dict[str, Any]:
        return {"choices": choices, "observations": observations, **_beliefs(values)}

    def simulate(params: Any, nblocks: int = 10, ntrials: int = 15, seed: int | None = None) -> dict[str, Any]:
        """Simulate people who see fish and say which of three ponds they come from.

        Parameters
        ----------
        params
            Natural parameters, (S, 1).
        nblocks, ntrials
            Blocks, each with a hidden pond, and fish a block.
        seed
            Whole number; without it NumPy's global generator decides.

        Returns
        -------
        dict
            ``params`` (S, 1); ``choices`` and ``observations`` 0, 1 or 2, (S, B, T); ``probabilities`` of choosing each pond
            (S, B, T, 3), which are the beliefs after the fish; ``ponds``, the hidden one, (S, B); ``nll`` (S,).
        """
        people, values = played(factory(), params, nblocks, ntrials, seed)
        return {
            "params": np.array(params, float),
            "choices": by_person(people, "choice"),
            "observations": by_person(people, "observation"),
            "probabilities": np.stack([_beliefs(v)["probabilities"] for v in values]),
            "ponds": by_person(people, "pond")[:, :, 0],
            "nll": np.array([v.nll for v in values]),
        }

    return bundle(
        factory().name,
        module="pyem.models.bayes",
        desc=desc,
        spec=spec,
        fields=fields,
        model=lambda subjects, n_params: factory(),
        report=report,
        simulate=simulate,
    )


def _beliefs(values: Values) -> dict[str, np.ndarray]:
    assert values.log_probs is not None
    return {"probabilities": np.exp(values.log_probs)}
