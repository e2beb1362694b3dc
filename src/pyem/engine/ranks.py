"""Checks that the effects of a design can be told apart."""

from __future__ import annotations

import itertools

import numpy as np

from pyem.data.formulas import Coded, variables
from pyem.errors import DataError

SMALL = 1e-9
"""Distance within which a combination of other columns reproduces a column of unit length that is collinear with them."""


def require_cells(code: Coded, parameter: str) -> None:
    """Raise a DataError that names the cell if one of a design has no trial.

    Parameters
    ----------
    code
        The formula.
    parameter
        Parameter of the formula, for the message.
    """
    for term in code.terms:
        pieces = (*term.within, *term.person)
        values = code.part(pieces)
        crossed = [piece.expr for piece in pieces if not piece.number]
        if len(crossed) > 1 and (empty := _empty_cell(code, crossed)):
            raise DataError(
                f"the formula of {parameter!r} has the effect {term.label}, but no trial is in the cell {empty}; leave the "
                "interaction out, or merge levels"
            )
        if len(pieces) == 1 and np.ptp(values) == 0:
            raise DataError(
                f"the formula of {parameter!r} has {term.label}, which is {values[0]:g} in every trial; a constant has no "
                "effect, leave it out"
            )


def _empty_cell(code: Coded, factors: list[str]) -> str:
    """First combination of levels that no trial has, in words; empty if there is none."""
    levels = [code.levels(factor) for factor in factors]
    seen = set(zip(*(code.level_of_rows(factor).tolist() for factor in factors), strict=True))
    for cell in itertools.product(*(range(len(known)) for known in levels)):
        if cell not in seen:
            of = zip(factors, levels, cell, strict=True)
            return ", ".join(f"{variables(code.written(factor))[0]} {known[k]!r}" for factor, known, k in of)
    return ""


def require_rank(columns: dict[str, np.ndarray], what: str) -> None:
    """Raise a DataError that names the columns of which one is a combination of the others.

    Examples
    --------
    >>> require_rank({"a": np.array([1.0, 2.0]), "b": np.array([2.0, 4.0])}, "these terms")
    Traceback (most recent call last):
    pyem.errors.DataError: a, b are collinear among these terms: one is a combination of the others in these data; leave one out
    """
    if not columns:
        return
    matrix = np.stack(list(columns.values()), axis=1)
    matrix = matrix / np.maximum(np.sqrt((matrix**2).sum(0)), 1e-300)
    if matrix.shape[1] > matrix.shape[0]:
        raise DataError(
            f"{what}: there are {matrix.shape[1]} ({', '.join(columns)}), but {matrix.shape[0]} people or trials only"
        )
    _, sizes, directions = np.linalg.svd(matrix, full_matrices=False)
    if sizes[-1] < SMALL * max(sizes[0], 1e-300):
        involved = [name for name, part in zip(columns, directions[-1], strict=True) if abs(part) > 1e-6]
        raise DataError(
            f"{', '.join(involved)} are collinear among {what}: one is a combination of the others in these data; leave one out"
        )


def same_span(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    """Whether some columns span the same space as others.

    Examples
    --------
    >>> same_span({"a": np.ones(3), "b": np.arange(3.0)}, {"a": np.ones(3), "b": np.arange(3.0) - 1})
    True
    """
    first, second = (np.stack(list(columns.values()), axis=1) for columns in (one, other))
    basis, _ = np.linalg.qr(first / np.sqrt((first**2).sum(0)))
    second = second / np.maximum(np.sqrt((second**2).sum(0)), 1e-300)
    return bool(np.abs(second - basis @ (basis.T @ second)).max() < 1e-8)
