"""The older path of `pyem.compat.posterior`."""

from pyem.compat.posterior import *  # noqa: F403
