"""The results paragraph in APA style: every number in it comes from the fit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pyem.plot.reports.content import code, italic, joined
from pyem.population.population import Population
from pyem.results.effects import is_value
from pyem.results.group_rows import freedom
from pyem.results.paper import MINUS, interval_text, number_text, probability_text, share_text, without_zero
from pyem.selection import CRITERIA, has_draws

if TYPE_CHECKING:
    import pandas as pd

    from pyem.results.fit import Fit
    from pyem.study.parameter_recovery import Recovery
    from pyem.study.predictive_checks import PredictiveCheck


def decimals(se: float) -> int:
    """Number of decimals that shows two digits of a standard error: from 2 to 6.

    Examples
    --------
    >>> decimals(0.0047), decimals(0.11), decimals(9.25)
    (4, 2, 2)
    """
    if not (se > 0 and math.isfinite(se)):
        return 2
    return int(min(max(2, 1 - math.floor(math.log10(se))), 6))


def p_text(p: float) -> str:
    """Write a p value with its sign of equality, for a sentence."""
    text = probability_text(p)
    return f"{italic('p')} {text}" if text[0] in "<>" else f"{italic('p')} = {text}"


def between(low: float, high: float, digits: int, word: str) -> str:
    """Write an interval with its name, after a comma; empty if it is not known."""
    if math.isnan(low) or math.isnan(high):
        return ""
    return f", 95% {word} {interval_text(low, high, digits)}"


def interval_word(fit: Fit) -> str:
    """Name of a fit's intervals: confidence or credible."""
    return "CrI" if has_draws(fit) else "CI"


def of_effect(row: Mapping[str, Any], what: str, population: Population, word: str) -> str:
    """One effect with its statistics."""
    digits = decimals(row["se"])
    text = f"{what}, {italic('b')} = {number_text(row['estimate'], digits)}"
    if not math.isfinite(row["se"]):
        return f"{text} (its error cannot be told)"
    text += f", {italic('SE')} = {number_text(row['se'], digits)}{between(row['low'], row['high'], digits, word)}"
    if "p" in row and math.isfinite(row["p"]):
        return f"{text}, {italic('t')}({freedom(population)}) = {number_text(row['z'])}, {p_text(row['p'])}"
    if "above_0" in row and math.isfinite(row["above_0"]):
        above = row["above_0"]
        # A share of draws is known as far as there are draws.
        told = "> .999" if above > 0.999 else "< .001" if above < 0.001 else f"= {without_zero(f'{above:.3f}')}"
        return f"{text}, posterior probability that it is above 0 {told}"
    return text


def of_means(fit: Fit) -> str:
    """Sentence about the group's means on the natural scale, but for those that conditions have."""
    table = fit.group_table()
    if "mean" not in table.index.get_level_values(0):
        return ""
    word, told = interval_word(fit), []
    design = fit.model.design
    formulas = [name for name, _ in design.formulas] if design else []
    elsewhere = [name for name in formulas if len(fit.marginal_means(name).cells) > 1]
    for name, row in table.loc["mean"].iterrows():
        # Differences are reported as effects.
        if not math.isfinite(row["natural"]) or not is_value(fit.model, str(name)):
            continue
        if str(name).partition("[")[0] in elsewhere:
            continue
        width = (row["natural_high"] - row["natural_low"]) / 4
        digits = decimals(width)
        ends = between(row["natural_low"], row["natural_high"], digits, word)
        told.append(f"{code(str(name))} = {number_text(row['natural'], digits)}{ends}")
    if not told:
        return ""
    where = ""
    group = fit.population.group if fit.population is not None else None
    if set(formulas) > set(elsewhere):
        where = " where all predictors of its formula are 0"
    elif group is not None and group.covariates and group.centred:
        where = f" at the mean of {joined([code(name) for name, _ in group.covariates])}"
    return f"The median of the group{where} was {joined(told)}."


def of_spreads(fit: Fit) -> str:
    """Sentence about differences between people."""
    table = fit.group_table()
    if "sd" not in table.index.get_level_values(0):
        return ""
    word, told = interval_word(fit), []
    assert fit.population is not None
    vanished = [name for name, one in zip(fit.model.names, fit.population.vanished, strict=True) if one]
    same = [code(name) for name in vanished if name in table.loc["sd"].index]
    for name, row in table.loc["sd"].iterrows():
        if name in vanished:
            continue
        digits = decimals((row["high"] - row["low"]) / 4)
        ends = between(row["low"], row["high"], digits, word)
        told.append(f"{italic('SD')} = {number_text(row['estimate'], digits)} in {code(str(name))}{ends}")
    parts = [f"On the unconstrained scale people differed by {joined(told)}."] if told else []
    parts += [f"No differences between people were found in {joined(same)} ({italic('SD')} = 0)."] if same else []
    return " ".join(parts)


def of_effects(fit: Fit) -> str:
    """Sentences about effects on parameters: covariates of the group and terms of formulas."""
    assert fit.population is not None
    word, told = interval_word(fit), []
    for row in fit.effects().reset_index().to_dict("records"):
        parameter, effect = row["parameter"], row["effect"]
        tested = any(name in row and math.isfinite(row[name]) for name in ("p", "above_0"))
        if tested:
            coding = f" ({row['coding'].removeprefix(f'{effect}: ')})" if row.get("coding") else ""
            what = f"the effect of {code(str(effect))}{coding} on {code(str(parameter))} was"
            told.append(of_effect(row, what, fit.population, word).replace(" was,", " was", 1))
    if not told:
        return ""
    text = "; ".join(told)
    return f"{text[0].upper()}{text[1:]} (on the unconstrained scale)."


