"""The figures of the pages in docs/models: what the models of each family do, by simulated people.

``python -m benchmarks.figure_models [FOLDER [NAME ...]]`` draws all of them, or those of the given names.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

import pyem
from benchmarks.figure_more_models import MORE, PEOPLE, people
from pyem.models.discounts import indifference
from pyem.results.latents import latents_at


def learning(axes: Any) -> None:
    """Choices of the better option, and how they follow a reversal."""
    model = pyem.models.get("rw1a1b")
    for alpha in (0.05, 0.2, 0.6):
        data = people(model, 6.0, alpha, trials=60)
        axes.plot((data.fields["choice"] == 0).mean(1), label=f"alpha {alpha:g}")
    axes.set(title="rw1a1b", xlabel="trial", ylabel="share of the better option")


def counterfactual(axes: Any) -> None:
    """A reversal, with and without learning about the option not taken."""
    model = pyem.models.get("fictive_mirrored")
    for rate in (0.0, 0.2, 0.5):
        data = people(model, 6.0, 0.2, max(rate, 1e-6), trials=80)
        axes.plot((data.fields["choice"] == 0).mean(1), label=f"alpha_unchosen {rate:g}")
    axes.set(title="fictive_mirrored", xlabel="trial", ylabel="share of option 0, reversals")


def rates(axes: Any) -> None:
    """The learning rate, which rises after a reversal."""
    model = pyem.models.get("pearce_hall")
    for eta in (0.1, 0.3, 0.6):
        data = people(model, 6.0, 0.5, eta, trials=80)
        frame = latents_at(model, data, data.truth)
        axes.plot(frame.groupby("trial")["learning_rate"].mean().to_numpy(), label=f"eta {eta:g}")
    axes.set(title="pearce_hall", xlabel="trial", ylabel="learning rate, reversals")


def iowa(axes: Any) -> None:
    """Good decks, in five parts of the task."""
    typical = {"pvl_delta": None, "pvl_decay": None, "vpp": None, "orl": None}
    for name in typical:
        data = pyem.simulate(pyem.models.get(name), key=1, subjects=PEOPLE, blocks=1, trials=100)
        good = (data.fields["choice"] >= 2).mean(1).reshape(5, 20).mean(1)
        axes.plot(range(1, 6), good, "o-", label=name)
    axes.set(
        title="Iowa gambling, typical people", xlabel="twenty cards", ylabel="share of good decks", xticks=range(1, 6)
    )


def balloons(axes: Any) -> None:
    """How many pumps a balloon gets."""
    model = pyem.models.get("bart")
    for gamma in (0.4, 0.8, 1.6):
        data = people(model, 0.92, 0.05, gamma, 0.5, trials=300)
        pumps = [_runs(lane) for lane in data.fields["choice"].T]
        counts = np.bincount(np.concatenate(pumps), minlength=31)[:31]
        axes.plot(counts / counts.sum(), label=f"gamma {gamma:g}")
    axes.set(title="bart", xlabel="pumps of a balloon", ylabel="share of balloons")


def cambridge(axes: Any) -> None:
    """How much is bet, by how sure it is, and by the order in which bets are offered."""
    model = pyem.models.get("cambridge_gambling")
    for k, beta in enumerate((0.02, 0.15, 0.4)):
        shown = people(model, 3.0, 0.5, 1.0, beta, 12.0, blocks=8, trials=9).fields
        boxes = np.where(shown["choice"] == 1, shown["red_boxes"], 10 - shown["red_boxes"])
        share = np.array(pyem.task.cambridge.BETS)[shown["bet"]]
        for rising, line in ((1, "o-"), (0, "o--")):
            there = [share[(boxes == n) & (shown["ascending"] == rising)].mean() for n in range(5, 10)]
            axes.plot(range(5, 10), there, line, color=f"C{k}", label=f"beta {beta:g}" if rising else None)
    title = "cambridge_gambling; bets that rise, that fall (dashed)"
    axes.set(title=title, xlabel="boxes of the chosen colour", ylabel="share of points", xticks=range(5, 10))


def _runs(choices: np.ndarray) -> np.ndarray:
    ends = np.flatnonzero(choices == 0)
    return np.diff(np.concatenate([[-1], ends])) - 1


def two_step(axes: Any) -> None:
    """Whether the first choice is repeated, by what followed it."""
    model = pyem.models.get("two_step")
    for x, w in enumerate((0.0, 0.5, 1.0)):
        data = people(model, 4.0, 3.0, 0.5, 0.5, 0.6, min(max(w, 1e-6), 1 - 1e-6), 0.1, trials=200)
        first, state, reward = (data.fields[name] for name in ("choice1", "state2", "reward"))
        stays, common, won = first[1:] == first[:-1], (state == first)[:-1], reward[:-1] == 1
        cells = [won & common, won & ~common, ~won & common, ~won & ~common]
        shares = [stays[cell].mean() for cell in cells]
        names = ("won, common", "won, rare", "lost, common", "lost, rare")
        for k, (share, name) in enumerate(zip(shares, names, strict=True)):
            axes.bar(x + 0.2 * k, share, 0.18, color=f"C{k}", label=name if x == 0 else None)
    axes.set(title="two_step", ylabel="share of stays", xticks=np.arange(3) + 0.3, ylim=(0, 1))
    axes.set_xticklabels(["w 0: repeats", "w .5", "w 1: plans"])


def go_nogo(axes: Any) -> None:
    """Going, by what is right and what is at stake."""
    names = ("go to win", "go to avoid", "no-go to win", "no-go to avoid")
    for k, pi in enumerate((0.0, 0.6)):
        data = people(pyem.models.get("go_nogo_pavlovian"), 0.05, 0.2, 0.3, pi, 5.0, trials=160)
        cue, went = data.fields["cue"], data.fields["choice"] == 1
        shares = [went[80:][cue[80:] == c].mean() for c in range(4)]
        axes.bar(np.arange(4) + 0.4 * k, shares, 0.36, label=f"pi {pi:g}")
    axes.set(title="go_nogo_pavlovian", ylabel="share of go, second half", xticks=np.arange(4) + 0.2)
    axes.set_xticklabels([name.replace(" to ", "\nto ") for name in names])


def memory(axes: Any) -> None:
    """Right answers by how often a stimulus came, for sets of several sizes."""
    model = pyem.models.get("rlwm")
    data = people(model, 0.05, 0.2, 0.5, 0.0, 0.9, 0.1, 0.02, blocks=6, trials=60)
    stimulus, size, right = (data.fields[name] for name in ("stimulus", "set_size", "correct"))
    times = np.zeros_like(stimulus, int)
    for s in np.unique(stimulus):
        times = np.where(stimulus == s, (stimulus == s).cumsum(0), times)
    for n in (2, 4, 6):
        here = [right[(size == n) & (times == k)].mean() for k in range(1, 10)]
        axes.plot(range(1, 10), here, "o-", label=f"{n} stimuli")
    axes.set(title="rlwm, capacity 4", xlabel="times a stimulus was shown", ylabel="share of right answers")


def delays(axes: Any) -> None:
    """What is left of an amount after a delay."""
    days = np.linspace(0, 180, 91)
    values = {
        "dd_hyperbolic": (0.02, 1.0),
        "dd_exponential": (0.01, 1.0),
        "dd_quasi_hyperbolic": (0.7, 0.995, 1.0),
        "dd_myerson_green": (0.05, 0.6, 1.0),
        "dd_constant_sensitivity": (0.01, 0.6, 1.0),
    }
    for name, one in values.items():
        axes.plot(days, indifference(pyem.models.get(name), [one], days)[0], label=name)
    axes.set(title="discounting of delays", xlabel="days", ylabel="share of the amount")


def risk(axes: Any) -> None:
    """Gambles taken, by what may be won and lost."""
    model = pyem.models.get("prospect")
    for aversion in (1.0, 2.0, 4.0):
        data = people(model, 0.9, aversion, 1.0, trials=300)
        ratio = data.fields["gain"] / np.abs(data.fields["loss"])
        sure = data.fields["certain"] == 0
        edges = np.array([0.25, 0.75, 1.5, 2.5, 4.5, 8.5, 30.0])
        which = np.digitize(ratio, edges)
        took = [data.fields["choice"][sure & (which == k)].mean() for k in range(1, len(edges))]
        axes.plot(np.sqrt(edges[1:] * edges[:-1]), took, "o-", label=f"loss_aversion {aversion:g}")
    axes.set(title="prospect", xlabel="gain / loss", ylabel="share of gambles taken", xscale="log")


def fairness(axes: Any) -> None:
    """Offers of twenty that are taken."""
    model = pyem.models.get("ultimatum_bayes")
    for envy in (0.3, 1.0, 3.0):
        data = people(model, envy, 0.2, 0.8, trials=60)
        offers = np.unique(data.fields["offer"])
        took = [data.fields["choice"][data.fields["offer"] == offer].mean() for offer in offers]
        axes.plot(offers, took, "o-", label=f"alpha {envy:g}")
    axes.set(title="ultimatum_bayes", xlabel="offer of 20", ylabel="share accepted")


def detection(axes: Any) -> None:
    """Hits and false alarms at each criterion."""
    for name, values in {"sdt_rating": (1.5,), "sdt_rating_unequal": (1.5, 1.6)}.items():
        data = people(pyem.models.get(name), *values, -1.2, -0.5, 0.0, 0.5, 1.2, trials=100)
        rating, signal = data.fields["rating_level"], data.fields["signal"] == 1
        rates_ = [[(rating[side] >= k).mean() for side in (~signal, signal)] for k in range(7)]
        axes.plot(*np.array(rates_).T, "o-", label=name)
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=0.8)
    axes.set(title="ratings: each criterion", xlabel="false alarms", ylabel="hits", aspect="equal")


def beliefs(axes: Any) -> None:
    """The believed probability, and outcomes."""
    model = pyem.models.get("hgf")
    data = pyem.simulate(model, [[-3.0, -6.0, 5.0]], key=2, blocks=1, trials=120)
    for omega in (-5.0, -3.0, -1.0):
        frame = latents_at(model, data, model.unconstrained([[omega, -6.0, 5.0]]))
        axes.plot(frame["muhat1"].to_numpy(), label=f"omega2 {omega:g}")
    axes.plot(data.fields["outcome"][:, 0], ".", color="0.7", markersize=2)
    axes.set(title="hgf", xlabel="trial", ylabel="believed probability, outcomes")


def cards(axes: Any) -> None:
    """Right answers in the course of the task."""
    model = pyem.models.get("card_sorting")
    for p in (0.2, 0.5, 0.9):
        data = people(model, 0.8, p, 1.5, trials=64)
        axes.plot(data.fields["correct"].mean(1), label=f"p {p:g}")
    axes.set(title="card_sorting", xlabel="trial", ylabel="share of right answers")


FIGURES: dict[str, Callable[[Any], None]] = {
    "learning": learning,
    "counterfactual": counterfactual,
    "rates": rates,
    "iowa": iowa,
    "balloons": balloons,
    "cambridge": cambridge,
    "two-step": two_step,
    "go-nogo": go_nogo,
    "memory": memory,
    "delays": delays,
    "risk": risk,
    "fairness": fairness,
    "cards": cards,
    "detection": detection,
    "beliefs": beliefs,
    **MORE,
}
"""By the page they are on."""


def main(folder: str = "docs/models", *names: str) -> None:
    """Draw them as SVG, or in the format that the name of the folder ends in after a colon (``/tmp:png``)."""
    mpl.use("agg")
    mpl.rcParams |= {"svg.hashsalt": "pyem", "font.size": 8, "svg.fonttype": "none"}
    import matplotlib.pyplot as plt

    where, _, kind = folder.partition(":")
    for name in names or FIGURES:
        figure, axes = plt.subplots(figsize=(5.6, 2.8), layout="constrained")
        FIGURES[name](axes)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=7, loc="upper left", bbox_to_anchor=(1, 1))
        figure.savefig(Path(where) / f"{name}.{kind or 'svg'}", metadata=None if kind else {"Date": None}, dpi=110)
        plt.close(figure)
        print(name, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
