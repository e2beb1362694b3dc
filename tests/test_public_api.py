"""The public names, and how little `import pyem` does."""

from __future__ import annotations

import importlib.metadata
import inspect
import json
import pkgutil
import re
import subprocess
import sys
import types
from pathlib import Path

import pytest

import pyem

ROOT = Path(__file__).parents[1]
API = {
    "Bernoulli",
    "Beta",
    "Binomial",
    "Categorical",
    "Confusion",
    "DataError",
    "Dataset",
    "EMModel",
    "Experiment",
    "FitResult",
    "FitWarning",
    "GridFit",
    "HBIFit",
    "Group",
    "Interval",
    "Model",
    "ModelError",
    "MovingBound",
    "NegativeBinomial",
    "Normal",
    "Ordinal",
    "Ordered",
    "Parameter",
    "PartitionedDataset",
    "PointFit",
    "Poisson",
    "Positive",
    "Probit",
    "Real",
    "Recovery",
    "Regression",
    "SampleFit",
    "Simulation",
    "Status",
    "Wiener",
    "__version__",
    "aic",
    "aif",
    "between_conditions",
    "between_groups",
    "bic",
    "calibration",
    "power",
    "choose_design",
    "identifiability",
    "annealed_evidence",
    "bridge_evidence",
    "savage_dickey",
    "cross_validate",
    "Calibration",
    "Effect",
    "DesignEffects",
    "Power",
    "by",
    "check",
    "compare",
    "compare_fits",
    "confusion",
    "em",
    "ez_diffusion",
    "fit_bayes",
    "fit_em",
    "fit_grid",
    "fit_hbi",
    "fit_map",
    "fit_mle",
    "fit_nuts",
    "fit_svi",
    "fix",
    "integrated_bic",
    "lme",
    "load",
    "log_lik",
    "log_marginal_likelihood",
    "loo",
    "models",
    "model_average",
    "numpyro_model",
    "opaque_model",
    "optim",
    "plot",
    "posterior",
    "posterior_predictive",
    "predictive_check",
    "prior_predictive",
    "priors",
    "pseudo_r2",
    "pymc_logp",
    "random_effects_bms",
    "recovery",
    "regress",
    "report",
    "response_time_check",
    "rollout",
    "selection",
    "simulate",
    "study",
    "task",
    "tie",
    "to_apa",
    "to_bids_events",
    "to_latex",
    "to_markdown",
    "to_parquet",
    "waic",
    "with_cues",
    "with_judgement",
    "with_decision",
    "with_eligibility",
    "with_forgetting",
    "with_lapse",
    "with_range",
    "with_side_bias",
    "with_stickiness",
}
"""A change of this set is a change of the interface: say it in the changelog."""

AIF = {
    "DiscretePOMDP",
    "Episodes",
    "Learning",
    "POMDPTask",
    "TMaze",
    "from_pymdp",
    "join_blocks",
    "plot_posteriors",
    "pymdp_data",
}
"""Of `pyem.aif`, which is loaded on first use."""

HEAVY = [
    "arviz",
    "equinox",
    "joblib",
    "matplotlib",
    "narwhals",
    "numpyro",
    "pandas",
    "pymdp",
    "rich",
    "scipy.stats",
    "typer",
    "xarray",
]


def test_the_public_names_are_these():
    assert set(pyem.__all__) == API
    assert len(pyem.__all__) == len(API)
    assert set(dir(pyem)) == API


@pytest.mark.parametrize("name", sorted(API - {"__version__"}))
def test_every_public_name_is_there_and_documented(name):
    value = getattr(pyem, name)
    assert value.__doc__, f"pyem.{name} has no docstring"
    assert not value.__doc__.startswith(f"{name}("), f"pyem.{name} has only the docstring that dataclasses make"
    assert len(value.__doc__.strip()) > 20
    if isinstance(value, type):
        own = [member for key, member in vars(value).items() if not key.startswith("_")]
        methods = [member for member in own if inspect.isfunction(member) or isinstance(member, property | classmethod)]
        assert all(inspect.getdoc(method) for method in methods)


def test_every_public_name_stands_in_the_reference():
    page = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    values = {name: getattr(pyem, name) for name in API - {"__version__"}}
    there = set(re.findall(r"^::: (\S+)$", page, flags=re.MULTILINE))
    absent = [
        name
        for name, value in values.items()
        if not isinstance(value, types.ModuleType) and f"{value.__module__}.{name}" not in there
    ]
    assert absent == []


def test_the_names_of_active_inference_are_these():
    assert set(pyem.aif.__all__) == set(dir(pyem.aif)) == AIF
    for name in AIF:
        assert len((getattr(pyem.aif, name).__doc__ or "").strip()) > 20, f"pyem.aif.{name} has no docstring"
    with pytest.raises(AttributeError, match=r"module 'pyem.aif' has no attribute 'Agent'"):
        _ = pyem.aif.Agent


def has_a_signature(value: object) -> bool:
    return callable(value) and not (isinstance(value, type) and issubclass(value, Exception))


@pytest.mark.parametrize("name", sorted(name for name in API if has_a_signature(getattr(pyem, name))))
def test_no_argument_swallows_a_misspelling(name):
    kinds = [parameter.kind for parameter in inspect.signature(getattr(pyem, name)).parameters.values()]
    # The names that `by`, `fix`, `tie` and `with_range` take are parameters of the model, which they check.
    assert inspect.Parameter.VAR_KEYWORD not in kinds or name in ("by", "fix", "tie", "with_range")


def test_no_module_hides_a_function():
    modules = {module.name for module in pkgutil.iter_modules(pyem.__path__)}
    values = {name for name in API if not isinstance(getattr(pyem, name), types.ModuleType)}
    assert not modules & values


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'pyem' has no attribute 'fit_everything'"):
        _ = pyem.fit_everything


def test_the_version_is_that_of_the_distribution():
    assert pyem.__version__ == importlib.metadata.version("pyem-behavior")


def in_a_fresh_process(code: str) -> dict:
    """What `code` says of itself as the dict `seen`; it must print nothing else on either stream."""
    script = f"import json, sys\nseen = {{}}\n{code}\nprint(json.dumps(seen))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert len(lines) == 1, f"something was printed: {lines[:-1]}"
    return json.loads(lines[0])


LOOK = f"""
seen["heavy"] = [name for name in {HEAVY} if name in sys.modules]
import logging
seen["handlers"] = len(logging.getLogger().handlers) + len(logging.getLogger("pyem").handlers)
seen["levels"] = [logging.getLogger().level, logging.getLogger("pyem").level]
import jax
seen["x64"] = bool(jax.config.jax_enable_x64)
"""
LIGHT = {"heavy": [], "handlers": 0, "levels": [30, 0], "x64": False}


def test_import_loads_nothing_heavy_prints_nothing_and_sets_nothing_up():
    assert in_a_fresh_process("import pyem" + LOOK) == LIGHT


def test_models_and_the_fit_load_nothing_heavy_either():
    code = """
import pyem
model = pyem.with_lapse(pyem.models.get("rw1a1b"))
pyem.aif.DiscretePOMDP, pyem.aif.from_pymdp, pyem.models.get("aif_bandit")
pyem.simulate, pyem.fit_em, pyem.check, pyem.Group, pyem.Dataset.from_arrays({"choice": [[[0, 1]]], "reward": [[[1, 0]]]})
"""
    assert in_a_fresh_process(code + LOOK) == LIGHT
