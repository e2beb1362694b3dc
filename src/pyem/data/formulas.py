"""Formulas over the columns of a data set, read by formulaic, with the place of each term: in people, blocks or trials.

Every column of a design matrix is a product of columns of single factors. Those that are constant within everybody make the
person's part of it, the others the part within people: ``drug:age`` is the effect of age on the person's effect of drug.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import itertools
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pyem.data.formula_rows import Rows
from pyem.errors import DataError

if TYPE_CHECKING:
    import pandas as pd


@dataclasses.dataclass(frozen=True)
class Piece:
    """One column of one factor of a formula.

    Parameters
    ----------
    expr
        The factor, ``"C(drug, contr.sum)"``.
    reduced
        Whether it is coded by contrasts, or by an indicator of each level.
    column
        Index among the factor's columns.
    label
        Name of the column.
    indicator
        Whether it is 1 for one level and 0 for all others, without a reference level.
    number
        Whether the factor is a number and not one of several levels.
    """

    expr: str
    reduced: bool
    column: int
    label: str
    indicator: bool
    number: bool


@dataclasses.dataclass(frozen=True)
class Term:
    """A column of a design matrix: the part within people, and the person's."""

    within: tuple[Piece, ...]
    person: tuple[Piece, ...]

    @property
    def label(self) -> str:
        """Name of the term as a whole; empty for the intercept."""
        return label_of((*self.within, *self.person))


def label_of(pieces: Sequence[Piece]) -> str:
    """Name of a product of pieces; empty for none."""
    return ":".join(piece.label for piece in pieces)


@dataclasses.dataclass(frozen=True, eq=False)
class Coded:
    """A formula with the coding of its factors, as learned from some rows.

    Parameters
    ----------
    text
        The right side of the formula.
    terms
        Its columns.
    rows
        Rows from which the coding was learned.
    """

    text: str
    terms: tuple[Term, ...]
    rows: Rows

    def part(self, pieces: Sequence[Piece], frame: pd.DataFrame | None = None) -> np.ndarray:
        """The product of pieces in each row of a table (by default that of the data)."""
        out = np.ones(len(self.rows.frame if frame is None else frame))
        for piece in pieces:
            out = out * self.factor(piece.expr, piece.reduced, frame)[:, piece.column]
        return out

    def of_people(
        self, pieces: Sequence[Piece], frame: pd.DataFrame | None = None, *, centred: bool = False
    ) -> np.ndarray:
        """A product of pieces that are constant within everybody, (S,); or in each row of another table.

        With `centred`, numbers of more than two values are taken from their mean over people.
        """
        out = np.ones(len(self._firsts) if frame is None else len(frame))
        for piece in pieces:
            shift = self.centre(piece) if centred else 0.0
            of_rows = self.factor(piece.expr, piece.reduced, frame)[:, piece.column]
            out = out * ((of_rows[self._firsts] if frame is None else of_rows) - shift)
        return out

    def centre(self, piece: Piece) -> float:
        """The mean over people of a number that has more than two values; 0 for others."""
        if not piece.number:
            return 0.0
        values = self.factor(piece.expr, piece.reduced)[self._firsts, piece.column]
        return float(values.mean()) if len(np.unique(values)) > 2 else 0.0

    def constant(self, piece: Piece) -> bool:
        """Whether a column is constant within everybody."""
        return constant_in(self.factor(piece.expr, piece.reduced)[:, piece.column], self.rows.who)

    @functools.cached_property
    def _firsts(self) -> np.ndarray:
        """Index of one row of each subject."""
        return np.unique(self.rows.who, return_index=True)[1]

    def factor(self, expr: str, reduced: bool, frame: pd.DataFrame | None = None) -> np.ndarray:
        """Columns of one factor in each row, coded as in the data."""
        matrix = self._matrix(expr, reduced)
        if frame is not None:
            matrix = matrix.model_spec.get_model_matrix(frame)
        return np.asarray(matrix, float)[:, int(reduced) :]

    def names(self, expr: str, reduced: bool) -> list[str]:
        """Names that formulaic gives to the columns of one factor."""
        return list(self._matrix(expr, reduced).columns)[int(reduced) :]

    def levels(self, expr: str) -> list[str]:
        """The levels of a factor."""
        return [_level(name, expr) for name in self.names(expr, False)]

    def level_of_rows(self, expr: str) -> np.ndarray:
        """Level of a factor in each row, (row,)."""
        return self.factor(expr, False).argmax(1)

    def contrasts(self, expr: str, reduced: bool) -> Any:
        """Coding of a factor of levels: formulaic's contrasts with their levels; None for a number."""
        kind, state = self._matrix(expr, reduced).model_spec.encoder_state[expr]
        return state.get("contrasts") if kind.value == "categorical" else None

    @functools.cached_property
    def _matrices(self) -> dict[tuple[str, bool], Any]:
        return {}

    def written(self, expr: str) -> str:
        """Write a factor as it stands in a formula: column names in backquotes, and in braces unless it is a single call."""
        if expr in self.rows.frame.columns:
            return f"`{expr}`"
        return expr if isinstance(_parsed(expr)[0], ast.Call) else f"{{{expr}}}"

    def _matrix(self, expr: str, reduced: bool) -> Any:
        if (expr, reduced) not in self._matrices:
            self._matrices[expr, reduced] = _model_matrix(f"{int(reduced)} + {self.written(expr)}", self.rows.frame)
        return self._matrices[expr, reduced]


