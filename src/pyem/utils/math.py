"""The older path of `pyem.compat.math`."""

from pyem.compat.math import *  # noqa: F403
