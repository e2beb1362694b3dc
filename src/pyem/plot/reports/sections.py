"""The sections of a report: data, models, comparison, each fit, and how to repeat the analysis."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

import pyem
from pyem import models
from pyem.errors import counted
from pyem.plot.reports import lights, methods, pictures, repeat
from pyem.plot.reports.content import (
    Items,
    Light,
    Lights,
    Listing,
    Paragraph,
    Part,
    Section,
    Table,
    code,
    joined,
    table_of,
)
from pyem.results.fit import METHODS
from pyem.results.paper import number_text
from pyem.results.scale_notes import scale_notes
from pyem.selection import CRITERIA, has_draws, headings

if TYPE_CHECKING:
    import pandas as pd

    from pyem.data.dataset import Dataset
    from pyem.model.model import Model
    from pyem.plot.reports.report import Origin
    from pyem.results.fit import Fit
    from pyem.results.hbi import HBIFit
    from pyem.study.parameter_recovery import Recovery
    from pyem.study.predictive_checks import PredictiveCheck


# -- data and models ------------------------------------------------------------------------------------------------------


def of_data(fit: Fit, origin: Origin) -> Section:
    """Section on the data: what was read, and what was inferred."""
    data = fit.data
    where = f"{code(origin.file)}: " if origin.file else ""
    who, n_blocks, n_trials = counted(data.n_subjects, "person", "people"), data.n_lanes, data.n_trials
    size = f"{where}{who}, {methods.large(n_blocks)} blocks, {methods.large(n_trials)} trials."
    parts: list[Part] = [Paragraph(size)]
    if data.notes:
        parts += [Paragraph("What was inferred from the table, and what to check:"), Items(tuple(data.notes))]
    parts.append(_responses(fit))
    if data.covariates:
        parts.append(_covariates({name: as_in_the_table(data, name) for name in data.covariates}))
    parts.append(Lights(tuple(lights.of_data(fit))))
    if origin.warnings:
        parts += [Paragraph("While it was read and fitted, this was said:"), Items(tuple(origin.warnings))]
    return Section("The data", tuple(parts))


def _responses(fit: Fit) -> Table:
    import pandas as pd

    counts = fit.data.n_responses(fit.model)
    blocks = np.bincount(fit.data.lane_subject, minlength=fit.data.n_subjects)
    rows = {"responses that count": counts, "blocks": blocks}
    frame = pd.DataFrame({name: [v.min(), np.median(v), v.max()] for name, v in rows.items()}).T
    frame.columns = pd.Index(["fewest", "median", "most"])
    # Counts are whole, and halves are medians.
    text = tuple(
        (str(name), *(f"{value:g}" for value in row)) for name, row in zip(frame.index, frame.to_numpy(), strict=True)
    )
    return Table("What a person has", ("of a person", *map(str, frame.columns)), text)


def as_in_the_table(data: Dataset, name: str) -> np.ndarray:
    """Values (S,) of a covariate as they were read: formulas keep them less their mean, beside the column itself."""
    values, field = np.asarray(data.covariates[name], float), np.asarray(data.fields.get(name, ()))
    if field.ndim != 2 or field.dtype.kind not in "fiu":
        return values
    known = np.where(np.asarray(data.present[name], bool), field.astype(float), np.nan)
    own = np.full(len(values), np.nan)
    for lane, person in enumerate(data.lane_subject):
        here = known[np.isfinite(known[:, lane]), lane]
        own[person] = here[0] if len(here) else own[person]
    shift = own - values
    return own if np.ptp(shift) <= 1e-9 * max(1.0, np.abs(own).max()) else values


def _covariates(covariates: Mapping[str, np.ndarray]) -> Table:
    rows = tuple(
        (name, *(number_text(value) for value in (v.mean(), v.std(ddof=1) if len(v) > 1 else np.nan, v.min(), v.max())))
        for name, v in covariates.items()
    )
    return Table("Covariates of people", ("covariate", "M", "SD", "lowest", "highest"), rows)


def of_models(fits: Mapping[str, Fit]) -> Section:
    """Section on the models: equations and parameters."""
    return Section("The models", (), tuple(_model_section(name, fit) for name, fit in fits.items()))


def _model_section(name: str, fit: Fit) -> Section:
    model = fit.model
    base = model.design.base if model.design else model
    said = _said(model)
    parts: list[Part] = [Paragraph(text) for text in said]
    columns = [code(str(column)) for column in base.columns]
    parts.append(Paragraph(f"Fitted by {METHODS.get(fit.method, fit.method)} to the columns {joined(columns)}."))
    for parameter, formula in model.design.formulas if model.design else ():
        parts.append(Paragraph(f"By formula: {code(f'{parameter} ~ {formula}')}"))
    rows = tuple((one.name, one.doc or "", methods.ends(one)) for one in base.parameters)
    if rows:
        parts.append(Table(f"Free parameters of {base.name}", ("parameter", "what it is", "range"), rows, left=2))
    parts += [Paragraph(f"{note[0].upper()}{note[1:]}.") for note in scale_notes(fit)]
    return Section(f"{name}", tuple(parts))


def _said(model: Model) -> list[str]:
    """Description of the model from its definition."""
    text = models.said(model.recipe[0][0]) if model.recipe else model.doc
    paragraphs = [" ".join(part.split()) for part in (text or model.doc or model.name).split("\n\n")]
    changed = [step for step, _ in model.recipe[1:] if step != "designed"]
    more = [f"Changed by {joined([code(step) for step in changed])}."] if changed else []
    return [*(_codes(part) for part in paragraphs), *more]


def _codes(text: str) -> str:
    """Convert double and single backquotes of a docstring to marks of code."""
    parts = text.replace("``", "`").split("`")
    return "".join(code(part) if k % 2 else part for k, part in enumerate(parts)) if len(parts) % 2 else text


# -- comparison -----------------------------------------------------------------------------------------------------------


def of_comparison(table: pd.DataFrame, frequencies: pd.DataFrame | None, said: Sequence[str]) -> Section:
    """Section on the comparison of models: which is best, how certain that is, and the notes `said` about it."""
    by = str(table.attrs.get("by", ""))
    shown = headings(table)
    some: Any = table[list(shown)]
    frame = some.set_axis([shown[str(name)] for name in some.columns], axis=1)
    frame.index.name = "model"
    best = "largest" if by in CRITERIA and CRITERIA[by].sign > 0 else "smallest"
    title = CRITERIA[by].title if by in CRITERIA else by
    note = (
        f"The {best} {title} is best. Difference: from the best; SE: its standard error over people; weight: the share of each "
        "model if one of them holds for everybody."
    )
    caption = f"Comparison by {table.attrs.get('method', title)}"
    parts: list[Part] = [table_of(frame, caption, note=note)]
    parts.append(pictures.of_comparison(table))
    parts.append(Lights((_sure(table), *lights.of_words(said))))
    if frequencies is not None:
        note = (
            "Random-effects selection: people may differ in the model that holds for them. Frequency: expected share of "
            "people; exceedance: probability that a model is the most frequent; pxp (protected exceedance): the same, allowing "
            "that all are equally frequent."
        )
        parts.append(table_of(frequencies, "How frequent each model is among people", note=note))
    return Section("Which model explains the data best?", tuple(parts))


def of_frequencies(fit: HBIFit) -> Section:
    """Section on models that were fitted together: their frequencies and groups."""
    note = (
        "People may differ in the model that holds for them. People: expected number; frequency: expected share, with its SD; "
        "exceedance: probability that a model is the most frequent; protected exceedance: the same, allowing that all are "
        "equally frequent; early frequency: where the published rule stops."
    )
    people = fit.table()
    people.index = people.index.map(str).set_names("person")
    parts = (
        table_of(fit.models_table(), "How frequent each model is among people", note=note),
        table_of(
            fit.group_table(), "The groups of the models", note="On the unconstrained scale, and in natural units."
        ),
        table_of(people, "The model of each person", note="The probability of each model.", long=True),
    )
    return Section("Which model holds for whom?", parts)


def _sure(table: pd.DataFrame) -> Light:
    """Check whether the second best model is clearly behind."""
    second = table.iloc[1]
    best, other = code(str(table.index[0])), code(str(table.index[1]))
    gap, se = second["difference"], second["difference_se"]
    told = f"{best} is ahead of {other} by {number_text(gap)}, {number_text(gap / se) if se > 0 else 'many'} standard errors"
    if not se > 0 or gap < 2 * se:
        remedy = "Report both; what both say alike is safe, and more people would tell them apart."
        return Light("look", f"{told}: the difference may be due to who took part.", remedy)
    return Light("good", f"{told}.")


def frequencies_of(fits: Mapping[str, Fit]) -> pd.DataFrame | None:
    """Random-effects selection by people's log evidence; None if a fit has none."""
    import pandas as pd

    evidence = [fit.log_evidence for fit in fits.values()]
    if len(fits) < 2 or any(one is None or not np.isfinite(one).all() for one in evidence):
        return None
    found = pyem.random_effects_bms(np.column_stack(evidence))  # type: ignore[arg-type]
    columns = {
        "frequency": found.frequency,
        "exceedance": found.exceedance,
        "pxp": found.protected_exceedance,
    }
    frame = pd.DataFrame(columns, index=pd.Index(list(fits), name="model"))
    return frame


