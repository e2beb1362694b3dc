"""Prospect theory in the form of pyEM."""

from pyem.compat.models_pt import *  # noqa: F403
