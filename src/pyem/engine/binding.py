"""A design of formulas applied to a data set: its effects, their places, and the group that they come from."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import numpy as np

from pyem.data.dataset import Dataset
from pyem.data.formula_rows import Rows, levels_of, rows_of
from pyem.data.formulas import Coded, Piece, Term, coded, constant_in, label_of, variables
from pyem.engine.circular import require_earlier
from pyem.engine.design_columns import Columns
from pyem.engine.ranks import require_cells, require_rank, same_span
from pyem.engine.scale import scaled
from pyem.errors import DataError, ModelError, shown
from pyem.model.designed import Effect, designed
from pyem.model.model import Model
from pyem.population.group import Group

INTERCEPT = ""


class Formula(NamedTuple):
    """One formula of a design.

    Attributes
    ----------
    parameter
        The value that it is of.
    right
        Its right side without bars.
    bars
        Left side of each bar, and whether what varies there is correlated; empty where nothing is said, which means that
        everything varies between people.
    text
        The right side as it was written.
    """

    parameter: str
    right: str
    bars: tuple[tuple[str, bool], ...]
    text: str

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that the formula names."""
        return tuple(
            sorted({name for text in (self.right, *(left for left, _ in self.bars)) for name in variables(text)})
        )


@dataclasses.dataclass(frozen=True, eq=False)
class Part:
    """Parts of one coefficient that everybody has: its mean, and the effects on the mean.

    Parameters
    ----------
    effect
        The coefficient.
    within
        Columns by which the coefficient is multiplied.
    has_mean
        Whether it has a mean besides the effects of people's columns.
    people
        The covariates that its mean depends on, and what each is a product of.
    centred
        Whether numbers among these are centred at the mean of the people.
    random
        Whether people differ in it.
    """

    effect: Effect
    within: tuple[Piece, ...]
    has_mean: bool
    people: dict[str, tuple[Piece, ...]]
    centred: bool
    random: bool


class Bound(NamedTuple):
    """A design applied to a data set."""

    model: Model
    data: Dataset
    group: Group | None
    parts: tuple[Part, ...]
    codes: dict[str, Coded]
    """The formula of each parameter with the coding of its factors."""
    common: tuple[str, ...]
    """Names of the parameters that have the same value for everybody."""


def bind(
    model: Model,
    formulas: tuple[Formula, ...],
    data: Dataset,
    group: Group | None,
    *,
    common: tuple[str, ...],
    missing: str,
    levels: dict[str, tuple[str, ...]] | None = None,
    held: tuple[tuple[str, float], ...] = (),
    tied: tuple[tuple[str, str], ...] = (),
) -> Bound:
    """The model, data and group that a design makes of these; see `pyem.regress`."""
    model = scaled(model, data, tell=False)
    parts: list[Part] = []
    columns = Columns(data)
    correlated: list[tuple[str, ...]] = []
    known: dict[str, tuple[str, ...]] = {}
    codes: dict[str, Coded] = {}
    for formula in formulas:
        require_earlier(model, formula.parameter, formula.columns, data)
        rows = _complete(rows_of(data, formula.columns, levels), data, formula, missing)
        known |= levels_of(rows)
        codes[formula.parameter] = coded(formula.right, rows)
        found, blocks = _parts(model, formula, codes[formula.parameter], columns)
        parts += found
        correlated += blocks
    made = designed(
        model,
        formulas=[(formula.parameter, formula.text) for formula in formulas],
        effects=[part.effect for part in parts],
        levels=tuple(known.items()),
        inputs=columns.incomplete,
        held=held,
        tied=tied,
    )
    gone = {name for name, _ in (*held, *tied)}
    _require_no_people(parts, gone)
    _require_known(made, parts, common)
    shared = [name for one in common for name in _effects_of(made, one)]
    shared += [part.effect.name for part in parts if not part.random]
    shared = [name for name in dict.fromkeys(shared) if name not in gone]
    estimated = [part for part in parts if part.effect.name not in gone]
    correlated = [tuple(name for name in block if name not in gone) for block in correlated]
    if group is not None:
        _require_people(estimated, shared, group, len(data.subjects))
    drawn = None if group is None else _group(made, group, estimated, correlated, shared, columns)
    return Bound(made, columns.added(), drawn, tuple(parts), codes, tuple(shared))


def _require_no_people(parts: list[Part], gone: set[str]) -> None:
    """Raise where an effect that is held or tied depends on columns of people."""
    for part in parts:
        if part.effect.name in gone and part.people:
            raise ModelError(
                f"{part.effect.name} is held or equal to another, and cannot depend on {', '.join(part.people)}; leave that "
                "out of the formula"
            )


