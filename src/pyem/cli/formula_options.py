"""Options of the command line for columns on which parameters depend."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pyem.cli.options import GROUP, MODEL, option


class MissingCondition(StrEnum):
    """Treatment of trials that have no value in a column of a formula."""

    error = "error"
    skip = "skip"


Formulas = Annotated[
    list[str],
    option(
        MODEL,
        "What a parameter depends on: 'alpha ~ drug * diagnosis + age', 'beta ~ load + (1 | subject)'. Columns of the file are "
        "found by their names. May be repeated.",
        "--formula",
        metavar="FORMULA",
        many=True,
    ),
]
MissingConditions = Annotated[
    MissingCondition,
    option(MODEL, "Trials without a value in a column of a formula: an error, or left out of the likelihood."),
]
Common = Annotated[
    list[str],
    option(
        GROUP,
        "A parameter, or an effect such as alpha[drug], that has one value for everybody. May be repeated.",
        "--common",
        metavar="PARAMETER",
        many=True,
    ),
]


def designs(formula: list[str], common: list[str], missing: MissingCondition) -> dict[str, Any]:
    """Fields of a request that concern formulas."""
    return {"formulas": tuple(formula), "common": tuple(common), "missing_condition": missing.value}
