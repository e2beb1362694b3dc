"""Words for how the factors of a design are coded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pyem.data.formulas import Coded, Piece, level_text

if TYPE_CHECKING:
    from pyem.engine.binding import Part

MOST = 8
"""Number of levels above which only the first two of a factor are named."""


def coding_of(code: Coded, pieces: Sequence[Piece], *, centred: bool = False) -> str:
    """Words for how the factors of a column of a design matrix are coded; empty if there are no factors.

    Parameters
    ----------
    code
        The formula.
    pieces
        Factors of the product that makes the column.
    centred
        Whether numbers are taken from their mean over people.

    Examples
    --------
    >>> from pyem import Dataset
    >>> from pyem.data.formula_rows import rows_of
    >>> from pyem.data.formulas import coded
    >>> data = Dataset.from_arrays({"choice": np.zeros((1, 2, 2)), "drug": [[[0, 0], [1, 1]]]}, codes={"drug": ["off", "on"]})
    >>> code = coded("drug", rows_of(data, ["drug"]))
    >>> coding_of(code, code.terms[1].within)
    'drug: off = 0, on = 1'
    """
    told = dict.fromkeys(_of_piece(code, piece, centred) for piece in pieces)
    return "; ".join(text for text in told if text)


def codings(parts: Sequence[Part], codes: dict[str, Coded]) -> dict[tuple[str, str], str]:
    """Coding of each effect, by the coefficient that people have and the column of people it depends on ("" for none)."""
    out = {}
    for part in parts:
        code = codes[part.effect.parameter]
        out[part.effect.name, ""] = coding_of(code, part.within)
        for field, pieces in part.people.items():
            out[part.effect.name, field] = coding_of(code, (*part.within, *pieces), centred=part.centred)
    return out


def _of_piece(code: Coded, piece: Piece, centred: bool) -> str:
    if piece.number:
        shift = code.centre(piece) if centred and code.constant(piece) else 0.0
        return f"{piece.label}: its mean {shift:.6g} = 0" if shift else ""
    if not piece.reduced:
        return ""
    state = code.contrasts(piece.expr, piece.reduced)
    matrix = np.asarray(state.contrasts.get_coding_matrix(list(state.levels), reduced_rank=True), float)
    pairs = [f"{level_text(level)} = {_numbers(row)}" for level, row in zip(state.levels, matrix, strict=True)]
    return f"{piece.expr}: " + ", ".join(pairs if len(pairs) <= MOST else [*pairs[:2], "..."])


def _numbers(row: np.ndarray) -> str:
    text = ", ".join([f"{value:.3g}" for value in row[:MOST]] + ["..."] * (len(row) > MOST))
    return f"({text})" if len(row) > 1 else text
