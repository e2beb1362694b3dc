"""Cross-validation by fitting anew, as a criterion: a fit knows how to repeat itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from pyem.data.dataset import Dataset
from pyem.infer.bayes import fit_bayes
from pyem.infer.em import fit_em
from pyem.infer.grid import fit_grid
from pyem.infer.nuts import fit_nuts
from pyem.infer.point import fit_map, fit_mle
from pyem.infer.svi import fit_svi
from pyem.selection.criterion import Criterion, Score, Settings
from pyem.selection.refits import cross_validate

if TYPE_CHECKING:
    from pyem.results.fit import Fit

VERBS: Mapping[str, Callable[..., Any]] = {
    "mle": fit_mle,
    "map": fit_map,
    "em": fit_em,
    "grid": fit_grid,
    "nuts": fit_nuts,
    "svi": fit_svi,
    "bayes": fit_bayes,
}
"""Function that repeats a fit of each method, given its settings."""


def _no_refit(fit: Fit, settings: Settings) -> str | None:
    if settings.unit == "trial":
        return "fits are not repeated for single trials; pass unit='block' or unit='subject'"
    if fit.method not in VERBS or not fit.settings:
        return f"a fit by {fit.method} does not say how to repeat it; use pyem.cross_validate(model, data, fit=...)"
    if fit.model.design is not None:
        return "a fit of a design by formula is repeated by pyem.cross_validate(design, data) only"
    if settings.unit == "subject" and fit.population is None:
        return f"a fit by {fit.method} without a group says nothing of new people; pass unit='block'"
    if settings.unit == "block" and np.bincount(fit.data.lane_subject).min() < 2:
        return "somebody has one block only, which cannot be left out; pass unit='subject'"
    return None


def _score(fit: Fit, settings: Settings) -> Score:
    options = {name: value for name, value in fit.settings.items() if name != "start"}

    def again(model: Any, data: Dataset) -> Any:
        return VERBS[fit.method](model, data, **options)

    assert settings.unit != "trial"
    draws = max(settings.draws, 32)
    found = cross_validate(fit.model, fit.data, fit=again, by=settings.unit, draws=draws, key=settings.key)
    shown = {"held_out": found.elpd, "held_out_se": found.se, "per_trial": found.per_trial}
    return Score(found.by_subject, pointwise=found.pointwise, shown=shown | {"folds": found.folds})


CROSS_VALIDATION = Criterion(
    "cross_validation",
    "cross-validation",
    _score,
    "largest",
    1.0,
    quantity="log-likelihood of data left out",
    reason=_no_refit,
    needs="a fit that can be repeated",
    units=("block", "subject"),
    column="held_out",
    columns={"held_out": "held out", "held_out_se": "se", "per_trial": "a trial", "folds": ""},
    order=90,
    marginal=True,
    costly=True,
)
