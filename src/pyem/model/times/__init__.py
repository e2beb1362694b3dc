"""Distributions of response times, and of choices with their response times: one file each."""

from pyem.model.times.wiener import Wiener

__all__ = ["Wiener"]
