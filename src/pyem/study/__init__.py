"""Studies by simulation: recovery of parameters and of models, calibration, power, dry runs, predictive checks."""

from pyem.infer.rounds import Running, run_rounds
from pyem.study.calibration_study import Calibration, calibration
from pyem.study.design_effects import DesignEffects
from pyem.study.design_tuning import DesignTuning, tune_design
from pyem.study.designs import DesignChoice, choose_design
from pyem.study.dry_runs import CheckReport, check
from pyem.study.effect import Effect
from pyem.study.experiment import Experiment, Fitter
from pyem.study.identifiability import Identifiability, identifiability
from pyem.study.model_recovery import Confusion, confusion
from pyem.study.parameter_recovery import Recovery, recovery
from pyem.study.power_study import Power, power
from pyem.study.predictive_checks import PredictiveCheck, predictive_check
from pyem.study.time_checks import ResponseTimeCheck, response_time_check

__all__ = [
    "Calibration",
    "CheckReport",
    "Confusion",
    "DesignChoice",
    "DesignEffects",
    "DesignTuning",
    "Effect",
    "Experiment",
    "Fitter",
    "Identifiability",
    "Power",
    "PredictiveCheck",
    "Recovery",
    "ResponseTimeCheck",
    "Running",
    "calibration",
    "check",
    "choose_design",
    "confusion",
    "identifiability",
    "power",
    "predictive_check",
    "recovery",
    "response_time_check",
    "run_rounds",
    "tune_design",
]
