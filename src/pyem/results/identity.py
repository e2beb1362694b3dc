"""Identity of the model in a file: what is written of it, how it is rebuilt, and how another model is told from it."""

from __future__ import annotations

import dataclasses
from typing import Any

from pyem import models
from pyem.model.designed import arguments_of, designed
from pyem.model.model import Model, Recipe
from pyem.model.modifiers import DERIVATIONS
from pyem.model.times.outliers import LONGEST
from pyem.models.with_judgement import with_judgement
from pyem.results.archive import Packer, unpack

NOT_COMPARED = {"parameters", "policy", "init", "update", "log_likelihood", "task", "doc", "reference", "recipe"}
NOT_COMPARED |= {"slopes", "design", "joint", "seconds"}
"""Parameters are compared apart; functions cannot be; the rest does not change what a fit means."""
SCALE = {"reward_range", "longest_outlier", "autoscale", "standard"}
"""Fields that a fit takes from its data, which are stored apart."""


LATER: dict[str, dict[str, tuple[Any, Any]]] = {
    name: {"updated_first": (False, True)} for name in ("ultimatum_bayes", "ultimatum_delta")
}
"""Options added to registered models later: their effective values in older files, and their present defaults."""


def identity(model: Model, pack: Packer) -> dict[str, Any]:
    """Description of `model` in a file: enough to tell another model from it and, if it has a recipe, to rebuild it."""
    compared = {
        field.name: pack(getattr(model, field.name), field.name)
        for field in dataclasses.fields(model)
        if field.name not in NOT_COMPARED | SCALE
    }
    parameters = [
        {"name": p.name, "transform": _transform(p.transform, pack), "size": p.size} for p in model.parameters
    ]
    scale = pack(scale_of(model), "scale")
    design = None if model.design is None else pack(arguments_of(model))
    told = {"recipe": _recipe(model, pack), "scale": scale, "design": design}
    return {"compared": compared | {"parameters": parameters}} | told


def scale_of(model: Model) -> dict[str, Any]:
    """Values taken from data: the range of outcomes, the longest outlier, and each parameter's typical mean and sd."""
    typical = tuple((parameter.mean, parameter.sd) for parameter in model.parameters)
    told = {"reward_range": model.reward_range, "typical": typical if model.autoscale is not None else None}
    return told | ({} if model.longest_outlier is None else {"longest_outlier": model.longest_outlier})


def on_scale(model: Model, scale: dict[str, Any] | None) -> Model:
    """Give the model the values from `scale_of`; with None, as in files of earlier versions, it stays as it is."""
    if scale is None:
        return model
    parameters = model.parameters
    if scale["typical"] is not None:
        pairs = zip(parameters, scale["typical"], strict=True)
        parameters = tuple(dataclasses.replace(one, mean=mean, sd=sd) for one, (mean, sd) in pairs)
    told = {"reward_range": scale["reward_range"], "longest_outlier": _longest(model, scale)}
    placed = dataclasses.replace(model, parameters=parameters, **told)
    return model if placed == model else placed


def _longest(model: Model, scale: dict[str, Any]) -> Any:
    """Longest outlier in seconds; ten in files written before it could be chosen."""
    return scale.get("longest_outlier", LONGEST) if model.longest_outlier == "auto" else model.longest_outlier


def _transform(transform: Any, pack: Packer) -> Any:
    try:
        return pack(transform)
    except ValueError:
        return repr(transform)


def _recipe(model: Model, pack: Packer) -> Any:
    """Packed recipe, if following it gives exactly this model; else None."""
    recipe = model.recipe or ((model.name, ()),)
    try:
        return pack(_with_later(recipe, 1)) if on_scale(follow(recipe), scale_of(model)) == model else None
    except ValueError:
        return None


def _with_later(recipe: Recipe, since: int) -> Recipe:
    """Set options added later in a recipe: to the meaning of older files (0), or to the present one (1)."""
    (name, options), *steps = recipe
    later = {option: values[since] for option, values in LATER.get(name, {}).items()}
    return ((name, tuple((later | dict(options)).items())), *steps)


def follow(recipe: Recipe) -> Model:
    """Make a model from a recipe.

    Raises
    ------
    ValueError
        If this version has no such model, or no such function.

    Examples
    --------
    >>> follow((("rw1a1b", (("options", 3),)), ("fix", (("alpha", 0.1),)))).names
    ('beta',)
    """
    (name, options), *steps = recipe
    model = models.get(name, **dict(options))
    for step, arguments in steps:
        told = dict(arguments)
        if step == "with_judgement":
            model = with_judgement(model, follow(told.pop("judgement")), **told)
        elif step in DERIVATIONS:
            model = DERIVATIONS[step](model, **told)
        else:
            raise ValueError(f"there is no function {step!r} that makes a model of a model")
    return model


def recover(stored: dict[str, Any], given: Model | None, path: str) -> Model:
    """Return the model of the file `path`: `given` if it is the same model, else the one that the recipe makes.

    Raises
    ------
    ValueError
        If `given` is another model, or none is given and there is no recipe or it makes another model.
    """
    described, scale = describe(stored), unpack(stored.get("scale"), {}, lambda _: None)
    if given is not None:
        given = _designed(stored, given)
        gap = difference(stored, given)
        if gap:
            raise ValueError(f"{path!r} holds a fit of {described}, but model={given!r} was given: {gap}")
        return on_scale(given, scale)
    if stored["recipe"] is None:
        raise ValueError(
            f"{path!r} holds a fit of {described}, which is not a registered model or a derivation of one; "
            "pass the model that was fitted: load(path, model)"
        )
    try:
        model = follow(_with_later(unpack(stored["recipe"], {}, lambda _: None), 0))
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"{path!r} holds a fit of {described}, which this version cannot make again: {error}; pass it: load(path, model)"
        ) from None
    gap = difference(stored, model)
    if gap:
        raise ValueError(
            f"{path!r} holds a fit of {described}, and the model of that name in this version is another: {gap}; "
            "use the version that wrote the file, or pass the model: load(path, model)"
        )
    return on_scale(model, scale)


def _designed(stored: dict[str, Any], given: Model) -> Model:
    """Return the given model with the design of the file, if it is the model of a block of that design."""
    packed = stored.get("design")
    if packed is None or given.design is not None:
        return given
    return designed(given, **dict(unpack(packed, {}, lambda _: None)))


def describe(stored: dict[str, Any]) -> str:
    """Describe the model of a file in words."""
    names = ", ".join(parameter["name"] for parameter in stored["compared"]["parameters"])
    return f"model {stored['compared']['name']!r} (parameters {names})"


def difference(stored: dict[str, Any], model: Model) -> str:
    """Describe the difference between `model` and the model of a file; empty if there is none."""
    mine = identity(model, Packer(lambda *_: None))["compared"]
    for name, expected in stored["compared"].items():
        # Lists, as JSON has them: tuples were packed already.
        if name not in mine or mine[name] != expected:
            return f"{name} differ" if name.endswith("s") else f"{name} differs"
    return ""