# -- one fit --------------------------------------------------------------------------------------------------------------


def of_fit(
    name: str,
    fit: Fit,
    prefix: str,
    check: PredictiveCheck | str | None,
    recovery: Recovery | str | None,
) -> Section:
    """Section on one fit."""
    sections = [Section("Can the numbers be relied on?", (Lights(tuple(all_lights(fit, check, recovery))),))]
    if fit.population is not None:
        sections.append(Section("The group", tuple(_group(fit))))
    if fit.model.design is not None and fit.population is not None:
        sections.append(Section("Conditions and groups", tuple(_means(fit))))
    sections.append(Section("People", (_people(fit),)))
    sections.append(Section("Figures", tuple(pictures.of_fit(fit, prefix))))
    if check is not None:
        sections.append(Section("Would people like this have behaved so?", tuple(_check(check, prefix))))
    if recovery is not None:
        sections.append(Section("Could this design have told?", tuple(_recovery(recovery, prefix))))
    return Section(f"The fit of {name}", (), tuple(sections))


def all_lights(fit: Fit, check: PredictiveCheck | str | None, recovery: Recovery | str | None) -> list[Light]:
    """All checks of one fit; `check` is text if the check could not be made."""
    out = lights.of_fit(fit)
    if check is not None and not isinstance(check, str):
        out += lights.of_check(check)
    if recovery is not None and not isinstance(recovery, str):
        out += lights.of_recovery(recovery)
    return out