def of_conditions(fit: Fit) -> str:
    """Sentences about means of parameters in conditions, in natural units."""
    design, told = fit.model.design, []
    for name, _ in design.formulas if design else ():
        means = fit.marginal_means(name)
        if len(means.cells) < 2:
            continue
        each = []
        for cell, row in zip(means.cells, means.table().to_dict("records"), strict=True):
            digits = decimals((row["mean_high"] - row["mean_low"]) / 4)
            label = ", ".join(map(str, cell.values()))
            ends = between(row["mean_low"], row["mean_high"], digits, interval_word(fit))
            each.append(f"{number_text(row['mean'], digits)}{ends} with {label}")
        told.append(f"{code(name)} was {joined(each)}.")
    return " ".join(told)


def of_people(fit: Fit) -> str:
    """Sentences about people's estimates, if there is no group."""
    told = []
    for k, name in enumerate(fit.model.names):
        values = fit.params[:, k]
        values = values[[math.isfinite(value) for value in values]]
        if len(values):
            sd = float(values.std(ddof=1)) if len(values) > 1 else math.nan
            digits = decimals(sd / max(len(values), 1) ** 0.5)
            spread = f", {italic('SD')} = {number_text(sd, digits)}" if math.isfinite(sd) else ""
            told.append(f"{code(name)}, {italic('M')} = {number_text(values.mean(), digits)}{spread}")
    return f"Estimates of people were {'; '.join(told)}." if told else ""


def of_comparison(table: pd.DataFrame) -> str:
    """Sentence about which model was best, and by how much."""
    by = str(table.attrs.get("by", ""))
    one = CRITERIA.get(by)
    column = one.column if one is not None else by
    unit = " nats" if one is not None and abs(one.nats or 0) == 1 else ""
    best, others = table.index[0], []
    title = one.title if one is not None else by
    for name, row in zip(table.index[1:], table.iloc[1:].to_dict("records"), strict=True):
        se = row["difference_se"]
        error = f" ({italic('SE')} = {number_text(se)})" if math.isfinite(se) else ""
        others.append(f"{code(str(name))} by {number_text(row['difference'])}{unit}{error}")
    value = number_text(table[column].iloc[0])
    return f"By {title}, {code(str(best))} explained the data best ({value}), ahead of {joined(others)}."


def of_frequencies(table: pd.DataFrame) -> str:
    """Sentence about the most frequent model among people."""
    row = table.sort_values("frequency").iloc[-1]
    return (
        f"By random-effects selection {code(str(row.name))} was the most frequent model: expected frequency "
        f"{equals(row['frequency'])}, protected exceedance probability {equals(row['pxp'])}."
    )


def equals(value: float) -> str:
    """Write a share as tables have it, with its sign of equality, for a sentence.

    Examples
    --------
    >>> equals(0.9412), equals(0.99999)
    ('= .94', '> .999')
    """
    text = share_text(value)
    return text if text[0] in "<>" else f"= {text}"


def of_check(check: PredictiveCheck) -> str:
    """Sentence about whether behaviour was as predicted."""
    told = []
    for row in check.group.reset_index().to_dict("records"):
        name, digits = row["statistic"], decimals((row["high"] - row["low"]) / 4)
        ends = f"{number_text(row['low'], digits)} to {number_text(row['high'], digits)}"
        told.append(
            f"{code(str(name))} {number_text(row['observed'], digits)} (simulated {number_text(row['mean'], digits)}, {ends})"
        )
    return f"Behaviour against simulations (mean, central 95 %): {joined(told)}."


def of_recovery(study: Recovery) -> str:
    """Sentence about how well parameters were recovered."""
    told = [
        f"{italic('r')} = {without_zero(f'{r:.2f}').replace('-', MINUS)} for {code(str(name))}"
        for name, r in study.table()["r"].to_dict().items()
        if math.isfinite(r)
    ]
    if not told:
        return ""
    return f"True and estimated values of simulated people correlated by {joined(told)}."


def of_fit(fit: Fit) -> str:
    """Sentences about the results of one fit."""
    if fit.population is None:
        return of_people(fit)
    parts = [of_means(fit), of_conditions(fit), of_effects(fit), of_spreads(fit)]
    return " ".join(part for part in parts if part)


def paragraph(
    best: Fit,
    comparison: pd.DataFrame | None,
    frequencies: pd.DataFrame | None,
    check: PredictiveCheck | None,
    recovery: Recovery | None,
) -> str:
    """The whole paragraph: the comparison, then the best model."""
    parts = [of_comparison(comparison)] if comparison is not None and len(comparison) > 1 else []
    parts += [of_frequencies(frequencies)] if frequencies is not None else []
    parts.append(of_fit(best))
    parts += [of_check(check)] if check is not None else []
    parts += [of_recovery(recovery)] if recovery is not None else []
    return " ".join(part for part in parts if part)
