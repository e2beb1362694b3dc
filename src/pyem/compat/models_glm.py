"""The functions of `pyem.models.glm`, which are pickled by that name."""

from __future__ import annotations

from pyem.compat import regressions
from pyem.models.regression import glm, glm_ar, glm_decay, logit, logit_decay

# The same models in the form of pyEM, in which the residual standard deviation is no parameter.
glm_sim, glm_fit, glm_model, glm_id, glm_spec, glm_desc = regressions.regression(
    glm, "Linear regression", {"glm": {"gaussian": ["b"]}}
)
glm_decay_sim, glm_decay_fit, glm_decay_model, glm_decay_id, glm_decay_spec, glm_decay_desc = regressions.regression(
    glm_decay,
    "Linear regression on predictors that linger",
    {"glm": {"gaussian": ["b"], "decay": ["gamma"]}},
    extra="gamma",
)
glm_ar_sim, glm_ar_fit, glm_ar_model, glm_ar_id, glm_ar_spec, glm_ar_desc = regressions.regression(
    glm_ar,
    "Linear regression with a part of the last response",
    {"glm": {"gaussian": ["b"], "ar": ["phi"]}},
    extra="phi",
)
logit_sim, logit_fit, logit_model, logit_id, logit_spec, logit_desc = regressions.regression(
    logit, "Logistic regression", {"glm": {"binomial": ["b"]}}
)
logit_decay_sim, logit_decay_fit, logit_decay_model, logit_decay_id, logit_decay_spec, logit_decay_desc = (
    regressions.regression(
        logit_decay,
        "Logistic regression on predictors that linger",
        {"glm": {"binomial": ["b"], "decay": ["gamma"]}},
        extra="gamma",
    )
)
