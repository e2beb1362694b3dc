"""Models whose log-likelihood is a plain Python function, which is evaluated and never traced."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pyem.data.dataset import Dataset
from pyem.errors import ModelError
from pyem.model.model import Model
from pyem.model.parameter import Parameter
from pyem.model.record import Record

SMALL = 0.25
"""Seconds of work below which starting processes costs more than it saves."""
WORKS = "fit_mle, fit_map and fit_em"
"""Names of the methods that need only values of the likelihood."""


@dataclasses.dataclass(frozen=True)
class PlainFunction:
    """The ``log_likelihood`` of an opaque model: ``function(p, trials)``, which only the SciPy engine calls."""

    function: Callable[..., Any]
    name: str

    def __call__(self, p: Any, trials: Any) -> Any:
        """Raise an error, because JAX tries to trace the function."""
        raise ModelError(
            f"the likelihood of model {self.name!r} is a plain Python function, which gives one value for a person: there are "
            f"no derivatives by JAX, no values of single trials and no simulation; {WORKS} work on it, and so do table(), lme "
            "and integrated_bic. Write it with jax.numpy as Model(log_likelihood=...) for all the rest"
        )


def opaque_model(
    function: Callable[..., Any],
    parameters: Sequence[Parameter],
    *,
    name: str | None = None,
    responses: Sequence[str] = ("choice",),
    outcomes: Sequence[str] = (),
    inputs: Sequence[str] = (),
    options: int | None = None,
    doc: str = "",
    reference: str = "",
) -> Model:
    """A model from a log-likelihood in plain Python or NumPy, with loops, branches, tables or calls of other libraries.

    `fit_mle`, `fit_map` and `fit_em` work on it, with derivatives by differences and the people in parallel processes; so do
    `check`, the tables of these fits, `lme` and `integrated_bic`. What needs derivatives by JAX or values of single trials
    (`fit_nuts`, `fit_svi`, `fit_grid`, `latents`, `loo`) says that it cannot.

    Parameters
    ----------
    function
        ``function(p, trials)`` returns the log-likelihood of one person, a number in nats. ``p`` has the natural parameters by
        name, as plain numbers (``p.alpha``); ``trials`` the person's columns as NumPy arrays with the trials along the first
        axis, blocks one after the other: those that are named below, ``trials.block`` (0, 1, ...), and ``trials.responded``,
        False where a trial must be left out of the likelihood. The same arguments must give the same value.
    parameters
        The free parameters, in order.
    name
        Identifier; the function's own if not given.
    responses, outcomes, inputs, options, doc, reference
        As for `Model`.

    Raises
    ------
    TypeError
        If `function` cannot be called.

    Examples
    --------
    >>> import numpy as np
    >>> import pyem
    >>> def log_lik(p, trials):
    ...     value, total = [0.5, 0.5], 0.0
    ...     for choice, reward in zip(trials.choice, trials.reward):
    ...         total -= np.log1p(np.exp(-p.beta * (value[choice] - value[1 - choice])))
    ...         value[choice] += p.alpha * (reward - value[choice])
    ...     return total
    >>> parameters = pyem.models.get("rw1a1b").parameters
    >>> model = opaque_model(log_lik, parameters, outcomes=["reward"])
    >>> data = pyem.simulate(pyem.models.get("rw1a1b"), subjects=4, trials=30, key=1)
    >>> pyem.fit_map(model, data).table().shape
    (4, 8)
    """
    if not callable(function):
        raise TypeError(f"function={function!r}; a function of one person's parameters and trials is expected")
    called = name or str(getattr(function, "__name__", "opaque"))
    return Model(
        called,
        tuple(parameters),
        log_likelihood=PlainFunction(function, called),
        options=options,
        responses=tuple(responses),
        outcomes=tuple(outcomes),
        inputs=tuple(inputs),
        doc=doc,
        reference=reference,
    )


def is_opaque(model: Model) -> bool:
    """Whether the model's likelihood can only be evaluated."""
    return isinstance(model.log_likelihood, PlainFunction)


