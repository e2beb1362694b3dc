"""Fits of the same data compared, the best first."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from pyem.errors import UndefinedCriterion, list_of
from pyem.results.point import PointFit
from pyem.results.sample import SampleFit
from pyem.selection.criteria import aic, bic, pseudo_r2
from pyem.selection.evidence import integrated_bic, lme, n_group_params

if TYPE_CHECKING:
    import pandas as pd

Unit = Literal["trial", "block", "subject"]
CRITERIA = {
    "integrated_bic": "integrated BIC (Huys et al., 2011), smallest is best",
    "lme": "log model evidence (Laplace, less the penalty of the group's parameters), largest is best",
    "aic": "AIC summed over subjects, smallest is best",
    "bic": "BIC summed over subjects, smallest is best",
}
"""What fits can be sorted by."""


BY_DRAWS = ("loo", "waic")
"""What fits with draws can be sorted by."""


# -- comparison ---------------------------------------------------------------------------------------------------------


def compare_fits(
    fits: Mapping[str, Any], *, by: str | None = None, draws: int = 1000, key: Any = 0, unit: Unit = "trial"
) -> pd.DataFrame:
    """Compare fits of the same data, the best first.

    Parameters
    ----------
    fits
        A name for each fit.
    by
        The criterion that decides: ``"integrated_bic"``, ``"lme"``, ``"aic"`` or ``"bic"``. If not given: the integrated
        BIC, or LME, if every fit has it; BIC if all are by maximum likelihood. Fits by `fit_nuts` or `fit_svi` are compared
        by ``"loo"`` (the default for them) or ``"waic"``.
    draws, key
        Of the integrated BIC; see there. With ``draws=0`` it is left out. `key` is the seed of LOO by subject too.
    unit
        For LOO and WAIC, what is left out: ``"trial"``, ``"block"`` or ``"subject"``; see `pyem.loo`.

    Returns
    -------
    DataFrame
        A row for each fit: ``method``; numbers ``n_params`` of parameters of a subject and ``n_group`` of the group;
        ``log_lik`` at the estimates; the criteria, NaN where a fit has none; and of the criterion that decides: ``difference``
        from the best (0 or more; of LME in nats, else in units of deviance), ``difference_se`` its standard error across
        subjects, ``weight`` the share of a model's exp(evidence) among all. What decides is in ``.attrs["by"]``, in words in
        ``.attrs["method"]``. For LOO and WAIC the columns are ``method``, ``n_params``, ``unit``, ``n_units``, ``elpd`` in nats
        with its ``se``, the effective number of parameters ``p``, ``deviance`` (-2 elpd), for LOO the number of units that it
        fails for, ``k_above_0.7``, and ``difference``, ``difference_se`` and ``weight`` of elpd.

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

    if by is not None and by not in (*CRITERIA, *BY_DRAWS):
        raise ValueError(f"by={by!r}; choose one of {', '.join((*CRITERIA, *BY_DRAWS))}")
    _same_data(fits)
    if _have_draws(fits, by):
        from pyem.selection.comparison_draws import compare_draws

        return compare_draws(fits, by=by or "loo", unit=unit, key=key)
    _all_finite(fits)
    rows, parts = {}, {}
    for name, fit in fits.items():
        rows[name], parts[name] = _described(fit, draws, key)
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("model")
    by = by or _usual(fits, parts)
    lacking = [name for name, part in parts.items() if by not in part]
    if lacking:
        raise ValueError(f"no {by} for {', '.join(lacking)} (see the function {by}); compare by another criterion")
    sign, scale = (-1, 1.0) if by == "lme" else (1, 0.5)
    table = table.iloc[np.argsort(sign * table[by].to_numpy(), kind="stable")]
    table["difference"] = np.abs(table[by] - table[by].iloc[0])
    best = parts[table.index[0]][by]
    table["difference_se"] = [_sum_se(parts[name][by] - best) for name in table.index]
    weight = np.exp(-scale * table["difference"])
    table["weight"] = weight / weight.sum()
    table.attrs.update(by=by, method=CRITERIA[by])
    return table


