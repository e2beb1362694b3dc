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
# # Regressions of a group of people
#
# A regression is a model like any other here: its predictors are columns of a table, its weights differ between people, and
# hierarchical EM says how. This page makes data of momentary mood, fits four kinds of regression, and ends with the
# interface of pyEM.

# %%
import numpy as np
import pandas as pd

import pyem
from pyem import Dataset, models, plot

rng = np.random.default_rng(1)

# %% [markdown]
# ## A table, and its columns as predictors
#
# Sixty people gamble thirty times and say how they feel. Mood depends on the certain reward, on what was expected of a gamble
# and on how it surprised. A few ratings are missing; missing cells stay where they are, as empty cells.

# %%
people, trials = 60, 30
weights = np.column_stack([rng.normal(mean, 0.25, people) for mean in (0.2, 0.3, 0.4, 0.6)])
frame = pd.DataFrame(
    {
        "person": np.repeat([f"p{k:02d}" for k in range(people)], trials),
        "trial": np.tile(np.arange(trials), people),
        "intercept": 1.0,
        "certain": rng.normal(size=people * trials),
        "expected": rng.normal(size=people * trials),
        "surprise": rng.normal(size=people * trials),
    }
)
PREDICTORS = ["intercept", "certain", "expected", "surprise"]
mean = (frame[PREDICTORS].to_numpy() * np.repeat(weights, trials, axis=0)).sum(axis=1)
noise = np.exp(rng.normal(-0.2, 0.4, people))
frame["mood"] = mean + np.repeat(noise, trials) * rng.normal(size=len(frame))
frame.loc[rng.random(len(frame)) < 0.05, "mood"] = np.nan
frame.head()

# %% [markdown]
# A list of columns makes one field, `predictors`. Nothing is added, centred or scaled: the column of ones is the intercept.

# %%
data = Dataset.from_frame(frame, subject="person", trial="trial", columns={"y": "mood", "predictors": PREDICTORS})
data.describe().head()

# %% [markdown]
# ## Linear regression
#
# With names for the predictors, the tables speak of them; with `models.get("glm", predictors=4)` the weights would be `b0`
# to `b3`. The standard deviation of the residuals, `sigma`, is a parameter of every person too.

# %%
linear = models.get("glm", predictors=PREDICTORS)
fit = pyem.fit_em(linear, data)
fit.group_table()

# %%
plot.plot_recovery(weights, fit.params[:, :4], PREDICTORS)

# %% [markdown]
# People's weights lie around those of the group, nearer to them than least squares for each person alone, and nearer to the
# truth:

# %%
alone = pyem.fit_mle(linear, data)
rmse = lambda estimates: np.sqrt(((estimates[:, :4] - weights) ** 2).mean(axis=0))  # noqa: E731
pd.DataFrame({"hierarchical": rmse(fit.params), "least squares": rmse(alone.params)}, index=PREDICTORS).round(3)

# %% [markdown]
# ## Effects that linger
#
# Mood may also depend on the trials before. In `glm_decay` a trial's predictors count `gamma` times as much one trial later,
# and in `glm_ar` a part `phi` of the last rating carries over. A trial after a missing rating counts nothing in `glm_ar`, so
# the two would be compared on different data; here the ratings of simulated people are complete.

# %%
lingering = models.get("glm_decay", predictors=2)
truth = np.column_stack(
    [
        rng.normal(0.3, 0.3, 80),
        rng.normal(0.8, 0.3, 80),
        1 / (1 + np.exp(-rng.normal(0.4, 0.8, 80))),
        np.exp(rng.normal(-0.3, 0.4, 80)),
    ]
)
simulated = pyem.simulate(lingering, truth, key=2, trials=60)
fits = {name: pyem.fit_em(models.get(name, predictors=2), simulated) for name in ("glm_decay", "glm_ar", "glm")}
plot.plot_recovery(truth[:, :3], fits["glm_decay"].params[:, :3], ["b0", "b1", "gamma"])

# %% [markdown]
# The evidence finds out which of the three made the data.

# %%
pd.Series({name: fit.log_evidence.sum() for name, fit in fits.items()}, name="log evidence").round(1)

# %% [markdown]
# ## Yes or no, and counts
#
# `logit` explains a column of 0 and 1 (or two words), `poisson` a column of counts. Both take the same columns as `glm`.

# %%
answers = frame.assign(happy=np.where(frame.mood.isna(), None, np.where(frame.mood > 0, "yes", "no")))
yes_no = Dataset.from_frame(
    answers,
    subject="person",
    trial="trial",
    columns={"y": "happy", "predictors": PREDICTORS},
    values={"y": {"no": 0, "yes": 1}},
)
logistic = pyem.fit_em(models.get("logit", predictors=PREDICTORS), yes_no)
logistic.group_table().loc["mean", ["estimate", "se"]].round(3)

# %%
counts = pyem.simulate(models.get("poisson", predictors=3), subjects=50, key=3, trials=60)
poisson = pyem.fit_em(models.get("poisson", predictors=3), counts)
plot.plot_recovery(counts.true_params, poisson.params, poisson.model.names)

# %% [markdown]
# ## The same in the form of pyEM
#
# `glm_sim` and `glm_fit` have weights only: the residual standard deviation is that of the residuals. `X` is a design matrix
# for each person, so the number of trials has to be said where it is needed.

# %%
from pyem import EMModel  # noqa: E402
from pyem.models.glm import glm_model  # noqa: E402

X, Y = glm_model.sim(rng.normal([0.5, -1.0, 1.0], 0.5, size=(50, 3)), ntrials=80, seed=1)
em = EMModel([[x, y] for x, y in zip(X, Y, strict=True)], glm_model.fit, param_names=["b0", "b1", "b2"])
result = em.fit(verbose=0)
print("converged:", result.convergence)
print("group means:", np.round(result.posterior_mu, 2))
print("integrated BIC:", round(em.compute_integrated_bic(nsamples=500, ntrials_total=80), 1))
