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
    "Bernoulli": "model.distribution",
    "Beta": "model.ratings",
    "Binomial": "model.distribution",
    "Categorical": "model.distribution",
    "Confusion": "study.model_recovery",
    "DataError": "errors",
    "Dataset": "data.dataset",
    "Calibration": "study.calibration_study",
    "Effect": "study.effect",
    "DesignEffects": "study.design_effects",
    "EMModel": "compat.api",
    "Experiment": "study.experiment",
    "FitResult": "compat.fit_result",
    "FitWarning": "errors",
    "GridFit": "results.grid",
    "HBIFit": "results.hbi",
    "Group": "population.group",
    "Interval": "model.transform",
    "Model": "model.model",
    "ModelError": "errors",
    "MovingBound": "model.moving",
    "NegativeBinomial": "model.distribution",
    "Normal": "model.distribution",
    "Ordinal": "model.ratings",
    "Ordered": "model.transform",
    "Parameter": "model.parameter",
    "PartitionedDataset": "data.partitioned",
    "Power": "study.power_study",
    "PointFit": "results.point",
    "Poisson": "model.distribution",
    "Positive": "model.transform",
    "Probit": "model.transform",
    "Real": "model.transform",
    "Recovery": "study.parameter_recovery",
    "SampleFit": "results.sample",
    "Simulation": "simulation.play",
    "Status": "population.posterior",
    "Wiener": "model.times.wiener",
    "Regression": "engine.regress",
    "aic": "selection.criteria",
    "between_conditions": "selection.frequency_tests",
    "between_groups": "selection.frequency_tests",
    "annealed_evidence": "selection.annealing",
    "bridge_evidence": "selection.bridge_sampling",
    "savage_dickey": "selection.savage_dickey",
    "bic": "selection.criteria",
    "by": "engine.regress",
    "calibration": "study.calibration_study",
    "check": "study.dry_runs",
    "choose_design": "study.designs",
    "compare_fits": "selection.comparison",
    "confusion": "study.model_recovery",
    "cross_validate": "selection.refits",
    "ez_diffusion": "study.ez",
    "fit_bayes": "infer.bayes",
    "fit_em": "infer.em",
    "fit_grid": "infer.grid",
    "fit_hbi": "infer.hbi",
    "fit_map": "infer.point",
    "fit_mle": "infer.point",
    "fit_nuts": "infer.nuts",
    "fit_svi": "infer.svi",
    "fix": "model.modifiers",
    "identifiability": "study.identifiability",
    "integrated_bic": "selection.evidence",
    "lme": "selection.evidence",
    "load": "results.files",
    "log_lik": "engine.natural",
    "log_marginal_likelihood": "selection.marginal",
    "loo": "selection.cross_validation",
    "model_average": "selection.averaging",
    "numpyro_model": "bridge.numpyro",
    "opaque_model": "engine.opaque",
    "power": "study.power_study",
    "posterior_predictive": "simulation.predictive",
    "predictive_check": "study.predictive_checks",
    "prior_predictive": "simulation.predictive",
    "pseudo_r2": "selection.criteria",
    "pymc_logp": "bridge.pymc",
    "random_effects_bms": "selection.random_effects",
    "recovery": "study.parameter_recovery",
    "regress": "engine.regress",
    "report": "plot.reports.report",
    "response_time_check": "study.time_checks",
    "rollout": "model.rollout",
    "simulate": "simulation.play",
    "tie": "model.modifiers",
    "to_apa": "results.paper",
    "to_bids_events": "results.events",
    "to_latex": "results.paper",
    "to_markdown": "results.paper",
    "to_parquet": "results.parquet",
    "waic": "selection.cross_validation",
    "with_cues": "model.modifiers",
    "with_judgement": "models.with_judgement",
    "with_decision": "model.decision",
    "with_eligibility": "model.modifiers",
    "with_forgetting": "model.modifiers",
    "with_lapse": "model.modifiers",
    "with_range": "model.modifiers",
    "with_side_bias": "model.modifiers",
    "with_stickiness": "model.modifiers",
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
