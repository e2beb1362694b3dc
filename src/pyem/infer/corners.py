"""Modes where more than two sides of a kink meet, which a search that knows of two sides cannot tell from a wall.

For the few people whose search did not end, the posterior is modelled as the least of the quadratic models of all sides that
were seen. Its maximum within a box is the next place to look at; a side that is seen there joins the others, and the box
shrinks where the place was not better. At the mode, a mean of the sides' slopes is 0, and their mean curvature is that of the
Laplace approximation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from pyem.infer.ending import UNFINISHED
from pyem.population.posterior import Laplace, Modes, Status

LOOKS = 30
"""Largest number of evaluations of everybody's likelihood."""
BOX = 0.1
"""Half the width of the first box, in posterior sds."""
KEPT = 4
"""Number of sides remembered for each parameter, and as many of the last ones seen."""
NARROWEST = 1e-12
"""Half the width of the last box."""
ALIKE = 1e-6
"""Nats by which a side may lie above the value and still meet there."""


class Seen(NamedTuple):
    """Values and derivatives of everybody's likelihood and prior at one place."""

    x: np.ndarray
    """The place, (S, P)."""
    log_lik: np.ndarray
    """Log-likelihood there, (S,), in nats."""
    grad: np.ndarray
    """Gradient of the log-likelihood, (S, P)."""
    hess: np.ndarray
    """Hessian of the log-likelihood, (S, P, P)."""
    prior: tuple[np.ndarray, np.ndarray, np.ndarray]
    """Value (up to a constant), gradient and Hessian of the log prior there."""


Look = Callable[[np.ndarray], Seen]
"""Function that evaluates everybody's likelihood at parameters (S, P)."""


class Side(NamedTuple):
    """One person's posterior at a point, and the quadratic model there."""

    x: np.ndarray
    value: float
    grad: np.ndarray
    curvature: np.ndarray
    hess: np.ndarray
    """Hessian of the log-likelihood alone."""
    prior: tuple[float, np.ndarray, np.ndarray]
    """Value, gradient and Hessian of the log prior."""

    def at(self, x: np.ndarray) -> float:
        """Value of the quadratic model at `x` (P,)."""
        gap = x - self.x
        return float(self.value + self.grad @ gap - 0.5 * gap @ self.curvature @ gap)

    def slope(self, x: np.ndarray) -> np.ndarray:
        """Gradient of the quadratic model at `x` (P,)."""
        return self.grad - self.curvature @ (x - self.x)


class Climb:
    """The search of one person, from where the other search left it."""

    def __init__(self, scale: np.ndarray) -> None:
        self.sides: list[Side] = []
        self.best: Side | None = None
        self.box = BOX * scale
        self.found: tuple[float, np.ndarray] | None = None
        """Nats left to gain, and the mean Hessian of the likelihood's sides, once the search is over; None before."""

    @property
    def goes_on(self) -> bool:
        """Whether the search goes on."""
        return self.found is None and self.best is not None and bool((self.box > NARROWEST).any())

    def see(self, side: Side) -> None:
        """Add a side, and move to its place if that is better."""
        if not (np.isfinite(side.value) and np.isfinite(side.grad).all() and np.isfinite(side.curvature).all()):
            # The value is infinite: a wall and no corner.
            self.box = np.zeros_like(self.box)
            return
        better = self.best is None or side.value > self.best.value
        self.box = self.box if self.best is None else self.box * (2.0 if better else 0.5)
        best = side if better or self.best is None else self.best
        last = [*self.sides, side][-KEPT * (len(side.x) + 1) :]
        # The best place is remembered however long ago it was seen.
        self.best, self.sides = best, last if any(one is best for one in last) else [best, *last]
        self._certify()

    def raised(self) -> tuple[np.ndarray, np.ndarray]:
        """Values (K,) and slopes (K, P) of all models at the best place, where none of them can be less than the value."""
        assert self.best is not None
        x = self.best.x
        values = np.array([side.at(x) for side in self.sides])
        return np.maximum(values, self.best.value), np.array([side.slope(x) for side in self.sides])

    def _certify(self) -> None:
        """Test whether a mean of the sides that meet here has no slope, and if so, store in `found` what is left to gain."""
        # Importing the solver takes as long as a small fit, and few people are at corners.
        from scipy.optimize import nnls

        assert self.best is not None
        values, slopes = self.raised()
        meet = np.flatnonzero(values - self.best.value < ALIKE)
        size = np.abs(slopes[meet]).max() + 1e-300
        try:
            share, _ = nnls(np.vstack([slopes[meet].T / size, np.ones(len(meet))]), np.eye(len(self.best.x) + 1)[-1])
        except RuntimeError:
            # The solver failed, which shows nothing about the corner.
            return
        share = share / share.sum()
        mean = lambda parts: np.tensordot(share, np.array(parts), 1)  # noqa: E731
        curvature, slope = mean([self.sides[k].curvature for k in meet]), share @ slopes[meet]
        if np.linalg.eigvalsh(curvature)[0] <= 0:
            return
        left = 0.5 * slope @ np.linalg.solve(curvature, slope) + share @ (values[meet] - self.best.value)
        if left < UNFINISHED:
            self.found = float(left), mean([self.sides[k].hess for k in meet])

    def following(self) -> np.ndarray:
        """The maximum of the least of all models in the box around the best place."""
        from scipy.optimize import minimize

        assert self.best is not None
        values, slopes = self.raised()
        steps = slopes * self.box
        bent = np.array([side.curvature * np.outer(self.box, self.box) for side in self.sides])
        size = np.abs(steps).max() + 1e-300
        above, steps, bent = (values - self.best.value) / size, steps / size, bent / size
        # Linear programme in (z, t): all models are above t, which is to be as large as possible.
        over = lambda z: above + steps @ z[:-1] - 0.5 * ((bent @ z[:-1]) @ z[:-1]) - z[-1]  # noqa: E731
        by = lambda z: np.column_stack([steps - bent @ z[:-1], -np.ones(len(steps))])  # noqa: E731
        p = len(self.box)
        end = minimize(
            lambda z: -z[-1],
            np.zeros(p + 1),
            jac=lambda z: np.append(np.zeros(p), -1.0),
            bounds=[(-1.0, 1.0)] * p + [(None, None)],
            constraints={"type": "ineq", "fun": over, "jac": by},
            method="SLSQP",
            options={"ftol": 1e-14, "maxiter": 50},
        )
        return self.best.x + self.box * np.clip(end.x[:-1], -1.0, 1.0)


