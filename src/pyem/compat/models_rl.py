"""The functions of `pyem.models.rl`, which are pickled by that name."""

from __future__ import annotations

from pyem.compat import bandits, social
from pyem.compat.designs import gen_rnd_blocks as gen_rnd_blocks
from pyem.models.learning import rw1a1b, rw2a1b, rw3a1b, rw4a1b

# The same models in the form of pyEM.
rw1a1b_sim, rw1a1b_fit, rw1a1b_model, rw1a1b_id, rw1a1b_spec, rw1a1b_desc = bandits.two_options(
    rw1a1b, "Rescorla-Wagner learning with one learning rate", {"rl": {"softmax": ["beta"], "rw": ["alpha"]}}
)
rw2a1b_sim, rw2a1b_fit, rw2a1b_model, rw2a1b_id, rw2a1b_spec, rw2a1b_desc = bandits.two_options(
    rw2a1b,
    "Rescorla-Wagner learning with a learning rate for good news and one for bad",
    {"rl": {"softmax": ["beta"], "rw": ["alpha_pos", "alpha_neg"]}},
)
rw3a1b_sim, rw3a1b_fit, rw3a1b_model, rw3a1b_id, rw3a1b_spec, rw3a1b_desc = social.three_recipients(
    rw3a1b,
    "Prosocial learning with learning rates for rewards to oneself, another and no one",
    {"rl": {"softmax": ["beta"], "rw": ["alpha_self", "alpha_other", "alpha_noone"]}},
)
rw4a1b_sim, rw4a1b_fit, rw4a1b_model, rw4a1b_id, rw4a1b_spec, rw4a1b_desc = social.paired_options(
    rw4a1b,
    "Learning for oneself and another from pairs of options, with learning rates by recipient and news",
    {"rl": {"softmax": ["beta"], "rw": ["alpha_self_pos", "alpha_self_neg", "alpha_other_pos", "alpha_other_neg"]}},
)
