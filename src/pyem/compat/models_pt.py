"""The functions of `pyem.models.pt`, which are pickled by that name."""

from __future__ import annotations

from pyem.compat.prospect import prospect_theory
from pyem.compat.prospect import pt_value as pt_value
from pyem.compat.prospect import pt_weight as pt_weight

pt_sim, pt_fit, pt_model, pt_id, pt_spec, pt_desc = prospect_theory()
