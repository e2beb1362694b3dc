"""rw1a1b written in other ways, as users do, and the documented algorithm in its plain form."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from pyem.utils.math import calc_fval, norm2alpha, norm2beta


def loop_fit(params, choices, rewards, prior=None, output="npl"):
    """The model as a NumPy loop over trials: strings, branches, a dict."""
    beta, alpha = norm2beta(params[0]), norm2alpha(params[1])
    if not 0 <= alpha <= 1 or not 0 <= beta <= 20:
        return 1e7
    nll, shown = 0.0, []
    for block in range(choices.shape[0]):
        value = {"A": 0.5, "B": 0.5}
        for trial in range(choices.shape[1]):
            choice = choices[block, trial]
            other = "B" if choice == "A" else "A"
            p = 1 / (1 + np.exp(-beta * (value[choice] - value[other])))
            nll -= np.log(p)
            value[choice] += alpha * (rewards[block, trial] - value[choice])
            shown.append(p)
    if output == "all":
        return {"params": [beta, alpha], "ch_prob": np.array(shown).reshape(choices.shape), "nll": nll}
    return calc_fval(nll, params, prior=prior, output=output)


def jax_fit(params, choices, rewards, prior=None, output="npl"):
    """The model in jax.numpy; choices are 0 and 1."""
    beta, alpha = 20 * jax.nn.sigmoid(params[0]), jax.nn.sigmoid(params[1])

    def block(choices, rewards):
        def step(value, trial):
            choice, reward = trial
            log_p = jax.nn.log_softmax(beta * value)[choice]
            return value.at[choice].add(alpha * (reward - value[choice])), log_p

        return lax.scan(step, jnp.full(2, 0.5), (choices, rewards))[1].sum()

    nll = -jax.vmap(block)(choices, rewards).sum()
    if output == "all":
        return {"params": jnp.stack([beta, alpha]), "nll": nll}
    return calc_fval(nll, params, prior=prior, output=output)


def codes(choices):
    return (choices == "B").astype(int)
