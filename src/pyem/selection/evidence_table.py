"""Tables of log evidence: a row for each subject, a column for each model."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from pyem.errors import FitWarning, list_of
from pyem.results.fit import is_fit
from pyem.selection.criterion import Settings, named, require, usual


class EvidenceTable(NamedTuple):
    """Log evidence of models for subjects."""

    values: np.ndarray
    """Log evidence in nats, (S, M)."""
    names: tuple[str, ...]
    """Names of the models."""
    subjects: np.ndarray
    """Labels, (S,)."""


def evidence_table(evidence: Any, by: str | None = None, draws: int = 1000, key: Any = 0) -> EvidenceTable:
    """Log evidence of each model for each subject, from numbers or fits.

    Parameters
    ----------
    evidence
        A table (S, M) in nats, a data frame with the models' names as columns, or fits of the same people by the names of
        their models.
    by, draws, key
        For fits: the criterion, as in `pyem.compare_fits`, and its draws and seed. Each subject's part is used, in nats,
        without the price of the group's parameters.

    Raises
    ------
    ValueError
        If it is not a table of finite numbers with two models or more, or fits are of different people.
    """
    if isinstance(evidence, Mapping) and evidence and all(is_fit(one) for one in evidence.values()):
        found = _of_fits(evidence, by, Settings(draws, key))
    else:
        values = np.asarray(evidence, float)
        shape = values.shape if values.ndim == 2 else (0, 0)
        columns, rows = range(1, shape[1] + 1), np.arange(shape[0])
        table: Any = evidence
        if hasattr(table, "columns"):
            columns, rows = table.columns, table.index
        found = EvidenceTable(values, tuple(map(str, columns)), np.asarray(rows))
    table = found.values
    if table.ndim != 2 or table.shape[1] < 2 or table.shape[0] < 1 or not np.isfinite(table).all():
        lost = int((~np.isfinite(table)).sum())
        raise ValueError(
            f"expected finite log evidences (subjects, models) of at least two models, but was given shape {table.shape} with "
            f"{lost} values that are not finite; leave subjects without evidence out for all models"
        )
    if len(set(found.names)) < len(found.names):
        raise ValueError(f"several models have the same name: {', '.join(found.names)}; give them different ones")
    return found


def _of_fits(fits: Mapping[str, Any], by: str | None, settings: Settings) -> EvidenceTable:
    criterion = usual(fits, settings) if by is None else named(by)
    require(criterion, fits, settings)
    first, *others = fits.values()
    for name, fit in zip(list(fits)[1:], others, strict=True):
        if fit.data.fingerprint(fit.model) != first.data.fingerprint(first.model):
            raise ValueError(
                f"other people or responses count for {name!r} than for {next(iter(fits))!r}; fit all models to the same "
                "Dataset"
            )
    assert criterion.nats is not None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)
        scores = [criterion.nats * criterion.evaluate(fit, settings).subject for fit in fits.values()]
    return EvidenceTable(np.column_stack(scores), tuple(map(str, fits)), first.data.subjects)


def families_of(names: Sequence[str], families: Mapping[str, Sequence[str]]) -> np.ndarray:
    """Index of each model's family, (M,).

    Raises
    ------
    ValueError
        If a model is in no family or in two, there is no such model, or there are fewer than two families.
    """
    members = [name for some in families.values() for name in ([some] if isinstance(some, str) else some)]
    unknown = [name for name in members if name not in names]
    lacking = [name for name in names if name not in members]
    if unknown or lacking or len(members) > len(set(members)) or len(families) < 2:
        wrong = [f"there is no model {list_of(unknown)}"] if unknown else []
        wrong += [f"{list_of(lacking)} is in no family"] if lacking else []
        wrong += ["a model is in two families"] if len(members) > len(set(members)) else []
        wrong += ["at least two families are needed"] if len(families) < 2 else []
        raise ValueError(
            f"families={dict(families)!r:.200}: {'; '.join(wrong)}; put each of {', '.join(names)} into one family"
        )
    where = {
        name: k for k, some in enumerate(families.values()) for name in ([some] if isinstance(some, str) else some)
    }
    empty = [family for family, some in families.items() if not some]
    if empty:
        raise ValueError(f"family {list_of(empty)} has no model; leave it out")
    return np.array([where[name] for name in names])
