"""Fit computational models of behaviour to groups of people.

Nouns: `Parameter`, `Model`, `Dataset`, `Group`, a task from `pyem.task`, and results such as `PointFit`.
Verbs: `fit_em`, `fit_map`, `fit_mle`, `simulate`, `check`, `compare_fits`, `recovery`, `confusion`, `load`.
Models that come with the library: `pyem.models.names()`, `pyem.models.get(name)`.
The interface of pyEM: `EMModel`, and the modules `compare, em, optim, posterior, priors`.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_WHERE = {
    "Categorical": "distribution",
    "Confusion": "study",
    "DataError": "table",
    "Dataset": "dataset",
    "EMModel": "api",
    "FitResult": "api",
    "FitWarning": "infer.point",
    "GridFit": "gridfit",
    "Group": "group",
    "Interval": "transform",
    "Model": "model",
    "ModelError": "validation",
    "Normal": "distribution",
    "Ordered": "transform",
    "Parameter": "model",
    "PointFit": "result",
    "Poisson": "distribution",
    "Positive": "transform",
    "Real": "transform",
    "Recovery": "study",
    "SampleFit": "result_sample",
    "Simulation": "simulation",
    "Status": "solve",
    "aic": "selection",
    "bic": "selection",
    "check": "validation",
    "compare_fits": "selection",
    "confusion": "study",
    "fit_em": "infer.point",
    "fit_grid": "infer.grid",
    "fit_map": "infer.point",
    "fit_mle": "infer.point",
    "fit_nuts": "infer.nuts",
    "fit_svi": "infer.svi",
    "fix": "derived",
    "integrated_bic": "selection",
    "lme": "selection",
    "load": "export",
    "loo": "information",
    "numpyro_model": "bridge",
    "posterior_predictive": "predictive",
    "predictive_check": "ppc",
    "prior_predictive": "predictive",
    "pseudo_r2": "selection",
    "pymc_logp": "bridge_pymc",
    "random_effects_bms": "selection",
    "recovery": "study",
    "rollout": "scan",
    "simulate": "simulation",
    "tie": "derived",
    "waic": "information",
    "with_lapse": "derived",
    "with_stickiness": "derived",
}
_MODULES = ("aif", "models", "plot", "selection", "study", "task")
_PYEM = ("compare", "em", "optim", "posterior", "priors")
"""Modules of the pyEM interface that are also found here."""

__all__ = ["__version__", *_WHERE, *_MODULES, *_PYEM]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    # Names are loaded on first use, so that `import pyem` costs little more than `import jax`.
    if name in _WHERE:
        value = getattr(importlib.import_module(f"pyem.{_WHERE[name]}"), name)
    elif name in _MODULES:
        value = importlib.import_module(f"pyem.{name}")
    elif name in _PYEM:
        value = importlib.import_module(f"pyem.core.{name}")
    else:
        raise AttributeError(f"module 'pyem' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
