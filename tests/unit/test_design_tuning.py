"""Numbers of a task that are tuned end where a closed form says that data tell most."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import pyem
from pyem import Model, Normal, Parameter
from pyem.numerics.jit import TRACES

TRIALS, PEOPLE = 10, 5


@dataclasses.dataclass(frozen=True)
class Doses:
    """Every trial has the same dose."""

    dose: float

    def init(self, key):
        return ()

    def present(self, state, key):
        return {"dose": self.dose}

    def respond(self, state, trial, key):
        return state, {}


def answer(p, state, trial):
    """The effect of a dose grows with it, and its noise faster."""
    return Normal(p.b * trial.dose, 1 + trial.dose**2)


def noise(p, state, trial):
    return Normal(0.0 * p.b, 1 + trial.dose**2)


SLOPE = Parameter("b", sd=1.0)
EFFECT = Model("effect_of_a_dose", (SLOPE,), answer, responses=("y",), inputs=("dose",))
NONE = Model("no_effect_of_a_dose", (SLOPE,), noise, responses=("y",), inputs=("dose",))
WORDS = {"key": 1, "design": pyem.Experiment(trials=TRIALS), "subjects": PEOPLE}


def information(dose):
    """Nats that the data of a person tell about a slope with a standard normal prior."""
    return 0.5 * np.log1p(TRIALS * dose**2 / (1 + dose**2) ** 2)


@pytest.fixture(scope="module")
def tuned():
    return pyem.tune_design(EFFECT, Doses, {"dose": (0.0, 4.0)}, evaluations=30, **WORDS)


def test_the_dose_that_tells_most_is_found(tuned):
    # d / (1 + d^2) is largest at 1, and flat there: a look is as good as the best to 1e-4 nats.
    assert tuned.numbers["dose"] == pytest.approx(1.0, abs=0.05)
    np.testing.assert_allclose(tuned.path["information"], information(tuned.path["dose"]), atol=1e-6)
    assert tuned.table().loc["tuned", "information"] == pytest.approx(information(1.0), abs=1e-4)
    assert tuned.table().loc["middle of the ranges", "information"] == pytest.approx(information(2.0), abs=1e-6)
    assert tuned.task == Doses(tuned.numbers["dose"])
    assert "Tuned to dose = " in repr(tuned)
    assert len(tuned.path) <= 30


def test_other_numbers_compile_nothing_anew(tuned):
    before = TRACES.total()
    pyem.tune_design(EFFECT, Doses, {"dose": (0.5, 3.0)}, evaluations=6, **WORDS)
    assert TRACES.total() == before


def test_models_are_told_apart_better_than_in_the_middle():
    found = pyem.tune_design([EFFECT, NONE], Doses, {"dose": (0.0, 6.0)}, evaluations=12, **WORDS | {"subjects": 40})
    table = found.table()
    assert 0.5 < found.numbers["dose"] < 2.0
    assert table.loc["tuned", "chernoff"] < table.loc["middle of the ranges", "chernoff"] - 0.02


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"ranges": {}}, "a smallest and a larger largest value"),
        ({"ranges": {"dose": (1.0, 1.0)}}, "a smallest and a larger largest value"),
        ({"ranges": {"dose": ("low", "high")}}, "a smallest and a larger largest value"),
        ({"ranges": {"dose": "lh"}}, "a smallest and a larger largest value"),
        ({"ranges": "dose"}, "a smallest and a larger largest value"),
        ({"ranges": {"dose": 3.0}}, "a smallest and a larger largest value"),
        ({"evaluations": 3}, "evaluations=3"),
        ({"design": pyem.Experiment(task=Doses(1.0))}, "the task is made by make="),
    ],
)
def test_searches_that_cannot_be(words, message):
    given = {"ranges": {"dose": (0.0, 1.0)}} | WORDS | words
    with pytest.raises(ValueError, match=message):
        pyem.tune_design(EFFECT, Doses, given.pop("ranges"), **given)