def _group(fit: Fit) -> list[Part]:
    note = (
        "Estimate, SE and 95% CI are on the unconstrained scale, on which people are spread around the mean; natural: the "
        "median of the group in the parameter's own range."
    )
    parts: list[Part] = [table_of(fit.group_table(), "The group", note=note, interval=_interval(fit))]
    if fit.effects().shape[0] > len(fit.model.names) or fit.model.design is not None:
        frame = fit.effects().drop(columns=[name for name in ("sd",) if fit.model.design is None])
        parts.append(table_of(frame, "Effects", note="On the unconstrained scale that the column scale names."))
    return parts


def _interval(fit: Fit) -> str:
    """Name of the intervals of a fit."""
    return "95% CrI" if has_draws(fit) else ""


def _means(fit: Fit) -> list[Part]:
    assert fit.model.design is not None
    parts: list[Part] = []
    for name, _ in fit.model.design.formulas:
        means = fit.marginal_means(name)
        frame = means.table()
        if not means.cells[0]:
            frame.index = frame.index.set_names("mean").map(lambda _: "all")
        note = (
            "M in natural units, for the person in the middle of the cell; estimate and SE on the unconstrained scale."
        )
        parts.append(table_of(frame, f"Marginal means of {name}", note=note))
        if len(means.cells) > 1:
            note = (
                "Differences and ratios in natural units; p holm: corrected for their number; d: in SDs between people."
            )
            parts.append(table_of(means.pairs(), f"Pairs of means of {name}", note=note))
    return parts


