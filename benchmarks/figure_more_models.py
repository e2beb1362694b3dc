"""More figures of what models do: choices without values, pairs, exploration, offers, ratings, regression."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

import pyem

PEOPLE = 400


def people(model: pyem.Model, *values: float, trials: int, blocks: int = 1, task: Any = None) -> pyem.Dataset:
    """Many people who are all alike."""
    return pyem.simulate(model, np.tile(values, (PEOPLE, 1)), key=1, blocks=blocks, trials=trials, task=task)


def prosocial(axes: Any) -> None:
    """Choices of what is good for the other person over what is good for oneself."""
    model = pyem.models.get("rw4a1b")
    for other in (0.02, 0.1, 0.3):
        data = people(model, 5.0, 0.1, 0.1, other, other, trials=40, blocks=6)
        shown, choice = (data.fields["option_left"], data.fields["option_right"]), data.fields["choice"]
        pair = (shown[0][0] + shown[1][0] == 3) & (
            np.minimum(shown[0][0], shown[1][0]) == 1
        )  # B, good for oneself, and C
        taken = np.where(choice == 1, shown[1], shown[0])[:, pair]
        axes.plot((taken == 2).mean(1), label=f"alpha_other {other:g}")
    axes.set(title="rw4a1b, alpha_self .1", xlabel="trial", ylabel="good for the other person", ylim=(0, 1))


def choice(axes: Any) -> None:
    """How long a choice is repeated."""
    lags = np.arange(1, 16)
    for alpha in (0.1, 0.3, 0.8):
        chosen = people(pyem.models.get("ck"), 4.0, alpha, trials=200).fields["choice"]
        axes.plot(lags, [(chosen[lag:] == chosen[:-lag]).mean() for lag in lags], "o-", label=f"alpha_c {alpha:g}")
    axes.set(title="ck, beta_c 4", xlabel="trials later", ylabel="the same choice again")


def wins_losses(axes: Any) -> None:
    """Whether a choice is repeated, by what it won and lost."""
    names = ("won", "won and lost", "neither", "lost")
    for x, loss in enumerate((0.5, 2.0, 6.0)):
        data = people(pyem.models.get("reward_punishment"), 0.3, 0.3, 2.0, loss, trials=200)
        stays = data.fields["choice"][1:] == data.fields["choice"][:-1]
        won, lost = data.fields["gain"][:-1] > 0, data.fields["loss"][:-1] < 0
        cells = (won & ~lost, won & lost, ~won & ~lost, ~won & lost)
        for k, (cell, name) in enumerate(zip(cells, names, strict=True)):
            axes.bar(x + 0.2 * k, stays[cell].mean(), 0.18, color=f"C{k}", label=name if x == 0 else None)
    axes.set(title="reward_punishment, rho_rew 2", ylabel="share of stays", xticks=np.arange(3) + 0.3, ylim=(0, 1))
    axes.set_xticklabels(["rho_pun .5", "rho_pun 2", "rho_pun 6"])


def selection(axes: Any) -> None:
    """After training: A among others, and others than B."""
    task = pyem.task.ProbabilisticSelection(training=240)
    names = ("A is chosen", "B is avoided")
    for x, (gain, loss) in enumerate(((0.3, 0.05), (0.1, 0.1), (0.05, 0.3))):
        model = pyem.models.get("probabilistic_selection", transfer=True)
        data = people(model, 3.0, gain, loss, 3.0, trials=360, task=task)
        left, right = data.fields["option_left"], data.fields["option_right"]
        taken = np.where(data.fields["choice"] == 1, right, left)
        new = (data.fields["phase"] == 1) & (left + right != 1)
        for k, stimulus in enumerate((0, 1)):
            here = new & ((left == stimulus) | (right == stimulus))
            share = (taken[here] == stimulus).mean()
            axes.bar(x + 0.35 * k, share if k == 0 else 1 - share, 0.32, color=f"C{k}", label=None if x else names[k])
    axes.set(title="probabilistic_selection, new pairs", ylabel="share", xticks=np.arange(3) + 0.175, ylim=(0.4, 1))
    axes.set_xticklabels(["learns from gains", "from both alike", "from losses"])


def exploration(axes: Any) -> None:
    """How often the arm is taken that was taken less often so far."""
    for w2 in (0.0, 2.0, 6.0):
        chosen = people(pyem.models.get("ucb"), 5.0, w2, trials=10, blocks=10).fields["choice"]
        before = np.cumsum(2 * chosen - 1, axis=0)[:-1]
        rarer = np.where(before == 0, np.nan, chosen[1:] == (before < 0))
        axes.plot(np.arange(2, 11), np.nanmean(rarer, axis=1), "o-", label=f"w2 {w2:g}")
    axes.set(title="ucb, w1 5", xlabel="trial", ylabel="arm that was tried less often", ylim=(0, 1))


def effort(axes: Any) -> None:
    """Offers taken, by the effort that they ask for."""
    for name, k in (("effort_linear", 1.0), ("effort_parabolic", 0.2), ("effort_hyperbolic", 0.5)):
        data = people(pyem.models.get(name), k, 1.0, trials=200)
        asked = data.fields["effort_high"]
        took = [data.fields["choice"][asked == level].mean() for level in np.unique(asked)]
        axes.plot(np.unique(asked), took, "o-", label=f"{name}, k {k:g}")
    axes.set(title="more for more work", xlabel="effort of the larger offer", ylabel="share taken", ylim=(0, 1))


def shocks(axes: Any) -> None:
    """The option that a shock follows is left, sooner or later."""
    for alpha in (0.05, 0.2, 0.6):
        data = people(pyem.models.get("aversive"), alpha, 2.0, 0.2, trials=180)
        axes.plot((data.fields["choice"] == 0).mean(1), linewidth=1, label=f"alpha {alpha:g}")
    axes.set(title="aversive", xlabel="trial", ylabel="share of option 0", ylim=(0, 1))


def happiness(axes: Any) -> None:
    """Mood after a gamble, by how far its outcome was off what was expected."""
    for weight in (0.0, 0.01, 0.03):
        data = people(pyem.models.get("happiness"), 0.9, 1.2, 0.3, 0.0, 0.01, 0.01, weight, 0.6, 0.5, trials=150)
        gain, loss, outcome = (data.fields[name] for name in ("gain", "loss", "outcome"))
        error = outcome - (gain - np.abs(loss)) / 2
        edges = np.arange(-80.0, 81.0, 20.0)
        which = np.where(data.fields["choice"] == 1, np.digitize(error, edges), 0)
        mood = [data.fields["happiness"][which == k].mean() for k in range(1, len(edges))]
        axes.plot((edges[1:] + edges[:-1]) / 2, mood, "o-", label=f"w_rpe {weight:g}")
    axes.set(title="happiness", xlabel="outcome less its expectation", ylabel="rating")


def regression(axes: Any) -> None:
    """What a single event does to the trials after it."""
    model = pyem.models.get("glm_decay", predictors=1)
    frame = pd.DataFrame({"subject": np.repeat(np.arange(PEOPLE), 8), "trial": np.tile(np.arange(8), PEOPLE), "y": 0.0})
    frame["event"] = (frame["trial"] == 2).astype(float)
    design = pyem.Dataset.from_frame(frame, subject="subject", columns={"y": "y", "predictors": ["event"]})
    for gamma in (0.01, 0.4, 0.8):
        data = pyem.simulate(model, np.tile((1.0, gamma, 0.5), (PEOPLE, 1)), key=1, design=design)
        axes.plot(range(8), data.fields["y"].mean(1), "o-", label=f"gamma {gamma:g}")
    axes.set(title="glm_decay, sigma .5", xlabel="trial", ylabel="mean of y, an event on trial 2")


def ratings(axes: Any) -> None:
    """Categories by what is rated."""
    model = pyem.models.get("ordinal_logit", predictors=["one", "x"], levels=5)
    data = people(model, 0.0, 1.5, -3.0, -1.0, 1.0, 3.0, trials=100)
    x, level = data.fields["predictors"][:, 1], data.fields["rating_level"]
    edges = np.quantile(x, np.linspace(0, 1, 13))
    which = np.digitize(x, edges[1:-1])
    middle = [x[which == k].mean() for k in range(12)]
    for k in range(5):
        axes.plot(middle, [(level[which == j] == k).mean() for j in range(12)], "o-", label=f"category {k + 1}")
    axes.set(title="ordinal_logit", xlabel="predictor", ylabel="share of ratings")


def active_inference(axes: Any) -> None:
    """Choices around reversals."""
    for hazard in (0.01, 0.1, 0.3):
        data = people(pyem.models.get("aif_reversal"), 3.0, hazard, trials=80)
        axes.plot((data.fields["choice"] == 0).mean(1), label=f"hazard {hazard:g}")
    axes.set(title="aif_reversal, preference 3", xlabel="trial", ylabel="share of option 0, reversals")


MORE: dict[str, Callable[[Any], None]] = {
    "prosocial": prosocial,
    "choice": choice,
    "wins-losses": wins_losses,
    "selection": selection,
    "exploration": exploration,
    "effort": effort,
    "shocks": shocks,
    "happiness": happiness,
    "regression": regression,
    "ratings": ratings,
    "active-inference": active_inference,
}
"""By the page they are on."""
