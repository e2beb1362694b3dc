"""The functions of `pyem.models.rl_mb`, which are pickled by that name."""

from __future__ import annotations

from pyem.compat import two_step
from pyem.models.two_step import model_based as _model_based
from pyem.models.two_step import sarsa as _sarsa
from pyem.models.two_step import two_step as _hybrid

sarsa_lambda_sim, sarsa_lambda_fit, sarsa_lambda_model, sarsa_lambda_id, sarsa_lambda_spec, sarsa_lambda_desc = (
    two_step.planner(_sarsa, "sarsa_lambda", "Two-step task, model-free SARSA(lambda) with perseveration")
)
model_based_sim, model_based_fit, model_based_model, model_based_id, model_based_spec, model_based_desc = (
    two_step.planner(_model_based, "model_based", "Two-step task, model-based planning with perseveration")
)
hybrid_mbmf_sim, hybrid_mbmf_fit, hybrid_mbmf_model, hybrid_mbmf_id, hybrid_mbmf_spec, hybrid_mbmf_desc = (
    two_step.planner(_hybrid, "hybrid_mbmf", "Two-step task, model-based and model-free values weighted")
)
