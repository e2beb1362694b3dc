"""Figures of a report, each with a caption and with a description for readers who do not see it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from pyem.draw.figures import KINDS
from pyem.plot.numbers import all_numbers, comparison_numbers
from pyem.plot.reports.content import Picture
from pyem.results.paper import number_text

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from pyem.results.fit import Fit
    from pyem.study.parameter_recovery import Recovery
    from pyem.study.predictive_checks import PredictiveCheck

CAPTIONS = {
    "parameters": "How people differ: estimates of people (bars).",
    "estimates": "Each person's estimate with its 95 % interval, sorted in each panel.",
    "choice_curves": "Choices by trial: people, with the 95 % interval of their mean, and the model's probability one step "
    "ahead, given what each person had done before.",
    "effects": "Parameters in conditions and groups: people (grey, joined by lines) and means with 95 % intervals.",
    "trace": "The path of the estimation: log evidence and the change of the group's parameters by iteration.",
    "comparison": "How far each model is behind the best, with the standard error of the difference over people.",
    "predictive": "Predictive check: observed behaviour and the central 95 % of simulations, by trial and person by person. "
    "People outside their simulations are red.",
    "recovery": "Recovery: true against estimated values of simulated people at this very design.",
}
WITH_GROUP = {
    "parameters": " Lines: the density of the fitted group, and its median with the 95 % interval (band). Estimates are drawn "
    "towards the group, so they spread less than it.",
    "estimates": " Line and band: the median of the group with its 95 % interval.",
}
"""Sentences that captions also have where a group was fitted."""


def picture(figure: Figure, prefix: str, caption: str, alt: str) -> Picture:
    """Add words to a figure, and remove the title that the caption repeats."""
    figure.suptitle("")
    return Picture(figure, prefix, caption, alt)


def of_fit(fit: Fit, prefix: str) -> Iterator[Picture]:
    """All figures that suit a fit."""
    for kind, numbers in all_numbers(fit):
        caption = CAPTIONS.get(kind, kind.replace("_", " ").capitalize() + ".")
        caption += WITH_GROUP.get(kind, "") if fit.population is not None else ""
        alt = WORDS[kind](numbers) if kind in WORDS else caption
        yield picture(KINDS[kind](**numbers), f"{prefix}-{kind.replace('_', '-')}", caption, alt)


def of_comparison(table: pd.DataFrame) -> Picture:
    """Figure of the differences between models."""
    numbers = comparison_numbers(table)
    return picture(KINDS["comparison"](**numbers), "comparison", CAPTIONS["comparison"], _comparison_words(numbers))


def of_check(check: PredictiveCheck, prefix: str) -> Picture:
    """Observed and simulated behaviour."""
    told = [
        f"{name}: observed {number_text(row['observed'])}, simulated {number_text(row['low'])} to {number_text(row['high'])}"
        for name, row in check.group.iterrows()
    ]
    alt = f"Curves of {check.what} by trial, and a panel for each statistic. Means over people: {'; '.join(told)}."
    return picture(check.plot(), f"{prefix}-check", CAPTIONS["predictive"], alt)


def of_recovery(study: Recovery, prefix: str) -> Picture:
    """True and estimated values."""
    names = list(study.model.names)
    truth, estimates = (values.reshape(-1, len(names)) for values in (study.truth, study.estimate))
    figure = KINDS["recovery"](title="", names=names, truth=truth, estimates=estimates)
    told = [f"{name}, correlation {number_text(r)}" for name, r in study.table()["r"].items()]
    alt = f"Scatter plots of true against estimated values, with the line of identity: {'; '.join(told)}."
    return picture(figure, f"{prefix}-recovery", CAPTIONS["recovery"], alt)


# -- in words -------------------------------------------------------------------------------------------------------------


def _spread(values: np.ndarray) -> str:
    known = values[np.isfinite(values)]
    if not len(known):
        return "no value"
    low, middle, high = (number_text(value) for value in np.quantile(known, [0, 0.5, 1]))
    return f"from {low} to {high}, median {middle}"


def _parameter_words(numbers: dict[str, Any]) -> str:
    each = []
    for k, name in enumerate(numbers["names"]):
        text = f"{name} {_spread(numbers['values'][:, k])}"
        if numbers["middle"] is not None:
            middle, low, high = (number_text(value) for value in numbers["middle"][k])
            text += f", median of the group {middle}, 95 % interval {low} to {high}"
        each.append(text)
    return f"Histograms of the estimates of {len(numbers['values'])} people: {'; '.join(each)}."


def _estimate_words(numbers: dict[str, Any]) -> str:
    each = [f"{name} {_spread(numbers['values'][:, k])}" for k, name in enumerate(numbers["names"])]
    return f"A line for each of {len(numbers['values'])} people, sorted, with the 95 % interval: {'; '.join(each)}."


def _curve_words(numbers: dict[str, Any]) -> str:
    what = " ".join(str(numbers["y_label"]).split())
    each = []
    for block in numbers["blocks"]:
        for curve in block["curves"]:
            said = ", ".join(name for name in (block["name"], curve["name"]) if name)
            people, *model = ([number_text(curve[of][k]) for k in (0, -1)] for of in ("data", "model") if of in curve)
            words = f"people go from {people[0]} to {people[1]}"
            words += "".join(f", the model from {first} to {last}" for first, last in model)
            each.append(f"{said}: {words}" if said else words)
    return f"Curves of the {what}, by {numbers['x_label']}: {'; '.join(each)}."


def _effect_words(numbers: dict[str, Any]) -> str:
    each = []
    for panel in numbers["panels"]:
        cells = [
            f"{cell} {number_text(middle[0])}" for cell, middle in zip(panel["cells"], panel["middle"], strict=True)
        ]
        each.append(f"{panel['name']}: {', '.join(cells)}")
    return f"Means in conditions: {'; '.join(each)}."


def _trace_words(numbers: dict[str, Any]) -> str:
    path = numbers["log_evidence"]
    return (
        f"Two curves over {len(path)} iterations: the log evidence goes from {number_text(path[0])} to {number_text(path[-1])} "
        f"nats, the largest change of a parameter of the group falls to {number_text(numbers['change'][-1])}."
    )


def _comparison_words(numbers: dict[str, Any]) -> str:
    each = []
    for label, behind, _ in numbers["measures"]:
        ranked = [f"{name} {number_text(value)}" for name, value in zip(numbers["models"], behind, strict=True)]
        each.append(f"{' '.join(str(label).split())}: {', '.join(ranked)}")
    return f"Bars of how far each model is behind the best. {'; '.join(each)}."


WORDS = {
    "parameters": _parameter_words,
    "estimates": _estimate_words,
    "choice_curves": _curve_words,
    "effects": _effect_words,
    "trace": _trace_words,
}
"""Function that describes each kind of figure in words."""
