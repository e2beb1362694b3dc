# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # A model of your own
#
# Values that are not chosen are forgotten: `rw_decay` has an inverse temperature, a learning rate and a decay. It is written in
# three ways: as a NumPy loop (any Python function of the pyEM form is fitted), in `jax.numpy` (recognised and fitted
# with exact derivatives), and as three functions of one trial, from which this library derives everything.

# %%
import time

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from jax import lax

import pyem
from pyem import EMModel
from pyem.core.modelspec import ModelSpec
from pyem.utils.math import alpha2norm, beta2norm, calc_fval, norm2alpha, norm2beta, softmax
from pyem.utils.plotting import plot_scatter

NAMES, XFORM = ["beta", "alpha", "decay"], [norm2beta, norm2alpha, norm2alpha]

# %% [markdown]
# ## 1. A NumPy loop
#
# Parameters come unconstrained; what is returned is the negative log-likelihood, through `calc_fval`, or a dict.
# Nothing needs to be fast, pure, or free of `if`.


# %%
def decay_fit(params, choices, rewards, *, prior=None, output="npl"):
    """Negative log-likelihood of one person's choices, (blocks, trials)."""
    beta, alpha, decay = norm2beta(params[0]), norm2alpha(params[1]), norm2alpha(params[2])
    nll, values = 0.0, np.full((*choices.shape, 2), np.nan)
    for block in range(choices.shape[0]):
        value = {"A": 0.5, "B": 0.5}
        for trial in range(choices.shape[1]):
            choice = choices[block, trial]
            other = "B" if choice == "A" else "A"
            values[block, trial] = value["A"], value["B"]
            nll += np.log1p(np.exp(-beta * (value[choice] - value[other])))
            value[choice] += alpha * (rewards[block, trial] - value[choice])
            value[other] += decay * (0.5 - value[other])
    if output == "all":
        return {"params": [beta, alpha, decay], "EV": values, "nll": nll}
    return calc_fval(nll, params, prior=prior, output=output)


def decay_sim(params, nblocks=4, ntrials=30, seed=0):
    """People who choose between A (pays with probability .7) and B (.3), natural parameters (S, P)."""
    rng = np.random.default_rng(seed)
    choices = np.empty((len(params), nblocks, ntrials), object)
    rewards = np.empty(choices.shape)
    for s, (beta, alpha, decay) in enumerate(params):
        for block in range(nblocks):
            value = np.array([0.5, 0.5])
            for trial in range(ntrials):
                c = int(rng.random() < softmax(value, beta)[1])
                reward = float(rng.random() < (0.7, 0.3)[c])
                choices[s, block, trial], rewards[s, block, trial] = "AB"[c], reward
                value[c] += alpha * (reward - value[c])
                value[1 - c] += decay * (0.5 - value[1 - c])
    return {"params": params, "choices": choices, "rewards": rewards}


decay_model = ModelSpec(
    id="rw_decay",
    spec={"rl": {"softmax": ["beta"], "rw": ["alpha"], "decay": ["decay"]}},
    desc="Rescorla-Wagner learning in which values that are not chosen are forgotten",
    params=None,
    sim=decay_sim,
    fit=decay_fit,
)

# %%
rng = np.random.default_rng(4)
true_params = np.column_stack([rng.uniform(2, 9, 40), rng.uniform(0.1, 0.8, 40), rng.uniform(0.05, 0.6, 40)])
model = EMModel(None, decay_model.fit, NAMES, XFORM, decay_model.sim)
start = time.perf_counter()
recovery = model.recover(true_params, ["choices", "rewards"], seed=1)
print(
    f"NumPy loop: {time.perf_counter() - start:.1f} s with the simulation; converged: {recovery['fit_result'].convergence}"
)
fig = model.plot_recovery(recovery)

# %% [markdown]
# ## 2. The same in jax.numpy
#
# A function that JAX can trace is recognised. Letters become numbers, loops become `lax.scan`, `if` becomes `jnp.where`.


# %%
def decay_fit_jax(params, choices, rewards, *, prior=None, output="npl"):
    """The same for choices 0 and 1."""
    beta, alpha, decay = 20 * jax.nn.sigmoid(params[0]), jax.nn.sigmoid(params[1]), jax.nn.sigmoid(params[2])

    def block(choices, rewards):
        def step(value, trial):
            choice, reward = trial
            log_p = jax.nn.log_softmax(beta * value)[choice]
            chosen = jnp.arange(2) == choice
            return value + jnp.where(chosen, alpha * (reward - value), decay * (0.5 - value)), log_p

        return lax.scan(step, jnp.full(2, 0.5), (choices, rewards))[1].sum()

    nll = -jax.vmap(block)(choices, rewards).sum()
    if output == "all":
        return {"params": jnp.stack([beta, alpha, decay]), "nll": nll}
    return calc_fval(nll, params, prior=prior, output=output)


coded = [[(c == "B").astype(int), r] for c, r in model.all_data]
traced = EMModel(coded, decay_fit_jax, NAMES, XFORM)
start = time.perf_counter()
traced_fit = traced.fit(verbose=0)
first = time.perf_counter() - start
start = time.perf_counter()
traced.fit(verbose=0)
print(f"jax.numpy: {first:.1f} s with its compilation, {time.perf_counter() - start:.3f} s again")
print("largest difference of a mode:", np.abs(traced_fit.m - recovery["fit_result"].m).max())

# %% [markdown]
# ## 3. Three functions of one trial
#
# What the subject would do now, the state before the first trial, and the state after a trial. Simulation, likelihood,
# trial-wise latents, derivatives and every method of inference follow.

# %%
from pyem import Categorical, Dataset, Interval, Model, Parameter  # noqa: E402
from pyem.task import Bandit  # noqa: E402


def policy(p, q, trial):
    """A softmax of the values."""
    return Categorical(p.beta * q)


def update(p, q, trial):
    """Move the chosen value towards the reward and the other back to where it began."""
    error = trial.reward - q
    chosen = jnp.arange(2) == trial.choice
    return q + jnp.where(chosen, p.alpha * error, p.decay * (0.5 - q)), {"prediction_error": error[trial.choice]}


rw_decay = Model(
    "rw_decay",
    (
        Parameter("beta", Interval(0, 20), "inverse temperature"),
        Parameter("alpha", Interval(0, 1), "learning rate"),
        Parameter("decay", Interval(0, 1), "forgetting of the option that was not chosen"),
    ),
    policy,
    init=lambda p: jnp.full(2, 0.5),
    update=update,
    options=2,
    outcomes=("reward",),
    task=Bandit((0.7, 0.3)),
)

data = Dataset.from_arrays({"choice": np.array([c for c, _ in coded]), "reward": np.array([r for _, r in coded])})
print(pyem.check(rw_decay, data))
fit = pyem.fit_em(rw_decay, data)
print(fit.group_table().round(3).to_string())

# %%
fig, axes = plt.subplots(1, 3, figsize=(11, 3.8), layout="compressed")
for k, (name, ax) in enumerate(zip(NAMES, axes, strict=True)):
    plot_scatter(
        model.subject_params()[:, k], f"{name}, NumPy loop", fit.params[:, k], f"{name}, three functions", ax=ax
    )
inverse = [beta2norm, alpha2norm, alpha2norm]
print(
    "truth, mean of the unconstrained parameters:",
    [round(float(f(c).mean()), 2) for f, c in zip(inverse, true_params.T, strict=True)],
)
plt.show()
