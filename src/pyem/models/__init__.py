"""The models that come with the library, by name.

Examples
--------
>>> get("rw1a1b").names
('beta', 'alpha')
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import importlib
import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any

from pyem.model.model import Model
from pyem.model.ranges import with_range
from pyem.models.equations import EQUATIONS
from pyem.models.finding import found, kind_named, kinds_of
from pyem.models.registry import MODULES, Registry

_FACTORIES: Mapping[str, Callable[..., Model]] = Registry(MODULES)


def names() -> list[str]:
    """Identifiers of all models, in the order of the documentation."""
    return list(_FACTORIES)


def search(text: str = "", *, task: str | None = None) -> list[str]:
    """The models in whose names, titles, columns, parameters and descriptions all words of `text` are found.

    Parameters
    ----------
    text
        Words, or their beginnings. The models that have them in names and titles come first.
    task
        Only models of that kind of task: ``"two-step"``, ``"delay discounting"``, ...

    Raises
    ------
    ValueError
        If there is no such kind of task; the message names them.

    Examples
    --------
    >>> search("wisconsin"), search(task="two-step")[:2]
    (['card_sorting'], ['two_step', 'two_step_sarsa'])
    """
    names = found(text, _FACTORIES) if text else list(_FACTORIES)
    if task is None:
        return names
    kind = kind_named(task)
    return [name for name in names if kind in kinds_of(name)]


def said(name: str) -> str:
    """Description of a model with its equations, from its definition: the text before the list of its options."""
    return re.split(r"\n(?:Parameters|References|Examples)\n-", _docstring(name))[0].strip()


def cited(name: str) -> list[str]:
    """Publications that a model comes from, each as in a list of references, with its DOI if it has one.

    Examples
    --------
    >>> cited("rw2a1b")[0].partition(" (")[0]
    "Niv, Y., Edlund, J. A., Dayan, P., & O'Doherty, J. P."
    """
    _, _, text = _docstring(name).partition("\nReferences\n----------\n")
    text = re.split(r"\n\n\w+\n---", text)[0]
    told = [" ".join(part.split()) for part in text.split("\n\n") if part.strip()]
    own, others = get(name).reference, _of_other_forms(name)
    told = [text for text in told if own in text or not any(other in text for other in others)]
    return sorted(told, key=lambda text: own not in text) or [own]


def _of_other_forms(name: str) -> list[str]:
    """References of models that differ only in the form of a curve: they are alternatives, not sources."""
    make = _FACTORIES[name]
    if not isinstance(make, functools.partial) or next(iter(inspect.signature(make.func).parameters)) != "form":
        return []
    alike = [other for other, one in _FACTORIES.items() if isinstance(one, functools.partial) and one.func is make.func]
    return [reference for other in alike if (reference := get(other).reference) != get(name).reference]


def _docstring(name: str) -> str:
    make = _FACTORIES[name]
    return inspect.cleandoc((make.func if isinstance(make, functools.partial) else make).__doc__ or "")


def equations(name: str) -> tuple[str, ...]:
    """Equations of a registered model: a line for each step, in plain text.

    Q is a value, r a reward, c the option that was chosen, d a prediction error, K the number of options; ``<-`` is what a
    trial does, sigma the logistic function, Phi the normal distribution.

    Raises
    ------
    ValueError
        If there is no such model.

    Examples
    --------
    >>> print(*equations("rw1a1b"), sep="; ")
    d = r - Q[c]; Q[c] <- Q[c] + alpha d; p(choice) = softmax(beta Q)
    """
    _require_name(name)
    return EQUATIONS.get(name, ())


def get(name: str, **options: Any) -> Model:
    """Return a model by its identifier; `options`, such as ``options=4``, are those of the family.

    The names of parameters are options, too, and change their range: ``get("rw1a1b", beta=(0, 50))``; see `pyem.with_range`.

    Raises
    ------
    ValueError
        If there is no such model (the message suggests the closest) or it has no such option.
    """
    _require_name(name)
    try:
        made = _made(name, options)
        return dataclasses.replace(made, recipe=((name, tuple(options.items())),))
    except TypeError as error:
        raise ValueError(f"model {name!r} cannot be made with {options}: {error}") from None


def _require_name(name: str) -> None:
    if name not in _FACTORIES:
        near = difflib.get_close_matches(name, _FACTORIES, 1)
        hint = f"did you mean {near[0]!r}? The" if near else "the"
        raise ValueError(f"there is no model {name!r}; {hint} models are {', '.join(_FACTORIES)}")


def _made(name: str, options: dict[str, Any]) -> Model:
    """Make a model with the options of the family itself, and with the rest as other ranges."""
    own = inspect.signature(_FACTORIES[name]).parameters
    rest = {key: value for key, value in options.items() if key not in own}
    made = _FACTORIES[name](**{key: value for key, value in options.items() if key in own})
    free = [parameter.name for parameter in made.parameters]
    strange = [key for key in rest if key not in free]
    if strange:
        raise TypeError(
            f"there is no option {strange[0]!r}; options are {', '.join(own) or 'none'}, and the parameters "
            f"{', '.join(free)} for their ranges"
        )
    return with_range(made, **rest) if rest else made


def __getattr__(name: str) -> Any:
    # The files of the models are loaded on first use, as attributes of this package, too.
    if name not in MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return importlib.import_module(f"{__name__}.{name}")
