"""Figures from fits, and the numbers that they show."""

from __future__ import annotations

import importlib
from typing import Any

_WHERE = {
    "all_numbers": "numbers",
    "figure_numbers": "numbers",
    "plot_calibration": "figures",
    "plot_choice_curves": "figures",
    "plot_comparison": "figures",
    "plot_confusion": "figures",
    "plot_correlations": "posterior",
    "plot_densities": "posterior",
    "plot_effects": "figures",
    "plot_estimates": "figures",
    "plot_frequencies": "selection",
    "plot_latents": "posterior",
    "plot_learning_curves": "figures",
    "plot_parameters": "figures",
    "plot_power": "studies",
    "plot_precision": "studies",
    "plot_ranks": "studies",
    "plot_recovery": "figures",
    "plot_responsibilities": "selection",
    "plot_trace": "figures",
    "save_figure": "posterior",
}

__all__ = list(_WHERE)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    # Figures of studies need all that simulates; the numbers of a fit do not.
    if name not in _WHERE:
        raise AttributeError(f"module 'pyem.plot' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"pyem.plot.{_WHERE[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
