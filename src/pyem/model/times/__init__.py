"""Distributions of response times, and of choices with their response times: one file each."""

from pyem.model.times.ex_gaussian import ExGaussian
from pyem.model.times.lba import LBA
from pyem.model.times.lnr import LNR
from pyem.model.times.race import Race
from pyem.model.times.rdm import RDM
from pyem.model.times.shifted_wald import ShiftedWald
from pyem.model.times.wiener import Wiener

__all__ = ["LBA", "LNR", "RDM", "ExGaussian", "Race", "ShiftedWald", "Wiener"]
