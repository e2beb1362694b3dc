"""The functions of `pyem.models.bayes`, which are pickled by that name."""

from __future__ import annotations

from pyem.compat import beliefs
from pyem.models.beliefs import bayes

# The same model in the form of pyEM.
bayes_sim, bayes_fit, bayes_model, bayes_id, bayes_spec, bayes_desc = beliefs.ponds(
    bayes, "Bayesian updating of beliefs about which of three ponds fish come from", {"bayes": {"update": ["lambda1"]}}
)
