"""The older path of `pyem.compat.plotting`."""

from pyem.compat.plotting import *  # noqa: F403
