"""The page for users of pyEM and the examples run, and say what they show."""

import re
import runpy
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pytest

matplotlib.use("Agg")

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "coming-from-pyem.md"


@pytest.fixture(scope="module")
def names():
    """What the blocks of the page leave behind."""
    left = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL):
        exec(compile(block, PAGE.name, "exec"), left)
    return left


def test_old_and_new_form_fit_the_same(names):
    assert names["result"].convergence is True
    assert names["fit"].converged
    natural = np.column_stack([names["norm2beta"](names["result"].m[0]), names["norm2alpha"](names["result"].m[1])])
    np.testing.assert_allclose(names["fit"].params, natural, rtol=1e-3)


def test_a_model_written_in_three_ways_is_the_same_model(names):
    assert names["loop"].convergence is True
    np.testing.assert_allclose(names["traced"].m, names["loop"].m, atol=1e-3)
    np.testing.assert_allclose(names["traced"].posterior_sigma, names["loop"].posterior_sigma, atol=1e-3)
    np.testing.assert_allclose(names["new"].params, names["traced"].m.T, atol=1e-3)


def test_every_name_of_the_table_exists(names):
    import pyem

    listed = re.findall(r"`(?:pyem\.)?([a-z_]+)\(", PAGE.read_text(encoding="utf-8").split("## Which numbers")[0])
    found = [name for name in listed if hasattr(pyem, name)]
    assert {"fit_em", "fit_mle", "fit_map", "lme", "integrated_bic", "compare_fits", "confusion", "recovery"} <= set(
        found
    )
    for name in ("x", "params", "latents", "group_table"):
        assert hasattr(names["fit"], name)


EXAMPLES = {"params": "PARAM_REGISTRY", "bayes": "em", "rl": "identified", "custom_model": "rw_decay", "glm": "data"}


# They are compiled anew, model by model.
@pytest.mark.parametrize("name", [n if n == "params" else pytest.param(n, marks=pytest.mark.slow) for n in EXAMPLES])
def test_examples_run(name, monkeypatch, capsys):
    import matplotlib.pyplot as plt

    monkeypatch.setattr(sys, "path", [str(ROOT / "examples"), *sys.path])
    left = runpy.run_path(str(ROOT / "examples" / f"{name}.py"), run_name="__main__")
    plt.close("all")
    assert EXAMPLES[name] in left
    if name == "rl":
        assert left["result"].convergence is True
        assert left["identified"].groupby("Simulated")["bestlme"].sum().tolist() == [5, 5]
        assert "converged" in capsys.readouterr().out
    if name == "custom_model":
        np.testing.assert_allclose(left["traced_fit"].m, left["recovery"]["fit_result"].m, atol=1e-3)
        np.testing.assert_allclose(left["fit"].params, left["traced"].subject_params(), rtol=1e-2)
