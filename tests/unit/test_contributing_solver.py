"""The solver and the method of inference that CONTRIBUTING.md shows do what it says."""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pyem
from pyem.engine.validate import validate
from pyem.infer.laplace import JaxEStep
from pyem.infer.outcome import as_point_fit, ended
from pyem.infer.solver import Mode
from pyem.population.posterior import GaussianPrior, Status

PAGE = Path(__file__).parents[2] / "CONTRIBUTING.md"
KNOWN: dict[str, Any] = {
    "dataclasses": dataclasses, "jax": jax, "jnp": jnp, "np": np, "Mode": Mode, "validate": validate, "JaxEStep": JaxEStep,
    "GaussianPrior": GaussianPrior, "as_point_fit": as_point_fit, "ended": ended,
}  # fmt: skip


def example(section, name):
    """What the code in a section of the page defines under a name."""
    text = PAGE.read_text().split(f"## {section}\n")[1].split("\n## ")[0]
    scope: dict[str, Any] = KNOWN | {"__name__": "contributing"}
    exec(text.split("```python\n")[1].split("```")[0], scope)
    return scope[name]


@pytest.fixture(scope="module")
def people():
    model = pyem.models.get("rw1a1b")
    return model, pyem.simulate(model, subjects=12, key=4, blocks=3, trials=30)


def test_the_solver_finds_the_modes(people):
    model, data = people
    solver = example("Add a solver", "Climb")()
    mean, sd = model.typical
    prior = GaussianPrior(np.tile(mean, (12, 1)), np.diag(1 / sd**2), np.ones((12, 2)))
    found = JaxEStep(model, data, np.tile(mean, (12, 1)), solver=solver, max_steps=2000)(prior)
    assert (found.status == Status.CONVERGED).all()
    np.testing.assert_allclose(found.mode, pyem.fit_map(model, data).x, atol=1e-6)


def test_the_method_gives_a_result(people):
    model, data = people
    mean, _ = model.typical
    fit = example("Add a method of inference", "fit_ridge")(model, data, sd=0.7)
    assert fit.converged
    np.testing.assert_allclose(fit.x, pyem.fit_map(model, data, mean=mean, sd=[0.7, 0.7]).x, atol=1e-9)
    assert len(fit.table()) == 12
