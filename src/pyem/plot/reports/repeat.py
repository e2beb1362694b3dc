"""Lines of Python that make a model and a fit again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pyem.model.model import Model
from pyem.population.group import Group
from pyem.results.fit import Fit

KEPT = {"em": "fit_em", "map": "fit_map", "mle": "fit_mle", "grid": "fit_grid", "nuts": "fit_nuts", "svi": "fit_svi"}
VERBS = {**KEPT, "bayes": "fit_bayes", "hbi": "fit_hbi"}
"""Name of the function for each method."""


def call(function: str, *args: str, **keywords: Any) -> str:
    """Write a call in Python.

    Examples
    --------
    >>> call("pyem.fix", "model", alpha=0.3)
    'pyem.fix(model, alpha=0.3)'
    """
    return f"{function}({', '.join([*args, *(f'{name}={written(value)}' for name, value in keywords.items())])})"


def written(value: Any) -> str:
    """Write a value in Python; groups by the calls that make them.

    Examples
    --------
    >>> written(Group(covariates={"age": ["alpha"]})), written((1, "two"))
    ("pyem.Group(covariates={'age': ['alpha']})", "(1, 'two')")
    """
    if isinstance(value, Group):
        return group_call(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key!r}: {written(one)}" for key, one in value.items()) + "}"
    return repr(value)


def group_call(group: Group) -> str:
    """Write the call that makes a group."""
    default, words = Group(), {}
    for name in ("covariance", "df", "centred", "without_mean", "common"):
        if getattr(group, name) != getattr(default, name):
            words[name] = getattr(group, name)
    if group.covariates:
        words["covariates"] = {name: list(on) for name, on in group.covariates}
    if group.sd:
        words["sd"] = dict(group.sd)
    family = [] if group.family == default.family else [repr(group.family)]
    return call("pyem.Group", *family, **words)


def model_call(model: Model) -> str | None:
    """Write the call that makes a model; None for models that were made otherwise.

    Examples
    --------
    >>> import pyem
    >>> model_call(pyem.with_lapse(pyem.models.get("rw1a1b", options=4)))
    "pyem.with_lapse(pyem.models.get('rw1a1b', options=4))"
    """
    if not model.recipe:
        return None
    (name, options), *steps = model.recipe
    text = call("pyem.models.get", repr(name), **dict(options))
    for step, arguments in steps:
        told = dict(arguments)
        if step == "with_judgement":
            return None
        if step == "designed":
            formulas = [repr(f"{parameter} ~ {formula}") for parameter, formula in told["formulas"]]
            text = call("pyem.regress", text, *formulas)
        else:
            text = call(f"pyem.{step}", text, **told)
    return text


def script_of(fits: Mapping[str, Fit], reading: str = "") -> str:
    """Lines of Python that fit everything again, from the same data, which `reading` reads if it is known how."""
    unknown = "data = ...  # the same Dataset, read as the section on the data says"
    lines = ["import pyem", "", reading or unknown, ""]
    if all(fit.method == "hbi" for fit in fits.values()):
        models = [
            f"    {name!r}: {model_call(fit.model) or '...  # the model as it was written'},"
            for name, fit in fits.items()
        ]
        return "\n".join([*lines, "models = {", *models, "}", "fit = pyem.fit_hbi(models, data)"])
    lines.append("fits = {}")
    for name, fit in fits.items():
        model = model_call(fit.model) or "...  # the model as it was written"
        settings = {key: value for key, value in fit.settings.items() if _plain(value)}
        settings |= _of_design(fit, settings)
        lines += [
            f"model = {model}",
            f"fits[{name!r}] = {call(f'pyem.{VERBS[fit.method]}', 'model', 'data', **settings)}",
        ]
    return "\n".join(lines)


def _of_design(fit: Fit, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Group settings of a fit whose design by formula brings its own group: family and covariance only."""
    group = settings.get("group")
    if fit.model.design is None or not isinstance(group, Group):
        return {}
    return {"group": Group(group.family, covariance=group.covariance, df=group.df)}


def _plain(value: Any) -> bool:
    """Whether a setting can be written in one line."""
    if isinstance(value, Group | str | bool | int | float | type(None)):
        return value is not None
    if isinstance(value, Mapping):
        return bool(value) and all(map(_plain, value.values()))
    return isinstance(value, Sequence) and all(map(_plain, value))