def require_traceable(model: Model, verb: str) -> None:
    """Raise a ModelError if `verb` needs more of the model than the values of a plain Python function."""
    if is_opaque(model):
        raise ModelError(
            f"{verb} needs a likelihood that JAX can trace, but that of model {model.name!r} is a plain Python function; use "
            f"{WORKS.replace(' and ', ' or ')}, or write it with jax.numpy as Model(log_likelihood=...)"
        )


def plain_record(model: Model, x: np.ndarray) -> Record:
    """One person's natural parameters by name, as plain numbers, from unconstrained `x` (P,)."""
    values: dict[str, Any] = {}
    start = 0
    for parameter in model.parameters:
        natural = np.asarray(parameter.transform(x[start : start + len(parameter.names)]))  # type: ignore[arg-type]
        values[parameter.name] = float(natural[0]) if parameter.size is None else natural
        start += len(parameter.names)
    values |= dict(model.fixed)
    for copy, source in reversed(model.tied):
        values[copy] = values[source]
    return Record(**values)


# -- values of it: one person after the other, or in several processes ---------------------------------------------------


@dataclasses.dataclass(frozen=True)
class PersonLogLik:
    """The log-likelihood of one person's trials at unconstrained parameters, a number."""

    model: Model

    def __call__(self, x: np.ndarray, trials: Record) -> float:
        """Log-likelihood at `x` (P,)."""
        value = self.model.log_likelihood.function(plain_record(self.model, x), trials)  # type: ignore[union-attr]
        array = np.asarray(np.nan if value is None else value)
        if value is None or array.size != 1 or array.dtype.kind not in "fiub":
            what = "None" if value is None else f"{array.dtype} of shape {array.shape}"
            raise ModelError(
                f"model {self.model.name!r}: its function should return one number, the log-likelihood of a person, but "
                f"returned {what}"
            )
        return float(array.reshape(()))

    def column(self, trials: Record, x: np.ndarray) -> np.ndarray:
        """Log-likelihoods at several draws (K, P) of one person's parameters."""
        return np.array([self(row, trials) for row in x])


def people_trials(model: Model, data: Dataset) -> list[Record]:
    """The columns of each person, with the trials along the first axis, blocks one after the other."""
    record = data.trials(model)
    flat = {name: value for name, value in record.items() if name not in ("learn", "seen", "responded", "counted")}
    counts = np.any(list(data.masks(model)[0].values()), axis=0)
    first = np.searchsorted(data.lane_subject, np.arange(data.n_subjects))
    people = []
    for s in range(data.n_subjects):
        lane, row = np.nonzero((data.valid & (data.lane_subject == s)).T)
        columns = {name: np.moveaxis(array, -1, 1)[row, lane] for name, array in flat.items()}
        people.append(Record(**{"block": lane - first[s]} | columns | {"responded": counts[row, lane]}))
    return people


def opaque_log_liks(model: Model, data: Dataset, x: np.ndarray) -> np.ndarray:
    """Log-likelihood (K, S) at draws (K, S, P)."""
    return values_of_people(PersonLogLik(model).column, people_trials(model, data), x)


def values_of_people(
    column: Callable[[Any, np.ndarray], np.ndarray], people: Sequence[Any], x: np.ndarray, *, n_jobs: int = -2
) -> np.ndarray:
    """Values (K, S) of ``column(person, x (K, P))`` for each person, from draws (K, S, P); long work runs in parallel."""
    from joblib import Parallel, delayed, effective_n_jobs

    began = time.perf_counter()
    first = column(people[0], x[:, 0])
    work = (time.perf_counter() - began) * (len(people) - 1)
    rest = [(person, x[:, s]) for s, person in enumerate(people) if s]
    if work < SMALL or effective_n_jobs(n_jobs) == 1:
        columns: Any = [column(*args) for args in rest]
    else:
        columns = Parallel(n_jobs=n_jobs, backend="loky")(delayed(column)(*args) for args in rest)
    return np.array([first, *columns]).T
