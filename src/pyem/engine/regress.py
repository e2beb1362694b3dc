"""Formulas for the parameters of a model: conditions, sessions, stimuli, groups and questionnaires."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from pyem.data.dataset import Dataset
from pyem.data.formulas import label_of
from pyem.engine.binding import Bound, Formula, bind
from pyem.engine.codings import codings
from pyem.engine.formula_text import formula_of
from pyem.errors import DataError, ModelError, require_kind, warn
from pyem.model.designed import design_name
from pyem.model.model import Model
from pyem.model.modifiers import DERIVATIONS, fix, tie
from pyem.population.group import Group, names_of

if TYPE_CHECKING:
    import pandas as pd


@dataclasses.dataclass(frozen=True)
class Regression:
    """A model whose parameters depend on columns of the data, by formula; `regress` makes it, and every verb takes it.

    Parameters
    ----------
    model
        The model of one block.
    formulas
        One for each parameter that has any.
    common
        Parameters, or effects, that have one value for everybody.
    missing
        Treatment of a missing value in a column of a formula: ``"error"``, or ``"skip"`` to leave its trial out of the
        likelihood.
    levels
        Levels of columns that are known from an earlier fit.
    held, tied
        Effects that are not estimated; see `pyem.fix` and `pyem.tie`.
    """

    model: Model
    formulas: tuple[Formula, ...]
    common: tuple[str, ...] = ()
    missing: Literal["error", "skip"] = "error"
    levels: tuple[tuple[str, tuple[str, ...]], ...] = ()
    held: tuple[tuple[str, float], ...] = ()
    tied: tuple[tuple[str, str], ...] = ()

    def __repr__(self) -> str:
        text = "; ".join(f"{formula.parameter} ~ {formula.text}" for formula in self.formulas)
        return f"Regression({self.model.name!r}, {text})"

    @property
    def name(self) -> str:
        """Name of the model that the design makes."""
        formulas = [(formula.parameter, formula.text) for formula in self.formulas]
        return design_name(self.model.name, formulas, self.held, self.tied)

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that the formulas name, besides those that every data set has."""
        named = dict.fromkeys(name for formula in self.formulas for name in formula.columns)
        return tuple(name for name in named if name not in ("subject", "block", "trial"))

    def modified(self, step: str, values: Mapping[str, Any]) -> Regression:
        """Return the design after a change by `pyem.fix`, `pyem.tie` or another modifier of models; these call it.

        Examples
        --------
        >>> import pyem
        >>> regress(pyem.models.get("rw1a1b"), "alpha ~ drug").modified("fix", {"alpha[drug]": 0.5}).held
        (('alpha[drug]', 0.5),)
        """
        own = {"fix": _fixed, "tie": _tied}
        if step in own:
            return own[step](self, values)
        return dataclasses.replace(self, model=DERIVATIONS[step](self.model, **values))

    def bind(self, data: Dataset, group: Group | None = Group()) -> Bound:  # noqa: B008 (a Group is frozen)
        """Apply the design to a data set: the model whose parameters are the effects, the data with their columns, the group.

        Raises
        ------
        DataError
            If a column is missing or has missing values, a factor has one level, a cell has no trial, or effects cannot be
            told apart.

        Examples
        --------
        >>> import numpy as np, pyem
        >>> fields = {"choice": np.zeros((3, 2, 5)), "reward": np.ones((3, 2, 5)), "drug": np.ones((3, 1, 5)) * [[0], [1]]}
        >>> data = pyem.Dataset.from_arrays(fields)
        >>> regress(pyem.models.get("rw1a1b"), "alpha ~ drug").bind(data).model.names
        ('beta', 'alpha', 'alpha[drug]')
        """
        known = _bound.setdefault(data, {})
        if (self, group) not in known:
            known[self, group] = bind(
                self.model,
                self.formulas,
                data,
                group,
                common=self.common,
                missing=self.missing,
                levels=dict(self.levels) or None,
                held=self.held,
                tied=self.tied,
            )
        return known[self, group]

    def describe(self, data: Dataset) -> pd.DataFrame:
        """A row for each effect: its parameter, its place, whether people differ in it, and the coding of factors.

        Examples
        --------
        >>> import numpy as np, pyem
        >>> fields = {"choice": np.zeros((3, 2, 5)), "reward": np.ones((3, 2, 5)), "drug": np.ones((3, 1, 5)) * [[0], [1]]}
        >>> design = regress(pyem.models.get("rw1a1b"), "alpha ~ drug + (1 | subject)")
        >>> design.describe(pyem.Dataset.from_arrays(fields))[["effect", "goes to"]]
                  effect                     goes to
        parameter
        alpha  Intercept  mean of alpha, people vary
        alpha       drug  alpha[drug], common to all
        """
        import pandas as pd

        rows, bound = [], self.bind(data)
        coding = codings(bound.parts, bound.codes)
        for part in bound.parts:
            effect = part.effect
            label = effect.label or "Intercept"
            where = f"mean of {effect.name}" if not effect.label else effect.name
            varies = "people vary" if part.random else "common to all"
            if part.has_mean:
                told = coding[effect.name, ""]
                rows.append((effect.parameter, label, f"{where}, {varies}", effect.level, told))
            for name in part.people:
                full = f"{effect.label}:{name}" if effect.label else name
                told = coding[effect.name, name]
                rows.append((effect.parameter, full, f"regression of {effect.name}", "person", told))
        table = pd.DataFrame(rows, columns=["parameter", "effect", "goes to", "level", "coding"])
        return table.set_index("parameter")


