"""Batched Newton iteration with a bounded step, for likelihoods that may have kinks; the subject is the last axis."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from pyem.engine.derivatives import Derivatives
from pyem.infer.kinks import Plan, Planner, Side, choose, no_side, noise
from pyem.infer.solver import Mode, Smooth

ENOUGH = 1e-10
"""Nats left to gain below which a search ends if its steps gain little; others go on to `tol`, which takes one step."""
FAST = 0.01
"""Share of what there was to gain that a step must leave to count as gaining little."""
PART = 1e-3
"""Least share of the expected gain with which a step is taken."""
TINY = 1e-13
"""Size of a step, as a share of a parameter, below which the step does not change it."""


Given = Callable[[Array, Array], Derivatives]
"""Function of parameters (P, S) and held values (D, S) that returns value, gradient and Hessian."""


class _Trial(NamedTuple):
    """Outcome of the last evaluation, (S,) each."""

    active: Array
    """Subjects that were searched for."""
    looks: Array
    """Subjects for whom the step was only to examine a kink."""
    accept: Array
    """Subjects for whom the step was taken."""
    found: Array
    """Subjects for whom the step showed another side of a kink."""


class _Carry(NamedTuple):
    """State of the searches of all subjects."""

    n: Array | int
    """Number of evaluations so far."""
    x: Array
    at: Derivatives
    side: Side
    radius: Array
    """(S,): largest length of a step."""
    plan: Plan
    """Plan of the last step; once all searches are over, of the next one."""
    trial: _Trial
    ended: Array
    """(S,): whether no step, however short, is better, or further steps are not worth it."""
    over: Array | bool


class _Queue(NamedTuple):
    """Queue of searches of each subject, which run one after another."""

    at: Array
    """(S,): index of the search that runs; the number of searches if all are done."""
    steps: Array
    """(S,): evaluations of that search so far."""
    carry: _Carry
    found: Mode
    """Results of the searches that are done, (K, ...)."""


def _begin(x: Array, at: Derivatives) -> _Carry:
    """Make the state in which nothing has been tried, and everybody's next step is still to be planned."""
    ones, nobody = jnp.ones(x.shape[-1], x.dtype), jnp.zeros(x.shape[-1], bool)
    plan = Plan(at.value, at.grad, x, ones, ones, ones, nobody, nobody)
    trial = _Trial(~nobody, nobody, nobody, nobody)
    return _Carry(0, x, at, no_side(x, at, sure=jnp.isfinite(at.value)), ones, plan, trial, nobody, False)


def _planned(planner: Planner, carry: _Carry) -> _Carry:
    """Plan the next step, and see whose search is over."""
    last, trial = carry.plan, carry.trial
    following = planner.plan(carry.x, carry.at, carry.side, last.here, carry.radius)
    ends = trial.active & (carry.n > 0) & _ends(planner, carry, following)
    # Subjects whose search is over stay as they are, however long others take.
    return carry._replace(plan=choose(trial.active, following, last), ended=carry.ended | ends)


def _advance(planner: Planner, max_steps: Array | int, carry: _Carry) -> _Carry:
    """Plan the next step, and try it, unless all have ended."""
    carry = _planned(planner, carry)
    over = (carry.n >= max_steps) | ~_active(planner, carry).any()
    # A single place plans and a single one evaluates, so that each is compiled once.
    return lax.cond(over, lambda carry: carry, lambda carry: _try(planner, carry), carry)._replace(over=over)


def _ends(planner: Planner, carry: _Carry, following: Plan) -> Array:
    """(S,): whether a search is over, judged by the last step and by what the next one is to gain."""
    last, (_, looks, accept, found) = carry.plan, carry.trial
    spent = ~looks & ~accept & ~found & (last.gain < noise(last.value))
    spent |= (carry.radius * planner.unit < TINY * (1 + jnp.abs(carry.x))).all(0) | _pinned(following)
    # Near the end of a range each step gains the same again; elsewhere accuracy doubles, and the last step is for free.
    slow = (following.decrement <= ENOUGH) & (following.decrement > FAST * last.decrement)
    return spent | (slow & ~looks & ~found & (following.here == 1))


