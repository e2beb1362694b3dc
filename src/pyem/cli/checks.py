"""Results and files of ``pyem ppc``."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pyem
from pyem.cli.options import parse_label
from pyem.cli.spreadsheet import csv_bytes

if TYPE_CHECKING:
    from pyem.results.fit import Fit
    from pyem.study.predictive_checks import PredictiveCheck


def checked(fit: Fit, *, draws: int, option: str | None, seed: int) -> PredictiveCheck:
    """The posterior predictive check of a fit.

    Raises
    ------
    ValueError
        If nothing can be simulated from the model, or there is no such option.
    """
    predicted = pyem.posterior_predictive(fit, draws=draws, key=seed)
    labels = list(fit.data.codes.get(fit.model.responses[0], range(fit.model.options or 0)))
    return pyem.predictive_check(predicted, option=None if option is None else parse_label(option, labels))


def files(check: PredictiveCheck, *, figures: bool) -> dict[str, bytes]:
    """Tables and figure by the names of their files."""
    out = {
        "ppc.csv": csv_bytes(check.people, index=False),
        "ppc_curves.csv": csv_bytes(check.curves, index=False),
        "ppc_group.csv": csv_bytes(check.group, index=True),
    }
    if figures:
        content = io.BytesIO()
        check.plot().savefig(content, format="png", metadata={"Software": None})
        out["ppc.png"] = content.getvalue()
    return out
