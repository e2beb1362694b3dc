"""Formulas of the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyem
from pyem.engine.formula_text import columns_of

if TYPE_CHECKING:
    from pyem.cli.runs import Request
    from pyem.model.model import Model


def make_design(request: Request, model: Model) -> Model | pyem.Regression:
    """A model with those of the formulas that are of its parameters; the model itself if there are none.

    Raises
    ------
    ValueError
        If a formula cannot be read.
    """
    mine = [formula for formula in request.formulas if formula.partition("~")[0].strip() in model.names]
    common = [name for name in request.common if name.partition("[")[0] in model.names]
    return pyem.regress(model, *mine, common=common) if mine or common else model


def named_columns(request: Request) -> list[str]:
    """Columns that formulas name, besides covariates."""
    found = [name for text in request.formulas for name in columns_of(text)]
    return [name for name in dict.fromkeys(found) if name not in request.covariates]
