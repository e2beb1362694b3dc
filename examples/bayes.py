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
# # Beliefs about hidden ponds
#
# In each block one of three ponds is hidden. Its fish are shown one by one; each has the pond's own colour with probability .8.
# After every fish people say which pond it is, and nobody tells them whether they were right. A person with the parameter
# `lambda1` believes that a pond shows its own colour with that probability, updates the belief by Bayes' rule, and chooses
# each pond as often as it is believed in.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import pyem
from pyem import models, plot

model = models.get("bayes")
print(model)

# %% [markdown]
# ## Sixty people, ten blocks of fifteen fish

# %%
rng = np.random.default_rng(1)
truth = 1 / (1 + np.exp(-rng.normal(0.4, 0.6, size=(60, 1))))
data = pyem.simulate(model, truth, key=1, blocks=10, trials=15, missed=0.03)
data.describe().head()

# %%
fit = pyem.fit_em(model, data)
fit.group_table()

# %% [markdown]
# ## Are the parameters found again?

# %%
plot.plot_recovery(truth, fit.params, model.names)

# %% [markdown]
# ## What a person believed
#
# `latents()` has a row for each trial: the belief after each fish (`p0`, `p1`, `p2`) and how much the fish surprised, in
# nats. A fish teaches something also where the answer was missed.

# %%
latents = fit.latents()
latents.head()

# %%
cautious, confident = np.argsort(fit.params[:, 0])[[5, -5]]
figure, panels = plt.subplots(1, 2, figsize=(9, 3.2), sharey=True)
for panel, person in zip(panels, (cautious, confident), strict=True):
    block = latents[(latents.subject == person) & (latents.block == 0)]
    for pond, colour in enumerate(("tab:blue", "tab:green", "tab:red")):
        panel.plot(block.trial + 1, block[f"p{pond}"], color=colour, label=f"belief in pond {pond}")
        seen = block[block.observation == pond]
        panel.plot(seen.trial + 1, np.full(len(seen), 1.05), "o", color=colour, markersize=4)
    panel.set_title(f"person {person}: lambda1 = {fit.params[person, 0]:.2f}")
    panel.set_xlabel("fish")
panels[0].set_ylabel("belief (dots: colour of the fish)")
panels[1].legend(loc="center right", frameon=False)
figure.tight_layout()

# %% [markdown]
# ## Learning to be sure
#
# Choices of the true pond become more frequent with every fish, in the data and in the model.

# %%
correct = pd.DataFrame(
    {
        "people": (data.fields["choice"] == data.fields["pond"]).mean(axis=1),
        "fish alone": (data.fields["observation"] == data.fields["pond"]).mean(axis=1),
    },
    index=pd.RangeIndex(1, 16, name="fish"),
)
correct.T.round(2)

# %% [markdown]
# ## The same in the form of pyEM

# %%
from pyem import EMModel  # noqa: E402
from pyem.models.bayes import bayes_model  # noqa: E402
from pyem.utils.math import norm2alpha  # noqa: E402

em = EMModel(None, bayes_model.fit, param_names=["lambda1"], param_xform=[norm2alpha], simulate_func=bayes_model.sim)
recovery = em.recover(truth, pr_inputs=["choices", "observations"], fit_kwargs={"verbose": 0}, seed=1)
print("correlation of true and estimated lambda1:", np.round(recovery["correlation"], 3))
em.plot_recovery(recovery, show=False)
