"""Figures of fits, and the numbers that they show."""

from __future__ import annotations

from pyem.numerics.first_use import on_first_use

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
# Figures of studies need all that simulates; the numbers of a fit do not.
__getattr__, __dir__ = on_first_use(__name__, _WHERE)
