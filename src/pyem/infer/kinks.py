"""The next step of a search whose likelihood may have a kink: the lesser of two quadratic models, one of each side."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from pyem.engine.derivatives import Derivatives
from pyem.infer.solver import Smooth
from pyem.numerics.linalg import positive_solver, without

ABRUPT = 0.5
"""Share of a slope's change that is left at a quarter of the distance, above which it is a jump and not a bend (1/16)."""
REACH = 4.0
"""Distance up to which a point tells of the other side, as a multiple of the step that led to it."""
STALE = 0.05
"""Length of steps, as a share of a point's distance, below which the point is too far to tell of the other side."""
PROBE = 1e-3
"""Distance, as a share of the step, of a point that confirms a kink: across a smooth bend, slopes would agree there."""
NOISE = 1e-10
"""Changes of a value that are a smaller share of it than this cannot be told from rounding."""
ROUNDING = 1e-14
"""Share of a value by which the models of both sides may differ at one point by rounding alone."""
AT_BOUND = 1 - 1e-9
"""Share of its bound from which on a parameter counts as at the bound."""
AGREED = 0.5
"""Surprise in the slope at a new point, as a share of the slope, below which the slope counts as foreseen."""


class Side(NamedTuple):
    """The other side of a kink."""

    x: Array
    """(P, S): a point that was tried."""
    at: Derivatives
    """Derivatives of the likelihood at that point."""
    known: Array
    """(S,): whether another side is known."""
    size: Array
    """(S,): length of the step that led there."""
    jump: Array
    """(S,): fall of the slope along the last step that was not taken, beyond what the Hessian predicts; else 0."""
    sure: Array
    """(S,): whether the slope on this side is confirmed, as a single wrong derivative looks like a kink too."""


class Plan(NamedTuple):
    """The next step from where a search stands."""

    value: Array
    """(S,): value of the maximised function at the place of the search."""
    grad: Array
    """(P, S): gradient of the maximised function."""
    step: Array
    """(P, S): the step."""
    decrement: Array
    """(S,): expected gain of the step if its length were not limited."""
    gain: Array
    """(S,): expected gain of the step as it is."""
    here: Array
    """(S,): weight of this side of a kink, 1 where there is none."""
    probes: Array
    """(S,): whether the step is only to confirm a kink, by a point of the other side."""
    backs: Array
    """(S,): whether the step is only to confirm the slope on this side, by a point away from the kink."""


class Models(NamedTuple):
    """Quadratic models of both sides of a kink, at the place of a search."""

    step: Array
    """(P, S): step to the maximum of this side's model, by the curvature of both."""
    step_there: Array
    """(P, S): step to the maximum of the other side's model, by the curvature of both."""
    grad: Array
    """(P, S): slope of this side's model."""
    grad_there: Array
    """(P, S): slope of the other side's model."""
    gap: Array
    """(S,): value of the other side's model minus that of this side's."""
    value: Array
    """(S,): value of the maximised function."""
    away: Array
    """(P, S): vector to the known point of the other side."""
    bent: Array
    """(S,): part of the slope's fall along that vector that may be curvature."""


def choose(keep: Array, one: Any, other: Any) -> Any:
    """Leaves of `one` for the subjects to `keep` (S,), of `other` for the others."""
    return jax.tree.map(lambda a, b: jnp.where(keep, a, b), one, other)


def along(h: Array, d: Array) -> Array:
    """Product ``h d`` (P, S) of each subject's matrix and vector."""
    return (h * d[None]).sum(1)


def noise(value: Array) -> Array:
    """(S,): largest difference of values that cannot be told from rounding."""
    return NOISE * (1 + jnp.abs(value))


def no_side(x: Array, at: Derivatives, *, sure: Array) -> Side:
    """Make a `Side` which says that nothing is known of another side at `x`."""
    nobody = jnp.zeros(x.shape[-1], bool)
    return Side(x, at, nobody, jnp.ones(x.shape[-1], x.dtype), jnp.zeros(x.shape[-1], x.dtype), sure)


