"""Plots, by the name of older pyEM scripts."""

from __future__ import annotations

from pyem.compat.plotting import plot_choices, plot_scatter

__all__ = ["plot_choices", "plot_scatter"]
