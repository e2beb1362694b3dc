# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # One person at a two-armed bandit
#
# The notebook "Fitting a Reinforcement Learning Model to Behavioral Data with PyMC" of the PyMC example gallery (Ricardo
# Vieira, 2022, <https://doi.org/10.5281/zenodo.5654871>) in this library: the same data from the same seed, maximum
# likelihood, the posterior under the same priors, and what a pointwise likelihood is good for: leave-one-out cross-validation
# and predictive checks. There the model is written as a loop in PyTensor and sampled in 48 seconds. Here it is three functions
# of one trial, all methods work on it, and a group of people is the same call.

# %%
import dataclasses
from pathlib import Path

import jax
import matplotlib.pyplot as plt
import numpy as np
import numpyro
import numpyro.distributions as dist

import pyem

FIGURES = Path("figures")
FIGURES.mkdir(exist_ok=True)

# %% [markdown]
# ## The data
#
# A person chooses between two buttons that pay with probabilities 0.4 and 0.6. The value of the chosen one moves towards the
# outcome by `alpha` times the surprise; choices follow a softmax of `beta` times the values.

# %%
TRUTH = {"alpha": 0.5, "beta": 5.0}
rng = np.random.default_rng(sum(map(ord, "RL_PyMC")))


def generate_data(rng, alpha, beta, n):
    """Choices, outcomes, and the values after each trial."""
    choices, outcomes, values = np.zeros(n, int), np.zeros(n, int), np.zeros((n, 2))
    value = np.array([0.5, 0.5])
    for t in range(n):
        weight = np.exp(beta * value)
        choices[t] = rng.choice([0, 1], p=weight / weight.sum())
        outcomes[t] = rng.random() < (0.4, 0.6)[choices[t]]
        value[choices[t]] += alpha * (outcomes[t] - value[choices[t]])
        values[t] = value
    return choices, outcomes, values


choices, outcomes, values = generate_data(rng, **TRUTH, n=150)

# %%
figure, axes = plt.subplots(figsize=(9, 3.4), layout="constrained")
for option, color in enumerate(("#0072B2", "#E69F00")):
    axes.plot(np.arange(150), values[:, option] - 0.5 + option, color=color, alpha=0.35, linewidth=2.5)
    for paid in (0, 1):
        some = np.flatnonzero((choices == option) & (outcomes == paid))
        axes.plot(
            some, choices[some], "o", markersize=4, markeredgecolor=color, markerfacecolor=color if paid else "none"
        )
axes.plot([], [], "o", color="black", label="reward")
axes.plot([], [], "o", color="black", markerfacecolor="none", label="no reward")
axes.plot([], [], color="black", alpha=0.35, linewidth=2.5, label="value (centred on its button)")
axes.set(yticks=[0, 1], yticklabels=["left", "right"], ylim=(-0.8, 1.9), xlabel="trial", ylabel="action")
figure.legend(loc="outside upper center", ncols=3, frameon=False)
figure.savefig(FIGURES / "notebook_data.png", dpi=150)

# %% [markdown]
# ## The model
#
# `rw1a1b` is this model. Its inverse temperature ends at 20; here, as in the original, it has no upper end.

# %%
standard = pyem.models.get("rw1a1b")
beta, alpha = standard.parameters
model = dataclasses.replace(
    standard, name="rw1a1b_positive", parameters=(dataclasses.replace(beta, transform=pyem.Positive(), mean=1.0), alpha)
)
data = pyem.Dataset.from_arrays({"choice": choices[None, None], "reward": outcomes[None, None]})

# %% [markdown]
# ## Maximum likelihood
#
# The original leaves out the first choice, which is between equal values and costs log 2 whatever the parameters are.

# %%
mle = pyem.fit_mle(model, data)
least = -float(mle.log_lik[0]) - np.log(2)
print(f"alpha {mle.params[0, 1]:.4f}, beta {mle.params[0, 0]:.4f}, negative log-likelihood {least:.4f}")

# %% [markdown]
# ## The posterior
#
# Priors are stated for the natural parameters; the Jacobians of the transforms are taken care of. One person has no group.

# %%
PRIORS = {"alpha": dist.Beta(1, 1), "beta": dist.HalfNormal(10)}
fit = pyem.fit_nuts(model, data, group=None, priors=PRIORS, key=1)
print(fit)

# %% [markdown]
# ### Against a fine grid
#
# With two parameters the posterior can be written down: on a grid of a thousand times a thousand points.

# %%
grid_alpha, grid_beta = (np.arange(1000) + 0.5) / 1000, 25 * (np.arange(1000) + 0.5) / 1000


def log_likelihood(alpha, beta):
    """Of all choices, for arrays of parameters."""
    value, total = np.full((2, *np.broadcast_shapes(alpha.shape, beta.shape)), 0.5), 0.0
    for choice, outcome in zip(choices, outcomes, strict=True):
        total = total - np.logaddexp(0, beta * (value[1 - choice] - value[choice]))
        value[choice] += alpha * (outcome - value[choice])
    return total