_bound: weakref.WeakKeyDictionary[Dataset, dict[Any, Bound]] = weakref.WeakKeyDictionary()


def regress(
    model: Model,
    *formulas: str,
    common: str | Sequence[str] = (),
    missing: Literal["error", "skip"] = "error",
) -> Regression:
    """A model whose parameters depend on columns of the data.

    A term that is constant within everybody (a diagnosis, an age) is an effect on the mean of the group. A term that varies
    within people (a drug, a session, the load of a trial) is a coefficient that every person has, with a mean and a standard
    deviation of its own. An interaction of the two says on what the person's coefficient depends.

    Parameters
    ----------
    model
        The model of one block.
    formulas
        One for each parameter, on its unconstrained scale: ``"alpha ~ drug * diagnosis + age"``. The right side is read by
        formulaic, with its contrasts (``C(drug, contr.treatment("placebo"))``, ``contr.sum``, ``contr.helmert``), ``center``,
        ``scale``, ``bs`` and so on. Columns are fields of the data with one value a trial, covariates, and ``block``,
        ``subject`` and ``trial``. A bar says what differs between people: in ``drug + (1 | subject)`` the effect of the drug is
        common to all. What is in one bar is correlated, in ``(drug || subject)`` it is not. Without bars everything varies, and
        the effects on one parameter are correlated. Numbers that are constant within people are centred at their mean over
        people.
    common
        Parameters, or effects such as ``"alpha[drug]"``, that have one value for everybody.
    missing
        A missing value in a column of a formula is an error, or (``"skip"``) leaves the trial out of the likelihood.

    Raises
    ------
    ModelError
        If a formula is of no parameter of the model, or there are two of one.

    References
    ----------
    Bates, D., Mächler, M., Bolker, B., & Walker, S. (2015). Fitting linear mixed-effects models using lme4. Journal of
    Statistical Software, 67(1), 1-48. https://doi.org/10.18637/jss.v067.i01

    Examples
    --------
    >>> import pyem
    >>> regress(pyem.models.get("rw1a1b"), "alpha ~ drug * diagnosis + age", "beta ~ load")
    Regression('rw1a1b', alpha ~ drug * diagnosis + age; beta ~ load)
    """
    require_kind("model", model)
    read = tuple(formula_of(model, text) for text in formulas)
    names = [formula.parameter for formula in read]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ModelError(f"there are two formulas of {', '.join(twice)}; write one for each parameter")
    if missing not in ("error", "skip"):
        raise ValueError(f"missing={missing!r}; choose 'error' or 'skip'")
    shared = names_of(common)
    bases = {*model.names, *(parameter.name for parameter in model.parameters)}
    if unknown := [name for name in shared if name.partition("[")[0] not in bases]:
        raise ModelError(f"common names {', '.join(unknown)}, but model {model.name!r} has {', '.join(model.names)}")
    return Regression(model, read, shared, missing)


def by(model: Model, **columns: str) -> Regression:
    """Give a parameter its own value in each condition: ``by(model, alpha="session")``.

    The parameters are values of cells and not differences; ``fit.marginal_means("alpha").pairs()`` has these. People's values
    in the conditions are correlated, and that correlation is the test-retest reliability (`fit.group_table`).

    Parameters
    ----------
    model
        The model of one block.
    columns
        Column with the conditions, for each parameter.

    Examples
    --------
    >>> import pyem
    >>> by(pyem.models.get("rw1a1b"), alpha="session")
    Regression('rw1a1b', alpha ~ 0 + C(session))
    """
    require_kind("model", model)
    return regress(model, *(f"{name} ~ 0 + C({column})" for name, column in columns.items()))


# -- models of models ----------------------------------------------------------------------------------------------------


def _fixed(design: Regression, values: Mapping[str, float]) -> Regression:
    """Hold effects, or parameters without a formula, of a design."""
    plain, rest = _split(design, values)
    model = fix(design.model, **plain) if plain else design.model
    return dataclasses.replace(design, model=model, held=(*design.held, *((k, float(v)) for k, v in rest.items())))


