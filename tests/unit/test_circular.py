"""Formulas with responses and outcomes, and the columns that designs make."""

from __future__ import annotations

import numpy as np
import pytest

import pyem

RW = pyem.models.get("rw1a1b")
TWO_STEP = pyem.models.get("two_step")


def bound(model: pyem.Model, formula: str) -> tuple[str, ...]:
    data = pyem.simulate(model, subjects=3, blocks=2, trials=12, key=1)
    return pyem.regress(model, formula).bind(data).model.names


@pytest.mark.parametrize(
    ("model", "formula"),
    [
        (RW, "beta ~ choice"),
        (RW, "beta ~ reward"),
        (pyem.with_lapse(RW), "lapse ~ choice"),
        (pyem.models.get("ddm"), "v ~ choice"),
        (pyem.models.get("ddm"), "t ~ rt"),
        (TWO_STEP, "beta1 ~ state2"),
        (TWO_STEP, "beta2 ~ choice2"),
        (TWO_STEP, "w ~ choice2"),
        (pyem.models.get("happiness"), "w0 ~ happiness"),
    ],
)
def test_a_response_that_would_depend_on_itself_is_told(model, formula):
    parameter, _, column = formula.partition(" ~ ")
    with pytest.raises(
        pyem.DataError, match=rf"the formula of {parameter} names '{column}'.*\['{column}'\]\.shift\(\)"
    ):
        bound(model, formula)


@pytest.mark.parametrize(
    ("model", "formula"),
    [
        # What is learned from a response may depend on it, and a response on what comes before it in the same trial.
        (RW, "alpha ~ choice"),
        (RW, "alpha ~ reward"),
        (TWO_STEP, "beta2 ~ choice1"),
        (TWO_STEP, "beta2 ~ state2"),
        (TWO_STEP, "lambda_ ~ reward"),
        (pyem.models.get("happiness"), "w0 ~ choice"),
        (pyem.tie(pyem.models.get("rw2a1b"), alpha_neg="alpha_pos"), "alpha_pos ~ choice"),
    ],
)
def test_a_parameter_may_depend_on_what_is_known_before_it_acts(model, formula):
    parameter, _, column = formula.partition(" ~ ")
    assert f"{parameter}[{column}]" in bound(model, formula)


def test_tables_have_the_columns_of_formulas_once():
    load = np.random.default_rng(1).normal(size=(3, 2, 8))
    for conditions, column in (({"load": load}, "load"), ({"drug": ["a", "b"]}, "drug")):
        design = pyem.regress(RW, f"alpha ~ {column}")
        data = pyem.simulate(design, subjects=3, blocks=2, trials=8, key=1, conditions=conditions)
        frame = data.to_frame()
        assert set(frame) == {"subject", "block", "trial", "choice", "reward", column}
        latents = pyem.fit_map(design, data, max_iter=3).latents()
        assert [name for name in latents if column in name] == [column]
        np.testing.assert_array_equal(latents[column], frame[column])


def test_an_unknown_column_is_told_with_each_known_one_once():
    design = pyem.regress(RW, "alpha ~ sex")
    data = pyem.simulate(
        design, subjects=4, blocks=1, trials=8, key=1, conditions={"sex": np.array([["f"], ["m"], ["f"], ["m"]])}
    )
    with pytest.raises(pyem.DataError, match=r"a formula names 'unknown', but the data have ([^;]*);") as told:
        pyem.regress(RW, "alpha ~ unknown").bind(data)
    names = str(told.value).partition("the data have ")[2].partition(";")[0].split(", ")
    assert {"sex", "choice", "block"} <= set(names)
    assert len(names) == len(set(names))


def test_a_misspelt_column_of_a_formula_is_guessed():
    model = pyem.models.get("rw1a1b")
    frame = pyem.simulate(model, subjects=2, blocks=1, trials=6, key=1).to_frame().assign(session=[0, 1] * 6)
    columns = {name: name for name in ("choice", "reward", "session")}
    data = pyem.Dataset.from_frame(frame, subject="subject", columns=columns)
    with pytest.raises(pyem.DataError, match=r"a formula names 'sesion', .*; do you mean 'session'"):
        pyem.regress(model, "alpha ~ sesion").bind(data)
