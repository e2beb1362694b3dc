"""Simulated people: playing a task, and responses drawn from priors and posteriors."""

from pyem.simulation.play import Simulation, simulate
from pyem.simulation.predictive import Predicted, posterior_predictive, prior_predictive

__all__ = ["Predicted", "Simulation", "posterior_predictive", "prior_predictive", "simulate"]
