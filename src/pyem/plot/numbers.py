"""The numbers that figures show."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pyem.data.cells import Cell, cells_of
from pyem.errors import Unavailable
from pyem.results.effects import value_of
from pyem.results.marginal import people_in_cells
from pyem.results.options import shown_option

if TYPE_CHECKING:
    import pandas as pd

    from pyem.results.fit import Fit

Z95 = 1.959963984540054
TRIALS_SHOWN = 40
"""Largest number of points of a curve; longer blocks are shown as means of consecutive trials."""
CELLS_SHOWN = 4
"""Largest number of cells by which the curves of a design are split without being asked for."""
PEOPLE_SHOWN = 0.25
"""Share of the people who must have trials for a curve to go on: the mean of fewer says little, and of other people."""


# -- from fits to numbers ---------------------------------------------------------------------------------------------


def figure_numbers(fit: Fit) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the kind of figure, and its numbers for `pyem.draw.figures`, for every figure of people that suits `fit`."""
    yield "parameters", parameter_numbers(fit)
    yield "estimates", estimate_numbers(fit)
    if is_categorical(fit):
        yield "choice_curves", choice_curve_numbers(fit, by=_few_conditions(fit))
    if fit.model.design is not None and fit.population is not None:
        yield "effects", effect_numbers(fit)


def _few_conditions(fit: Fit) -> list[str] | None:
    """The factors of a design, if their cells can be told apart in one panel."""
    levels = dict(fit.model.design.levels) if fit.model.design else {}
    return list(levels) if levels and np.prod([len(known) for known in levels.values()]) <= CELLS_SHOWN else None


def all_numbers(fit: Fit) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the kind and numbers of every figure of people that suits `fit`, and of the path of EM if there is one."""
    yield from figure_numbers(fit)
    if "log_evidence" in fit.trace:
        yield "trace", trace_numbers(fit)


def _middle(fit: Fit) -> np.ndarray | None:
    """Median of the group with its 95 % interval, natural, (P, 3)."""
    if fit.population is None:
        return None
    # A mean that is made of covariates alone has no row.
    table = fit.group_table().loc["mean"].reindex(list(fit.model.names))
    return table[["natural", "natural_low", "natural_high"]].to_numpy(float)


def parameter_numbers(fit: Fit) -> dict[str, Any]:
    """Numbers for `draw.parameters`."""
    return {
        "title": title_of(fit, "Parameters"),
        "names": fit.model.names,
        "labels": labels_of(fit),
        "values": fit.params,
        "density": None if fit.population is None else _densities(fit),
        "middle": _middle(fit),
    }


def _densities(fit: Fit) -> list[tuple[np.ndarray, np.ndarray]]:
    """The group's marginal density of each natural parameter, at points across its range."""
    from pyem.population.group import Group

    pop = fit.population
    assert pop is not None
    # A univariate marginal of the same family; with covariates, its mean over (at most 200) people.
    alone = Group(pop.group.family, df=pop.group.df)
    mean = np.unique(pop.mean, axis=0)
    mean = mean[np.linspace(0, len(mean) - 1, min(len(mean), 200)).astype(int)]
    scale = np.sqrt(np.diag(pop.cov))
    reach = (4 if pop.group.family == "gaussian" else 6) * scale
    low, high = mean.min(0) - reach, mean.max(0) + reach
    # Close enough together for the narrowest peak.
    x = np.linspace(low, high, int(np.clip(5 * np.max((high - low) / scale), 301, 5001)))
    natural, log_det = fit.model.natural(x), fit.model.log_det(x)
    out = []
    for j in range(x.shape[1]):
        points = np.repeat(x[:, j], len(mean))[:, None]
        around = np.tile(mean[:, j], len(x))[:, None]
        log_p = alone.log_prob(points, around, np.array([[scale[j] ** 2]])).reshape(len(x), -1)
        out.append((natural[:, j], np.exp(log_p).mean(1) * np.exp(-log_det[:, j])))
    return out


def estimate_numbers(fit: Fit) -> dict[str, Any]:
    """Numbers for `draw.estimates`."""
    return {
        "title": title_of(fit, "Estimates"),
        "names": fit.model.names,
        "labels": labels_of(fit),
        "subjects": [str(label) for label in fit.data.subjects],
        "values": fit.params,
        "low": fit.quantile(0.025),
        "high": fit.quantile(0.975),
        "middle": _middle(fit),
    }


