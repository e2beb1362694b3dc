"""Tables in the form of papers: rounded as APA asks, in Markdown and in LaTeX."""

from __future__ import annotations

import numbers
import re
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

NAMES = {
    "estimate": "Estimate",
    "se": "SE",
    "sd": "SD",
    "mean": "M",
    "p": "p",
    "z": "z",
    "t": "t",
    "r": "r",
    "df": "df",
}
"""Names of statistics in a paper; a column that is not listed keeps its name, with spaces for underscores."""
MINUS, DASH = "\N{MINUS SIGN}", "\N{EN DASH}"
BELOW_ONE = ("p", "r", "pseudo_r2", "pxp", "exceedance", "correlation", "coverage", "frequency", "weight")
"""Columns that cannot be larger than 1 and are therefore written without the zero before the decimal point."""
SHARES = ("pxp", "exceedance", "frequency", "weight")
"""Those of them that are probabilities or shares: the smallest and largest ones are not written out, nor are those of `p`."""
SMALLEST = 0.001


def to_apa(table: pd.DataFrame, *, digits: int = 2, level: float = 0.95) -> pd.DataFrame:
    """A table of text, rounded and named as APA style asks.

    Numbers have `digits` decimals; *p* has three, without a leading zero, and is ``< .001`` below that, as weights and
    frequencies are, which are ``> .999`` above that; what cannot exceed 1 has no leading zero; the two ends of an interval
    (``low``, ``high``; ``natural_low``, ``natural_high``) become one column in brackets, ``[0.00, ∞)`` where there is no upper
    limit; whole numbers stay whole; what is missing is a dash.

    Parameters
    ----------
    table
        Any table of this library, such as ``fit.effects()``, ``fit.group_table()`` or what `compare_fits` returns.
    digits
        Decimals. A number that would round to 0 although it is not has as many as show one digit that counts.
    level
        Level of the intervals, for the name of their column.

    References
    ----------
    American Psychological Association (2020). Publication manual of the American Psychological Association (7th ed.).
    https://doi.org/10.1037/0000165-000

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"estimate": [0.4861], "low": [0.1], "high": [0.872], "p": [0.00042]}, index=["alpha"])
    >>> print(to_apa(table).to_string())
          Estimate        95% CI       p
    alpha     0.49  [0.10, 0.87]  < .001
    """
    import pandas as pd

    if not isinstance(table, pd.DataFrame):
        raise TypeError(f"to_apa takes a table, such as fit.effects(), but was given a {type(table).__name__}")
    if not 0 <= digits <= 15:
        raise ValueError(f"digits={digits}; 0 to 15 decimals are possible")
    out: dict[str, list[str]] = {}
    ends = {name: f"{stem}high" for name in map(str, table) if (stem := _stem(name)) is not None}
    ends = {low: high for low, high in ends.items() if high in table}
    for name in map(str, table):
        if name in ends:
            pairs = zip(table[name], table[ends[name]], strict=True)
            out[_interval_name(name, level)] = [interval_text(low, high, digits) for low, high in pairs]
        elif name not in ends.values():
            out[NAMES.get(name, name.replace("_", " "))] = [_cell(name, value, digits) for value in table[name]]
    return pd.DataFrame(out, index=table.index)


def to_markdown(table: pd.DataFrame, *, digits: int = 2, level: float = 0.95) -> str:
    """`to_apa` of a table in Markdown.

    Examples
    --------
    >>> import pandas as pd
    >>> print(to_markdown(pd.DataFrame({"estimate": [0.4861], "se": [0.1]}, index=["alpha"])))
    |  | Estimate | SE |
    |:---|---:|---:|
    | alpha | 0.49 | 0.10 |
    """
    labels, rows = _rows(to_apa(table, digits=digits, level=level))
    escape = lambda cell: cell.replace("\\", "\\\\").replace("|", "\\|")  # noqa: E731
    line = lambda cells: f"| {' | '.join(map(escape, cells))} |"  # noqa: E731
    n_left = table.index.nlevels
    rule = "|" + ":---|" * n_left + "---:|" * (len(labels) - n_left)
    return "\n".join([line(labels), rule, *map(line, rows)])


def to_latex(
    table: pd.DataFrame, *, digits: int = 2, level: float = 0.95, caption: str | None = None, label: str | None = None
) -> str:
    r"""`to_apa` of a table in LaTeX, for the package booktabs.

    With a `caption` or a `label` it is a floating table, the caption above it; without either the tabular alone.

    Examples
    --------
    >>> import pandas as pd
    >>> print(to_latex(pd.DataFrame({"n_people": [12], "p": [0.04]}, index=["50% more"])))
    \begin{tabular}{lrr}
    \toprule
     & n people & p \\
    \midrule
    50\% more & 12 & .040 \\
    \bottomrule
    \end{tabular}
    """
    labels, rows = _rows(to_apa(table, digits=digits, level=level))
    line = lambda cells: " & ".join(map(_for_latex, cells)) + r" \\"  # noqa: E731
    n_left = table.index.nlevels
    head = rf"\begin{{tabular}}{{{'l' * n_left}{'r' * (len(labels) - n_left)}}}"
    lines = [head, r"\toprule", line(labels), r"\midrule", *map(line, rows), r"\bottomrule", r"\end{tabular}"]
    if caption is None and label is None:
        return "\n".join(lines)
    above = [rf"\caption{{{_for_latex(caption)}}}"] if caption is not None else []
    above += [rf"\label{{{label}}}"] if label is not None else []
    return "\n".join([r"\begin{table}", r"\centering", *above, *lines, r"\end{table}"])


