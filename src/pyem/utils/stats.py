"""The older path of `pyem.compat.stats`."""

from pyem.compat.stats import *  # noqa: F403