def _require_people(parts: list[Part], shared: list[str], group: Group, people: int) -> None:
    """Raise if a coefficient has as many effects as there are people, as then nobody is left to differ."""
    for part in parts:
        n = len(part.people) + part.has_mean
        if part.people and n >= people and part.effect.name not in {*shared, *dict(group.sd)}:
            raise DataError(
                f"{part.effect.name} has {n} effects of people's columns for {people} people, so that nothing tells how people "
                "differ; leave out terms, or merge levels that few people have (a person's own value needs no term)"
            )


def _require_known(made: Model, parts: list[Part], common: tuple[str, ...]) -> None:
    """Raise if a name in `common` is no effect and no parameter."""
    base = made if made.design is None else made.design.base
    known = dict.fromkeys((*(part.effect.name for part in parts), *made.names))
    whole = {parameter.name for parameter in base.parameters}
    if unknown := [name for name in common if name not in {*known, *base.names, *whole}]:
        raise ModelError(f"common names {shown(unknown[0])}, but the parameters are {', '.join(known)}")


def _complete(rows: Rows, data: Dataset, formula: Formula, missing: str) -> Rows:
    """Select the rows without missing values; these are an error unless they are to be left out."""
    complete = rows.complete
    if complete.all():
        return rows
    if missing == "error":
        name = next(name for name, here in rows.here.items() if not here.all())
        k = int(np.argmax(~rows.here[name]))
        place = data.index_columns(rows.lane[k : k + 1], rows.row[k : k + 1])
        raise DataError(
            f"column {name!r} of the formula of {formula.parameter!r} has no value for subject {shown(place['subject'][0])}, "
            f"block {shown(place['block'][0])}, trial {shown(place['trial'][0])} ({int((~complete).sum())} such trials in "
            "all); fill them in, or leave these trials out of the likelihood: missing='skip' in regress, on the command line "
            "--missing-condition skip"
        )
    if not complete.any():
        raise DataError(f"no trial has a value of all columns of the formula of {formula.parameter!r}")
    return rows.only(complete)


# -- terms to their places ------------------------------------------------------------------------------------------------


def _parts(model: Model, formula: Formula, code: Coded, columns: Columns) -> tuple[list[Part], list[tuple[str, ...]]]:
    """The coefficients of one formula with their effects, and the effects that are correlated."""
    if not code.terms:
        raise DataError(
            f"the formula of {formula.parameter!r} has no effect; write 1 for its mean alone, or hold the parameter "
            "(pyem.fix)"
        )
    require_cells(code, formula.parameter)
    require_rank(
        {term.label or "the intercept": code.part((*term.within, *term.person)) for term in code.terms},
        f"the effects of the formula of {formula.parameter!r}",
    )
    grouped: dict[tuple[Piece, ...], list[Term]] = {}
    for term in code.terms:
        grouped.setdefault(term.within, []).append(term)
    require_rank(
        {label_of(within) or "the intercept": code.part(within) for within in grouped},
        f"the terms within people of the formula of {formula.parameter!r}",
    )
    random = _random(formula, code, grouped)
    cells = all(len(within) == 1 and within[0].indicator for within in grouped)
    parts = []
    for within, terms in grouped.items():
        effect = _effect(model, formula.parameter, code, within, columns, cells)
        parts.append(_part(effect, code, terms, label_of(within) in random, columns))
    _unique(parts, formula)
    return parts, _correlated(formula, code, parts)


def _effect(model: Model, name: str, code: Coded, within: tuple[Piece, ...], columns: Columns, cells: bool) -> Effect:
    """The coefficient of a part within people."""
    typical_sd = float(model.typical[1][model.names.index(name)])
    if not within:
        return Effect(name, name, INTERCEPT, "constant", "", True, typical_sd)
    label, values = label_of(within), code.part(within)
    level = "block" if constant_in(values, code.rows.lane) else "trial"
    field = columns.of_trials(label, name, code.rows, values, level)
    sd = typical_sd if cells else typical_sd / _width(values)
    return Effect(f"{name}[{label}]", name, label, level, field, cells, sd)