def _try(planner: Planner, carry: _Carry) -> _Carry:
    """Try the planned step."""
    n, x, at, side, radius, plan, *_ = carry
    active = _active(planner, carry)
    tried = jnp.where(active, jnp.clip(x + plan.step, -planner.bound, planner.bound), x)
    new = planner.likelihood(tried)
    gained = new.value + planner.prior(tried).value - plan.value
    # If the gain can be told from rounding, a small part of it must be realised; a longer step would be taken back as well.
    least = jnp.where(plan.gain > noise(plan.value), PART * plan.gain, -noise(plan.value))
    enough = gained >= jnp.where(plan.probes | plan.backs | jnp.isinf(plan.gain), -noise(plan.value), least)
    # A point with a finite value but without finite derivatives would end the search.
    usable = jnp.isfinite(new.value) & jnp.isfinite(new.grad).all(0) & jnp.isfinite(new.hess).all((0, 1))
    accept = active & (enough | (plan.value == -jnp.inf)) & usable
    size = planner.length(plan.step)
    seen = planner.other_side(x, at, side, Side(tried, new, usable, size, size, side.sure), accept, plan)
    # If another side has just become known, the step is tried again before steps become shorter.
    found = seen.known & ~side.known
    moved = jnp.where(accept, jnp.clip(2 * size, radius, 1.0), jnp.where(found, size, 0.25 * size))
    looks = plan.probes | plan.backs
    radius = jnp.where(active & ~looks, moved, radius)
    side = choose(active, seen, side)
    x, at = choose(accept, (tried, new), (x, at))
    trial = _Trial(active, looks, accept, found)
    return carry._replace(n=n + 1, x=x, at=at, side=side, radius=radius, trial=trial)


def _pinned(plan: Plan) -> Array:
    """(S,): whether steps have become too short to change anything, although there is much to gain."""
    level = noise(plan.value)
    return ~(plan.probes | plan.backs) & (plan.gain < level) & (plan.decrement > 10 * level)


def _active(planner: Planner, carry: _Carry) -> Array:
    """(S,): whether a search goes on."""
    return (carry.plan.decrement > planner.tol) & ~carry.ended


