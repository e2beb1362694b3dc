"""Which model explains the data best: criteria, evidence, cross-validation, and the comparison of fits."""

from pyem.errors import UndefinedCriterion
from pyem.selection.comparison import BY_DRAWS, CRITERIA, compare_fits
from pyem.selection.criteria import Criterion, PseudoR2, aic, bic, pseudo_r2
from pyem.selection.evidence import IntegratedBIC, LogEvidence, integrated_bic, lme
from pyem.selection.random_effects import ModelFrequencies, random_effects_bms

__all__ = [
    "BY_DRAWS",
    "CRITERIA",
    "Criterion",
    "IntegratedBIC",
    "LogEvidence",
    "ModelFrequencies",
    "PseudoR2",
    "UndefinedCriterion",
    "aic",
    "bic",
    "compare_fits",
    "integrated_bic",
    "lme",
    "pseudo_r2",
    "random_effects_bms",
]
