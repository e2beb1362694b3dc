"""Data and models that are not as they should be: every message says what was given, what was expected and what to do."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

import pyem
from pyem import Categorical, DataError, Dataset, FitWarning, Group, Model, ModelError, Normal, Parameter, Status

NAN = float("nan")
RW = pyem.models.get("rw1a1b")
COLUMNS = {"choice": "resp", "reward": "win"}
PEOPLE, TRIALS = 6, 20

TABLE = pd.DataFrame(
    {
        "id": np.repeat(["s1", "s2", "s12"], 4),
        "part": np.tile([1, 1, 2, 2], 3),
        "t": np.tile([1, 2, 1, 2], 3),
        "resp": [0, 1, 1, 0] * 3,
        "win": [1.0, 0.0, 1.0, 1.0] * 3,
        "age": np.repeat([20.0, 30.0, 45.0], 4),
    }
)


def read(frame: pd.DataFrame = TABLE, **changes: Any) -> Dataset:
    options: dict[str, Any] = {"subject": "id", "block": "part", "trial": "t", "columns": COLUMNS}
    return Dataset.from_frame(frame, **(options | changes))


def with_cell(column: str, row: int, value: Any) -> pd.DataFrame:
    """The table with one other value."""
    frame = TABLE.astype({column: object}) if isinstance(value, str) else TABLE.astype({column: float})
    frame.loc[row, column] = value
    return frame


def says(error: type[Exception], text: str, act: Callable[[], Any]) -> None:
    with pytest.raises(error) as caught:
        act()
    assert str(caught.value) == text


def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def arrays(choice: Any = None, reward: Any = None) -> Dataset:
    """Six people, twenty trials: the one shape of the fits on this page, so that they share a compilation."""
    shape = (PEOPLE, 1, TRIALS)
    choice = rng().integers(0, 2, shape) if choice is None else choice
    reward = (
        np.random.default_rng(6).integers(0, 2, shape).astype(float)
        if reward is None
        else np.broadcast_to(reward, shape)
    )
    return Dataset.from_arrays({"choice": choice, "reward": np.asarray(reward, float)})


@pytest.fixture(autouse=True)
def _quiet() -> Any:
    """A warning that no test asked for is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", FitWarning)
        warnings.simplefilter("error", RuntimeWarning)
        yield


# -- columns and values -------------------------------------------------------------------------------------------------


def test_missing_column_of_the_table() -> None:
    says(
        DataError,
        "there is no column 'response', 'sex'; the table has 'id', 'part', 't', 'resp', 'win', 'age'; name one of these",
        lambda: read(columns={"choice": "response", "reward": "win"}, covariates=["sex"]),
    )


def test_missing_column_of_the_model() -> None:
    says(
        DataError,
        "model 'rw1a1b' needs the column 'reward'; the data has 'choice', 'feedback': map a column of the table to it, as in "
        "columns={'reward': <its name in the table>}",
        lambda: pyem.fit_map(RW, read(columns={"choice": "resp", "feedback": "win"})),
    )


def test_no_column_is_mapped() -> None:
    says(
        DataError,
        "no column is mapped; say which are the model's, as in columns={'choice': 'response'}",
        lambda: read(columns={}),
    )
    says(
        DataError,
        "no column of the table is given for 'reward'; name one or more",
        lambda: read(columns={"choice": "resp", "reward": []}),
    )


def test_column_of_mixed_types() -> None:
    says(
        DataError,
        "column 'resp' mixes text and numbers: 0 in row 1 and 'right' in row 6; make them all of one kind",
        lambda: read(with_cell("resp", 5, "right")),
    )
    says(
        DataError,
        "column 'win' has the text 'n.a.' for subject 's2' (row 6), where numbers are expected; if it marks a missing value, "
        "pass missing={'reward': ['n.a.']} (--missing on the command line); correct it, or leave the cell empty if the value "
        "is missing",
        lambda: read(TABLE.assign(win=["1", "0", "1", "1", "0", "n.a.", "1", "1", "0", "1", "1", "0"])),
    )


def test_code_out_of_range() -> None:
    says(
        DataError,
        "column 'choice' has code 3 for subject 's12', but model 'rw1a1b' has 2 options; recode it or make the model with "
        "options=4",
        lambda: pyem.fit_em(RW, read(with_cell("resp", 11, 3.0))),
    )


def test_code_out_of_range_is_told_by_its_label() -> None:
    names = np.array(["left", "right", "up"])
    data = read(TABLE.assign(resp=names[[0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1, 2]]))
    with pytest.raises(
        DataError, match="has code up for subject 's12', but model 'rw1a1b' has 2 options; recode it or make"
    ):
        pyem.fit_em(RW, data)