def _people(fit: Fit) -> Table:
    frame = fit.table()
    frame.index = frame.index.map(str).set_names("person")
    note = "Estimates in natural units with their posterior SD; log-likelihood and log evidence in nats."
    return table_of(frame, "Everybody's estimates", note=note, long=True)


def _check(check: PredictiveCheck | str, prefix: str) -> list[Part]:
    if isinstance(check, str):
        return [Paragraph(f"There is no predictive check: {check}.")]
    note = "p: the share of simulations with a mean as high as the observed one; near 0 or 1 the model is wrong."
    return [
        table_of(check.group, "Means over people", digits=3, note=note, interval="95% of simulations"),
        pictures.of_check(check, prefix),
    ]


def _recovery(study: Recovery | str, prefix: str) -> list[Part]:
    if isinstance(study, str):
        return [Paragraph(f"Recovery could not be studied: {study}.")]
    rounds, people, _ = study.truth.shape
    note = (
        f"{counted(rounds, 'round')} of {counted(people, 'simulated person', 'simulated people')} from the fitted group, in "
        "the design of these data. r: correlation of true and estimated values; coverage: share of 95 % intervals that hold "
        "the true value."
    )
    return [table_of(study.table(), "Recovery of parameters", note=note), pictures.of_recovery(study, prefix)]


# -- again ----------------------------------------------------------------------------------------------------------------


def of_repetition(fits: Mapping[str, Fit], origin: Origin) -> Section:
    """Section on repetition: commands, seeds and versions."""
    parts: list[Part] = []
    if origin.command:
        parts += [Paragraph("The command that does the same:"), Listing(origin.command, "Command line")]
    parts += [Paragraph("The same in Python:"), Listing(repeat.script_of(fits, origin.reading), "Python script")]
    parts.append(_settings(fits))
    parts.append(_versions(fits, origin))
    return Section("How to do this again", tuple(parts))


def _settings(fits: Mapping[str, Fit]) -> Table:
    rows = [
        (name, key, repeat.written(value) if not isinstance(value, np.ndarray) else "an array")
        for name, fit in fits.items()
        for key, value in fit.settings.items()
    ]
    note = "key is the seed of whatever is random."
    return Table("Settings of each fit", ("fit", "setting", "value"), tuple(rows), left=2, note=note, long=True)


def versions() -> dict[str, str]:
    """Versions of the software on which results depend."""
    packages = ("jax", "jaxlib", "numpyro", "numpy", "scipy", "pandas")
    return {"pyem": pyem.__version__, "Python": platform.python_version()} | {name: version(name) for name in packages}


def _versions(fits: Mapping[str, Fit], origin: Origin) -> Table:
    told: dict[str, Any] = dict(origin.versions or versions())
    if origin.digest:
        told["data file (SHA-256)"] = origin.digest
    first = next(iter(fits.values()))
    told["responses fitted (fingerprint)"] = str(first.data.fingerprint(first.model))
    rows: Sequence[tuple[str, str]] = [(str(name), str(value)) for name, value in told.items()]
    return Table("Versions and fingerprints", ("of", "is"), tuple(rows))