def _tied(design: Regression, sources: Mapping[str, str]) -> Regression:
    """Set effects, or parameters without a formula, of a design equal to others."""
    plain, rest = _split(design, sources)
    own = {name: source for name, source in plain.items() if _split(design, {source: ""})[0]}
    rest |= {name: source for name, source in plain.items() if name not in own}
    model = tie(design.model, **own) if own else design.model
    return dataclasses.replace(design, model=model, tied=(*design.tied, *rest.items()))


def _split(design: Regression, values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split values into those of parameters of the model that have no formula, and those of effects."""
    with_formula = {formula.parameter for formula in design.formulas}
    plain = {name: value for name, value in values.items() if name not in with_formula and "[" not in name}
    return plain, {name: value for name, value in values.items() if name not in plain}


# -- verbs that take a design ---------------------------------------------------------------------------------------------

Function = TypeVar("Function", bound=Callable[..., Any])


def takes_designs(function: Function) -> Function:
    """A decorator for a function of a model and data, which then also takes a design made by `regress`.

    A model that was made for other data is made again for the data that are given, with the levels that it knows.
    """
    signature = inspect.signature(function)
    has_group = "group" in signature.parameters

    @functools.wraps(function)
    def call(model: Any, data: Any, *args: Any, **kwargs: Any) -> Any:
        require_kind("data", data)
        design = of_new_data(model, data)
        if design is None:
            return function(model, data, *args, **kwargs)
        group = kwargs.get("group", Group()) if has_group else None
        bound = design.bind(data, group if isinstance(group, Group) else None)
        _require_same(model, bound.model)
        if has_group and isinstance(group, Group):
            kwargs["group"] = bound.group
        else:
            if function.__name__.startswith("fit_"):
                _alone(function.__name__, bound)
            if "common" in signature.parameters:
                given = names_of(kwargs.get("common", ()))
                kwargs["common"] = tuple(dict.fromkeys((*given, *bound.common)))
        return function(bound.model, bound.data, *args, **kwargs)

    return call  # type: ignore[return-value]


def of_new_data(model: Any, data: Dataset) -> Regression | None:
    """The design, if `model` is one that has to be applied to `data`; None for a model that is used as it is."""
    if isinstance(model, Regression):
        return model
    require_kind("design", model)
    design = model.design
    if design is None:
        return None
    if all(effect.column in data.fields for effect in design.effects if effect.column):
        return None
    return source_of(model)


def source_of(model: Any) -> Regression | None:
    """The design that made a model, with the levels that it knows; None for a model without a design."""
    if isinstance(model, Regression):
        return model
    require_kind("design", model)
    design = model.design
    if design is None:
        return None
    made = regress(design.base, *(f"{name} ~ {right}" for name, right in design.formulas))
    missing = "skip" if design.inputs else "error"
    return dataclasses.replace(made, missing=missing, levels=design.levels, held=design.held, tied=design.tied)


def block_model(model: Model | Regression) -> Model:
    """The model of one block from which a design was made; a model without formulas itself."""
    source = source_of(model)
    return model if source is None else source.model  # type: ignore[return-value]


def on_data(model: Model | Regression, data: Dataset) -> tuple[Model, Dataset]:
    """Return the model, and the data with the columns of its design, if it has one."""
    design = of_new_data(model, data)
    if design is None:
        return model, data  # type: ignore[return-value]
    bound = design.bind(data, None)
    _require_same(model, bound.model)
    return bound.model, bound.data


def _require_same(model: Model | Regression, made: Model) -> None:
    """Raise where the design of a fitted model has other effects on other data."""
    if isinstance(model, Model) and model.names != made.names:
        raise DataError(
            f"the fit has the effects {', '.join(model.names)}, but on these data its formulas have {', '.join(made.names)}, "
            "because other columns are constant within everybody, or have other values; fit the design to these data"
        )


def again(model: Model, data: Dataset) -> Bound:
    """Apply the design of a fitted model to the data of the fit, with the names of effects as in the fit."""
    source, design = source_of(model), model.design
    assert source is not None
    assert design is not None
    bound = dataclasses.replace(source, missing="skip").bind(data, None)
    pairs = zip(bound.parts, design.effects, strict=True)
    return bound._replace(parts=tuple(dataclasses.replace(part, effect=effect) for part, effect in pairs))


def _alone(function: str, bound: Bound) -> None:
    """Warn of effects that need a group."""
    lost = [f"{label_of(pieces)} on {part.effect.name}" for part in bound.parts for pieces in part.people.values()]
    if lost:
        warn(
            f"{function}: people are on their own, so that {', '.join(lost)} is not estimated; use a method with a group, "
            "such as fit_em"
        )