def test_code_out_of_range_of_a_model_that_does_not_say_its_options() -> None:
    silent = dataclasses.replace(RW, name="silent", options=None)
    with pytest.raises(
        DataError, match="has code 2 for subject 's1', but model 'silent' has 2 options; if 0 marks a missed response"
    ):
        pyem.fit_map(silent, read(with_cell("resp", 2, 2.0)))


def test_code_that_is_not_among_those_given() -> None:
    says(
        DataError,
        "column 'resp' has 0 for subject 's1' (row 1), which is not among the codes [1, 2] of 'choice'; correct it, add it to "
        "codes, or leave the cell empty if it is missing",
        lambda: read(codes={"choice": [1, 2]}),
    )


def test_codes_that_are_no_list() -> None:
    says(
        DataError,
        "codes of 'choice' are 'left'; expected a list of labels in order, as in ['left', 'right']",
        lambda: read(codes={"choice": "left"}),
    )
    says(
        DataError,
        "codes are given for 'action', but the mapped columns are ['choice', 'reward']",
        lambda: read(codes={"action": [0, 1]}),
    )


def test_choice_that_is_no_whole_number() -> None:
    says(
        DataError,
        "column 'resp' has 0.5 for subject 's2' (row 5), but 'choice' needs whole numbers or text; recode it",
        lambda: read(with_cell("resp", 4, 0.5)),
    )
    says(
        DataError,
        "field 'choice' has 0.5, but codes are whole numbers; recode it as 0, 1, ...",
        lambda: Dataset.from_arrays({"choice": np.full((1, 1, 2), 0.5)}),
    )


def test_negative_choice() -> None:
    with pytest.raises(
        DataError, match=r"column 'resp' has the negative code -1 .* if it marks a missing value, leave the cell"
    ):
        read(with_cell("resp", 4, -1.0))


def test_infinite_reward() -> None:
    says(
        DataError,
        "column 'win' has an infinite value for subject 's2' (row 8), where finite numbers are expected; correct it, or leave "
        "the cell empty if the value is missing",
        lambda: read(with_cell("win", 7, np.inf)),
    )
    says(
        DataError,
        "field 'reward' has an infinite value; replace it, or set it to NaN if it is missing",
        lambda: arrays(reward=np.inf),
    )


# -- what is missing ----------------------------------------------------------------------------------------------------


def test_outcome_missing_where_there_is_a_response() -> None:
    frame = with_cell("win", 5, NAN)
    data = read(frame)
    assert data.notes[-1] == (
        "reward (column 'win') is missing in 1 trials that have a choice: a model that learns from it learns nothing from "
        "them; for one that is shown it they are left out of the likelihood; one that explains it leaves out reward, and what "
        "else was done there counts"
    )
    responded, learn = data.masks(RW)
    assert (responded["choice"].sum(), learn.sum()) == (12, 11)
    says(
        DataError,
        "reward (column 'win') is missing in 1 trials that have a choice, first for subject 's2' (row 6); fill it in, or pass "
        "missing_outcome='skip' to keep these trials: a model that learns from it then learns nothing from them",
        lambda: read(frame, missing_outcome="error"),
    )
    says(
        DataError,
        "missing_outcome='drop'; expected 'skip' or 'error'",
        lambda: read(frame, missing_outcome="drop"),
    )


def test_subject_without_a_response() -> None:
    says(
        DataError,
        "subject 's2' has no trial with a value of 'choice' (column 'resp'; 1 such subjects in all); remove the subject from "
        "the table, or correct the column",
        lambda: read(TABLE.assign(resp=TABLE.resp.where(TABLE.id != "s2"))),
    )


def test_subject_without_a_trial_that_counts_for_the_model() -> None:
    line = Model("line", (Parameter("b"),), lambda p, s, t: Normal(p.b * t.x, 1.0), responses=("bet",), inputs=("x",))
    frame = TABLE.rename(columns={"win": "x", "age": "bet"}).assign(x=TABLE.win.where(TABLE.id == "s1"))
    data = read(frame, columns={"bet": "bet", "x": "x"})
    says(
        DataError,
        "subject 's2' has no trial that counts for model 'line' (2 such subjects in all): no trial has a value of 'x' and "
        "'bet'; fill them in, or leave the subject out with data.select",
        lambda: pyem.fit_mle(line, data),
    )


def test_no_response_at_all() -> None:
    with pytest.raises(DataError, match=r"subject 's1' has no trial with a value of 'choice' .*3 such subjects in all"):
        read(TABLE.assign(resp=NAN))


