"""Formulas of the command line."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Literal

import pyem
from pyem.cli import sources
from pyem.data.columns import columns_told
from pyem.data.formula_rows import BUILT_IN
from pyem.engine.formula_text import columns_of

if TYPE_CHECKING:
    from pyem.cli.runs import Request
    from pyem.model.model import Model


def make_design(request: Request, model: Model) -> Model | pyem.Regression:
    """Make a regression with those formulas that are of the model's parameters; the model itself if there are none.

    Raises
    ------
    ValueError
        If a formula cannot be read.
    """
    mine = [formula for formula in request.formulas if formula.partition("~")[0].strip() in model.names]
    common = [name for name in request.common if name.partition("[")[0] in model.names]
    missing: Literal["error", "skip"] = "skip" if request.missing_condition == "skip" else "error"
    return pyem.regress(model, *mine, common=common, missing=missing) if mine or common else model


def check_formulas(request: Request, models: Sequence[Model]) -> None:
    """Raise for invalid formulas, or formulas of a parameter that no model has, before anything is read.

    Raises
    ------
    ValueError
        If there is one.
    """
    for text in request.formulas:
        name, tilde, right = (part.strip() for part in text.partition("~"))
        if not tilde or not name or not right:
            raise ValueError(
                f"--formula {text!r} is no formula; write a parameter, ~ and what it depends on: --formula 'alpha ~ drug'"
            )
        if not any(name in model.names for model in models):
            told = "; ".join(f"{model.name} has {', '.join(model.names)}" for model in models)
            raise ValueError(f"--formula {text!r}: there is no parameter {name!r}; {told}")


def require_columns(request: Request, known: Collection[str], table: Collection[str]) -> None:
    """Raise for a formula with a column that is neither in the table nor one of the model's names for columns.

    Raises
    ------
    DataError
        If there is one.
    """
    for text in request.formulas:
        for name in columns_of(text):
            if name not in {*known, *table, *request.covariates, *BUILT_IN}:
                close = difflib.get_close_matches(name, list(map(str, table)), n=1)
                meant = f"; do you mean {close[0]!r}?" if close else ""
                raise pyem.DataError(
                    f"--formula {text!r} names the column {name!r}, but {sources.described(request.data)} has "
                    f"{columns_told(list(table))}{meant or '; name one of these'}"
                )


def named_columns(request: Request) -> list[str]:
    """Columns that formulas name, besides covariates."""
    found = [name for text in request.formulas for name in columns_of(text)]
    return [name for name in dict.fromkeys(found) if name not in request.covariates]
