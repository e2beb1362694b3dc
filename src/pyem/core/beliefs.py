"""The older path of `pyem.compat.beliefs`."""

from pyem.compat.beliefs import *  # noqa: F403
