"""The functions of `pyem.models.ddm`, which are pickled by that name."""

from __future__ import annotations

from typing import Any, NoReturn

from pyem.compat import first_passage
from pyem.compat.diffusion import diffusion, high_and_low, risky_and_safe
from pyem.compat.diffusion_paths import simulated_paths
from pyem.compat.first_passage import A_CAP as A_CAP
from pyem.compat.first_passage import ST_CAP as ST_CAP
from pyem.compat.first_passage import SV_CAP as SV_CAP
from pyem.compat.first_passage import SZ_CAP as SZ_CAP
from pyem.compat.first_passage import T0_CAP as T0_CAP
from pyem.compat.first_passage import T0_SHIFT as T0_SHIFT
from pyem.compat.first_passage import a_xform as a_xform
from pyem.compat.first_passage import st_xform as st_xform
from pyem.compat.first_passage import sv_xform as sv_xform
from pyem.compat.first_passage import sz_xform as sz_xform
from pyem.compat.first_passage import t0_xform as t0_xform
from pyem.compat.first_passage import wfpt_logpdf as wfpt_logpdf
from pyem.compat.first_passage import wfpt_sv_logpdf as wfpt_sv_logpdf
from pyem.compat.modelspec import ModelSpec

# Scripts import these three by their private names.
_wfpt_logf = first_passage.wfpt_logf
_marginal_logpdf = first_passage.marginal_logpdf
_EPS_VAR = first_passage.EPS_VAR

_SURE, _LOTTO = ("value_high", "value_low"), ("ev_risky", "safe")

ddm4_sim, ddm4_fit, ddm4_model, ddm4_id, ddm4_spec, ddm4_desc = diffusion(
    "ddm4", "high_vs_low_value", _SURE, "Diffusion model of choices between two sure amounts", high_and_low
)
ddm4_sim_paths = simulated_paths(high_and_low, _SURE, "ddm4_sim_paths")

ddm4_lotto_sim, ddm4_lotto_fit, ddm4_lotto_model, ddm4_lotto_id, ddm4_lotto_spec, ddm4_lotto_desc = diffusion(
    "ddm4_lotto",
    "safe_vs_risky_gamble",
    _LOTTO,
    "Diffusion model of choices between a gamble and a sure amount",
    risky_and_safe,
)
ddm4_lotto_sim_paths = simulated_paths(risky_and_safe, _LOTTO, "ddm4_lotto_sim_paths")


def _not_there(*args: Any, **kwargs: Any) -> NoReturn:
    """Raise an error: the models with variability between trials are not implemented in pyEM either.

    Raises
    ------
    NotImplementedError
        Always.
    """
    raise NotImplementedError(
        "diffusion models with variability between trials are fitted by pyem's own models; see the docs"
    )


ddm7_sim = ddm7_fit = ddm7_sim_paths = ddm7_lotto_sim = ddm7_lotto_fit = ddm7_lotto_sim_paths = _not_there
ddm7_model = ModelSpec(
    id="ddm7",
    spec={"ddm": ["v_coef", "a", "t0", "z", "sv", "st", "sz"], "task": "high_vs_low_value"},
    desc="Diffusion model with variability between trials, not available",
    params=None,
    sim=ddm7_sim,
    fit=ddm7_fit,
)
ddm7_lotto_model = ModelSpec(
    id="ddm7_lotto",
    spec={"ddm": ["v_coef", "a", "t0", "z", "sv", "st", "sz"], "task": "safe_vs_risky_gamble"},
    desc="Diffusion model with variability between trials, not available",
    params=None,
    sim=ddm7_lotto_sim,
    fit=ddm7_lotto_fit,
)
ddm7_id, ddm7_spec, ddm7_desc = ddm7_model.id, ddm7_model.spec, ddm7_model.desc
ddm7_lotto_id, ddm7_lotto_spec, ddm7_lotto_desc = ddm7_lotto_model.id, ddm7_lotto_model.spec, ddm7_lotto_model.desc
