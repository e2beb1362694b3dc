"""Could the experiment tell? Recovery of parameters and of models, calibration, dry runs, predictive checks, by simulation."""

from pyem.study.dry_runs import CheckReport, check
from pyem.study.experiment import Experiment, Fitter
from pyem.study.model_recovery import Confusion, confusion
from pyem.study.parameter_recovery import Recovery, recovery
from pyem.study.predictive_checks import PredictiveCheck, predictive_check

__all__ = [
    "CheckReport",
    "Confusion",
    "Experiment",
    "Fitter",
    "PredictiveCheck",
    "Recovery",
    "check",
    "confusion",
    "predictive_check",
    "recovery",
]
