"""Searches under several values of discrete parameters, side by side and round after round."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from pyem.data.dataset import Dataset
from pyem.engine.scale import ready_to_fit
from pyem.infer.conditional import Conditional
from pyem.infer.natural_prior import PersonPrior
from pyem.infer.starts import better, gain_of, spread_points, starting_points
from pyem.infer.units import in_standard_units, laplace_in_units
from pyem.model.model import Model
from pyem.population.posterior import Laplace
from pyem.results.point import PointFit

SCOUTS = 128
"""Number of places that are evaluated for each combination, half of them near typical people; searches start at the best."""
SIDE = 0.05
"""Distance of the place on the other side of a parameter's range from that end, as a share of the range."""
APART = 0.5
"""Difference in a parameter, as a share of its range, from which on places count as far from one another."""
CROSSINGS = 3
"""Largest number of rounds of searches from modes of another combination; they end once nobody gains."""
ROUGHLY = 1e-4
"""Nats left to gain at which a search ends that only tells modes apart; the best are then searched in full."""
GAIN = 1e-3
"""Nats that count as a gain."""

Values = tuple[float, ...]
"""A value of each discrete parameter."""


@dataclasses.dataclass(frozen=True)
class Way:
    """Functions with which a method fits a model whose discrete parameters are held.

    Parameters
    ----------
    prior
        The prior of people of a model.
    max_iter, key
        Arguments as for the method.
    fit
        ``fit(model, data, start=..., starts=...)``: everybody's modes, where one combination has to follow on another.
    result
        The result of one combination from what was found.
    marginal
        Whether the best combination is that of the largest evidence, or of the largest likelihood.
    """

    prior: Callable[[Model], PersonPrior | None]
    max_iter: int
    key: Any
    fit: Callable[..., PointFit] | None = None
    result: Callable[[Model, Laplace], PointFit] | None = None
    marginal: bool = False


