"""What is given in place of a model, data, a fit or a task is told by every public function."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pyem
import pyem.plot

ROLES = {
    "model": "a model",
    "judgement": "a model is expected",
    "models": "models",
    "what": "models",
    "data": "a Dataset is expected",
    "fit": "a fit is expected",
    "fits": "fits by name",
    "predicted": "predictive draws",
    "table": "a table",
    "study": "study",
    "found": "expected, but",
    "designs": "designs by name",
}
"""Arguments by their names, and words of what is told in their place."""
OWN_WORDS = {"report": "a fit, or fits by name", "plot_recovery": "give the estimates"}
"""Functions that also take other things than these, which they name."""
SIMPLER = {
    "load",
    "random_effects_bms",
    "between_groups",
    "between_conditions",
    "rollout",
    "numpyro_model",
    "opaque_model",
}
"""Functions whose first argument is a path, a table of numbers or a function, and the inner ones of an engine."""


@pytest.fixture(scope="module")
def simulated() -> pyem.Simulation:
    return pyem.simulate(pyem.models.get("rw1a1b"), subjects=3, trials=12, key=0)


def public() -> list[Any]:
    modules = {pyem: pyem.__all__, pyem.plot: [name for name in dir(pyem.plot) if name.startswith("plot_")]}
    functions = [getattr(module, name) for module, names in modules.items() for name in names]
    return [f for f in functions if inspect.isfunction(f) and f.__name__ not in SIMPLER]


def required(function: Callable[..., Any], simulated: pyem.Simulation) -> dict[str, Any]:
    """Arguments that a function needs, by name."""
    right = {
        "model": pyem.models.get("rw1a1b"),
        "data": simulated,
        "judgement": pyem.models.get("beta_rating"),
        "designs": {"short": pyem.Experiment(trials=5), "long": pyem.Experiment(trials=6)},
        "models": {name: pyem.models.get(name) for name in ("rw1a1b", "bias")},
        "make": lambda low: pyem.task.Bandit((low, 0.5)),
        "ranges": {"low": (0.1, 0.4)},
        "what": pyem.models.get("rw1a1b"),
        "kind": "mean",
        "parameter": "alpha",
        "key": 0,
    }
    return {
        name: right.get(name, name)
        for name, one in inspect.signature(function).parameters.items()
        if one.default is inspect.Parameter.empty and one.kind not in (one.VAR_KEYWORD, one.VAR_POSITIONAL)
    }


def roles() -> list[Any]:
    found = [(f, name) for f in public() for name in list(inspect.signature(f).parameters)[:2] if name in ROLES]
    assert len(found) > 70
    return [pytest.param(*one, id=f"{one[0].__name__}-{one[1]}") for one in found]


@pytest.mark.parametrize(("function", "role"), roles())
@pytest.mark.parametrize("wrong", ["nothing", "word", "number", "table", "list", "group"])
def test_what_was_given_in_place_of_a_thing_is_told(
    function: Callable[..., Any], role: str, wrong: str, simulated: pyem.Simulation
) -> None:
    given = {
        "nothing": None,
        "word": "rw1a1b",
        "number": 3.0,
        "table": simulated.to_frame(),
        "list": [3.0],
        "group": pyem.Group(),
    }
    if role == "table" and wrong == "table":
        return
    arguments = required(function, simulated)
    words = OWN_WORDS.get(function.__name__, ROLES[role])
    with pytest.raises((pyem.DataError, pyem.ModelError, TypeError, ValueError), match=words):
        function(**arguments | {role: given[wrong]})


METHODS = [f for f in public() if "fit" in (names := inspect.signature(f).parameters) and list(names).index("fit") > 1]


@pytest.mark.parametrize("function", METHODS, ids=lambda function: function.__name__)
@pytest.mark.parametrize("wrong", ["em", 3, pyem.Group()], ids=["word", "number", "group"])
def test_what_was_given_in_place_of_a_method_is_told(
    function: Callable[..., Any], wrong: Any, simulated: pyem.Simulation
) -> None:
    assert len(METHODS) > 6
    arguments = required(function, simulated)
    if function is pyem.power:
        arguments = {
            "what": pyem.Effect(pyem.models.get("rw1a1b"), "alpha", size=0.5),
            "n": [4],
            "trials": [5],
            "key": 0,
        }
    with pytest.raises(TypeError, match="a function of a model and data is expected"):
        function(**arguments, fit=wrong)


def test_the_remedy_names_what_has_the_thing(simulated: pyem.Simulation) -> None:
    fit = pyem.fit_map(pyem.models.get("rw1a1b"), simulated)
    with pytest.raises(pyem.ModelError, match=r"a PointFit was given; its model is in \.model"):
        pyem.fix(fit, alpha=0.3)
    with pytest.raises(pyem.DataError, match=r"a PointFit was given; its data is in \.data"):
        pyem.fit_em(fit.model, fit)
    design = pyem.regress(fit.model, "alpha ~ 1")
    with pytest.raises(pyem.ModelError, match=r"a Regression was given; its model is in \.model"):
        pyem.by(design, beta="session")
    with pytest.raises(pyem.DataError, match="a DataFrame was given; pyem"):
        pyem.fit_em(fit.model, simulated.to_frame())


@pytest.mark.parametrize("task", ["bandit", 3, [1], np.zeros(2), pyem.task.Bandit])
def test_what_was_given_in_place_of_a_task_is_told(task: Any, simulated: pyem.Simulation) -> None:
    model = pyem.models.get("rw1a1b")
    fit = pyem.fit_map(model, simulated)
    calls: list[Callable[[], Any]] = [
        lambda: pyem.simulate(model, subjects=2, trials=5, task=task, key=0),
        lambda: pyem.recovery(model, subjects=2, trials=5, task=task, key=0),
        lambda: pyem.identifiability(model, subjects=2, trials=5, task=task, key=0),
        lambda: pyem.posterior_predictive(fit, draws=2, task=task, key=0),
        lambda: pyem.tune_design(model, lambda low: task, {"low": (0.0, 1.0)}, key=0),
    ]
    for call in calls:
        with pytest.raises(TypeError, match="a task is expected"):
            call()