@pytest.mark.parametrize(("column", "row"), [("id", 3), ("part", 3)])
def test_subject_or_block_missing(column: str, row: int) -> None:
    says(
        DataError,
        f"column {column!r} has no value in row 4 (1 such rows in all); every row needs one, fill it in",
        lambda: read(TABLE.assign(**{column: TABLE[column].where(TABLE.index != row)})),
    )


def test_trial_number_missing() -> None:
    says(
        DataError,
        "column 't' has no value for subject 's1' (row 3); number every trial",
        lambda: read(with_cell("t", 2, NAN)),
    )


# -- order --------------------------------------------------------------------------------------------------------------


def test_trial_that_is_there_twice() -> None:
    says(
        DataError,
        "trial 2 (column 't') is there twice for subject 's2' (row 8), first in row 7; every subject has a trial once in a "
        "block: remove the duplicate; if a trial has several rows, such as one for its outcome, pass join_rows_by='t' "
        "(--join-rows-by t)",
        lambda: read(TABLE.assign(t=TABLE.t.where(TABLE.index != 6, 2))),
    )
    says(
        DataError,
        "trial 1 (column 't') is there twice for subject 's1' (row 3), first in row 1; every subject has a trial once in a "
        "block: remove the duplicate, or name the column of the blocks with block=; if a trial has several rows, such as one "
        "for its outcome, pass join_rows_by='t' (--join-rows-by t)",
        lambda: read(block=None),
    )


def test_trials_out_of_order_are_sorted_and_noted() -> None:
    data = read(TABLE.iloc[[0, 1, 2, 3, 5, 4, 6, 7, 8, 9, 11, 10]])
    assert data.notes[0] == (
        "trials were sorted by 't' within their block: those for subject 's2' (row 6) and after (2 subjects in all) are out of "
        "order in the table"
    )
    pd.testing.assert_frame_equal(data.to_frame(), read().to_frame())


def test_blocks_out_of_order_are_sorted_and_noted() -> None:
    data = read(TABLE.iloc[[0, 1, 2, 3, 6, 7, 4, 5, 8, 9, 10, 11]])
    assert data.notes[0] == (
        "blocks were sorted by column 'part': those for subject 's2' (row 7) (1 subjects in all) are interleaved or out of "
        "order in the table"
    )
    pd.testing.assert_frame_equal(data.to_frame(), read().to_frame())


def test_rows_of_subjects_that_are_scattered_are_put_together() -> None:
    data = read(TABLE.sort_values(["part", "t"], kind="stable"))
    pd.testing.assert_frame_equal(data.to_frame(), read().to_frame())


# -- names --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["trial", "subject", "learn"])
def test_names_with_a_meaning_of_their_own(name: str) -> None:
    says(
        DataError,
        f"a column of the model cannot be named {name!r}, which has a meaning of its own; rename it",
        lambda: read(columns={"choice": "resp", name: "t"}),
    )


def test_covariate_with_the_name_of_a_field() -> None:
    says(
        DataError,
        "a covariate cannot be named 'reward', like a column of the model or an index; rename it",
        lambda: read(TABLE.assign(reward=1.0), covariates=["reward"]),
    )


# -- arrays and selections ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Dataset.from_arrays({}), "no column is mapped"),
        (
            lambda: Dataset.from_arrays({"choice": np.zeros((2, 3))}),
            r"expected arrays of one shape \(subject, block, trial\)",
        ),
        (
            lambda: Dataset.from_arrays({"choice": np.zeros((2, 1, 3)), "reward": np.zeros((2, 1, 4))}),
            r"was given \{'choice': \(2, 1, 3\), 'reward': \(2, 1, 4\)\}",
        ),
        (
            lambda: Dataset.from_arrays({"choice": np.zeros((2, 1, 0))}),
            r"there is no trial in arrays of shape \(2, 1, 0\)",
        ),
        (lambda: Dataset.from_arrays({"cue": np.array([[["a"]]])}), "field 'cue' has 'a', but numbers"),
        (
            lambda: Dataset.from_arrays({"choice": np.zeros((2, 1, 3))}, subjects=["a"]),
            "1 subject labels were given for 2 subjects; give one for each",
        ),
        (
            lambda: Dataset.from_arrays({"choice": np.zeros((2, 1, 3))}, subjects=["a", "a"]),
            "the subject label 'a' is there twice; give each subject its own",
        ),
        (
            lambda: Dataset.from_arrays({"choice": np.zeros((2, 1, 3))}, covariates={"age": [1.0]}),
            r"covariate 'age' has shape \(1,\); expected a finite number for each of 2 subjects",
        ),
        (
            lambda: Dataset.from_arrays({"choice": np.zeros((2, 1, 3))}, covariates={"age": [1.0, NAN]}),
            r"covariate 'age' has shape \(2,\) and values that are not finite; expected",
        ),
        (
            lambda: read().select([0, 3]),
            r"expected indices of subjects from 0 to 2, but was given \[0, 3\]; the labels are in",
        ),
        (lambda: read().select(["s1"]), r"expected indices of subjects from 0 to 2, but was given \['s1'\]"),
        (lambda: read().select([]), r"expected the indices of some subjects, but was given \[\]"),
    ],
)
def test_arrays_and_selections(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        make()


# -- files (more in test_files.py) --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty; it should have a header and a row for each trial"),
        (b"id,resp\n", "has a header and no rows; it should have a row for each trial"),
        (b"id;resp\na;1\n", "its columns seem to be separated by ';', not by ',': pass separator=';'"),
        (
            b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR",
            "is not a text file, whatever its name says; save the table as CSV in UTF-8",
        ),
        (b"id,resp\nZo\xeb,1\n", "is not text in UTF-8; save it again as CSV in UTF-8, or name its encoding"),
        (b'id,resp\n"a,1\n', "could not be read: .*; is it complete and of that kind?"),
    ],
    ids=["empty", "header", "delimiter", "binary", "encoding", "quote"],
)
def test_files(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "data.csv").write_bytes(content)
    with pytest.raises(DataError, match=message.replace("?", r"\?")):
        Dataset.read(tmp_path / "data.csv", subject="id", columns={"choice": "resp"})


