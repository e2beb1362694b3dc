"""Search for the numbers of a task, such as payoff probabilities or the rate of reversals, with the most informative data."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from pyem.errors import require_method, require_whole
from pyem.infer.point import fit_map
from pyem.model.model import Model
from pyem.model.ranges import is_pair
from pyem.numerics.rng import as_key
from pyem.study.designs import DesignChoice, told
from pyem.study.experiment import Experiment, Fitter
from pyem.task.around import Around
from pyem.task.task import require_task

if TYPE_CHECKING:
    import pandas as pd

SCOUTS = 4
"""Number of places to evaluate at first for each number, besides the middle of the ranges."""
CLOSE = 0.01
"""Distance, as a share of the ranges, of moves at which the search ends."""
MIDDLE, TUNED = "middle of the ranges", "tuned"


@dataclasses.dataclass(frozen=True)
class TaskOfNumbers(Around):
    """A task that a function makes from numbers, of which other values need no new compilation.

    Parameters
    ----------
    make
        The function; numbers may be those that JAX traces.
    names, values
        Names and values of the numbers.
    """

    make: Callable[..., Any]
    names: tuple[str, ...]
    values: tuple[Any, ...]

    @property
    def task(self) -> Any:
        """The task with these numbers."""
        return self.make(**dict(zip(self.names, self.values, strict=True)))

    def split_values(self) -> tuple[TaskOfNumbers, tuple[Any, ...]]:
        """Split off the numbers: the task without them, and the numbers; see `pyem.numerics.jit.Valued`."""
        return dataclasses.replace(self, values=(0.0,) * len(self.names)), self.values

    def join_values(self, values: Any) -> TaskOfNumbers:
        """Put the numbers back: the inverse of `split_values`."""
        return dataclasses.replace(self, values=tuple(values))


@dataclasses.dataclass(frozen=True, eq=False)
class DesignTuning:
    """Result of a search for the best numbers of a task.

    Parameters
    ----------
    numbers
        The best numbers that were found.
    task
        The task with these.
    path
        All that was looked at: the numbers, and the mean over simulated people, the same each time.
    fresh
        Information from the middle of the ranges and from the best numbers, about people not used in the search.
    """

    numbers: Mapping[str, float]
    task: Any
    path: pd.DataFrame
    fresh: DesignChoice

    def table(self) -> pd.DataFrame:
        """Information from the middle of the ranges and from the best numbers, about people not used in the search."""
        return self.fresh.table()

    def __repr__(self) -> str:
        said = ", ".join(f"{name} = {value:.3g}" for name, value in self.numbers.items())
        return f"Tuned to {said} in {len(self.path)} looks\n{self.fresh!r}"


def tune_design(
    what: Model | Sequence[Model] | Mapping[str, Model],
    make: Callable[..., Any],
    ranges: Mapping[str, tuple[float, float]],
    *,
    key: Any,
    design: Experiment | None = None,
    subjects: int = 200,
    evaluations: int = 60,
    fit: Fitter = fit_map,
) -> DesignTuning:
    """Find the numbers of a task with the most informative data about parameters, or about which of several models holds.

    Parameters
    ----------
    what
        A model, whose expected information is made large; or several, whose Laplace-Chernoff risk is made small.
    make
        Makes the task from numbers: ``lambda good, bad: pyem.task.Bandit((good, bad))``. They may be numbers that JAX traces:
        nothing in it, nor in the task, may ask whether one of them is larger than another.
    ranges
        Smallest and largest value of each number.
    key
        Seed or JAX random key; the same people do all tasks.
    design
        Other properties of the experiment: blocks, trials, missed responses.
    subjects
        Simulated people for each task, and of each model.
    evaluations
        Tasks that are looked at, at most.
    fit
        Method as in `choose_design`.

    Raises
    ------
    ValueError
        If ranges are empty or not finite, `evaluations` are too few, or the design has a task or data of its own.

    Notes
    -----
    The same random numbers are used for all tasks, so that their differences are known much better than they are themselves.
    The search looks at evenly spread places, and goes on from the best one by the simplex method of Nelder and Mead. It finds a
    better design, and not for sure the best one of all.

    References
    ----------
    Daunizeau, J., Preuschoff, K., Friston, K., & Stephan, K. (2011). Optimizing experimental design for comparing models of
    brain function. PLoS Computational Biology, 7(11), e1002280. https://doi.org/10.1371/journal.pcbi.1002280

    Nelder, J. A., & Mead, R. (1965). A simplex method for function minimization. The Computer Journal, 7(4), 308-313.
    https://doi.org/10.1093/comjnl/7.4.308

    Examples
    --------
    >>> import pyem
    >>> found = tune_design(  # doctest: +SKIP
    ...     [pyem.models.get("rw1a1b"), pyem.models.get("wsls")],
    ...     lambda good, bad: pyem.task.Bandit((good, bad)),
    ...     {"good": (0.5, 1.0), "bad": (0.0, 0.5)},
    ...     key=1,
    ... )
    >>> found.numbers  # doctest: +SKIP
    {'good': 0.93, 'bad': 0.31}
    """
    low, high = _bounds(ranges)
    least = SCOUTS * len(ranges) + 2
    require_method(fit)
    require_whole(subjects=(subjects, 2), evaluations=(evaluations, least))
    plan, seed, names = _plan(design), as_key(key), tuple(ranges)
    require_task(TaskOfNumbers(make, names, tuple((0.5 * (low + high)).tolist())).task)
    looks: list[tuple[np.ndarray, float]] = []

    def at(place: np.ndarray, key: Any) -> dict[str, np.ndarray]:
        task = TaskOfNumbers(make, names, tuple(float(one) for one in low + place * (high - low)))
        return told(what, dataclasses.replace(plan, task=task), subjects, key, fit)

    def cost(place: np.ndarray) -> float:
        values = at(place, seed)
        value = float(values["chernoff"].mean() if "chernoff" in values else -values["information"].mean())
        looks.append((place, value))
        return value if np.isfinite(value) else np.inf

    _search(cost, len(names), evaluations)
    best = min(looks, key=lambda look: look[1] if np.isfinite(look[1]) else np.inf)[0]
    other = jax.random.fold_in(seed, 1)
    by = "information" if isinstance(what, Model) else "chernoff"
    fresh = DesignChoice(by, {MIDDLE: at(np.full(len(names), 0.5), other), TUNED: at(best, other)})
    numbers = dict(zip(names, (low + best * (high - low)).tolist(), strict=True))
    return DesignTuning(numbers, make(**numbers), _path(looks, names, low, high, by), fresh)


def _search(cost: Callable[[np.ndarray], float], n: int, evaluations: int) -> None:
    """Evaluate places of the unit cube: some that are evenly spread, then downhill from the best."""
    from scipy.optimize import minimize
    from scipy.stats.qmc import Halton

    scouts = [np.full(n, 0.5), *Halton(n, scramble=False).random(SCOUTS * n + 1)[1:]]
    start = scouts[int(np.argmin([cost(place) for place in scouts]))]
    corners = np.array([start, *(start + np.where(start < 0.5, 0.2, -0.2) * row for row in np.eye(n))])
    options = {"maxfev": evaluations - len(scouts), "xatol": CLOSE, "fatol": 1e-4, "initial_simplex": corners}
    minimize(cost, start, method="Nelder-Mead", bounds=[(0.0, 1.0)] * n, options=options)


def _bounds(ranges: Mapping[str, tuple[float, float]]) -> tuple[np.ndarray, np.ndarray]:
    if not isinstance(ranges, Mapping) or not ranges or not all(map(_is_range, ranges.values())):
        raise ValueError(
            f"ranges={ranges!r}; a smallest and a larger largest value of each number are expected, as in "
            "{'good': (0.5, 1.0), 'bad': (0.0, 0.5)}"
        )
    low, high = np.array(list(ranges.values()), float).T
    return low, high


def _is_range(pair: Any) -> bool:
    return is_pair(pair) and bool(np.isfinite(pair).all() and pair[0] < pair[1])


def _plan(design: Experiment | None) -> Experiment:
    plan = design or Experiment()
    if (plan.task, plan.data, plan.conditions) != (None, None, None):
        raise ValueError("the task is made by make=; give a design of blocks, trials and missed responses only")
    return plan


def _path(
    looks: list[tuple[np.ndarray, float]], names: tuple[str, ...], low: np.ndarray, high: np.ndarray, by: str
) -> pd.DataFrame:
    import pandas as pd

    places, values = np.array([place for place, _ in looks]), np.array([value for _, value in looks])
    table = pd.DataFrame(low + places * (high - low), columns=list(names))
    return table.assign(**{by: -values if by == "information" else values})
