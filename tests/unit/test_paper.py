"""Tables for papers: what is rounded, what is left out, and what LaTeX and Markdown must not misread."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import pyem
from pyem.results.paper import DASH, MINUS

TABLE = pd.DataFrame(
    {
        "estimate": [-0.4861, 0.0004, 0.0],
        "se": [0.1, np.nan, 2e-9],
        "low": [-0.9, np.nan, -np.inf],
        "high": [0.1, np.nan, np.inf],
        "natural": [5.0, 12.3456, 0.5],
        "natural_low": [4.0, 11.0, 0.1],
        "natural_high": [6.0, 13.0, 0.9],
        "r": [0.456, -0.456, 1.0],
        "p": [0.0004, 0.04951, 0.99951],
        "n_people": [12, 12, 12],
        "scale": ["logit (0, 1)", None, "a | b"],
    },
    index=pd.MultiIndex.from_tuples([("mean", "alpha"), ("mean", "beta"), ("sd", "beta")], names=["kind", "parameter"]),
)


def test_numbers_are_rounded_as_apa_asks():
    apa = pyem.to_apa(TABLE)
    assert list(apa) == ["Estimate", "SE", "95% CI", "natural", "natural 95% CI", "r", "p", "n people", "scale"]
    assert apa["Estimate"].tolist() == [f"{MINUS}0.49", "0.0004", "0.00"]
    assert apa["SE"].tolist() == ["0.10", DASH, "2e-09"]
    assert apa["95% CI"].tolist() == [f"[{MINUS}0.90, 0.10]", DASH, f"({MINUS}∞, ∞)"]
    assert apa["r"].tolist() == [".46", f"{MINUS}.46", "1.00"]
    assert apa["p"].tolist() == ["< .001", ".050", "> .999"]
    assert apa["n people"].tolist() == ["12", "12", "12"]
    assert apa["scale"].tolist() == ["logit (0, 1)", DASH, "a | b"]
    assert pyem.to_apa(TABLE, digits=3, level=0.9)["natural 90% CI"].tolist()[0] == "[4.000, 6.000]"


def test_markdown_and_latex_have_the_cells_of_the_table():
    lines = pyem.to_markdown(TABLE).splitlines()
    assert lines[0].startswith("| kind | parameter | Estimate |")
    assert lines[1].startswith("|:---|:---|---:|")
    assert lines[3].startswith("|  | beta | 0.0004 |")
    assert all(line.replace(r"\|", "").count("|") == lines[0].count("|") for line in lines)
    latex = pyem.to_latex(TABLE, caption="50% & more", label="tab:a_b")
    assert r"\caption{50\% \& more}" in latex
    assert r"\label{tab:a_b}" in latex
    assert latex.splitlines()[0] == r"\begin{table}"
    assert "$<$ .001" in latex
    assert "$-$0.49" in latex
    body = [line for line in latex.splitlines() if line.endswith(r"\\")]
    assert {line.count(" & ") for line in body} == {10}


def test_what_is_no_table_is_refused():
    with pytest.raises(TypeError, match="takes a table"):
        pyem.to_apa("a")
    with pytest.raises(ValueError, match="digits=-1"):
        pyem.to_apa(TABLE, digits=-1)


def test_shares_that_round_to_nothing_or_to_all_are_written_as_in_papers():
    table = pd.DataFrame({"weight": [0.99, 2e-32, 0.0], "frequency": [0.5, 0.0004, 0.002], "r": [0.3, 0.0004, -0.0004]})
    made = pyem.to_apa(table.assign(pxp=[0.9985, 0.9995, 1.0]))
    assert list(made["weight"]) == [".99", "< .001", ".00"]
    assert list(made["pxp"]) == ["1.00", "> .999", "> .999"]
    assert list(made["frequency"]) == [".50", "< .001", ".002"]
    assert list(made["r"]) == [".30", ".0004", "\N{MINUS SIGN}.0004"]
