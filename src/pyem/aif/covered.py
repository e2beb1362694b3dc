"""Checks of pymdp's agents: which settings can be fitted, and which of these this library's kernel computes."""

from __future__ import annotations

from typing import Any

import numpy as np


def refuse(agent: Any) -> None:
    """Raise for settings that pymdp accepts and then ignores, or that a likelihood cannot have."""
    for flag, what in (("learn_C", "preferences"), ("learn_D", "initial beliefs"), ("learn_E", "habits")):
        if getattr(agent, flag, False):
            raise ValueError(
                f"the agent has {flag}=True, which pymdp accepts and ignores: no {what} are learned. Leave it out"
                + (
                    "; this library learns D: pyem.aif.DiscretePOMDP(learning=Learning(D=...))"
                    if flag == "learn_D"
                    else ""
                )
            )
    if agent.action_selection != "stochastic":
        raise ValueError(
            f"the agent has action_selection={agent.action_selection!r}, which pymdp's likelihood ignores (choices that "
            "follow from parameters without chance have no likelihood); use action_selection='stochastic'"
        )
    if agent.sampling_mode != "full":
        raise ValueError(
            f"the agent has sampling_mode={agent.sampling_mode!r}, which fails in batches in pymdp; use sampling_mode='full'"
        )
    if agent.categorical_obs or agent.preprocess_fn is not None:
        raise ValueError(
            "the agent has categorical_obs=True or a preprocess_fn, but columns of data hold indices of outcomes; leave both "
            "out (an outcome that was not observed is an empty cell)"
        )
    if agent.inference_algo in ("mmp", "vmp"):
        raise ValueError(
            f"the agent has inference_algo={agent.inference_algo!r}; pymdp's likelihood passes such agents the newest "
            "observation only and forgets the rest. Use 'fpi' or, with one factor, 'exact'"
        )
    learns = agent.learn_A or agent.learn_B
    if learns and (agent.inference_algo != "fpi" or agent.learning_mode != "online"):
        raise ValueError(
            f"the agent learns with inference_algo={agent.inference_algo!r} and learning_mode={agent.learning_mode!r}; only "
            "learning after each trial from its own beliefs is covered: use 'fpi' and 'online'"
        )
    for kind, on in (("A", agent.learn_A), ("B", agent.learn_B)):
        if on:
            _same_expectation(agent, kind)


def _same_expectation(agent: Any, kind: str) -> None:
    """Raise unless what is learned starts from the expectation of its counts."""
    counts = getattr(agent, f"p{kind}")
    if counts is None:
        raise ValueError(f"the agent has learn_{kind}=True, but no prior counts p{kind}; give them")
    for k, (known, count) in enumerate(zip(getattr(agent, kind), counts, strict=True)):
        if count is not None and not np.allclose(known, count / count.sum(1, keepdims=True), atol=1e-6):
            raise ValueError(
                f"{kind}[{k}] of the agent is not the expectation of its counts p{kind}[{k}], so that learning would start "
                f"from another belief than it is told; normalise p{kind}[{k}] over its first axis for {kind}[{k}]"
            )


def not_covered(agent: Any) -> str:
    """Explain why our kernel does not compute what the agent does; empty if it does."""
    if agent.use_inductive:
        return "the agent uses inductive inference, which this library's kernel does not have"
    if agent.action_maps is not None:
        return "the agent has B_action_dependencies, which this library's kernel does not have"
    return ""
