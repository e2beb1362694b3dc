"""The older path of `pyem.compat.start`."""

from pyem.compat.start import *  # noqa: F403
