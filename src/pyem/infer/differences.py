"""One person's mode and curvature from values of a Python function alone. NumPy only: worker processes load it.

The curvature comes from central differences, and so does the next step: where the last mode is known with its derivatives, a
change of the prior costs one or two stencils of P * P + P + 1 evaluations.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

Value = Callable[[np.ndarray], float]
"""Negative log-likelihood at unconstrained parameters (P,), in nats; infinite where it is not defined."""

WALL = 1e6
"""Value from which on a function is taken to say "not allowed": functions of the pyEM form then return 1e7."""


BY_VALUES = ("nelder-mead", "powell", "cobyla", "cobyqa")
"""Methods of `scipy.optimize.minimize` that use values only."""
BY_GRADIENT = ("cg", "bfgs", "newton-cg", "l-bfgs-b", "tnc", "slsqp", "trust-constr")
"""Methods of `scipy.optimize.minimize` that use values and gradients."""
BY_HESSIAN = ("dogleg", "trust-ncg", "trust-exact", "trust-krylov")
"""Methods of `scipy.optimize.minimize` that use values, gradients and Hessians."""
METHODS = (*BY_VALUES, *BY_GRADIENT, *BY_HESSIAN)
"""All methods of `scipy.optimize.minimize` that are accepted, in lower case."""


class Stencil(NamedTuple):
    """Value, gradient (P,) and Hessian (P, P) of the negative log-likelihood at a point (P,)."""

    x: np.ndarray
    value: float
    grad: np.ndarray
    hess: np.ndarray
    clean: bool
    """False where a neighbouring value was not finite, so that the derivatives mean nothing."""


@dataclasses.dataclass(frozen=True)
class Search:
    """Settings of the search for one person's mode.

    Parameters
    ----------
    method, options
        A method of `scipy.optimize.minimize`, for the first search and for restarts: one of `METHODS`.
    max_restarts
        Random starts, at most, where a search fails.
    max_steps
        Newton steps of one call, at most.
    quick
        The start is a sensible place: the first call takes Newton steps from there, and gives up where they fail.
    stale
        The function changes with the prior, so that derivatives of an earlier call are of no use.
    """

    method: str = "BFGS"
    options: tuple[tuple[str, Any], ...] = ()
    max_restarts: int = 2
    max_steps: int = 30
    quick: bool = False
    stale: bool = False


@dataclasses.dataclass(frozen=True)
class Quadratic:
    """A Gaussian prior without its constant: minus its log-density is ``(x - mean)' precision (x - mean) / 2``."""

    mean: np.ndarray
    precision: np.ndarray

    def value(self, x: np.ndarray) -> float:
        """Minus the log-density at `x` (P,), up to a constant."""
        gap = x - self.mean
        return 0.5 * float(gap @ self.precision @ gap)

    def grad(self, x: np.ndarray) -> np.ndarray:
        """Gradient of minus the log-density at `x` (P,)."""
        return self.precision @ (x - self.mean)


class Found(NamedTuple):
    """The point where a search ended."""

    at: Stencil
    decrement: float
    """Nats that another Newton step would gain."""
    positive: bool
    """Whether the curvature is positive definite."""


def stencil(function: Value, x: np.ndarray, steps: np.ndarray, value: float | None = None) -> Stencil:
    """Central differences with one `steps` (P,) for each parameter; smaller ones where a value is not finite."""
    for shrink in (1.0, 0.1, 0.01):
        out = _stencil(function, x, steps * shrink, value)
        if out.clean or out.value >= WALL:
            break
        value = out.value
    return out


# Beyond a wall values are infinite, and so are their differences.
@np.errstate(invalid="ignore")
def _stencil(function: Value, x: np.ndarray, h: np.ndarray, value: float | None) -> Stencil:
    n = len(x)
    centre = function(x) if value is None else value
    if not centre < WALL:
        return Stencil(x, centre, np.zeros(n), np.zeros((n, n)), False)
    moves = np.diag(h)
    up = np.array([function(x + move) for move in moves])
    down = np.array([function(x - move) for move in moves])
    hess = np.diag((up - 2 * centre + down) / h**2)
    extreme = max(up.max(), down.max())
    for i in range(n):
        for j in range(i):
            both, neither = function(x + moves[i] + moves[j]), function(x - moves[i] - moves[j])
            extreme = max(extreme, both, neither)
            mixed = both + neither - up[i] - up[j] - down[i] - down[j] + 2 * centre
            hess[i, j] = hess[j, i] = mixed / (2 * h[i] * h[j])
    return Stencil(x, centre, (up - down) / (2 * h), hess, bool(extreme < centre + WALL / 10))


def step_sizes(x: np.ndarray, sd: np.ndarray | None) -> np.ndarray:
    """Widths of the differences: small beside the posterior, large beside rounding."""
    width = np.full(len(x), 1e-3) if sd is None else np.clip(0.02 * sd, 1e-5, 1e-3)
    return width * np.maximum(1.0, np.abs(x))