def _part(effect: Effect, code: Coded, terms: list[Term], random: bool, columns: Columns) -> Part:
    """The coefficient with the effects on its mean."""
    has_mean = any(not term.person for term in terms)
    of_people = {label_of(term.person): term.person for term in terms if term.person}
    raw = {label: code.of_people(pieces) for label, pieces in of_people.items()}
    middle = {label: code.of_people(pieces, centred=True) for label, pieces in of_people.items()}
    ones = {"the mean": np.ones(len(columns.data.subjects))} if has_mean else {}
    require_rank(ones | raw, f"the effects of people's columns on {effect.name}")
    centred = bool(raw) and same_span(ones | raw, ones | middle)
    people = {
        columns.of_people(label, effect.parameter, values, _how(values, raw[label])): of_people[label]
        for label, values in (middle if centred else raw).items()
    }
    return Part(effect, terms[0].within, has_mean, people, centred, random)


def _how(values: np.ndarray, raw: np.ndarray) -> str:
    """A word for how a column of people was changed: levels are not centred, numbers are."""
    return "coded" if np.array_equal(values, raw) else "centred"


def _width(values: np.ndarray) -> float:
    """Size of a typical difference in a column: 1 for an indicator, two standard deviations of a number."""
    distinct = np.unique(values)
    return float(np.ptp(distinct)) if len(distinct) == 2 else 2 * float(values.std())


def _unique(parts: list[Part], formula: Formula) -> None:
    names = [part.effect.name for part in parts]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise DataError(
            f"the formula of {formula.parameter!r} makes {', '.join(twice)} twice, from levels of one name in two columns; "
            "rename a level"
        )


# -- what varies between people -------------------------------------------------------------------------------------------


def _random(formula: Formula, code: Coded, grouped: dict[tuple[Piece, ...], list[Term]]) -> set[str]:
    """Labels of the coefficients in which people differ."""
    labels = {label_of(within) for within in grouped}
    if not formula.bars:
        return labels
    named: set[str] = set()
    for left, _ in formula.bars:
        named |= _bar_labels(formula, code, left)
    if extra := sorted(label or "1" for label in named - labels):
        raise DataError(
            f"({', '.join(extra)} | subject) of {formula.parameter!r} varies between people, but the formula has no such "
            "effect for all of them; add it outside the bar, too, with the same coding (without correlations: (1 + ... || "
            "subject))"
        )
    return named


def _bar_labels(formula: Formula, code: Coded, left: str) -> set[str]:
    of_bar = coded(left, code.rows)
    fixed = [term.label for term in of_bar.terms if term.person]
    if fixed:
        raise DataError(
            f"({left} | subject) of {formula.parameter!r}: {fixed[0]} is constant within everybody, so that people cannot "
            "differ in its effect; leave it out of the bar"
        )
    return {term.label for term in of_bar.terms}


def _correlated(formula: Formula, code: Coded, parts: list[Part]) -> list[tuple[str, ...]]:
    """Effects that are correlated between people: those of one bar; without bars, all of one parameter."""
    by_label = {part.effect.label: part.effect.name for part in parts if part.random}
    if not formula.bars:
        return [tuple(by_label.values())] if len(by_label) > 1 else []
    out = []
    for left, correlated in formula.bars:
        names = tuple(by_label[label] for label in by_label if label in _bar_labels(formula, code, left))
        if correlated and len(names) > 1:
            out.append(names)
    return out


def _group(
    model: Model,
    group: Group,
    parts: list[Part],
    correlated: list[tuple[str, ...]],
    common: list[str],
    columns: Columns,
) -> Group:
    """The group with the design's effects of people, correlations and common parameters."""
    on: dict[str, list[str]] = {}
    for name, names in group.covariates:
        mine = [effect for one in names for effect in _effects_of(model, one, intercept=True)] or list(model.names)
        on[columns.centred(name) if group.centred else name] = mine
    for part in parts:
        for field in part.people:
            on.setdefault(field, []).append(part.effect.name)
    shared = [name for one in group.common for name in _effects_of(model, one)] + common
    covariance: Any = group.covariance
    if covariance == "diagonal" and group.family == "gaussian":
        kept = [tuple(name for name in block if name not in shared) for block in correlated]
        covariance = [block for block in kept if len(block) > 1] or "diagonal"
    return Group(
        group.family,
        covariance=covariance,
        df=group.df,
        covariates=on,
        common=tuple(dict.fromkeys(shared)),
        sd=dict(group.sd),
        centred=False,
        without_mean=tuple(part.effect.name for part in parts if not part.has_mean),
    )


def _effects_of(model: Model, name: str, *, intercept: bool = False) -> list[str]:
    """Effects on a parameter, or its intercept only; the parameter's own name if it has no formula."""
    mine = [effect for effect in model.design.effects if effect.parameter == name] if model.design else []
    kept = [effect.name for effect in mine if effect.level == "constant" or not intercept]
    return kept or [name]