def effect_numbers(fit: Fit, parameters: Sequence[str] | None = None) -> dict[str, Any]:
    """Numbers for `draw.effects`: a panel for each parameter that has a formula with factors."""
    design = fit.model.design
    if design is None:
        raise Unavailable("this fit has no formula; make a design with pyem.regress(model, ...)")
    names = list(parameters or [name for name, _ in design.formulas])
    panels = []
    for name in names:
        means = fit.marginal_means(name)
        table = means.table()
        panels.append(
            {
                "name": name,
                "label": doc_of(fit, name),
                "cells": [", ".join(map(str, cell.values())) or "mean" for cell in means.cells],
                "middle": table[["mean", "mean_low", "mean_high"]].to_numpy(float),
                "people": people_in_cells(fit, name, means),
            }
        )
    return {"title": title_of(fit, "Effects"), "panels": panels}


def trace_numbers(fit: Fit) -> dict[str, Any]:
    """Numbers for `draw.trace`."""
    if "log_evidence" not in fit.trace:
        raise Unavailable(f"a fit by {fit.method} has no path; only fit_em iterates over the group")
    return {
        "title": title_of(fit, "Path of EM"),
        "log_evidence": np.asarray(fit.trace["log_evidence"]),
        "change": np.asarray(fit.trace["change"]),
    }


def comparison_numbers(table: pd.DataFrame) -> dict[str, Any]:
    """Numbers for `draw.comparison`: the deciding criterion and the evidence if there is one, else criteria of estimates."""
    from pyem.selection import CRITERIA, measures

    known = measures(table)
    if not known:
        columns = ", ".join(dict.fromkeys(one.column for one in CRITERIA.values() if one.nats is not None))
        raise ValueError(f"the table has none of {columns}; give a table of compare_fits")
    shown = []
    for one in known[:2]:
        values = -one.sign * table[one.column].to_numpy(float)
        decides = one.name == table.attrs.get("by") and "difference_se" in table
        label = f"{one.quantity} {'below' if one.sign > 0 else 'above'} the best{' (nats)' if one.nats == 1 else ''}"
        shown.append((label, values - values.min(), table["difference_se"].to_numpy(float) if decides else None))
    return {"title": "Comparison", "models": [str(name) for name in table.index], "measures": shown}


def is_categorical(fit: Fit) -> bool:
    """Whether the response of the model is one option among several."""
    return fit.model.policy is not None and fit.model.options is not None


def choice_curve_numbers(
    fit: Fit, *, option: Any = None, by_block: bool = False, by: str | Sequence[str] | None = None
) -> dict[str, Any]:
    """Numbers for `draw.choice_curves`."""
    from pyem.engine.evaluate import trial_values

    if not is_categorical(fit):
        raise ValueError(
            f"model {fit.model.name!r} has no categorical response, so there is no proportion of choices to draw"
        )
    name = fit.model.responses[0]
    code, label, why = shown_option(fit.model, fit.data, option)
    responded = fit.data.masks(fit.model)[0][name]
    chosen = np.where(responded, fit.data.fields[name] == code, np.nan)
    predicted = np.where(responded, np.exp(trial_values(fit.model, fit.data, fit.x)["log_probs"][0][:, code]), np.nan)
    panels, notes = _panels(fit, chosen, predicted, by_block, by, clip=True)
    for panel in panels:
        panel["chance"] = 1 / fit.model.options  # type: ignore[operator]
    return {
        "title": title_of(fit, "Choices") + notes,
        "x_label": "trial of the block",
        "y_label": f"proportion choosing option {label}" + (f"\n({why})" if why else ""),
        "blocks": panels,
    }


def latent_numbers(fit: Fit, name: str, *, by_block: bool, by: str | Sequence[str] | None) -> dict[str, Any]:
    """Numbers for `draw.choice_curves` from a latent of each trial."""
    table = fit.latents()
    known = [
        column for column in table.columns if column not in ("subject", "block", "trial") and _is_number(table[column])
    ]
    if name not in known:
        raise ValueError(
            f"model {fit.model.name!r} says nothing of the name {name!r} of a trial; it has {', '.join(known)}"
        )
    values = np.full(fit.data.valid.shape, np.nan)
    # A row for each trial, lane after lane.
    lane, row = np.nonzero(fit.data.valid.T)
    values[row, lane] = table[name].to_numpy(float)
    if not np.isfinite(values).any():
        raise ValueError(f"{name!r} has no value in any trial of these data")
    panels, notes = _panels(fit, values, None, by_block, by, clip=False)
    return {
        "title": title_of(fit, name.replace("_", " ")) + notes,
        "x_label": "trial of the block",
        "y_label": name.replace("_", " "),
        "blocks": panels,
    }