# -- covariates ---------------------------------------------------------------------------------------------------------


def test_covariate_that_varies_within_a_subject() -> None:
    says(
        DataError,
        "covariate 'age' varies within a subject: it is 31 for subject 's2' (row 7), and 30 before; a covariate has one value "
        "for each subject: correct it, or map it as a column of the model",
        lambda: read(with_cell("age", 6, 31.0), covariates=["age"]),
    )


def test_covariate_that_a_subject_lacks() -> None:
    says(
        DataError,
        "covariate 'age' is missing for subject 's2' (1 subjects in all); fill it in, or leave these subjects out of the table",
        lambda: read(TABLE.assign(age=TABLE.age.where(TABLE.id != "s2")), covariates=["age"]),
    )


def test_covariate_of_three_words() -> None:
    says(
        DataError,
        "covariate 'age' has 3 categories for 3 subjects ('s1', 's2', 's12'); categories are shared by several people: name "
        "another column",
        lambda: read(TABLE.assign(age=TABLE.id), covariates=["age"]),
    )


def test_covariate_of_words_and_numbers() -> None:
    with pytest.raises(
        DataError, match=r"column 'age' has the text 'old' for subject 's12' \(row 9\), where numbers are"
    ):
        read(TABLE.assign(age=["20"] * 8 + ["old"] * 4), covariates=["age"])


def grouped(**covariates: Any) -> Dataset:
    data = arrays()
    return dataclasses.replace(data, covariates={name: np.asarray(v, float) for name, v in covariates.items()})


AGE = np.array([20.0, 25, 31, 36, 44, 52])
IQ = np.array([100.0, 90, 105, 110, 99, 101])


@pytest.mark.parametrize(
    ("covariates", "group", "text"),
    [
        (
            {"age": np.full(PEOPLE, 30.0)},
            Group(covariates=["age"]),
            "covariate 'age' is 30 for every subject; a constant has no effect, remove it",
        ),
        (
            {"age": AGE, "iq": IQ, "born": 2024 - AGE},
            Group(covariates=["age", "iq", "born"]),
            "covariates 'age', 'born' are collinear for these 6 subjects: one is a linear combination of the others, so that "
            "their effects cannot be told apart; remove one",
        ),
        (
            {"age": AGE},
            Group(covariates=["sex"]),
            "there is no covariate 'sex' in the data (it has age); pass covariates=['sex'] when making the Dataset",
        ),
        (
            {"age": AGE},
            Group(covariates={"age": ["gamma"]}),
            "covariate 'age' is to shift ['gamma'], but the model has beta, alpha",
        ),
        (
            {f"q{k}": np.random.default_rng(k).normal(size=PEOPLE) for k in range(5)},
            Group(covariates=[f"q{k}" for k in range(5)]),
            "6 subjects are too few for the effects of 5 covariates: at least 7 are needed; leave covariates out",
        ),
    ],
    ids=["constant", "collinear", "unknown", "parameter", "too many"],
)
def test_covariates_of_a_group(covariates: dict[str, Any], group: Group, text: str) -> None:
    says(ValueError, text, lambda: pyem.fit_em(RW, grouped(**covariates), group=group))


# -- models -------------------------------------------------------------------------------------------------------------


