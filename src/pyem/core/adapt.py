"""The older path of `pyem.compat.adapt`."""

from pyem.compat.adapt import *  # noqa: F403
