"""The functions of `pyem.models.discounting` in the form of pyEM, which are pickled by that name."""

from __future__ import annotations

from pyem.compat.discounting import DELAY, EFFORT, ODDS, PROSOCIAL_EFFORT, SOCIAL, discounter
from pyem.compat.discounting_data import BENEFICIARY_LABELS as BENEFICIARY_LABELS
from pyem.compat.discounting_data import DEFAULT_DELAYS as DEFAULT_DELAYS
from pyem.compat.discounting_data import DEFAULT_EFFORT_LEVELS as DEFAULT_EFFORT_LEVELS
from pyem.compat.discounting_data import DEFAULT_PROBS as DEFAULT_PROBS
from pyem.compat.discounting_data import DEFAULT_SOCIAL_DISTS as DEFAULT_SOCIAL_DISTS
from pyem.compat.discounting_data import ED_PAYOUTS as ED_PAYOUTS
from pyem.compat.discounting_data import PED_BENEFICIARY as PED_BENEFICIARY
from pyem.compat.discounting_data import PED_EFFORT_LEVELS as PED_EFFORT_LEVELS
from pyem.compat.discounting_data import PED_PAYOUTS as PED_PAYOUTS
from pyem.compat.discounting_data import PRD_PAYOUTS as PRD_PAYOUTS
from pyem.compat.discounting_data import TASK1_PAYOUTS as TASK1_PAYOUTS
from pyem.compat.discounting_data import TD_PAYOUTS as TD_PAYOUTS
from pyem.model.modifiers import fix
from pyem.models.discounts import delay_discounting, probability_discounting, social_discounting
from pyem.models.effort import effort_discounting

CHOICE_LABELS, CHOICE_MAP = SOCIAL.words.labels, SOCIAL.words.meanings
CHOICE_LABELS_TD, CHOICE_MAP_TD = DELAY.words.labels, DELAY.words.meanings
CHOICE_LABELS_PRD, CHOICE_MAP_PRD = ODDS.words.labels, ODDS.words.meanings
CHOICE_LABELS_ED, CHOICE_MAP_ED = EFFORT.words.labels, EFFORT.words.meanings

_UNIT = {"tau": 1.0}

sd_hyp_wk_sim, sd_hyp_wk_fit, sd_hyp_wk_model, sd_hyp_wk_id, sd_hyp_wk_spec, sd_hyp_wk_desc = discounter(
    "sd_hyp_wk",
    SOCIAL,
    fix(social_discounting(), **_UNIT),
    ("w_other", "k"),
    "Hyperbolic social discounting with a weight of the closest person",
)
sd_hyp_k_sim, sd_hyp_k_fit, sd_hyp_k_model, sd_hyp_k_id, sd_hyp_k_spec, sd_hyp_k_desc = discounter(
    "sd_hyp_k", SOCIAL, fix(social_discounting(), w_other=1.0, **_UNIT), ("k",), "Hyperbolic social discounting"
)
sd_par_k_sim, sd_par_k_fit, sd_par_k_model, sd_par_k_id, sd_par_k_spec, sd_par_k_desc = discounter(
    "sd_par_k", SOCIAL, fix(social_discounting("parabolic"), **_UNIT), ("k",), "Parabolic social discounting"
)
sd_lin_k_sim, sd_lin_k_fit, sd_lin_k_model, sd_lin_k_id, sd_lin_k_spec, sd_lin_k_desc = discounter(
    "sd_lin_k", SOCIAL, fix(social_discounting("linear"), **_UNIT), ("k",), "Linear social discounting"
)
td_hyp_k_sim, td_hyp_k_fit, td_hyp_k_model, td_hyp_k_id, td_hyp_k_spec, td_hyp_k_desc = discounter(
    "td_hyp_k", DELAY, fix(delay_discounting(immediate=True), **_UNIT), ("k",), "Hyperbolic discounting of delays"
)
prd_hyp_k_sim, prd_hyp_k_fit, prd_hyp_k_model, prd_hyp_k_id, prd_hyp_k_spec, prd_hyp_k_desc = discounter(
    "prd_hyp_k", ODDS, fix(probability_discounting(), **_UNIT), ("k",), "Hyperbolic discounting of odds against"
)
ed_par_k_sim, ed_par_k_fit, ed_par_k_model, ed_par_k_id, ed_par_k_spec, ed_par_k_desc = discounter(
    "ed_par_k", EFFORT, fix(effort_discounting(), **_UNIT), ("k",), "Parabolic discounting of effort"
)
ped_par_k_sim, ped_par_k_fit, ped_par_k_model, ped_par_k_id, ped_par_k_spec, ped_par_k_desc = discounter(
    "ped_par_k",
    PROSOCIAL_EFFORT,
    fix(effort_discounting(), **_UNIT),
    ("k",),
    "Parabolic discounting of effort for oneself and another person, with one rate",
    beneficiary=True,
)
ped_par_2k_sim, ped_par_2k_fit, ped_par_2k_model, ped_par_2k_id, ped_par_2k_spec, ped_par_2k_desc = discounter(
    "ped_par_2k",
    PROSOCIAL_EFFORT,
    fix(effort_discounting(beneficiaries=True), **_UNIT),
    ("k_self", "k_other"),
    "Parabolic discounting of effort for oneself and another person, with a rate of each",
    beneficiary=True,
)