def _is_number(column: Any) -> bool:
    return column.dtype.kind in "fiub"


def _panels(
    fit: Fit,
    values: np.ndarray,
    predicted: np.ndarray | None,
    by_block: bool,
    by: str | Sequence[str] | None,
    *,
    clip: bool,
) -> tuple[list[dict[str, Any]], str]:
    """A panel for each block, or one for all, with a curve for each cell; and a note for the title."""
    data = fit.data
    width = -(-len(values) // TRIALS_SHOWN)
    lanes = data.lane_block.astype(str)
    n_blocks = len(set(lanes))
    cells = [Cell({}, data.valid)] if by is None else cells_of(data, by)
    panels, whole = [], True
    for block in dict.fromkeys(lanes) if by_block else [None]:
        mine = np.ones(len(lanes), bool) if block is None else lanes == block
        curves = []
        for cell in cells:
            here = cell.trials & mine & np.isfinite(values)
            some = here.any(0)
            if not some.any():
                continue
            parts = [None if part is None else np.where(here, part, np.nan)[:, some] for part in (values, predicted)]
            binned = [None if part is None else _by_person(part, data.lane_subject[some], width) for part in parts]
            curve, complete = _curve(*binned, width, len(values), clip=clip)  # type: ignore[arg-type]
            whole &= complete
            curves.append({"name": cell.name} | curve)
        head = f"block {block}" if block is not None else "" if n_blocks == 1 or by else f"mean of {n_blocks} blocks"
        panels.append({"name": head, "curves": curves})
    notes = [f"means of {width} trials"] if width > 1 else []
    notes += [] if whole else ["as far as a quarter of the people got"]
    notes += [f"by {by if isinstance(by, str) else ' and '.join(by)}"] if by else []
    return panels, f" ({', '.join(notes)})" if notes else ""


def _by_person(values: np.ndarray, lane_subject: np.ndarray, width: int) -> np.ndarray:
    """Means (bin, person) of values (trial, lane), NaN where there is none."""
    extra = -len(values) % width
    padded = np.concatenate([values, np.full((extra, values.shape[1]), np.nan)])
    stacked = padded.reshape(-1, width, values.shape[1])
    people, who = np.unique(lane_subject, return_inverse=True)
    sums = lambda rows: np.array([np.bincount(who, row, len(people)) for row in rows])  # noqa: E731
    total, count = sums(np.nansum(stacked, 1)), sums(np.isfinite(stacked).sum(1))
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _curve(
    values: np.ndarray, predicted: np.ndarray | None, width: int, n_trials: int, *, clip: bool
) -> tuple[dict[str, np.ndarray], bool]:
    """Means over people (bin,) with the 95 % interval of the mean, and whether they go to the end."""
    count = np.isfinite(values).sum(1)
    kept = count >= max(1, PEOPLE_SHOWN * count.max())
    n = count[kept]
    data = np.nansum(values[kept], 1) / n
    gap = np.nansum((values[kept] - data[:, None]) ** 2, 1)
    # A single person shows no spread from which an error could be computed.
    half = np.where(n > 1, Z95 * np.sqrt(gap / np.maximum(n - 1, 1) / n), 0.0)
    first = 1 + width * np.flatnonzero(kept)
    ends = np.stack([data - half, data + half])
    low, high = np.clip(ends, 0, 1) if clip else ends
    curve = {"trial": (first + np.minimum(first + width - 1, n_trials)) / 2, "data": data, "low": low, "high": high}
    if predicted is not None:
        curve["model"] = np.nansum(predicted[kept], 1) / n
    return curve, bool(kept.sum() == (count > 0).sum())


def title_of(fit: Fit, what: str) -> str:
    """The title of a figure."""
    # A design's name has its formulas, which may be wider than the figure.
    model = fit.model.design.base if fit.model.design else fit.model
    return f"{what}, {model.name}, {fit.data.n_subjects} people"


def labels_of(fit: Fit) -> list[str]:
    """Meaning of each parameter, for an axis; a long explanation stops at its first clause, or after two lines."""
    docs = [parameter.doc for parameter in fit.model.parameters for _ in parameter.names]
    return [_short(doc or name) for doc, name in zip(docs, fit.model.names, strict=True)]


def doc_of(fit: Fit, name: str) -> str:
    """Meaning of a parameter of the model of a block, for an axis."""
    return _short(value_of(fit.model, name).doc or name)


def _short(doc: str) -> str:
    return "\n".join(textwrap.wrap(doc.split(":")[0].split(";")[0], 30, max_lines=2))
