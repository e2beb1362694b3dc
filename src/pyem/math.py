"""Transforms and scores, by the name of older pyEM scripts."""

from __future__ import annotations

from pyem.compat.math import alpha2norm, beta2norm, calc_fval, norm2alpha, norm2beta, softmax
from pyem.compat.stats import calc_BICint, calc_LME, pseudo_r2_from_nll

__all__ = [
    "alpha2norm",
    "beta2norm",
    "calc_BICint",
    "calc_LME",
    "calc_fval",
    "norm2alpha",
    "norm2beta",
    "pseudo_r2_from_nll",
    "softmax",
]
