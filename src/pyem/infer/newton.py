"""Batched Newton iteration with a bounded step, and the small linear algebra it needs, with the subject as the last axis."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from pyem.engine.derivatives import Derivatives
from pyem.numerics.linalg import positive_solver


class Mode(NamedTuple):
    """What the search found for each subject."""

    x: Array
    """(P, S)"""
    at: Derivatives
    """Of the likelihood, there."""
    hess: Array
    """(P, P, S), of the likelihood: the same as in `at` unless there is a kink, where it is that of both sides, weighted."""
    decrement: Array
    """(S,): what is left to gain, in nats."""


ABRUPT = 0.5
"""A slope has a jump, rather than a bend, if at a quarter of the distance this part of its change is left: of a bend, 1/16."""
REACH = 4.0
"""A point tells of the other side up to this distance, as a multiple of the step that led to it."""
STALE = 0.05
"""A point is too far to tell of the other side when steps are shorter than this part of its distance."""
PROBE = 1e-3
"""How near, as a part of that step, a point has to be that confirms a kink: across a smooth bend, slopes would agree there."""


Smooth = Callable[[Array], Derivatives]
"""Value, gradient and Hessian at (P, S)."""


class _Side(NamedTuple):
    """The other side of a kink."""

    x: Array
    """(P, S): a point that was tried."""
    at: Derivatives
    """Of the likelihood, there."""
    known: Array
    """(S,): whether there is one."""
    size: Array
    """(S,): length of the step that led there."""
    jump: Array
    """(S,): by how much the slope along the last step fell that was not taken, beyond what the Hessian says; else 0."""


class _Plan(NamedTuple):
    """The next step from where a search stands."""

    value: Array
    """(S,): what is maximised, where the search stands."""
    grad: Array
    """(P, S), of that."""
    step: Array
    """(P, S)"""
    decrement: Array
    """(S,): what the step should gain."""
    here: Array
    """(S,): weight of this side of a kink, 1 where there is none."""
    probes: Array
    """(S,): whether the step is only to confirm a kink."""


def _choose(keep: Array, one: Any, other: Any) -> Any:
    return jax.tree.map(lambda a, b: jnp.where(keep, a, b), one, other)


def _along(h: Array, d: Array) -> Array:
    """``h d`` (P, S)."""
    return (h * d[None]).sum(1)


@dataclasses.dataclass(frozen=True)
class _Search:
    """What is maximised, and how exactly; lengths of steps are in units of the longest that is allowed, (P, 1)."""

    likelihood: Smooth
    prior: Smooth
    tol: Array | float
    bound: np.ndarray
    unit: np.ndarray

    def length(self, step: Array) -> Array:
        return (jnp.abs(step) / self.unit).max(0)

    def joint(self, x: Array, at: Derivatives) -> Derivatives:
        """Value, gradient and *negative* Hessian of what is maximised."""
        p = self.prior(x)
        return Derivatives(at.value + p.value, at.grad + p.grad, -(at.hess + p.hess))

    def plan(self, x: Array, at: Derivatives, side: _Side, here: Array, radius: Array) -> _Plan:
        """The step to the maximum of the lesser of the models of both sides, no longer than `radius`."""
        value, g, h = self.joint(x, at)
        there = self.joint(side.x, side.at)
        away = side.x - x
        curved = _along(there.hess, away)
        # The other side's model, carried on to x. It cannot be less there than the value, which is the lesser of both.
        gap = jnp.maximum(there.value - (there.grad * away).sum(0) - 0.5 * (away * curved).sum(0) - value, 0.0)
        g_there = there.grad + curved
        solve = positive_solver(here * h + (1 - here) * there.hess)
        # The barrier keeps the compiler from repeating all that in each of what follows.
        both = solve(g), solve(g_there), g, g_there, gap, value, away
        s, s_there, g, g_there, gap, value, away = lax.optimization_barrier(both)
        jump = g - g_there
        weight = (gap - (jump * s_there).sum(0)) / ((jump * (s - s_there)).sum(0) + 1e-300)
        here = jnp.where(side.known, jnp.clip(weight, 0.0, 1.0), 1.0)
        step = here * s + (1 - here) * s_there
        decrement = 0.5 * ((here * g + (1 - here) * g_there) * step).sum(0)
        # A kink is believed in only where a point at hand shows it.
        far = self.length(away)
        size = self.length(step)
        step = step * jnp.minimum(1.0, radius / (size + 1e-300))
        size = jnp.minimum(size, radius)
        over = decrement <= self.tol
        stale = over | (size < STALE * far)
        # Nor where the fall of the slope on the way there is no more than what curvature makes of it.
        bent = jnp.abs((away * (_along(h, away) - curved)).sum(0))
        bends = over & (10 * bent > jnp.abs((jump * away).sum(0))) & (far > 1e-13)
        probes = side.known & (here < 1) & stale & ((far > 2 * PROBE * side.size) | bends)
        nearer = jnp.where(over, PROBE, jnp.maximum(2 * size / (far + 1e-300), PROBE))
        step = jnp.where(probes, nearer * away, step)
        decrement = jnp.where(probes, 2 * self.tol + 1e-300, decrement)
        # Where the likelihood is not known yet, the first step stays in place and looks.
        known = value > -jnp.inf
        return _Plan(value, g, jnp.where(known, step, 0.0), jnp.where(known, decrement, jnp.inf), here, probes)

    def other_side(self, x: Array, at: Derivatives, side: _Side, tried: _Side, accept: Array, plan: _Plan) -> _Side:
        """What is known of the other side after a step was tried, or taken: that may have led there."""
        as_here = at.grad + _along(at.hess, tried.x - x)
        as_there = side.at.grad + _along(side.at.hess, tried.x - side.x)
        crossed = jnp.abs(tried.at.grad - as_there).sum(0) < jnp.abs(tried.at.grad - as_here).sum(0)
        jump = ((tried.at.grad - as_here) * (tried.x - x)).sum(0) / (tried.size + 1e-300)
        abrupt = (side.jump < 0) & (jump < ABRUPT * side.jump)
        hit = ~accept & jnp.where(side.known, crossed | plan.probes, abrupt) & tried.known
        left = accept & side.known & crossed
        kept = side.known & ~(accept & plan.probes & ~crossed)
        size = jnp.where(side.known, jnp.where(plan.probes, side.size, jnp.minimum(side.size, tried.size)), tried.size)
        found = _choose(left, _Side(x, at, left, side.size, side.jump), side._replace(known=kept))
        found = _choose(hit, tried._replace(known=hit, size=size), found)
        now = jnp.where(accept, tried.x, x)
        return found._replace(
            known=found.known & (self.length(found.x - now) < REACH * found.size),
            jump=jnp.where(accept | ~tried.known, 0.0, jump),
        )

    def advance(self, carry: tuple) -> tuple:
        """Try the planned step, and plan the next."""
        n, x, at, side, radius, last = carry
        active = last.decrement > self.tol
        tried = jnp.where(active, jnp.clip(x + last.step, -self.bound, self.bound), x)
        new = self.likelihood(tried)
        new_value = new.value + self.prior(tried).value
        better = new_value >= last.value - 1e-10 * (1 + jnp.abs(last.value))
        accept = active & better & jnp.isfinite(new_value)
        usable = jnp.isfinite(new.value) & jnp.isfinite(new.grad).all(0) & jnp.isfinite(new.hess).all((0, 1))
        size = self.length(last.step)
        seen = self.other_side(x, at, side, _Side(tried, new, usable, size, size), accept, last)
        # A side that has just become known is a reason to try again before steps become shorter.
        shorter = jnp.where(seen.known & ~side.known, size, 0.25 * size)
        moved = jnp.where(accept, jnp.clip(2 * size, radius, 1.0), shorter)
        radius = jnp.where(active & ~last.probes, moved, radius)
        side = _choose(active, seen, side)
        x, at = _choose(accept, (tried, new), (x, at))
        following = self.plan(x, at, side, last.here, radius)
        # At the bound, what is left to gain lies outside.
        stuck = ((jnp.abs(x) >= self.bound) & (x * following.grad > 0)).any(0)
        # No step however short is better: rounding, or a start where the likelihood is not finite.
        spent = (radius * self.unit < 1e-13 * (1 + jnp.abs(x))).all(0)
        decrement = jnp.where(stuck | spent, 0.0, following.decrement)
        # Those who are there stay as they are, however long others take.
        following = _choose(active, following._replace(decrement=decrement), last)
        return n + 1, x, at, side, radius, following


def newton(
    likelihood: Smooth,
    prior: Smooth,
    x: Array,
    at: Derivatives,
    *,
    tol: Array | float,
    max_steps: Array | int,
    limits: np.ndarray,
) -> Mode:
    """Maximise ``likelihood + prior`` for all subjects together, from `x` where the likelihood is known to be `at`.

    A likelihood may have kinks, as where a learning rate depends on the sign of the prediction error. The mode is then often on
    one: no step from either side is better. A point of the other side that was tried is therefore kept, and steps maximise the
    lesser of two quadratic models, one of each side (a bundle of two). The weights of the sides at the mode, which add to 1,
    weight their curvature, too, so that it depends continuously on the prior.

    Parameters
    ----------
    likelihood, prior
        Value, gradient and Hessian at (P, S).
    x, at
        Start, and the likelihood's derivatives there: a warm start costs no evaluation.
    tol
        Stop when the expected gain of another step (half the Newton decrement), in nats, is below this.
    max_steps
        At most so many evaluations.
    limits
        Largest absolute value of each parameter, (P,); one step changes it by a tenth of that at most.

    References
    ----------
    Luksan, L., & Vlcek, J. (1998). A bundle-Newton method for nonsmooth unconstrained minimization. Mathematical Programming,
    83, 373-391. https://doi.org/10.1007/BF02680566
    """
    bound = limits[:, None]
    search = _Search(likelihood, prior, tol, bound, np.where(np.isfinite(bound), bound / 10, 1e6))
    ones = jnp.ones(x.shape[-1], x.dtype)
    side = _Side(x, at, jnp.zeros(x.shape[-1], bool), ones, jnp.zeros_like(ones))
    start = (0, x, at, side, ones, search.plan(x, at, side, ones, ones))
    going = lambda carry: (carry[0] < max_steps) & (carry[-1].decrement > tol).any()  # noqa: E731
    _, x, at, side, _, end = lax.while_loop(going, search.advance, start)
    hess = jnp.where(end.here < 1, end.here * at.hess + (1 - end.here) * side.at.hess, at.hess)
    return Mode(x, at, hess, end.decrement)