def variables(text: str) -> tuple[str, ...]:
    """The columns that the right side of a formula names.

    Examples
    --------
    >>> variables("drug * center(age)")
    ('age', 'drug')
    """
    found: set[str] = set()
    for term in _formula(text):
        for factor in term.factors:
            expr, kind = str(factor.expr), factor.eval_method.value
            found |= _names_in(expr) if kind == "python" else {expr} if kind == "lookup" else set()
    return tuple(sorted(found))


def _names_in(expression: str) -> set[str]:
    """Names in a Python expression that are not of functions or contrasts: ``center(age)`` has age."""
    tree, quoted = _parsed(expression)
    nodes = list(ast.walk(tree))
    calls = [node for node in nodes if isinstance(node, ast.Call)]
    called = {call.func for call in calls} | {arg for call in calls for arg in _contrasts_of(call)}
    bases = {node.value for node in nodes if isinstance(node, ast.Attribute)}
    names = {node.id for node in nodes if isinstance(node, ast.Name) and node not in called | bases}
    return {quoted.get(name, name) for name in names}


def _parsed(expression: str) -> tuple[ast.expr, dict[str, str]]:
    """Parse a Python expression, and return what stands in backquotes for each of its names."""
    quoted = {f"_quoted_{k}": name for k, name in enumerate(re.findall("`([^`]+)`", expression))}
    for known, name in quoted.items():
        expression = expression.replace(f"`{name}`", known)
    return ast.parse(expression, mode="eval").body, quoted


def _contrasts_of(call: ast.Call) -> list[ast.expr]:
    """Parts of a call that name a coding: ``C(drug, Sum)``."""
    return call.args[1:] if isinstance(call.func, ast.Name) and call.func.id == "C" else []


def coded(text: str, rows: Rows) -> Coded:
    """The columns of a formula's design matrix, each with its parts.

    Raises
    ------
    DataError
        If the formula cannot be read, or a factor has one level only.
    """
    matrix = _model_matrix(text, rows.frame)
    out = Coded(text, (), rows)
    terms = []
    for structure in matrix.model_spec.structure:
        for scoped in structure.scoped_terms:
            if scoped.scale != 1:
                raise DataError(
                    f"the formula {text!r} multiplies a term by {scoped.scale}; write I({scoped.scale} * ...)"
                )
            factors = [(str(f.factor.expr), bool(f.reduced)) for f in scoped.factors]
            each = [_pieces(out, expr, reduced) for expr, reduced in factors]
            terms += [_placed(out, pieces) for pieces in itertools.product(*each)]
    return dataclasses.replace(out, terms=tuple(terms))


