"""Conditions on the rows of a table, such as ``phase == 'main' and not practice``, and their evaluation.

The words are those of Python, and a condition can do nothing but compare: it is parsed, never run as code.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from pyem.data.columns import require
from pyem.errors import DataError

_COMPARED: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_COMPUTED: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Mod: operator.mod,
}
EXAMPLE = "where=\"phase == 'main' and not practice and rt < 2\""


def fulfilled(table: Any, where: str) -> np.ndarray:
    """(row,): whether each row of a narwhals table fulfils a condition.

    Parameters
    ----------
    table
        The table.
    where
        Comparisons of columns with numbers, text and each other (``==, !=, <, <=, >, >=, in, not in``), ``and``, ``or``,
        ``not``, brackets and sums; a name with spaces stands in backticks. A column of truth values (or of 0 and 1) is
        a condition itself. A missing value fulfils no comparison but ``!=`` and ``not in``, and is no true one.

    Raises
    ------
    DataError
        If it cannot be understood, names a column that is not there, or compares text with numbers.

    Examples
    --------
    >>> import narwhals as nw, pandas as pd
    >>> frame = pd.DataFrame({"phase": ["main", "warm up", "main"], "practice": [False, True, True]})
    >>> fulfilled(nw.from_native(frame), "phase == 'main' and not practice").tolist()
    [True, False, False]
    """
    tree, quoted = _parsed(where)
    return _Rows(table, where, quoted).truth(tree.body)


def columns_of(where: str) -> list[str]:
    """Columns that a condition names; see `fulfilled`.

    Examples
    --------
    >>> columns_of("phase == 'main' and not `was practice`")
    ['phase', 'was practice']
    """
    tree, quoted = _parsed(where)
    names = sorted((node for node in ast.walk(tree) if isinstance(node, ast.Name)), key=lambda node: node.col_offset)
    return list(dict.fromkeys(quoted.get(node.id, node.id) for node in names))


def _parsed(where: str) -> tuple[ast.Expression, dict[str, str]]:
    """Parse the condition as Python, and return what stands for names in backticks."""
    if not isinstance(where, str) or not where.strip():
        raise DataError(f"where={where!r}; expected a condition on columns of the table as text, such as {EXAMPLE}")
    quoted: dict[str, str] = {}

    def named(match: re.Match[str]) -> str:
        return next((k for k, name in quoted.items() if name == match[1]), None) or _keep(quoted, match[1])

    try:
        return ast.parse(re.sub(r"`([^`]+)`", named, where.strip()), mode="eval"), quoted
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise DataError(f"where={where!r} cannot be understood; write it as in {EXAMPLE}") from None


def _keep(quoted: dict[str, str], name: str) -> str:
    placeholder = f"_quoted_{len(quoted)}"
    quoted[placeholder] = name
    return placeholder


class _Rows:
    """The rows of a table, with the value of each part of a condition in each row."""

    def __init__(self, table: Any, where: str, quoted: dict[str, str]) -> None:
        self.table, self.where, self.quoted = table, where, quoted

    def truth(self, node: ast.expr) -> np.ndarray:
        """(row,): whether a part of the condition holds."""
        match node:
            case ast.BoolOp(op=op, values=values):
                both = np.logical_and if isinstance(op, ast.And) else np.logical_or
                return both.reduce([self.truth(value) for value in values])
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return ~self.truth(operand)
            case ast.Compare(left=left, ops=ops, comparators=others):
                sides = [left, *others]
                pairs = zip(sides, ops, others, strict=False)
                return np.logical_and.reduce([self._compared(one, op, other) for one, op, other in pairs])
            case ast.Constant(value=bool(value)):
                return np.full(len(self.table), value)
            case ast.Name():
                return self._flag(node)
        raise self._wrong(node, "is no condition; compare it with something")

    def _flag(self, node: ast.Name) -> np.ndarray:
        values = self._value(node)
        if values.dtype.kind != "f" or not np.isin(values[~np.isnan(values)], (0, 1)).all():
            raise self._wrong(node, "holds neither truth values nor 0 and 1; compare it with something")
        return values == 1

    def _compared(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> np.ndarray:
        one = self._value(left)
        if isinstance(op, ast.In | ast.NotIn):
            if not isinstance(right, ast.List | ast.Tuple | ast.Set):
                raise self._wrong(right, "is no list; write it as in block in [1, 2]")
            found = [self._pair(left, one, ast.Eq(), each) for each in right.elts]
            inside = np.logical_or.reduce(found) if found else np.zeros(len(self.table), bool)
            return inside if isinstance(op, ast.In) else ~inside
        return self._pair(left, one, op, right)

    def _pair(self, left: ast.expr, one: np.ndarray, op: ast.cmpop, right: ast.expr) -> np.ndarray:
        other = self._value(right)
        if type(op) not in _COMPARED:
            raise self._wrong(left, "is compared in a way that is not known; use ==, !=, <, <=, >, >=, in or not in")
        if (one.dtype == object) != (other.dtype == object):
            text, number = (left, right) if one.dtype == object else (right, left)
            raise self._wrong(
                text, f"is text, but {ast.unparse(number)} is not: put what is text in quotes, as in subject == '1'"
            )
        here = self._here(one) & self._here(other)
        out = np.full(np.broadcast_shapes(one.shape, other.shape), isinstance(op, ast.NotEq))
        one, other, here = np.broadcast_arrays(one, other, here)
        out[here] = _COMPARED[type(op)](one[here], other[here]).astype(bool)
        return np.broadcast_to(out, (len(self.table),))

    @staticmethod
    def _here(values: np.ndarray) -> np.ndarray:
        if values.dtype != object:
            return ~np.isnan(values)
        return np.array([value is not None for value in values.ravel()], bool).reshape(values.shape)

    def _value(self, node: ast.expr) -> np.ndarray:
        """Numbers, or text as objects with None where missing; of one row, or of all."""
        match node:
            case ast.Constant(value=str(value)):
                return np.array([value], object)
            case ast.Constant(value=bool() | int() | float() as value):
                return np.array([value], float)
            case ast.Name(id=name):
                return self._column(self.quoted.get(name, name))
            case ast.UnaryOp(op=ast.USub() | ast.UAdd() as op, operand=operand):
                return self._number(operand) * (-1 if isinstance(op, ast.USub) else 1)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _COMPUTED:
                with np.errstate(all="ignore"):
                    return _COMPUTED[type(op)](self._number(left), self._number(right))
        raise self._wrong(node, "is not understood; columns, numbers, text in quotes and sums are")

    def _number(self, node: ast.expr) -> np.ndarray:
        values = self._value(node)
        if values.dtype == object:
            raise self._wrong(node, "is text, with which nothing can be computed")
        return values

    def _column(self, name: str) -> np.ndarray:
        import narwhals as nw

        try:
            require(self.table.columns, [name])
        except DataError as error:
            raise DataError(f"where={self.where!r}: {error}; text is put in quotes") from None
        series = self.table[name]
        if series.dtype.is_numeric() or series.dtype == nw.Boolean:
            return series.cast(nw.Float64).to_numpy().astype(float)
        values = np.array(series.to_list(), object)
        gone = np.array([value is None or value != value for value in values], bool)
        if all(isinstance(value, bool | np.bool_ | int | float) for value in values[~gone]):
            return np.where(gone, np.nan, np.where(gone, 0, values).astype(float))
        return np.array([None if lost else str(value) for value, lost in zip(values, gone, strict=True)], object)

    def _wrong(self, node: ast.expr, what: str) -> DataError:
        said = ast.unparse(node)
        for placeholder, name in self.quoted.items():
            said = said.replace(placeholder, f"`{name}`")
        return DataError(f"where={self.where!r}: {said} {what}")
