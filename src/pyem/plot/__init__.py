"""Figures from fits, and the numbers that they show."""

from pyem.plot.figures import (
    plot_calibration,
    plot_choice_curves,
    plot_comparison,
    plot_confusion,
    plot_effects,
    plot_estimates,
    plot_parameters,
    plot_recovery,
    plot_trace,
)
from pyem.plot.numbers import all_numbers, figure_numbers

__all__ = [
    "all_numbers",
    "figure_numbers",
    "plot_calibration",
    "plot_choice_curves",
    "plot_comparison",
    "plot_confusion",
    "plot_effects",
    "plot_estimates",
    "plot_parameters",
    "plot_recovery",
    "plot_trace",
]