@dataclasses.dataclass(frozen=True)
class Newton:
    """Newton's method with exact Hessians, a bounded step, and an eye for kinks: the default solver of the E-step.

    A likelihood may have kinks, as where a learning rate depends on the sign of the prediction error. The mode is then often on
    one: no step from either side is better. A point of the other side that was tried is therefore kept, and steps maximise the
    lesser of two quadratic models, one of each side (a bundle of two). The weights of the sides at the mode, which add to 1,
    weight their curvature, too, so that it depends continuously on the prior.

    A parameter at its bound whose slope points outwards is held, and the search goes on in the others.

    Parameters
    ----------
    longest
        One step changes a parameter by at most this share of its limit.
    free
        Longest step of a parameter without a limit, as a change of its unconstrained value.

    References
    ----------
    Luksan, L., & Vlcek, J. (1998). A bundle-Newton method for nonsmooth unconstrained minimization. Mathematical Programming,
    83, 373-391. https://doi.org/10.1007/BF02680566

    Bertsekas, D. P. (1982). Projected Newton methods for optimization problems with simple constraints. SIAM Journal on
    Control and Optimization, 20(2), 221-246. https://doi.org/10.1137/0320018

    Examples
    --------
    >>> Newton() == Newton(longest=0.1)
    True
    """

    longest: float = 0.1
    free: float = 1e6

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
        """Maximise ``likelihood + prior`` for all subjects together; see `pyem.infer.solver.Solver`.

        The decrement of the result is half the Newton decrement, where there is a kink including the distance to it. What
        it says is left to gain, a last step takes, if it is very little: the quadratic model is exact there.
        """
        planner = self._planner(likelihood, prior, tol, limits)
        end = lax.while_loop(
            lambda carry: ~carry.over, lambda carry: _advance(planner, max_steps, carry), _begin(x, at)
        )
        return _mode(planner, end)

    def maximise_each(
        self,
        likelihood: Given,
        prior: Given,
        x: Array,
        held: Array,
        *,
        tol: Array | float,
        max_steps: Array | int,
        limits: np.ndarray,
    ) -> Mode:
        """Several searches of each subject, one after another: whose search has ended begins with the next at once.

        Parameters
        ----------
        likelihood, prior
            Value, gradient and Hessian at (P, S), given what is held in the search, (D, S).
        x, held
            Starting point of each search, (K, P, S), and what is held in it, (K, D, S).
        tol, max_steps, limits
            As for `maximise`; `max_steps` of each search.

        Returns
        -------
        Mode
            Results of all searches: every array has one more first axis, (K, ...).
        """

        def planner(held: Array) -> Planner:
            return self._planner(lambda x: likelihood(x, held), lambda x: prior(x, held), tol, limits)

        def step(queue: _Queue) -> _Queue:
            now = planner(_taken(held, queue.at))
            carry = _planned(now, queue.carry)
            done = ~_active(now, carry) | (queue.steps >= max_steps)
            here = done & (jnp.arange(len(x))[:, None] == queue.at)
            # A value that is not used may be NaN: results are selected, not weighted.
            keep = lambda all_, one: jnp.where(here.reshape(len(x), *[1] * (one.ndim - 1), -1), one, all_)  # noqa: E731
            found = jax.tree.map(keep, queue.found, _mode(now, carry))
            place = queue.at + done
            begun = choose(done, _looking(_taken(x, place)), carry._replace(n=0, over=False))
            tried = _try(planner(_taken(held, place)), begun._replace(n=carry.n, over=False))
            return _Queue(place, jnp.where(done, 0, queue.steps) + 1, tried, found)

        places = x.shape[-1]
        carry = _looking(x[0])
        empty = jax.eval_shape(lambda carry: _mode(planner(held[0]), carry), carry)
        found = jax.tree.map(lambda leaf: jnp.zeros((len(x), *leaf.shape), leaf.dtype), empty)
        start = _Queue(jnp.zeros(places, int), jnp.zeros(places, int), carry, found)
        return lax.while_loop(lambda queue: (queue.at < len(x)).any(), step, start).found

    def _planner(self, likelihood: Smooth, prior: Smooth, tol: Array | float, limits: np.ndarray) -> Planner:
        bound = limits[:, None]
        unit = np.where(np.isfinite(bound), self.longest * bound, self.free)
        return Planner(likelihood, prior, tol, bound, unit)


def _taken(values: Array, at: Array) -> Array:
    """Everybody's own entry (..., S) of values (K, ..., S); the last entry for those who are done."""
    at = jnp.minimum(at, len(values) - 1)
    return jnp.take_along_axis(values, at.reshape(1, *[1] * (values.ndim - 2), -1), axis=0)[0]


def _looking(x: Array) -> _Carry:
    """Make the state of a search that has yet to evaluate `x` (P, S)."""
    p, places = x.shape
    hess = jnp.broadcast_to(-jnp.eye(p, dtype=x.dtype)[:, :, None], (p, p, places))
    none, some = jnp.zeros(places, x.dtype), jnp.full(places, jnp.inf, x.dtype)
    nobody = jnp.zeros(places, bool)
    at = Derivatives(-some, jnp.zeros_like(x), hess)
    plan = Plan(-some, at.grad, at.grad, some, some, none + 1, nobody, nobody)
    trial = _Trial(~nobody, nobody, nobody, nobody)
    return _Carry(0, x, at, no_side(x, at, sure=nobody), none + 1, plan, trial, nobody, False)


def _mode(planner: Planner, end: _Carry) -> Mode:
    """Make the result of a search from its last state."""
    here, at = end.plan.here, end.at
    hess = jnp.where(here < 1, here * at.hess + (1 - here) * end.side.at.hess, at.hess)
    there = end.plan.decrement <= jnp.maximum(planner.tol, ENOUGH)
    last = jnp.where(there, jnp.clip(end.x + end.plan.step, -planner.bound, planner.bound) - end.x, 0.0)
    return Mode(end.x, at, hess, end.plan.decrement, end.ended & ~there, last)
