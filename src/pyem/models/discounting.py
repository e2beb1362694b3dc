"""Discounting in the form of pyEM, beside the library's own models of it."""

from pyem.compat.models_discounting import *  # noqa: F403
from pyem.models.discounts import *  # noqa: F403