def find_mode(
    function: Value,
    prior: Quadratic,
    start: np.ndarray,
    known: Stencil | None,
    search: Search,
    tol: float,
    rng: np.random.Generator,
) -> Found:
    """The mode of likelihood times prior, from `start` or, better, from what is `known` of an earlier mode."""
    # Differences cannot tell gains smaller than this.
    tol = max(tol, 1e-10)
    quick = known is None and search.quick
    if quick:
        known = stencil(function, start, step_sizes(start, None))
    elif known is None:
        known = _cold(function, prior, start, search)
    elif search.stale:
        known = stencil(function, known.x, step_sizes(known.x, None))
    found = _newton(function, prior, known, search, tol)
    if quick or _good(found, tol):
        return found
    for attempt in range(search.max_restarts + 1):
        # Search first from where the search got stuck, then from places that the prior finds likely.
        x = found.at.x if attempt == 0 else _draw(prior, rng)
        other = _newton(function, prior, _cold(function, prior, x, search), search, tol)
        found = min(found, other, key=lambda f: (not _good(f, tol), _total(f.at, prior)))
        if _good(found, tol):
            break
    return found


def _good(found: Found, tol: float) -> bool:
    return found.at.clean and found.positive and found.decrement <= 100 * tol


def _total(at: Stencil, prior: Quadratic) -> float:
    return at.value + prior.value(at.x)


def _draw(prior: Quadratic, rng: np.random.Generator) -> np.ndarray:
    # A wide prior does not restrict likely places: a start 30 away from the rest would be lost on a plateau.
    precision = np.diag(prior.precision)
    sd = np.where(precision > 0.25, 1 / np.sqrt(np.maximum(precision, 0.25)), 2.0)
    return prior.mean + sd * rng.standard_normal(len(sd))


def _cold(function: Value, prior: Quadratic, start: np.ndarray, search: Search) -> Stencil:
    """A search by `scipy.optimize.minimize` with central differences."""
    from scipy.optimize import minimize

    def total(x: np.ndarray) -> float:
        value = function(x) + prior.value(x)
        return value if np.isfinite(value) else 1e7

    def slope(x: np.ndarray) -> np.ndarray:
        h = step_sizes(x, None)
        return np.array([(total(x + m) - total(x - m)) / (2 * w) for m, w in zip(np.diag(h), h, strict=True)])

    options, method = dict(search.options), search.method.lower()
    if method == "bfgs":
        options.setdefault("gtol", 1e-3)
    derivatives: dict[str, Any] = {} if method in BY_VALUES else {"jac": slope}
    if method in BY_HESSIAN:
        derivatives["hess"] = lambda x: _hessian(total, x, convex=method == "dogleg")
    with np.errstate(all="ignore"):
        done = minimize(total, start, method=method, options=options, **derivatives)
    best = np.asarray(done.x, float)
    if not total(best) <= total(start):
        best = start
    return stencil(function, best, step_sizes(best, None))


def _hessian(total: Value, x: np.ndarray, *, convex: bool) -> np.ndarray:
    """The Hessian by differences; with `convex`, as a method asks for that can do nothing else, of positive eigenvalues."""
    hess = _stencil(total, x, step_sizes(x, None), None).hess
    if not convex:
        return hess
    values, vectors = np.linalg.eigh(hess)
    return (vectors * np.maximum(np.abs(values), 1e-6)) @ vectors.T


def _newton(function: Value, prior: Quadratic, at: Stencil, search: Search, tol: float) -> Found:
    for _ in range(search.max_steps):
        gradient, step, positive, sd = _plan(at, prior)
        decrement = 0.5 * float(-(gradient @ step)) if at.clean else np.inf
        if decrement <= tol or not at.clean:
            return Found(at, decrement, positive)
        step = step * min(1.0, 3.0 / max(np.abs(step).max(), 1e-300))
        now = _total(at, prior)
        for halving in range(12):
            x = at.x + step * 0.5**halving
            value = function(x)
            if value + prior.value(x) < now - 1e-4 * 0.5**halving * decrement:
                break
        else:
            return Found(at, decrement, positive)
        at = stencil(function, x, step_sizes(x, sd), value)
    gradient, step, positive, _ = _plan(at, prior)
    return Found(at, 0.5 * float(-(gradient @ step)) if at.clean else np.inf, positive)


def _plan(at: Stencil, prior: Quadratic) -> tuple[np.ndarray, np.ndarray, bool, np.ndarray]:
    """Gradient, Newton step (uphill directions turned round), whether the curvature is positive, and the sd."""
    gradient = at.grad + prior.grad(at.x)
    values, vectors = np.linalg.eigh(at.hess + prior.precision)
    size = np.maximum(np.abs(values), 1e-8)
    step = -(vectors / size) @ (vectors.T @ gradient)
    sd = np.sqrt(((vectors**2) / size).sum(1))
    return gradient, step, bool(values.min() > 1e-9), sd
