"""Comparison of models: criteria, evidence, cross-validation, and the comparison of fits."""

from pyem.errors import UndefinedCriterion
from pyem.selection.annealing import annealed_evidence
from pyem.selection.averaging import ModelAverage, model_average
from pyem.selection.bridge_sampling import BRIDGE, BridgeEvidence, bridge_evidence
from pyem.selection.comparison import compare_fits, headings, measures
from pyem.selection.criteria import AIC, BIC, PSEUDO_R2, PseudoR2, aic, bic, pseudo_r2
from pyem.selection.criterion import (
    CRITERIA,
    Criterion,
    Score,
    Settings,
    Unit,
    has_draws,
    named,
    register,
    require,
    unregister,
    usual,
    without_estimates,
)
from pyem.selection.cross_validation import LOO, WAIC, Predictive, loo, waic
from pyem.selection.evidence import INTEGRATED_BIC, LME, IntegratedBIC, LogEvidence, integrated_bic, lme
from pyem.selection.evidence_table import EvidenceTable, evidence_table
from pyem.selection.frequency_tests import ConditionDifference, GroupDifference, between_conditions, between_groups
from pyem.selection.marginal import MARGINAL, log_marginal_likelihood
from pyem.selection.random_effects import ModelFrequencies, random_effects_bms
from pyem.selection.refit_criterion import CROSS_VALIDATION
from pyem.selection.refits import CrossValidation, cross_validate
from pyem.selection.savage_dickey import PointNull, savage_dickey

for _one in (LME, INTEGRATED_BIC, AIC, BIC, PSEUDO_R2, LOO, WAIC, MARGINAL, BRIDGE, CROSS_VALIDATION):
    register(_one)

__all__ = [
    "CRITERIA",
    "BridgeEvidence",
    "ConditionDifference",
    "Criterion",
    "CrossValidation",
    "EvidenceTable",
    "GroupDifference",
    "IntegratedBIC",
    "LogEvidence",
    "ModelAverage",
    "ModelFrequencies",
    "PointNull",
    "Predictive",
    "PseudoR2",
    "Score",
    "Settings",
    "UndefinedCriterion",
    "Unit",
    "aic",
    "annealed_evidence",
    "between_conditions",
    "between_groups",
    "bic",
    "bridge_evidence",
    "compare_fits",
    "cross_validate",
    "evidence_table",
    "has_draws",
    "headings",
    "integrated_bic",
    "lme",
    "log_marginal_likelihood",
    "loo",
    "measures",
    "model_average",
    "named",
    "pseudo_r2",
    "random_effects_bms",
    "register",
    "require",
    "savage_dickey",
    "unregister",
    "usual",
    "waic",
    "without_estimates",
]
