"""Names of a package that are loaded when they are first used."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any


def on_first_use(package: str, where: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Make the ``__getattr__`` and ``__dir__`` of a package.

    Parameters
    ----------
    package
        Its name.
    where
        The names that it has, and the module of the package where each is.

    Examples
    --------
    >>> find, names = on_first_use("pyem.numerics", {"pareto_smoothed": "pareto"})
    >>> find("pareto_smoothed").__name__, names()
    ('pareto_smoothed', ['pareto_smoothed'])
    """

    def find(name: str) -> Any:
        if name not in where:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(f"{package}.{where[name]}"), name)
        # From now on it is found without this.
        setattr(sys.modules[package], name, value)
        return value

    return find, lambda: sorted(where)
