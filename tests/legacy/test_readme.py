"""pyEM's README runs as it is written."""

import ast
import inspect
import sys
import types
from pathlib import Path

import matplotlib
import numpy as np
import pytest

import pyem
from pyem.core import compare, modelspec
from tests.legacy import readme

matplotlib.use("Agg")

pytestmark = pytest.mark.skipif(
    not readme.README.exists(), reason=f"the page that is tested is not here: {readme.README}"
)


@pytest.fixture(scope="module")
def page():
    """What each block left behind: blocks that continue one another share a namespace, and all of the page do."""
    import matplotlib.pyplot as plt

    np.random.seed(20)  # noqa: NPY002 - the page's own generator
    shown = []
    module = types.ModuleType("readme_blocks")
    module.display = shown.append
    examples = str(Path(__file__).parents[2] / "examples")
    sys.path.insert(0, examples)
    left = {}
    try:
        for name, source in readme.blocks().items():
            exec(compile(source, f"<README: {name}>", "exec"), module.__dict__)
            left[name] = dict(module.__dict__) | {"shown": list(shown)}
    finally:
        sys.path.remove(examples)
        plt.close("all")
    return left


def test_every_block_of_the_page_runs(page):
    assert list(page) == list(readme.BLOCKS)


def test_quick_start_recovers_the_parameters(page):
    left = page["quick start"]
    assert left["rw1a1b_model"].id == "rw1a1b"
    assert left["rw1a1b_model"].spec == {"rl": {"softmax": ["beta"], "rw": ["alpha"]}}
    assert left["result"].convergence is True
    assert left["result"].m.shape == (2, 100)
    assert left["result"].inv_h.shape == (2, 2, 100)
    assert left["estimated_params"].shape == (100, 2)
    assert {"params", "nll", "EV", "ch_prob", "PE", "choices_A"} <= set(left["output_dict"])
    assert left["output_dict"]["EV"].shape == (100, 4, 25, 2)
    assert (left["recovery"].corr > 0.6).all()
    assert left["ax"].get_xlabel() == "Simulated alpha"


def test_shared_parameters_converge(page):
    assert page["shared parameters"]["result"].convergence is True


def test_recovery_leaves_data_and_fit_with_the_model(page):
    left = page["recovery"]
    assert (left["recovery_dict"]["correlation"] > 0.6).all()
    assert len(left["model"].all_data) == 100
    assert len([ax for ax in left["fig"].axes if ax.axison]) == 2


def test_comparison_has_a_row_for_each_model(page):
    left = page["comparison"]
    frame = left["comparison_df"]
    assert left["shown"] == [frame]
    assert list(frame.index) == ["RW1", "RW2"]
    assert list(frame.columns) == list(compare.COLUMNS.values())
    assert np.isfinite(frame.to_numpy()).all()
    # The data are from the simpler model.
    assert frame[compare.COLUMNS["LME"]].idxmax() == "RW1"


def test_scores_are_numbers(page):
    left = page["scores"]
    assert np.isfinite(left["bicint"])
    assert np.isfinite(left["lme"])
    assert left["good"].all()


def test_identification_counts_every_round_once(page):
    frame = page["identifiability"]["mi_df"]
    assert list(frame.columns[:4]) == ["Simulated", "Estimated", "LME", "BICint"]
    for metric in ("bestlme", "bestbic"):
        np.testing.assert_array_equal(frame.groupby("Simulated")[metric].sum(), [3, 3])


def test_transforms_are_those_given(page):
    left = page["transforms of a model"]
    assert left["alpha_natural"] == pytest.approx(1 / (1 + np.exp(-0.5)))
    assert left["transformed_beta"] == pytest.approx(20 / (1 + np.exp(-0.5)))
    assert left["beta_transform"] is left["norm2beta"]


def test_the_template_of_a_custom_model_is_a_model_spec(page):
    spec = page["custom model"]["my_model"]
    assert isinstance(spec, modelspec.ModelSpec)
    assert spec.fit([0.0, 0.0], "choices", "rewards", output="all")["params"] == [0.5, 10.0]
    assert spec.fit([0.0, -20.0], [], []) == 1e7


def _signatures():
    """The methods that the page lists: name of the class, name of the method, names of its arguments."""
    text = readme.README.read_text(encoding="utf-8")
    found, owner = [], None
    for line in text.splitlines():
        if line.startswith("class ") and line.endswith(":"):
            owner = line[6:-1]
        elif line.startswith("def ") and owner:
            # A line may run on into the sentence after it.
            head = line[: line.index(")") + 1]
            arguments = ast.parse(f"{head}: ...").body[0].args
            found.append(
                (owner, head[4 : head.index("(")], [a.arg for a in arguments.args], arguments.kwarg is not None)
            )
    return [row for row in found if row[0] in ("EMModel", "ModelComparison")]


def test_listed_methods_exist_with_the_listed_arguments():
    listed = _signatures()
    assert len(listed) == 13
    for owner, name, arguments, more in listed:
        method = getattr({"EMModel": pyem.EMModel, "ModelComparison": compare.ModelComparison}[owner], name)
        have = inspect.signature(method).parameters
        assert list(have)[: len(arguments)] == arguments, (owner, name)
        assert len(have) > len(arguments) or not more, (owner, name)
