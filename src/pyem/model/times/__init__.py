"""Distributions of response times, and of choices with their response times: one file each."""

from pyem.model.times.ex_gaussian import ExGaussian
from pyem.model.times.shifted_wald import ShiftedWald
from pyem.model.times.wiener import Wiener

__all__ = ["ExGaussian", "ShiftedWald", "Wiener"]