def side_by_side(
    way: Way, names: Sequence[str], held: Mapping[Values, Model], data: Dataset, given: Any, starts: int
) -> Rounds:
    """Search under all combinations at once: from the start, from the best of many places, and from one another's modes.

    Parameters
    ----------
    way
        The method.
    names, held
        The discrete parameters, and the model with each combination of their values held.
    data, given, starts
        What to fit to, from where, natural values (S, P - D) or None, and how many times.
    """
    models = [in_standard_units(ready_to_fit(model, data)) for model in held.values()]
    rounds = Rounds(way, names, models, np.array(list(held)), data)
    population = None if rounds.priors[0] is None else rounds.priors[0].population
    middle = None if population is None else population.coef[0]
    near = starting_points(models[0], data, given, SCOUTS // 2, way.key, middle)
    points = np.array([*near, *spread_points(models[0], SCOUTS // 2, data.n_subjects, way.key)])
    rounds.go(np.repeat(points[:1], len(held), axis=0))
    if starts > 1:
        for x, which in rounds.elsewhere(points, len(held) * (starts // 2)):
            rounds.go(x, which)
    for _ in range(CROSSINGS):
        if not rounds.go(rounds.crossed()):
            break
    return rounds


class Rounds:
    """Rounds of searches, with as many searches in each as there are combinations.

    Parameters
    ----------
    way
        The method.
    names, combinations
        The discrete parameters, and their values, (C, D).
    models
        Models in which each of the combinations is held, as they are searched with.
    data
        Data to fit.
    """

    def __init__(
        self, way: Way, names: Sequence[str], models: list[Model], combinations: np.ndarray, data: Dataset
    ) -> None:
        self._model, self.combinations = models[0], combinations
        self.priors = [way.prior(model) for model in models]
        self.search = Conditional(models[0], names, data, self.priors[0], max_steps=way.max_iter)
        self.found: list[Laplace] = []

    def go(self, x: np.ndarray, which: np.ndarray | None = None) -> bool:
        """Search from `x` (C, S, P), and keep what is better; return whether anybody's best combination gained.

        `which` (C, S) are the combinations that are held, by default each of them once.
        """
        alike = np.repeat(np.arange(len(x))[:, None], x.shape[1], axis=1)
        which = alike if which is None else which
        new = self.search.modes(x, self.combinations[which], ROUGHLY, ends=False)
        if not self.found:
            self.found = new
            return True
        before = self._joint().max(0)
        for one, held in zip(new, which, strict=True):
            for c in np.unique(held):
                gain = gain_of(_joint(self.found[c], self.priors[c]), _joint(one, self.priors[c]))
                self.found[c] = better(self.found[c], one, np.where(held == c, gain, 0.0))
        return bool((gain_of(before, self._joint().max(0)) > GAIN).any())

    def finish(self) -> list[Laplace]:
        """Search from the best modes once more, as exactly as possible, and return the results in the units of the model."""
        x = np.array([one.mode for one in self.found])
        x = np.where(np.isfinite(x), x, self._model.typical[0])
        found = self.search.modes(x, np.repeat(self.combinations[:, None], x.shape[1], axis=1))
        return [laplace_in_units(*self._model.units, one) for one in found]

    def elsewhere(self, points: np.ndarray, at_least: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield starts of rounds (C, S, P), far from the known modes, and the combinations that they hold (C, S).

        First from everybody's best mode with one parameter after another at the other side of its range, then from the best of
        the points (N, S, P), the next one always far from all that were taken.
        """
        aside = self._aside()
        n, size = max(at_least, len(aside)), len(self.combinations)
        places, held = self._scouted(points, -(-n // size) * size - len(aside))
        x = np.array([*aside, *places])
        which = np.concatenate([np.repeat(self._joint().argmax(0)[None], len(aside), axis=0), held])
        for k in range(0, len(x), size):
            yield x[k : k + size], which[k : k + size]

    def _aside(self) -> list[np.ndarray]:
        """Everybody's best mode (S, P) with one parameter at the other side of its range, for each parameter."""
        model, best = self._model, self._joint().argmax(0)
        mode = inside(model, np.array([self.found[k].mode[s] for s, k in enumerate(best)]))
        low, high = _ends(model)
        closed, (mean, sd) = np.isfinite(high - low), model.typical
        low, high = np.where(closed, low, 0.0), np.where(closed, high, 1.0)
        above = np.where(closed, model.natural(mode) > 0.5 * (low + high), mode > mean)
        far = np.where(above, SIDE, 1 - SIDE)
        moved = np.where(closed, low + far * (high - low), model.natural(mode))
        other = np.where(closed, model.unconstrained(moved), mean + np.where(above, -2, 2) * sd)
        return [np.where(np.arange(mode.shape[1]) == k, other, mode) for k in range(mode.shape[1])]

    def _scouted(self, points: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
        """The best of the points (N, S, P) that are far from one another, (n, S, P), and the best combination there, (n, S)."""
        value, held = self._values(points)
        people, taken = np.arange(points.shape[1]), []
        low, high = _ends(self._model)
        # Parameters without an end are measured in sds of a typical population.
        closed = np.isfinite(high - low)
        unit = np.where(closed, high - low, 4 * self._model.typical[1])
        scale = np.where(closed, self._model.natural(points), points) / unit
        for _ in range(n):
            taken.append(value.argmax(0))
            far = np.abs(scale - scale[taken[-1], people]).max(-1) > APART
            value = np.where(far, value, -np.inf)
        picked = np.array(taken, int).reshape(n, points.shape[1])
        return points[picked, people], held[picked, people]

    def _values(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Value of the best combination at each of the points (N, S, P), and its index, (N, S)."""
        each = []
        for one, prior in zip(self.combinations, self.priors, strict=True):
            value = self.search.values(points, np.broadcast_to(one, (*points.shape[:2], len(one))))
            value = value if prior is None else value + np.array([prior.log_density(x) for x in points])
            each.append(np.where(np.isfinite(value), value, -np.finfo(float).max))
        return np.max(each, axis=0), np.argmax(each, axis=0)

    def crossed(self) -> np.ndarray:
        """(C, S, P): everybody's best mode of the other combinations, for each combination."""
        value, modes = self._joint(), inside(self._model, np.array([one.mode for one in self.found]))
        others = np.where(np.eye(len(value), dtype=bool)[:, :, None], -np.inf, value[None])
        return modes[others.argmax(1), np.arange(modes.shape[1])]

    def _joint(self) -> np.ndarray:
        """The maximised function, (C, S), in nats."""
        return np.array([_joint(one, prior) for one, prior in zip(self.found, self.priors, strict=True)])


def _joint(found: Laplace, prior: PersonPrior | None) -> np.ndarray:
    """(S,): the maximised function; minus infinity where it is not finite."""
    value = found.log_lik if prior is None else found.log_lik + prior.log_density(found.mode)
    return np.where(np.isfinite(value) & found.usable, value, -np.inf)


def inside(model: Model, x: np.ndarray) -> np.ndarray:
    """Move unconstrained values inside their ranges: at the ends, and where a search was lost, there is no slope."""
    x = np.where(np.isfinite(x), x, model.typical[0])
    return np.clip(x, -0.5 * model.limits, 0.5 * model.limits)


def _ends(model: Model) -> tuple[np.ndarray, np.ndarray]:
    """The ends of the range of each parameter, (P,) and (P,)."""
    low, high = np.array([one.transform.bounds for one in model.parameters for _ in one.names]).T
    return low, high
