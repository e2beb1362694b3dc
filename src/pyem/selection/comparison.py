"""Comparison of fits of the same data, the best first."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from pyem.errors import UndefinedCriterion, counted, list_of, require_kind, told_briefly, warn
from pyem.selection.criterion import (
    CRITERIA,
    Criterion,
    Score,
    Settings,
    Unit,
    deciding,
    has_draws,
    named,
    require,
    usual,
)
from pyem.selection.evidence import n_group_params
from pyem.selection.groups import groups_differ, groups_of_some

if TYPE_CHECKING:
    import pandas as pd

    from pyem.selection.criterion import Fit


def compare_fits(
    fits: Mapping[str, Any], *, by: str | None = None, draws: int = 1000, key: Any = 0, unit: Unit = "trial"
) -> pd.DataFrame:
    """Compare fits of the same data, the best first.

    Parameters
    ----------
    fits
        A name for each fit.
    by
        The name of the criterion that decides, one of `pyem.selection.CRITERIA`. If not given: the integrated BIC, or LME, if
        every fit has it; BIC if all are by maximum likelihood; LOO if all have draws.
    draws, key
        Draws and seed of the integrated BIC; see there. With ``draws=0`` it is left out. `key` is the seed of LOO by
        subject too.
    unit
        Unit that LOO and WAIC leave out: ``"trial"``, ``"block"`` or ``"subject"``; see `pyem.loo`.

    Returns
    -------
    DataFrame
        A row for each fit. Of the criterion that decides: ``difference`` from the best (0 or more, in the criterion's own
        units: of log evidence and elpd in nats, else of deviance), ``difference_se`` its standard error across subjects,
        ``weight`` the share of a model's exp(evidence) among all. Then ``method``; numbers ``n_params`` of parameters of a
        subject and ``n_group`` of the group; ``log_lik`` at the estimates; and the criteria, NaN where a fit has none. What
        decides is in ``.attrs["by"]``, in words in ``.attrs["method"]``. Where LOO or WAIC decide, which take long, theirs are
        the only columns of criteria: ``unit``, ``n_units``, ``elpd`` in nats with its ``se``, the effective number of
        parameters ``p``, ``deviance`` (-2 elpd), and for LOO the number of units that it fails for, ``k_above_0.7``.

    Warns
    -----
    FitWarning
        If models and their groups differ, so that a difference may be due to either, or groups are those of the people whose
        model it is (`fit_hbi`).

    Raises
    ------
    ValueError
        If the fits are of different data, a subject's likelihood is not finite in one of them, a fit does not have the
        criterion asked for, or none suits all fits.

    Notes
    -----
    The standard error takes subjects as a random sample: ``sqrt(S)`` times the standard deviation of the subjects'
    differences. It is not a Monte-Carlo error. Weights say which model holds if the same model holds for everybody; see
    `random_effects_bms` for models that differ between people.

    Examples
    --------
    >>> import pyem
    >>> data = pyem.simulate(pyem.models.get("rw1a1b"), subjects=10, key=1)
    >>> fits = {name: pyem.fit_em(pyem.models.get(name), data) for name in ("rw1a1b", "rw2a1b")}
    >>> table = compare_fits(fits)
    >>> table.attrs["by"], float(table.difference.iloc[0])
    ('integrated_bic', 0.0)
    """
    import pandas as pd

    decides = None if by is None else named(by)
    _same_data(fits)
    _all_finite(fits)
    for differ in filter(None, (groups_differ(fits), groups_of_some(fits))):
        warn(f"compare_fits: {differ}")
    settings = Settings(draws, key, unit)
    decides = decides or usual(fits, settings)
    require(decides, fits, settings)
    shown = [decides] if decides.costly else [one for one in CRITERIA.values() if not one.costly]
    scores = {name: _scores(fit, shown, settings) for name, fit in fits.items()}
    rows = {name: _row(fit, shown, scores[name]) for name, fit in fits.items()}
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("model")
    return _sorted(table, decides, {name: scores[name][decides.name] for name in fits}, settings)


def _scores(fit: Fit, shown: list[Criterion], settings: Settings) -> dict[str, Score]:
    """Scores of a fit by every criterion that is defined for it."""
    found = {}
    for one in shown:
        if one.reason(fit, settings) is None:
            try:
                found[one.name] = one.evaluate(fit, settings)
            except UndefinedCriterion:
                continue
    return found


def _row(fit: Fit, shown: list[Criterion], scores: Mapping[str, Score]) -> dict[str, Any]:
    row: dict[str, Any] = {"method": fit.method, "n_params": fit.model.n_params, "n_group": n_group_params(fit)}
    row["log_lik"] = float(fit.log_lik.sum())
    for one in shown:
        score = scores.get(one.name)
        for column in one.columns:
            row[column] = np.nan if score is None else score.shown.get(column, np.nan)
            if score is not None and column == one.column and column not in score.shown:
                row[column] = score.total
    return row


def _sorted(table: pd.DataFrame, decides: Criterion, scores: Mapping[str, Score], settings: Settings) -> pd.DataFrame:
    """Sort the table, the best fit first, and add the differences from the best."""
    lost = [name for name, score in scores.items() if not np.isfinite(score.total)]
    if lost:
        raise ValueError(f"{decides.name} of {list_of(lost)} is not a finite number; compare by another criterion")
    total = np.array([scores[name].total for name in table.index])
    order = np.argsort(-decides.sign * total, kind="stable")
    table, total = table.iloc[order].copy(), total[order]
    # In the order of the rows: names need not be text.
    ranked = [list(scores.values())[k] for k in order]
    assert decides.nats is not None
    difference = np.abs(total - total[0])
    weight = np.exp(-abs(decides.nats) * difference)
    # In front, where a narrow terminal shows them.
    table.insert(0, "difference", difference)
    table.insert(1, "difference_se", [_difference_se(score, ranked[0]) for score in ranked])
    table.insert(2, "weight", weight / weight.sum())
    table.attrs.update(by=decides.name, method=decides.said(settings.unit))
    if len(decides.units) > 1:
        table.attrs["unit"] = settings.unit
    return table


def _difference_se(one: Score, best: Score) -> float:
    """Standard error of the difference, with subjects (or the units of a single subject) as a random sample."""
    gap = one.subject - best.subject
    if len(gap) < 2 and one.pointwise is not None and best.pointwise is not None:
        gap = one.pointwise - best.pointwise
    return math.sqrt(len(gap)) * float(gap.std(ddof=1)) if len(gap) > 1 else math.nan


# -- what is refused --------------------------------------------------------------------------------------------------------


def _all_finite(fits: Mapping[str, Fit]) -> None:
    for name, fit in fits.items():
        lost = np.flatnonzero(~np.isfinite(fit.log_lik))
        # The posterior mean of draws may lie where the likelihood is 0, although no draw does.
        if len(lost) and not has_draws(fit):
            who = list_of(fit.data.subjects[lost].tolist())
            raise ValueError(
                f"fit {name!r} has no finite likelihood for {counted(len(lost), 'subject')} ({who}), so that sums over "
                "subjects mean nothing; fit all models to the data without them, data.select([<the others>])"
            )


def by_name(fits: Mapping[str, Fit]) -> None:
    """Raise unless fits are given by name."""
    if not isinstance(fits, Mapping) or not fits:
        raise ValueError(
            f'expected fits by name, such as {{"one": fit, "other": fit}}, but was given {told_briefly(fits)}'
        )
    require_kind("fit", *fits.values())


def _same_data(fits: Mapping[str, Fit]) -> None:
    by_name(fits)
    said = {
        name: f"{name!r}: {counted(fit.data.n_subjects, 'subject')}, "
        f"{counted(int(fit.data.n_responses(fit.model).sum()), 'trial')} with {' and '.join(fit.model.responses)}"
        for name, fit in fits.items()
    }
    first, *others = fits
    digest = fits[first].data.fingerprint(fits[first].model)
    different = [name for name in others if fits[name].data.fingerprint(fits[name].model) != digest]
    if different:
        raise ValueError(
            "fits of different data cannot be compared: other subjects or responses count for "
            f"{said[different[0]]} than for {said[first]}; fit both models to the same Dataset (trials that lack an input of "
            "one model have to be left out for all)"
        )


# -- what a table has -------------------------------------------------------------------------------------------------------


def measures(table: pd.DataFrame) -> list[Criterion]:
    """Criteria that all fits of a table of `compare_fits` have: the one that decided first, then the most usual ones."""
    by = table.attrs.get("by")
    found: dict[str, Criterion] = {}
    for one in sorted(deciding(), key=lambda one: one.name != by):
        if one.column in table and not np.isnan(table[one.column].to_numpy(float)).any():
            found.setdefault(one.column, one)
    return list(found.values())


def headings(table: pd.DataFrame) -> dict[str, str]:
    """Columns of a table of `compare_fits` that are worth printing, and their headings.

    Criteria that are not known for any fit are left out, and so are those of estimates if there is one that averages over
    people's parameters and they have not decided.
    """
    by = table.attrs.get("by")
    marginal = any(one.marginal for one in measures(table))
    out = {"n_params": "parameters", "log_lik": "log-lik"}
    for one in CRITERIA.values():
        if one.nats is None or one.marginal or not marginal or one.name == by:
            out |= {column: heading for column, heading in one.columns.items() if heading}
    out |= {"difference": "difference", "difference_se": "se", "weight": "weight"}
    return {column: text for column, text in out.items() if column in table and np.any(table[column].notna())}