def _formula(text: str) -> Any:
    from formulaic import Formula, SimpleFormula

    try:
        read = Formula(text)  # pyright: ignore[reportAbstractUsage]
    except Exception as error:
        hint = "; a name that is not one word stands in backquotes" if "Missing operator" in str(error) else ""
        raise DataError(f"the formula {text!r} cannot be read: {_plain(error)}{hint}") from None
    if not isinstance(read, SimpleFormula):
        raise DataError(
            f"the formula {text!r} has several parts; one ~ stands after the parameter, and a bar stands in parentheses: "
            "(drug | subject)"
        )
    return read


def _model_matrix(text: str, frame: pd.DataFrame) -> Any:
    formula = _formula(text)
    try:
        # A value that is no number afterwards, as a logarithm of 0, is an error below.
        with np.errstate(all="ignore"):
            return formula.get_model_matrix(frame, na_action="raise")
    except Exception as error:
        raise DataError(f"the formula {text!r} cannot be evaluated on these data: {_said(error)}") from None


def _said(error: Exception) -> str:
    """Explain an error of formulaic, with a remedy for what it does not know."""
    text = _plain(error)
    if nulls := re.search("checking for nulls in `(.*?)`:", text):
        return (
            f"{nulls[1]} has no finite value in some rows, as a logarithm of what is not positive, or a row before the first; "
            "correct these values, or make the column in the table"
        )
    if "'offset' is not defined" in text:
        return (
            "an offset is an effect that is held: write the column itself, and hold its effect, "
            "pyem.fix(design, **{'alpha[x]': 1})"
        )
    return text


def _plain(error: Exception) -> str:
    text = re.sub(r"\x1b\[[0-9;]*m|[⧛⧚]", "", str(error))
    return " ".join(text.split())


def _pieces(out: Coded, expr: str, reduced: bool) -> list[Piece]:
    """The columns of a factor, with their names."""
    names, state = out.names(expr, reduced), out.contrasts(expr, reduced)
    if state is None:
        only = len(names) == 1
        labels = [expr if only else f"{expr}[{k}]" for k in range(len(names))]
        return [Piece(expr, reduced, k, label, False, True) for k, label in enumerate(labels)]
    variable = (variables(out.written(expr)) or (expr,))[0]
    if len(state.levels) < 2:
        raise DataError(
            f"{variable!r} has the one level {level_text(state.levels[0])!r} in these data, so it has no effect that could be "
            "estimated; leave it out of the formula"
        )
    levels = [_level(name, expr) for name in names]
    if not reduced:
        return [Piece(expr, reduced, k, level, True, False) for k, level in enumerate(levels)]
    alone = len(names) == 1
    labels = [variable if alone else f"{variable}={level}" for level in levels]
    return [Piece(expr, reduced, k, label, False, False) for k, label in enumerate(labels)]


def _level(name: str, expr: str) -> str:
    """The level in formulaic's name of a column, ``"drug[T.active]"``."""
    inside = name[len(expr) + 1 : -1]
    head, dot, tail = inside.partition(".")
    return level_text(tail if dot and len(head) == 1 and head.isupper() else inside)


def level_text(level: Any) -> str:
    """Write a level as text: whole numbers without a decimal point.

    Examples
    --------
    >>> level_text("2.0"), level_text(2.5), level_text("placebo")
    ('2', '2.5', 'placebo')
    """
    return re.sub(r"^(-?\d+)\.0$", r"\1", str(level))


def _placed(out: Coded, pieces: Sequence[Piece]) -> Term:
    who = out.rows.who
    of_person = [constant_in(out.part([piece]), who) for piece in pieces]
    within = tuple(piece for piece, person in zip(pieces, of_person, strict=True) if not person)
    person = tuple(piece for piece, person in zip(pieces, of_person, strict=True) if person)
    return Term(within, person)


def constant_in(values: np.ndarray, index: np.ndarray) -> bool:
    """Whether `values` are the same in all rows of each group of rows.

    Examples
    --------
    >>> constant_in(np.array([1, 1, 2]), np.array([0, 0, 1]))
    True
    """
    first = np.full(int(index.max()) + 1, -1)
    first[index[::-1]] = np.arange(len(index))[::-1]
    return bool((values == values[first[index]]).all())