# -- cells --------------------------------------------------------------------------------------------------------------


def _stem(name: str) -> str | None:
    """Part before ``low`` in the name of an interval's lower end; None for other columns."""
    found = re.fullmatch(r"(.*_)?low", name)
    return None if found is None else found[1] or ""


def _interval_name(low: str, level: float) -> str:
    what = (_stem(low) or "").rstrip("_")
    return f"{NAMES.get(what, what.replace('_', ' '))} {100 * level:g}% CI".strip()


def interval_text(low: Any, high: Any, digits: int = 2) -> str:
    """The two ends of an interval in brackets; ``∞)`` where it has no upper limit, a dash where neither end is known.

    Examples
    --------
    >>> interval_text(0.1, 0.872), interval_text(0.0, float("inf"))
    ('[0.10, 0.87]', '[0.00, ∞)')
    """
    ends = number_text(low, digits), number_text(high, digits)
    left, right = "(" if low == -np.inf else "[", ")" if high == np.inf else "]"
    return DASH if ends == (DASH, DASH) else f"{left}{ends[0]}, {ends[1]}{right}"


def _cell(name: str, value: Any, digits: int) -> str:
    if not isinstance(value, numbers.Real) or isinstance(value, bool | np.bool_):
        return DASH if value is None or value != value else str(value)
    if name == "p" or name.startswith("p_") or name.endswith("_p"):
        return probability_text(float(value))
    if name in SHARES:
        return share_text(float(value), digits)
    text = number_text(value, digits)
    return without_zero(text) if name.lower().replace("-", "_") in BELOW_ONE else text


def share_text(share: float, digits: int = 2) -> str:
    """A share or a probability, without a leading zero; ``< .001`` and ``> .999`` beyond these, as neither is 0 or 1.

    Examples
    --------
    >>> share_text(0.9412), share_text(0.0), share_text(1 - 1e-9)
    ('.94', '.00', '> .999')
    """
    if 0 < share < SMALLEST:
        return f"< {without_zero(str(SMALLEST))}"
    return f"> {without_zero(str(1 - SMALLEST))}" if share > 1 - SMALLEST else without_zero(number_text(share, digits))


def probability_text(p: float) -> str:
    """A probability with three decimals, without a leading zero, and ``< .001`` below that."""
    if np.isnan(p):
        return DASH
    return "< .001" if p < 0.001 else "> .999" if p > 0.999 else without_zero(f"{p:.3f}")


def number_text(value: Any, digits: int = 2) -> str:
    """Write a number with `digits` decimals, with one significant digit if it would round to 0, and a true minus sign."""
    if isinstance(value, numbers.Integral):
        return f"{int(value):d}"
    value = float(value)
    if np.isnan(value):
        return DASH
    if np.isinf(value):
        return "∞" if value > 0 else f"{MINUS}∞"
    text = f"{value:.{digits}f}"
    if value != 0 and float(text) == 0:
        # The number is small but not zero: show one significant digit.
        text = np.format_float_positional(float(f"{value:.0e}"), trim="-") if abs(value) >= 1e-6 else f"{value:.0e}"
    return text.replace("-", MINUS) if value < 0 else text


def without_zero(text: str) -> str:
    """Remove the zero before the decimal point of a number that cannot exceed 1."""
    return re.sub(rf"^({MINUS}?)0\.", r"\1.", text)


# -- rows ---------------------------------------------------------------------------------------------------------------


def _rows(table: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    """Heads of the columns and cells of each row, the index first; labels that repeat the one above are left out."""
    index = [entry if isinstance(entry, tuple) else (entry,) for entry in table.index]
    shown, above = [], ()
    for entry in index:
        shown.append(_new(entry, above))
        above = entry
    heads = ["" if name is None else str(name).replace("_", " ") for name in table.index.names]
    rows = [[*labels, *map(str, cells)] for labels, cells in zip(shown, table.itertuples(index=False), strict=True)]
    return [*heads, *map(str, table.columns)], rows


def _new(entry: tuple[Hashable, ...], above: tuple[Hashable, ...]) -> list[str]:
    """Labels of a row from the first that differs from the row above."""
    first = next((k for k, label in enumerate(entry) if k >= len(above) or label != above[k]), len(entry) - 1)
    return ["" if k < first else str(label) for k, label in enumerate(entry)]


_SPECIAL = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": "$<$", ">": "$>$"}
_SPECIAL |= {character: f"\\{character}" for character in "&%$#_{}"} | {MINUS: "$-$", DASH: "--", "∞": r"$\infty$"}


def _for_latex(text: str) -> str:
    return "".join(_SPECIAL.get(character, character) for character in text)
