"""Evaluation of everybody's log-likelihood at several places, with a memory of the last one."""

from __future__ import annotations

import functools
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, NamedTuple

import numpy as np

from pyem.data.dataset import Dataset
from pyem.engine.evaluate import log_lik_draws
from pyem.model.model import Model

STILL = 0.05
"""Move of the ends of a straight way, as a share of its length, up to which it counts as the same way."""

Glance = Callable[[np.ndarray], np.ndarray]
"""Function that returns everybody's log-likelihood at several places, (K, S), from parameters (K, S, P)."""


class JaxGlance:
    """The log-likelihood of everybody at several places (K, S, P), two for each parameter: values alone.

    They are compiled in the background when this is made, while the E-step is, which takes several times as long: only one of
    the two is traced at a time, and the E-step should be the `first`, a function that traces it.
    """

    def __init__(self, model: Model, data: Dataset, first: Callable[[], Any] | None = None) -> None:
        self._values = functools.partial(log_lik_draws, model, data)
        self._ready = _compiling(model, data.n_subjects, data.valid.shape, self._values, first)

    @property
    def pending(self) -> bool:
        """Whether the evaluation is still being compiled."""
        return not self._ready.done()

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Log-likelihood (K, S) at `x` (K, S, P)."""
        if self.pending:
            wait([self._ready])
        return self._values(x)


_compiled: dict[Any, Future[Any]] = {}
_background = ThreadPoolExecutor(1, thread_name_prefix="pyem-compiles")


def _compiling(
    model: Model, n_subjects: int, shape: tuple[int, ...], values: Glance, first: Callable[[], Any] | None
) -> Future[Any]:
    """The first evaluation of a model on data of a shape, which compiles it; what goes wrong there will do so again."""
    if (model, shape) not in _compiled:
        if first is not None:
            first()
        places = np.zeros((2 * model.n_params, n_subjects, model.n_params))
        _compiled[model, shape] = _background.submit(values, places)
    return _compiled[model, shape]


class StraightWay(NamedTuple):
    """Everybody's log-likelihood at points between a place and a mode."""

    start: np.ndarray
    """Places at which the ways start, (S, P)."""
    mode: np.ndarray
    """Modes at which the ways end, (S, P)."""
    x: np.ndarray
    """Points between them, (n, S, P)."""
    log_lik: np.ndarray
    """The log-likelihood there, (n, S), in nats."""

    def leads(self, start: np.ndarray, mode: np.ndarray) -> bool:
        """Whether this way leads from `start` to `mode` (S, P), for those for whom the two are apart."""
        apart = (start != mode).any(1)
        moved = np.abs(mode - self.mode).max(1) <= STILL * np.abs(start - mode).max(1)
        return bool(((start == self.start).all(1) & moved)[apart].all())


class Seen(NamedTuple):
    """Everybody's log-likelihood at places around a group."""

    x: np.ndarray
    """The places, (K, S, P)."""
    log_lik: np.ndarray
    """The log-likelihood there, (K, S), in nats."""
    way: StraightWay | None = None
    """The ways between some of the places and the modes that were known."""


class Looking:
    """Looks at everybody's likelihood by a `glance`, and remembers what it saw last."""

    def __init__(self, glance: Glance, seen: Seen | None = None, *, remember: bool = True) -> None:
        self.glance, self.seen = glance, seen
        self._remember = remember

    def around(self, x: np.ndarray) -> np.ndarray:
        """Log-likelihood (K, S) at places `x` (K, S, P)."""
        log_lik = self.glance(x)
        self.seen = Seen(x, log_lik) if self._remember else None
        return log_lik

    def between(self, start: np.ndarray, mode: np.ndarray, stops: int) -> StraightWay:
        """Return the likelihood on the straight way from `start` to `mode` (S, P), at `stops` points at least."""
        known = None if self.seen is None else self.seen.way
        if known is not None and known.leads(start, mode):
            return known
        way = self._along(start, mode, stops)
        if self.seen is not None:
            self.seen = self.seen._replace(way=way)
        return way

    def _along(self, start: np.ndarray, mode: np.ndarray, stops: int) -> StraightWay:
        # Use as many at a time as there are places, so that nothing is compiled for other numbers.
        at_once = 2 * mode.shape[1]
        n = at_once * -(-stops // at_once)
        x = np.stack([start + k / (n + 1) * (mode - start) for k in range(1, n + 1)])
        log_lik = np.concatenate([self.glance(x[k : k + at_once]) for k in range(0, n, at_once)])
        return StraightWay(start, mode, x, log_lik)
