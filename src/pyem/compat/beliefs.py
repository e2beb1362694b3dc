"""The pyEM functions of belief updating."""

from __future__ import annotations

import string
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pyem.compat.adapt import Bundle, bundle
from pyem.compat.bandits import played
from pyem.compat.fields import Fields, Values, by_person, letters
from pyem.model.model import Model


def ponds(factory: Callable[..., Model], desc: str, spec: dict[str, Any]) -> Bundle:
    """The functions of a model of choices among ponds."""

    def fields(choices: Any, observations: Any) -> Fields:
        return {
            "choice": letters("choices", choices, string.ascii_uppercase),
            "observation": letters("observations", observations, string.ascii_uppercase),
        }

    def model(subjects: Sequence[Fields], n_params: int, n_fish: int | None = None) -> Model:
        seen = max(int(column.max(initial=0)) for one in subjects for column in one.values()) + 1
        if n_fish is not None and seen > n_fish:
            raise ValueError(f"n_fish={n_fish}, but there is a fish or a choice with the code {seen - 1}")
        # The codes are those of all people together: one person may never have seen the last colour.
        return factory(max(seen, 2) if n_fish is None else int(n_fish))

    def report(values: Values, choices: Any, observations: Any, n_fish: int | None = None) -> dict[str, Any]:
        return {"choices": choices, "observations": observations, "probabilities": _beliefs(values)[:, 1:]}

    def simulate(
        params: Any, nblocks: int = 10, ntrials: int = 15, n_fish: int = 3, seed: int | None = None
    ) -> dict[str, Any]:
        """Simulate people who see fish and say which of several ponds they come from.

        Parameters
        ----------
        params
            Natural parameters, (S, 1).
        nblocks, ntrials
            Blocks, each with a hidden pond, and fish a block.
        n_fish
            Number of ponds, and of colours of fish.
        seed
            Whole number; without it NumPy's global generator decides.

        Returns
        -------
        dict
            ``params`` (S, 1); ``choices``, ``observations`` and ``ponds``, the hidden one, 0, 1, ..., (S, B, T);
            ``probabilities`` (S, B, T+1, n_fish), the beliefs before the first fish and after each; ``nll`` (S, B, T).
        """
        people, values = played(factory(int(n_fish)), params, nblocks, ntrials, seed)
        return {
            "params": np.array(params, float),
            "choices": by_person(people, "choice"),
            "observations": by_person(people, "observation"),
            "probabilities": np.stack([_beliefs(v) for v in values]),
            "ponds": by_person(people, "pond"),
            "nll": np.stack([-v.log_lik for v in values]),
        }

    return bundle(
        factory().name,
        module="pyem.models.bayes",
        desc=desc,
        spec=spec,
        fields=fields,
        model=model,
        report=report,
        simulate=simulate,
    )


def _beliefs(values: Values) -> np.ndarray:
    """Beliefs before the first fish and after each, (block, trial + 1, pond); choices match them."""
    assert values.log_probs is not None
    after = np.exp(values.log_probs)
    first = np.full((len(after), 1, after.shape[-1]), 1 / after.shape[-1])
    return np.concatenate([first, after], axis=1)
