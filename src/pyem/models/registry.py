"""The names of all models, and the files that hold them: a model's file is loaded when the model is first asked for."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from typing import final

from pyem.model.model import Model

MODULES = {
    "learning": "rw1a1b rw2a1b rw3a1b rw4a1b",
    "choice": "bias wsls ck rwck rw_forget",
    "counterfactual": "fictive fictive_mirrored confirmation_bias",
    "associability": "pearce_hall pearce_hall_hybrid ewa",
    "reward_punishment": "reward_punishment reward_punishment_lapse reward_punishment_decay_lapse",
    "probabilistic_selection": "probabilistic_selection",
    "exploration": "kalman kalman_bonus ucb thompson hybrid",
    "volatility": "volatile_kalman volatile_kalman_continuous",
    "iowa": "pvl_delta pvl_decay vpp orl",
    "balloon": "bart bart_ewmv",
    "cambridge": "cambridge_gambling",
    "two_step": "two_step two_step_sarsa two_step_model_based two_step_separate",
    "go_nogo": "go_nogo_rw go_nogo_bias go_nogo_pavlovian go_nogo_valence",
    "working_memory": "rlwm",
    "response_times": "ddm ddm_stimulus ddm_gonogo shifted_wald ex_gaussian",
    "racers": "lba rdm lnr",
    "beliefs": "bayes",
    "hgf": "hgf rw_belief",
    "hgf_continuous": "hgf_continuous",
    "change_points": "change_point",
    "reversal": "hmm_reversal",
    "discounts": "dd_hyperbolic dd_exponential dd_quasi_hyperbolic dd_myerson_green dd_rachlin dd_constant_sensitivity "
    "pd_hyperbolic sd_hyperbolic sd_parabolic sd_linear",
    "risk": "prospect prospect_linear prospect_no_loss_aversion ambiguity crra mean_variance",
    "gambles": "prospect_cumulative",
    "effort": "effort_parabolic effort_linear effort_hyperbolic effort_power",
    "social": "ultimatum_fehr_schmidt ultimatum_bayes ultimatum_delta peer_influence",
    "aversive": "aversive",
    "happiness": "happiness",
    "card_sorting": "card_sorting",
    "regression": "glm glm_decay glm_ar logit logit_decay poisson",
    "counts": "binomial negative_binomial",
    "rating": "beta_rating ordinal_logit ordinal_probit",
    "detection": "sdt sdt_rating sdt_rating_unequal two_afc",
    "psychometric": "psychometric psychometric_normal psychometric_weibull",
    "metacognition": "meta_d",
    "active_inference": "aif_tmaze aif_bandit aif_reversal",
}
"""Names of the models in each file, in the order of the documentation: the keys of its ``MODELS``."""

Factory = Callable[..., Model]


@final
class Registry(Mapping[str, Factory]):
    """Mapping of names to the functions that make the models.

    Examples
    --------
    >>> registry = Registry(MODULES)
    >>> list(registry)[:2], registry["rlwm"]().names[:2]
    (['rw1a1b', 'rw2a1b'], ('alpha', 'bias_rl'))
    """

    def __init__(self, modules: Mapping[str, str]) -> None:
        self._modules = {name: module for module, names in modules.items() for name in names.split()}

    def __getitem__(self, name: str) -> Factory:
        return importlib.import_module(f"pyem.models.{self._modules[name]}").MODELS[name]

    def __contains__(self, name: object) -> bool:
        return name in self._modules

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __len__(self) -> int:
        return len(self._modules)
