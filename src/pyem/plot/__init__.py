"""Figures from fits, and the numbers that they show."""

from pyem.plot.figures import (
    plot_calibration,
    plot_choice_curves,
    plot_comparison,
    plot_confusion,
    plot_effects,
    plot_estimates,
    plot_learning_curves,
    plot_parameters,
    plot_recovery,
    plot_trace,
)
from pyem.plot.numbers import all_numbers, figure_numbers
from pyem.plot.posterior import plot_correlations, plot_densities, plot_latents, save_figure
from pyem.plot.selection import plot_frequencies, plot_responsibilities
from pyem.plot.studies import plot_power, plot_precision, plot_ranks

__all__ = [
    "all_numbers",
    "figure_numbers",
    "plot_calibration",
    "plot_choice_curves",
    "plot_comparison",
    "plot_confusion",
    "plot_correlations",
    "plot_densities",
    "plot_effects",
    "plot_estimates",
    "plot_frequencies",
    "plot_latents",
    "plot_learning_curves",
    "plot_parameters",
    "plot_power",
    "plot_precision",
    "plot_ranks",
    "plot_recovery",
    "plot_responsibilities",
    "plot_trace",
    "save_figure",
]