def test_unknown_model() -> None:
    with pytest.raises(
        ValueError, match=r"there is no model 'rw1a1c'; did you mean 'rw1a1b'\? The models are rw1a1b, "
    ):
        pyem.models.get("rw1a1c")
    with pytest.raises(ValueError, match=r"model 'rw1a1b' cannot be made with \{'option': 3\}"):
        pyem.models.get("rw1a1b", option=3)


@pytest.mark.parametrize("value", [1.5, -0.1, NAN, np.inf])
def test_parameter_fixed_outside_its_range(value: float) -> None:
    says(
        ValueError,
        f"alpha={value} is outside the range (0, 1) of model 'rw1a1b'; give a value inside it",
        lambda: pyem.fix(RW, alpha=value),
    )


def test_parameter_fixed_that_is_not_there() -> None:
    with pytest.raises(ValueError, match="model 'rw1a1b' has no free parameter 'gamma'; it has beta, alpha"):
        pyem.fix(RW, gamma=0.5)


def replaced(**changes: Any) -> Model:
    return dataclasses.replace(RW, name="mine", **changes)


KEPT: list[Any] = []
"""What an impure function left behind."""


def leaky(p: Any, q: Any, trial: Any) -> Any:
    last = KEPT[-1] if KEPT else q
    KEPT.append(q)
    return q + 0 * last, {}


def branching(p: Any, q: Any, trial: Any) -> Any:
    return Categorical(p.beta * q if q[0] > q[1] else q)


def error_of(trial: Any, q: Any) -> Any:
    return trial.reward - q[trial.choice]


