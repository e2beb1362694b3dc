"""What the contract tests need to know of a model: an independent likelihood, and how its data look."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Trial = dict[str, Any]
"""One trial: the value of each column, None where it is missing."""


@dataclasses.dataclass(frozen=True)
class Case:
    """A model's oracle and its data.

    `log_lik(p, trials, **settings)` takes natural parameters by name (a number, or an array for a vector) and the trials of
    one block, in order. It returns the log-probability of each trial's response, 0.0 where there is none to explain, by a
    plain loop that shares no code with the package. A model whose likelihood is no sum over trials gives all of it to the
    first trial.

    `draw(rng, n, **settings)` returns a column for each field, (n,) or (n, k): whatever people might do and see, also
    what the model finds unlikely.

    `settings` are the options of the model with which the oracle is compared; the first is the default.
    """

    log_lik: Callable[..., list[float]]
    draw: Callable[..., dict[str, np.ndarray]]
    settings: Sequence[dict[str, Any]] = ({},)
    redundant: Sequence[str] = ()
    """Columns that tell what follows from the others, so that nothing is lost where they are missing."""
    diverges: bool = False
    """Whether an update may have no value far out, where the likelihood is then zero."""


def log_softmax(values: Sequence[float]) -> list[float]:
    """Log-probabilities in proportion to the exponentials of `values`."""
    top = max(values)
    total = math.log(sum(math.exp(value - top) for value in values))
    return [value - top - total for value in values]
