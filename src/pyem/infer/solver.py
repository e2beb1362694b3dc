"""The contract of a solver: its arguments in the E-step, and its result."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np
from jax import Array

from pyem.engine.derivatives import Derivatives

Smooth = Callable[[Array], Derivatives]
"""Function of parameters (P, S) that returns value, gradient and Hessian."""


class Mode(NamedTuple):
    """Result of a search for each subject's mode. A solver has to fill in the first four fields."""

    x: Array
    """(P, S): the best point that was evaluated."""
    at: Derivatives
    """Derivatives of the likelihood at that point; the next search begins with them."""
    hess: Array
    """(P, P, S): Hessian of the likelihood, as in `at` unless there is a kink, where it is that of both sides, weighted."""
    decrement: Array
    """(S,): nats that are left to gain."""
    stuck: Array | None = None
    """(S,): whether the search ended because no step was better, although there is something to gain; None for nobody."""
    last: Array | None = None
    """(P, S): a last step from `x` that needs no evaluation, as the quadratic model is exact there; None for no step."""


class Solver(Protocol):
    """An optimiser of all subjects together.

    A solver is a static argument of compiled functions: make it a frozen dataclass, whose equal instances are one compilation.
    """

    def maximise(
        self,
        likelihood: Smooth,
        prior: Smooth,
        x: Array,
        at: Derivatives,
        *,
        tol: Array | float,
        max_steps: Array | int,
        limits: np.ndarray,
    ) -> Mode:
        """Maximise ``likelihood + prior`` for all subjects together; traced once, so no Python ``if`` on an array.

        Parameters
        ----------
        likelihood, prior
            Value, gradient and Hessian at (P, S); what a subject's are depends on its own column only.
        x, at
            Where to start, and the likelihood's derivatives there. A value of minus infinity in `at` says that they are not
            known yet, and that the search has to look there first.
        tol
            Nats: a subject whose next step would gain less is done.
        max_steps
            Evaluations of the likelihood, at most.
        limits
            Largest absolute value of each parameter, (P,).
        """
        ...
