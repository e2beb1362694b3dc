# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Reinforcement learning with the pyEM interface
#
# Simulate people who learn which of two options pays, fit them by hierarchical EM, see how well parameters are recovered, and
# find out which of two models describes them. Every step is what existing pyEM scripts do; the same fit in this library's own
# form is at the end.

# %%
import matplotlib.pyplot as plt
import numpy as np
from params import build_params

import pyem
from pyem import EMModel
from pyem.core.compare import ModelComparison
from pyem.core.posterior import parameter_recovery
from pyem.models.rl import rw1a1b_model, rw2a1b_model
from pyem.utils.plotting import plot_choices, plot_scatter

np.random.seed(7)  # noqa: NPY002 - governs draws and simulations alike
SETTINGS = {"nblocks": 4, "ntrials": 24}

# %% [markdown]
# ## Simulate 100 people

# %%
param_names, param_xform, true_params = build_params(["beta", "alpha"], 100)
sim = rw1a1b_model.sim(true_params, **SETTINGS)
all_data = [[c, r] for c, r in zip(sim["choices"], sim["rewards"], strict=True)]
print({name: np.shape(value) for name, value in sim.items()})
ax = plot_choices(sim["choices_A"], ylabel="chose the better option")

# %% [markdown]
# ## Fit them
#
# `result.m` has the modes on the unconstrained scale, `result.inv_h` the inverse Hessians, `posterior_mu, posterior_sigma` the
# group's mean and *variance*.

# %%
model = EMModel(all_data, rw1a1b_model.fit, param_names, param_xform, rw1a1b_model.sim)
result = model.fit(verbose=1)
print("group mean", result.posterior_mu.round(3), "group variance", result.posterior_sigma.round(3))
out = model.get_outfit()
print({name: np.shape(value) for name, value in out.items()})

# %% [markdown]
# ## How well are parameters recovered?

# %%
recovery = parameter_recovery(true_params, model.subject_params())
print("correlation", recovery.corr.round(2), "rmse", recovery.rmse.round(2))
fig, axes = plt.subplots(1, 2, figsize=(8, 4), layout="compressed")
for k, (name, ax) in enumerate(zip(param_names, axes, strict=True)):
    plot_scatter(true_params[:, k], f"simulated {name}", model.subject_params()[:, k], f"estimated {name}", ax=ax)

# %% [markdown]
# The same in one call, with new people:

# %%
recovered = model.recover(build_params(["beta", "alpha"], 100)[2], ["choices", "rewards"], **SETTINGS)
fig = model.plot_recovery(recovered)

# %% [markdown]
# ## One learning rate, or one for good and one for bad news?

# %%
names2, xform2, _ = build_params(["beta", "alpha_pos", "alpha_neg"], 1)
one = EMModel(all_data, rw1a1b_model.fit, param_names, param_xform, rw1a1b_model.sim)
two = EMModel(all_data, rw2a1b_model.fit, names2, xform2, rw2a1b_model.sim)
for candidate in (one, two):
    candidate.fit(verbose=0)
comparison = ModelComparison([one, two], ["one rate", "two rates"])
print(comparison.compare(bicint_kwargs={"nsamples": 1000}, r2_kwargs={"ntrials_total": 96, "noptions": 2}).round(3).T)

# %% [markdown]
# Could this experiment tell them apart? Simulate with each, fit both, and count which wins.

# %%
identified = comparison.identify(["choices", "rewards"], nrounds=5, nsubjects=50, sim_kwargs=SETTINGS, seed=1)
print(identified.dropna(axis=1).round(1).to_string())
fig = comparison.plot_identifiability(metric="LME")

# %% [markdown]
# ## The same fit in this library's own form
#
# A model is three functions of one trial, data are a table, and the result has standard errors, tables and latents.

# %%
data = pyem.Dataset.from_arrays({"choice": (sim["choices"] == "B").astype(int), "reward": sim["rewards"]})
fit = pyem.fit_em(pyem.models.get("rw1a1b"), data)
print(fit.group_table().round(3).to_string())
plt.show()
