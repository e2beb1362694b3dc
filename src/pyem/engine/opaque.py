"""Values of models whose likelihood is a plain Python function, for one person after the other or in several processes."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pyem.data.dataset import Dataset
from pyem.errors import ModelError
from pyem.model.model import Model
from pyem.model.opaque import plain_record
from pyem.model.record import Record

SMALL = 0.25
"""Seconds of work below which starting processes costs more than it saves."""


@dataclasses.dataclass(frozen=True)
class PersonLogLik:
    """The log-likelihood of one person's trials at unconstrained parameters, a number."""

    model: Model

    def __call__(self, x: np.ndarray, trials: Record) -> float:
        """At x (P,)."""
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
        """At several draws (K, P) of one person's parameters."""
        return np.array([self(row, trials) for row in x])


def people_trials(model: Model, data: Dataset) -> list[Record]:
    """The columns of each person, with the trials along the first axis, blocks one after the other."""
    record = data.trials(model)
    flat = {name: value for name, value in record.items() if name not in ("learn", "seen", "responded")}
    counts = np.any(list(record.responded.values()), axis=0)
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
    """What ``column(person, x (K, P))`` gives for each person, (K, S), from draws (K, S, P); much work is shared out."""
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