def at_corners(found: Laplace, look: Look, limits: np.ndarray) -> Laplace:
    """Return the approximations with people at corners, where more than two sides of a kink meet, marked as at their mode.

    Parameters
    ----------
    found
        Approximations in which everybody's search ended.
    look
        Shows what is maximised.
    limits
        (P,): how far a search may go.
    """
    some = np.flatnonzero(np.isin(found.status, (Status.STUCK, Status.MAX_STEPS)) & np.isfinite(found.log_lik))
    if not len(some):
        return found
    climbs = {int(s): Climb(_scale(found.cov[s])) for s in some}
    x = found.mode.copy()
    for _ in range(LOOKS):
        seen = look(x)
        for s, climb in climbs.items():
            if climb.found is None:
                climb.see(_side(seen, s))
        going = [s for s, climb in climbs.items() if climb.goes_on]
        if not going:
            break
        for s in going:
            x[s] = np.clip(climbs[s].following(), -limits, limits)
    return _with(found, {s: climb for s, climb in climbs.items() if climb.found is not None})


def _scale(cov: np.ndarray) -> np.ndarray:
    sd = np.sqrt(np.abs(np.diag(cov)))
    return np.clip(np.where(np.isfinite(sd), sd, 1.0), 1e-3, 1.0)


def _side(seen: Seen, s: int) -> Side:
    value, grad, hess = seen.prior
    prior = float(value[s]), grad[s], hess[s]
    joint = float(seen.log_lik[s]) + prior[0]
    return Side(seen.x[s], joint, seen.grad[s] + grad[s], -(seen.hess[s] + hess[s]), seen.hess[s], prior)


def _with(found: Laplace, ended: dict[int, Climb]) -> Laplace:
    """Replace the modes of those who ended at a corner by what was found there."""
    fields = [part.copy() for part in found]
    mode, cov, log_lik, log_det, status = fields
    known = None if found.derivatives is None else [part.copy() for part in found.derivatives]
    for s, climb in ended.items():
        assert climb.best is not None
        assert climb.found is not None
        value, grad, hess = climb.best.prior
        curvature = -(climb.found[1] + hess)
        mode[s], log_lik[s], status[s] = climb.best.x, climb.best.value - value, Status.CONVERGED
        cov[s], log_det[s] = np.linalg.inv(curvature), np.linalg.slogdet(curvature)[1]
        if known is not None:
            # The mean of the sides' slopes cancels that of the prior.
            known[0][s], known[1][s] = -grad, climb.found[1]
    out = Laplace(*fields)
    return out if known is None else Modes.known(out, *known)