def _have_draws(fits: Mapping[str, Any], by: str | None) -> bool:
    """Whether these are fits with draws, to be compared by what they predict."""
    have = {name: isinstance(fit, SampleFit) for name, fit in fits.items()}
    said = ", ".join(f"{name!r} by {fit.method}" for name, fit in fits.items())
    if any(have.values()) and not all(have.values()):
        raise ValueError(f"fits with and without draws cannot be compared ({said}): fit all models by one method")
    if any(have.values()) and by in CRITERIA:
        raise ValueError(
            f"by={by!r} is for point estimates, but these fits have draws ({said}); choose 'loo' or 'waic'"
        )
    if by in BY_DRAWS and not any(have.values()):
        raise ValueError(f"by={by!r} needs draws from the posterior, but these fits have none ({said}); use fit_nuts")
    return any(have.values())


def _all_finite(fits: Mapping[str, PointFit]) -> None:
    for name, fit in fits.items():
        lost = np.flatnonzero(~np.isfinite(fit.log_lik))
        if len(lost):
            who = list_of(fit.data.subjects[lost].tolist())
            raise ValueError(
                f"fit {name!r} has no finite likelihood for {len(lost)} subjects ({who}), so that sums over subjects mean "
                "nothing; fit all models to the data without them, data.select([<the others>])"
            )


def _same_data(fits: Mapping[str, PointFit]) -> None:
    if not isinstance(fits, Mapping) or not fits:
        raise ValueError('expected fits by name, such as {"one": fit, "other": fit}, but was given ' + f"{fits!r:.60}")
    said = {
        name: f"{name!r}: {fit.data.n_subjects} subjects, {int(fit.data.n_responses(fit.model).sum())} trials with "
        f"{' and '.join(fit.model.responses)}"
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


def _usual(fits: Mapping[str, PointFit], parts: Mapping[str, Mapping[str, np.ndarray]]) -> str:
    """The criterion that decides if none is named."""
    for criterion in ("integrated_bic", "lme"):
        if all(criterion in part for part in parts.values()):
            return criterion
    if all(fit.method == "mle" for fit in fits.values()):
        return "bic"
    methods = ", ".join(f"{name!r} by {fit.method}" for name, fit in fits.items())
    raise ValueError(
        f"no criterion suits all of these fits ({methods}): fit them by one method, or name a criterion with by="
    )


def _described(fit: PointFit, draws: int, key: Any) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """A row of the table, and each subject's part of every criterion."""
    evidence = _if_defined(lambda: lme(fit))
    integrated = _if_defined(lambda: integrated_bic(fit, draws=draws, key=key)) if draws else None
    akaike, schwarz = aic(fit), bic(fit)
    r2 = _if_defined(lambda: pseudo_r2(fit))
    row = {
        "method": fit.method,
        "n_params": fit.model.n_params,
        "n_group": n_group_params(fit),
        "log_lik": float(fit.log_lik.sum()),
        "lme": evidence.value if evidence else np.nan,
        "integrated_bic": integrated.value if integrated else np.nan,
        "integrated_bic_se": integrated.se if integrated else np.nan,
        "aic": akaike.total,
        "bic": schwarz.total,
        "pseudo_r2": r2.median if r2 else np.nan,
    }
    parts = {"aic": akaike.subject, "bic": schwarz.subject}
    if evidence:
        parts["lme"] = evidence.subject
    if integrated:
        parts["integrated_bic"] = -2 * integrated.log_evidence
    return row, parts


def _if_defined(criterion: Callable[[], Any]) -> Any:
    try:
        return criterion()
    except UndefinedCriterion:
        return None


def _sum_se(parts: np.ndarray) -> float:
    """Standard error of the sum of the subjects' parts."""
    return float(math.sqrt(len(parts)) * parts.std(ddof=1)) if len(parts) > 1 else math.nan