density = log_likelihood(grid_alpha[:, None], grid_beta[None]) - 0.5 * (grid_beta / 10) ** 2
density = np.exp(density - density.max())
density /= density.sum()
exact = {}
for name, points, weight in (("alpha", grid_alpha, density.sum(1)), ("beta", grid_beta, density.sum(0))):
    mean = (points * weight).sum()
    exact[name] = (mean, np.sqrt(((points - mean) ** 2 * weight).sum()))
    row = fit.table().iloc[0]
    print(f"{name}: NUTS {row[name]:.4f}, sd {row[f'{name}_sd']:.4f}; grid {mean:.4f}, sd {exact[name][1]:.4f}")

# %%
figure, panels = plt.subplots(1, 3, figsize=(10, 3.2), layout="constrained")
for panel, name, points, weight in zip(
    panels, ("alpha", "beta"), (grid_alpha, grid_beta), (density.sum(1), density.sum(0)), strict=False
):
    draws = fit.natural[:, :, 0, model.names.index(name)].ravel()
    panel.hist(draws, bins=50, density=True, color="#0072B2", alpha=0.35, label="NUTS")
    panel.plot(points, weight / (points[1] - points[0]), color="#E69F00", label="fine grid")
    panel.axvline(TRUTH[name], color="black", linestyle="--", linewidth=1, label="truth")
    panel.axvline(mle.params[0, model.names.index(name)], color="#D55E00", linewidth=1, label="maximum likelihood")
    panel.set(xlabel=name, yticks=[], xlim=(draws.min() - 0.1 * np.ptp(draws), draws.max()))
panels[2].plot(*fit.natural[0, ::2, 0, ::-1].T, ".", markersize=2, color="#0072B2", alpha=0.5)
panels[2].contour(grid_alpha, grid_beta, density.T, colors="#E69F00", linewidths=0.8)
panels[2].set(xlabel="alpha", ylabel="beta", xlim=(0.15, 0.85), ylim=(2, 11))
handles, labels = panels[0].get_legend_handles_labels()
figure.legend(handles, labels, loc="outside upper center", ncols=4, frameon=False)
figure.savefig(FIGURES / "notebook_posterior.png", dpi=150)

# %% [markdown]
# ## What each choice is worth: leave-one-out cross-validation
#
# The likelihood of every single choice is there, which the form with a potential does not have.

# %%
print(pyem.loo(fit))
print(pyem.waic(fit))

# %% [markdown]
# ## Would this model have behaved like this person?

# %%
check = pyem.predictive_check(pyem.posterior_predictive(fit, draws=200, key=2))
print(check)
check.plot().savefig(FIGURES / "notebook_check.png")

# %% [markdown]
# ## Values with their uncertainty
#
# `latents` gives every trial's values and prediction errors, averaged over the posterior, with standard deviations.

# %%
latents = fit.latents(draws=200, key=3)
figure, axes = plt.subplots(figsize=(9, 2.8), layout="constrained")
for option, color in enumerate(("#0072B2", "#E69F00")):
    middle, sd = latents[f"value{option}"], latents[f"value{option}_sd"]
    axes.fill_between(latents.trial, middle - 2 * sd, middle + 2 * sd, color=color, alpha=0.3, linewidth=0)
    axes.plot(latents.trial, middle, color=color, linewidth=1.2, label=("left", "right")[option])
axes.set(xlabel="trial", ylabel="value, mean and 2 sd")
axes.legend(frameon=False, ncols=2)
figure.savefig(FIGURES / "notebook_values.png", dpi=150)

# %% [markdown]
# ## In a program of one's own
#
# `numpyro_model` puts the likelihood into any NumPyro program, as an observed site with a value for each choice or, with
# `pointwise=False`, as a single factor; `pymc_logp` does the same for PyMC.

# %%
for pointwise in (True, False):
    likelihood = pyem.numpyro_model(model, data, pointwise=pointwise)

    def program(likelihood=likelihood):
        """The notebook's model."""
        alpha = numpyro.sample("alpha", dist.Beta(1.0, 1.0))
        beta = numpyro.sample("beta", dist.HalfNormal(10.0))
        likelihood(alpha=alpha, beta=beta)

    with jax.enable_x64(True):
        sampler = numpyro.infer.MCMC(
            numpyro.infer.NUTS(program),
            num_warmup=500,
            num_samples=1000,
            num_chains=4,
            chain_method="vectorized",
            progress_bar=False,
        )
        sampler.run(jax.random.key(0))
        mine = {name: np.asarray(draws) for name, draws in sampler.get_samples().items()}
    form = "observed site" if pointwise else "factor"
    print(form, {name: (round(draws.mean(), 3), round(draws.std(), 3)) for name, draws in mine.items()})