@dataclasses.dataclass(frozen=True)
class Planner:
    """Planner of the steps of a search; lengths are in units of the longest step that is allowed, (P, 1)."""

    likelihood: Smooth
    prior: Smooth
    tol: Array | float
    bound: np.ndarray
    unit: np.ndarray

    def length(self, step: Array) -> Array:
        """Length (S,) of steps (P, S)."""
        return (jnp.abs(step) / self.unit).max(0)

    def joint(self, x: Array, at: Derivatives) -> Derivatives:
        """Value, gradient and *negative* Hessian of what is maximised."""
        p = self.prior(x)
        return Derivatives(at.value + p.value, at.grad + p.grad, -(at.hess + p.hess))

    def held(self, x: Array, grad: Array) -> Array:
        """(P, S): parameters at their bound, with gain only outside of it: the search goes on in the others."""
        return (jnp.abs(x) >= AT_BOUND * self.bound) & (x * grad > 0)

    def plan(self, x: Array, at: Derivatives, side: Side, here: Array, radius: Array) -> Plan:
        """The step to the maximum of the lesser of the models of both sides, no longer than `radius`."""
        value, g, h = self.joint(x, at)
        there = self.joint(side.x, side.at)
        away = side.x - x
        curved = along(there.hess, away)
        # The other side's model, continued to x. There it cannot be below the value, which is the lesser of both.
        gap = there.value - (there.grad * away).sum(0) - 0.5 * (away * curved).sum(0) - value
        # Steps lead to just before the kink: on it, a derivative may be that of neither side.
        gap = jnp.maximum(gap - ROUNDING * (1 + jnp.abs(value)), 0.0)
        # Slope of the other side's model at x, for the computations below.
        g_there = there.grad + curved
        bent = jnp.abs((away * (along(h, away) - curved)).sum(0))
        mixed = here * h + (1 - here) * there.hess
        if np.isfinite(self.bound).any():
            held = self.held(x, here * g + (1 - here) * g_there)
            g, g_there, mixed = jnp.where(held, 0.0, g), jnp.where(held, 0.0, g_there), without(mixed, held)
        solve = positive_solver(mixed)
        # The barrier keeps the compiler from repeating these computations in each of the following ones.
        models: Models = lax.optimization_barrier(Models(solve(g), solve(g_there), g, g_there, gap, value, away, bent))
        return self._towards(models, side, radius)

    def _towards(self, models: Models, side: Side, radius: Array) -> Plan:
        """The plan from the quadratic models of both sides."""
        s, s_there, g, g_there, gap, value, away, bent = models
        jump = g - g_there
        weight = (gap - (jump * s_there).sum(0)) / ((jump * (s - s_there)).sum(0) + 1e-300)
        here = jnp.where(side.known, jnp.clip(weight, 0.0, 1.0), 1.0)
        step = here * s + (1 - here) * s_there
        # At its maximum, the lesser of both models is higher by half the slope times the step, plus the way to the kink.
        decrement = 0.5 * ((here * g + (1 - here) * g_there) * step).sum(0) + (1 - here) * jnp.maximum(
            gap - ROUNDING * (1 + jnp.abs(value)), 0.0
        )
        size = self.length(step)
        share = jnp.minimum(1.0, radius / (size + 1e-300))
        step, size = step * share, jnp.minimum(size, radius)
        # A kink is assumed only where a nearby point shows it.
        far = self.length(away)
        over = decrement <= self.tol
        stale = over | (size < STALE * far)
        # Nor where curvature alone explains the fall of the slope on the way there.
        bends = over & (10 * bent > jnp.abs((jump * away).sum(0))) & (far > 1e-13)
        kink = side.known & (here < 1)
        probes = kink & stale & ((far > 2 * PROBE * side.size) | bends)
        nearer = jnp.where(over, PROBE, jnp.maximum(2 * size / (far + 1e-300), PROBE))
        # Nor from a single derivative here, if a point just behind has the slope of the other side as well.
        backs = kink & over & ~probes & ~side.sure
        step = jnp.where(probes, nearer * away, jnp.where(backs, -away, step))
        decrement = jnp.where(probes | backs, 2 * self.tol + 1e-300, decrement)
        # Where the likelihood is not known yet, the first step only evaluates it.
        known = value > -jnp.inf
        step, decrement = jnp.where(known, step, 0.0), jnp.where(known, decrement, jnp.inf)
        return Plan(value, g, step, decrement, share * (2 - share) * decrement, here, probes, backs)

    def other_side(self, x: Array, at: Derivatives, side: Side, tried: Side, accept: Array, plan: Plan) -> Side:
        """Update what is known of the other side after a step was tried or taken, which may have led there."""
        as_here = at.grad + along(at.hess, tried.x - x)
        as_there = side.at.grad + along(side.at.hess, tried.x - side.x)
        surprise = jnp.abs(tried.at.grad - as_here).sum(0)
        crossed = jnp.abs(tried.at.grad - as_there).sum(0) < surprise
        jump = ((tried.at.grad - as_here) * (tried.x - x)).sum(0) / (tried.size + 1e-300)
        abrupt = (side.jump < 0) & (jump < ABRUPT * side.jump)
        hit = ~accept & ~plan.backs & jnp.where(side.known, crossed | plan.probes, abrupt) & tried.known
        left = accept & ~plan.backs & side.known & crossed
        # A better point behind says that there is no kink: the slope was wrong.
        kept = side.known & ~(accept & plan.backs) & ~(accept & plan.probes & ~crossed)
        size = jnp.where(side.known, jnp.where(plan.probes, side.size, jnp.minimum(side.size, tried.size)), tried.size)
        found = choose(left, side._replace(x=x, at=at, known=left), side._replace(known=kept))
        found = choose(hit, tried._replace(known=hit, size=size), found)
        foreseen = surprise <= AGREED * jnp.abs(tried.at.grad - at.grad).sum(0) + noise(tried.at.value)
        sure = jnp.where(accept, foreseen & ~left, side.sure | plan.backs)
        now = jnp.where(accept, tried.x, x)
        return found._replace(
            known=found.known & (self.length(found.x - now) < REACH * found.size),
            jump=jnp.where(accept | ~tried.known | plan.backs, 0.0, jump),
            sure=sure,
        )