BROKEN: dict[str, tuple[Model, str]] = {
    "policy gives an array": (
        replaced(policy=lambda p, q, trial: p.beta * q),
        r"policy\(p, state, trial\) returned an array of shape \(2,\) for 'choice', but should return a distribution, such as",
    ),
    "policy gives nothing": (
        replaced(policy=lambda p, q, trial: None),
        "returned a NoneType for 'choice', but should return a distribution",
    ),
    "policy of another response": (
        replaced(policy=lambda p, q, trial: {"rt": Normal(p.beta, 1.0)}),
        "returned a distribution of rt, but the model's responses are choice; return a dict with a distribution for each",
    ),
    "policy of one of two responses": (
        replaced(responses=("choice", "reward"), outcomes=(), policy=lambda p, q, trial: Categorical(p.beta * q)),
        "returned a distribution of choice, but the model's responses are choice, reward; return a dict",
    ),
    "policy of many responses at once": (
        replaced(policy=lambda p, q, trial: Normal(p.beta * q, 1.0)),
        r"the log-probability of 'choice' on one trial has shape \(2,\), but should be one number",
    ),
    "wrong number of options": (
        replaced(init=lambda p: jnp.zeros(3)),
        "returned a distribution of 3 options, but the model has options=2; make them agree",
    ),
    "update gives the state only": (
        replaced(update=lambda p, q, trial: q),
        r"update\(p, state, trial\) returned an array of shape \(2,\), but should return the new state and a dict",
    ),
    "update gives latents that have no name": (
        replaced(update=lambda p, q, trial: (q, error_of(trial, q))),
        r"returned \(an array of shape \(2,\), an array of shape \(\)\), but should return the new state and a dict",
    ),
    "update gives another shape": (
        replaced(update=lambda p, q, trial: (q[0] + p.alpha, {})),
        r"returned a state of shape \(\), but that of init\(p\) has shape \(2,\); they must be the same",
    ),
    "update gives another structure": (
        replaced(update=lambda p, q, trial: ({"q": q}, {})),
        r"returned a state of shape \{'q': \(2,\)\}, but that of init\(p\) has shape \(2,\)",
    ),
    "unknown column": (
        replaced(update=lambda p, q, trial: (q + trial.rewrad, {})),
        "the model asks for 'rewrad', but there are only choice, reward",
    ),
    "unknown parameter": (
        replaced(policy=lambda p, q, trial: Categorical(p.gamma * q)),
        "the model asks for 'gamma', but there are only beta, alpha",
    ),
    "if": (
        replaced(policy=branching),
        r"a value that depends on parameters or data was used like a plain Python number .*Use jnp.where instead of if",
    ),
    "NumPy": (
        replaced(policy=lambda p, q, trial: Categorical(np.exp(p.beta) * np.asarray(q))),
        "was used like a plain Python number .*and jax.numpy instead of numpy",
    ),
    "kept outside": (
        replaced(update=leaky),
        r"a function kept a value outside itself \(a list, a global\). The three functions must be pure",
    ),
    "log-likelihood of another shape": (
        Model("mine", (Parameter("b"),), log_likelihood=lambda p, trials: jnp.zeros((3, 2)) + p.b),
        r"log_likelihood\(p, trials\) returned an array of shape \(3, 2\), but should return a number for each of the 2 trials",
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_model_that_is_not_well_formed(kind: str) -> None:
    model, message = BROKEN[kind]
    KEPT.clear()
    with pytest.raises(ModelError, match=f"^model 'mine', evaluating the likelihood: .*{message}"):
        pyem.fit_map(model, arrays())
    KEPT.clear()
    report = pyem.check(model, arrays())
    assert not report
    assert "FAIL shapes: model 'mine', evaluating the likelihood: " in str(report)


def test_python_side_effect_that_changes_the_value() -> None:
    noise = np.random.default_rng(1)
    moody = replaced(policy=lambda p, q, trial: Categorical(p.beta * q * noise.uniform()))
    report = pyem.check(moody, arrays())
    assert not report
    assert "FAIL purity: model 'mine' gives different values when evaluated twice; its functions must depend on" in str(
        report
    )


# -- likelihoods that are not finite ------------------------------------------------------------------------------------


def line(p: Any, state: Any, trial: Any) -> Normal:
    # NaN where x is below 0.
    return Normal(p.b * jnp.log(trial.x), jnp.exp(p.s))


def kinked(p: Any, state: Any, trial: Any) -> Normal:
    # A finite value; a derivative that is not, where x is below 0.
    return Normal(
        p.b * jnp.where(trial.x < 0, 1.0, trial.x) + jnp.where(trial.x < 0, jnp.sqrt(0 * p.b**2), 0.0), jnp.exp(p.s)
    )


def nowhere(p: Any, state: Any, trial: Any) -> Normal:
    return Normal(p.b * jnp.log(-jnp.abs(trial.x)), jnp.exp(p.s))


def of(policy: Callable[..., Any]) -> Model:
    return Model(policy.__name__, (Parameter("b"), Parameter("s")), policy, responses=("y",), inputs=("x",))


LOST = [3, 7]
LEFT = [s for s in range(12) if s not in LOST]


def lines(*, broken: bool) -> Dataset:
    random = rng()
    shape = (12, 1, 30)
    x = random.uniform(0.5, 3, shape)
    # People differ much in both, so that no sd of the group shrinks to 0.
    b = random.permutation(np.linspace(-2, 3, 12))[:, None, None]
    s = random.permutation(np.linspace(-1, 0.5, 12))[:, None, None]
    y = b * np.log(x) + np.exp(s) * random.normal(size=shape)
    if broken:
        x[LOST, 0, 5] = -1.0
    return Dataset.from_arrays({"x": x, "y": y}, subjects=[f"s{k}" for k in range(12)])


FITS = {"mle": pyem.fit_mle, "map": pyem.fit_map, "em": pyem.fit_em}


@pytest.mark.parametrize(("method", "policy"), [("mle", line), ("map", line), ("em", line), ("em", kinked)])
def test_some_subjects_without_a_finite_likelihood(method: str, policy: Callable[..., Any]) -> None:
    with pytest.warns(FitWarning) as caught:
        fit = FITS[method](of(policy), lines(broken=True))
    assert [str(warning.message) for warning in caught] == [
        f"fit_{method} of '{policy.__name__}': 2 of 12 subjects have no regular mode: s3 (likelihood not finite), "
        "s7 (likelihood not finite); see the column status of table()"
    ]
    assert caught[0].filename == __file__
    assert np.flatnonzero(fit.status == Status.NOT_FINITE).tolist() == LOST
    assert (fit.status[LEFT] == Status.CONVERGED).all()
    table = fit.table()
    assert table["status"].tolist() == ["likelihood not finite" if s in LOST else "ok" for s in range(12)]
    numbers = table.drop(columns=["status", "n_responses"])
    assert numbers.iloc[LOST].isna().all(axis=None)
    assert np.isfinite(numbers.iloc[LEFT]).all(axis=None)
    assert fit.converged is (method == "em")
    assert "2 subjects without a regular mode, of which 2 without a finite likelihood are left out" in fit.summary()
    assert f"log-likelihood {fit.log_lik[LEFT].sum():.3f}" in fit.summary()


def test_the_others_come_out_as_if_those_subjects_had_not_been_there() -> None:
    with pytest.warns(FitWarning, match="s3"):
        fit = pyem.fit_em(of(line), lines(broken=True))
    others = pyem.fit_em(of(line), lines(broken=False).select(LEFT))
    assert fit.population is not None
    assert others.population is not None
    np.testing.assert_allclose(fit.x[LEFT], others.x, atol=1e-6)
    np.testing.assert_allclose(fit.log_lik[LEFT], others.log_lik, atol=1e-6)
    np.testing.assert_allclose(fit.log_evidence[LEFT], others.log_evidence, atol=1e-6)  # type: ignore[index]
    np.testing.assert_allclose(fit.population.coef, others.population.coef, atol=1e-6)
    np.testing.assert_allclose(fit.population.cov, others.population.cov, atol=1e-6)
    np.testing.assert_allclose(fit.information, others.information, rtol=1e-4, atol=1e-4)  # type: ignore[arg-type]
    assert np.isfinite(fit.group_table()[["estimate", "se", "low", "high"]]).all(axis=None)


def test_comparison_of_fits_with_subjects_without_a_finite_likelihood() -> None:
    with pytest.warns(FitWarning, match="s3"):
        fit = pyem.fit_map(of(line), lines(broken=True))
    says(
        ValueError,
        "fit 'one' has no finite likelihood for 2 subjects ('s3', 's7'), so that sums over subjects mean nothing; fit all "
        "models to the data without them, data.select([<the others>])",
        lambda: pyem.compare_fits({"one": fit, "other": fit}),
    )


def test_people_who_do_not_differ() -> None:
    data = lines(broken=False)
    same = Dataset.from_arrays({name: np.repeat(array.T[:1, None], 12, axis=0) for name, array in data.fields.items()})
    with pytest.warns(FitWarning) as caught:
        fit = pyem.fit_em(of(line), same)
    assert fit.converged
    assert len(caught) == 1
    assert str(caught[0].message) == (
        "fit_em of 'line': as far as these data say, people do not differ in b, s: the sd of the group is 0 (and has no "
        "standard error), and everybody's estimate is the mean of the group"
    )
    table = fit.group_table()
    assert np.isfinite(table.loc["mean", ["estimate", "se"]]).all(axis=None)
    assert table.loc["sd", "se"].isna().all()
    assert np.isfinite(fit.table().drop(columns="status")).all(axis=None)
    np.testing.assert_allclose(fit.x, np.tile(fit.x[0], (12, 1)), atol=1e-9)
    with pytest.raises(ValueError, match="max_iter=0; at least one iteration is needed"):
        pyem.fit_em(of(line), same, max_iter=0)


def test_latents_of_subjects_without_a_finite_likelihood() -> None:
    with pytest.warns(FitWarning, match="s3"):
        fit = pyem.fit_map(of(line), lines(broken=True))
    rows = fit.latents()
    lost = rows["subject"].isin(["s3", "s7"])
    assert rows.loc[lost, "log_prob"].isna().all()
    assert np.isfinite(rows.loc[~lost, "log_prob"]).all()


@pytest.mark.parametrize("method", FITS)
def test_no_subject_with_a_finite_likelihood(method: str) -> None:
    says(
        ModelError,
        "model 'nowhere' has no finite log-likelihood for any of the 12 subjects where the search starts; look for a logarithm "
        "or a division of 0, a root of a negative number, or data far out of scale, and see what pyem.check(model, data) says",
        lambda: FITS[method](of(nowhere), lines(broken=False)),
    )


def test_check_names_the_subject_whose_likelihood_is_not_finite() -> None:
    report = pyem.check(of(line), lines(broken=True))
    assert (
        "FAIL value: model 'line': the log-likelihood of subject 's3' is nan at typical parameters; look for a"
        in str(report)
    )


def test_prior_that_is_not_finite() -> None:
    with pytest.raises(ModelError, match="model 'rw1a1b' has no finite log-likelihood for any of the 6 subjects"):
        pyem.fit_map(RW, arrays(), log_prior=lambda p: jnp.log(-p.beta))


@pytest.mark.parametrize("prior", [{"sd": [1.0, 0.0]}, {"mean": [NAN, 0.0]}, {"sd": -1.0}])
def test_prior_with_values_that_make_no_sense(prior: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="the prior needs finite means and sds above 0, but was given mean="):
        pyem.fit_map(RW, arrays(), **prior)


# -- little to learn from -----------------------------------------------------------------------------------------------


def test_one_subject() -> None:
    data = arrays().select([1])
    says(
        ValueError,
        "fit_em estimates how people differ and needs at least 2 subjects; use fit_map or fit_mle for one",
        lambda: pyem.fit_em(RW, data),
    )
    alone, together = pyem.fit_map(RW, data), pyem.fit_map(RW, arrays())
    np.testing.assert_allclose(alone.x[0], together.x[1], atol=1e-6)
    assert alone.table()["status"].tolist() == ["ok"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)
        best = pyem.fit_mle(RW, data)
    assert best.log_lik[0] >= alone.log_lik[0] - 1e-9


def test_one_trial() -> None:
    data = arrays()
    one = Dataset.from_arrays({name: np.moveaxis(array, 0, 1)[:, None, :1] for name, array in data.fields.items()})
    with pytest.warns(FitWarning, match=r"6 of 6 subjects have no regular mode: 0 \(flat likelihood\), 1 \(flat"):
        best = pyem.fit_mle(RW, one)
    assert (best.status == Status.FLAT).all()
    np.testing.assert_allclose(best.log_lik, np.log(0.5))
    # The first choice says nothing: both options have the same value.
    likely = pyem.fit_map(RW, one)
    np.testing.assert_allclose(likely.x, np.tile(RW.typical[0], (PEOPLE, 1)), atol=1e-9)
    assert (likely.status == Status.CONVERGED).all()
    with pytest.warns(
        FitWarning, match="the likelihood of these data does not depend on beta, alpha: the mean and sd of"
    ):
        group = pyem.fit_em(RW, one)
    assert np.isfinite(group.table().drop(columns="status")).all(axis=None)


def test_people_who_always_choose_the_same() -> None:
    params = np.stack([np.linspace(1, 8, 30), rng().permutation(np.linspace(0.1, 0.8, 30))], axis=1)
    simulated = pyem.simulate(RW, params, trials=60, key=1)
    fields = {name: values.copy() for name, values in simulated.fields.items()}
    # Paid for it each time, so that no finite inverse temperature fits best.
    fields["choice"][:, 12], fields["choice"][:, 24] = 1, 0
    fields["reward"][:, [12, 24]] = 1.0
    data = dataclasses.replace(simulated, fields=fields)
    with pytest.warns(FitWarning, match=r"subjects have no regular mode: .*12 \((at the boundary|flat likelihood)\)"):
        best = pyem.fit_mle(RW, data)
    assert {Status(best.status[s]) for s in (12, 24)} <= {Status.AT_BOUND, Status.FLAT}
    assert np.isfinite(best.x).all()
    assert np.isfinite(best.log_lik).all()
    # In a group everybody's estimate is in range.
    group = pyem.fit_em(RW, data)
    assert group.converged
    assert (group.status == Status.CONVERGED).all()
    assert np.isfinite(group.table().drop(columns="status")).all(axis=None)
    assert (np.abs(group.x) < 10).all()


@pytest.mark.parametrize("reward", [0.0, 1.0, 7.5])
def test_all_rewards_equal(reward: float) -> None:
    data = arrays(reward=reward)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit = pyem.fit_em(RW, data)
    assert np.isfinite(fit.table().drop(columns="status")).all(axis=None)
    assert np.isfinite(fit.group_table()["estimate"]).all()
    # If it does not converge it says so, and if nobody differs it says in what.
    said = [str(warning.message) for warning in caught]
    sd = fit.group_table().loc["sd", "estimate"]
    assert fit.converged != any("not converged after 500 iterations; raise max_iter" in text for text in said)
    for name in RW.names:
        tiny = any("people do not differ in " in text and name in text.split(":")[1] for text in said)
        assert (sd[name] < 2e-4) == tiny


def test_rewards_that_surprise_nobody() -> None:
    # Values start at 0.5, so that nobody learns anything and every choice is a coin toss.
    with pytest.warns(FitWarning) as caught:
        fit = pyem.fit_em(RW, arrays(reward=0.5))
    assert [str(warning.message) for warning in caught] == [
        "fit_em of 'rw1a1b': the likelihood of these data does not depend on beta, alpha: the mean and sd of the group are "
        "what the iteration started from, and mean nothing; fix it (pyem.fix), or use data in which it matters"
    ]
    assert fit.converged
    np.testing.assert_allclose(fit.log_lik, TRIALS * np.log(0.5))
    assert fit.group_table()["se"].isna().all()


def test_iteration_that_stops_early() -> None:
    data = pyem.simulate(RW, subjects=PEOPLE, trials=TRIALS, key=2)
    with pytest.warns(FitWarning, match="not converged after 2 iterations; raise max_iter"):
        fit = pyem.fit_em(RW, data, max_iter=2)
    assert not fit.converged
    # What is reported belongs together: these are the modes under that group.
    assert fit.population is not None
    again = pyem.fit_map(RW, data, mean=fit.population.coef[0], sd=np.sqrt(np.diag(fit.population.cov)))
    np.testing.assert_allclose(fit.x, again.x, atol=1e-6)


def test_nothing_is_traced_into_the_models_of_others() -> None:
    # A failed dry run leaves no tracer behind that a later fit would trip over.
    with pytest.raises(ModelError):
        pyem.fit_map(BROKEN["if"][0], arrays())
    assert not isinstance(jax.tree.leaves(RW.record(jnp.zeros(2)))[0], jax.core.Tracer)
    assert pyem.fit_map(RW, arrays()).converged
