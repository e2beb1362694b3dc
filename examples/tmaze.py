# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Active inference in a T-maze
#
# Ten agents explore a T-maze for 100 blocks of 5 moves. A cue below tells which arm is likely to pay; an agent may go and look,
# or try its luck. What differs between the agents is how likely they *believe* a reward in the better arm to be.
# We simulate them, fit the belief by hierarchical EM, by exact quadrature, by NUTS and by variational inference, and
# see how well each agent's belief is recovered.

# %%
import time

import numpy as np

import pyem
from pyem.aif import DiscretePOMDP, TMaze, plot_posteriors
from pyem.aif.maze import MAZE_DEPENDENCIES, maze_cues, maze_moves, maze_outcomes

# %% [markdown]
# ## The task
#
# The cue is always right, and the better arm pays with probability .8; who is not rewarded is punished, and the worse arm
# punishes with probability .8.

# %%
task = TMaze(reward_probability=0.8, cue_validity=1.0, dependent_outcomes=True)

# %% [markdown]
# ## The agent
#
# An agent is given by its arrays, as functions of its parameters: the likelihood `A` of place, outcome and cue; the moves `B`;
# preferences `C` in nats; first beliefs `D`. Only the outcome depends on the parameter. The model `aif_tmaze` of the
# registry is the same agent.


# %%
def likelihood(p):
    """Where I am is seen; outcomes are as believed; the cue is trusted."""
    return [np.eye(5), maze_outcomes(p.reward_probability), maze_cues(1.0)]


agent = DiscretePOMDP(
    A=likelihood,
    B=maze_moves(),
    C=[np.zeros(5), [0, 1.2, -1.2], np.zeros(3)],
    D=[[1, 0, 0, 0, 0], [0.5, 0.5]],
    A_dependencies=MAZE_DEPENDENCIES,
    policy_len=2,
)
belief = pyem.Parameter(
    "reward_probability", pyem.Interval(0.5, 1), "believed probability of a reward in the better arm"
)
model = agent.model("maze", [belief], task=task)

# %% [markdown]
# ## Simulate
#
# The agents' beliefs are drawn from the model's typical population: standard normal on the unconstrained scale.

# %%
started = time.perf_counter()
data = pyem.simulate(model, subjects=10, blocks=100, trials=5, key=101)
truth = data.true_params[:, 0]
print(f"{data.n_trials} decisions simulated in {time.perf_counter() - started:.1f} s; beliefs {truth.round(2)}")

# %% [markdown]
# An episode: the agent (black) looks at the cue, which lights up in the colour of the better arm, and goes there.

# %%
paid = (data.fields["o1"] > 0).any(0) & (data.fields["o2"] > 0).any(0)
subject, block = divmod(int(np.flatnonzero(paid)[0]), 100)
task.render(data, subject=subject, block=block)

# %% [markdown]
# ## Hierarchical EM, and what is exact
#
# Nothing has to be told about the group: EM estimates how agents differ. With one parameter an agent, `fit_grid` gives exact
# posteriors by quadrature, under a given prior or with the group estimated too.

# %%
started = time.perf_counter()
em = pyem.fit_em(model, data)
print(f"EM in {time.perf_counter() - started:.1f} s")
print(em.group_table().iloc[:, :4].round(3))

started = time.perf_counter()
exact = pyem.fit_grid(model, data, group=None, mean=0.0, sd=1.0)
print(f"exact posteriors in {time.perf_counter() - started:.1f} s")
print(exact.table().iloc[:, :5].round(3))

# %% [markdown]
# Hundreds of choices say little about this belief. The Laplace approximation of the same posterior is too narrow here:

# %%
mode = pyem.fit_map(model, data, mean=0.0, sd=1.0)
print("sd of Laplace / exact sd:", (np.sqrt(mode.cov[:, 0, 0] / exact.cov[:, 0, 0])).round(2))

# %% [markdown]
# ## NUTS
#
# Every agent on its own (`group=None`), with the model's typical population as the prior: standard normal on the unconstrained
# scale. 400 iterations of warm-up and 100 draws, as in pymdp's example, are few for intervals: raise `draws` for those. In
# violins and densities, agents are sorted by the truth.

# %%
started = time.perf_counter()
nuts = pyem.fit_nuts(model, data, group=None, warmup=400, draws=100, chains=1, key=0)
print(f"NUTS in {time.perf_counter() - started:.1f} s; largest difference of a mean from the exact one ", end="")
print(f"{np.abs(nuts.params - exact.params).max():.3f}")
plot_posteriors(nuts, truth, bins=30)

# %% [markdown]
# The same of the exact posteriors:

# %%
plot_posteriors(exact, truth)

# %% [markdown]
# ## Variational inference
#
# 1,000 steps with 10 particles, for the same posteriors; then the loss.

# %%
started = time.perf_counter()
svi = pyem.fit_svi(model, data, group=None, max_iter=1000, particles=10, key=0)
print(f"SVI in {time.perf_counter() - started:.1f} s; largest difference of a mean from the exact one ", end="")
print(f"{np.abs(svi.params - exact.params).max():.3f}")
pyem.plot.plot_trace(svi)

# %% [markdown]
# ## Who is recovered how well?
#
# All methods agree with one another; it is the ten agents that differ from the truth, because 500 decisions tell no more.

# %%
fits = {"EM": em, "exact": exact, "NUTS": nuts, "SVI": svi}
for name, fit in fits.items():
    print(f"{name}: r = {np.corrcoef(truth, fit.params[:, 0])[0, 1]:.3f}")
pyem.plot.plot_recovery(
    np.repeat(truth[:, None], len(fits), axis=1),
    np.concatenate([fit.params for fit in fits.values()], axis=1),
    list(fits),
)

# %% [markdown]
# ## What an agent thought
#
# Beliefs and the value of every policy, trial by trial, are latents of the fit.

# %%
columns = ["subject", "block", "trial", "o0", "o1", "o2", "action", "belief10", "belief11", "probability"]
print(em.latents()[columns].head(10).round(2).to_string())
