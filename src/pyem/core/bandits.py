"""The older path of `pyem.compat.bandits`."""

from pyem.compat.bandits import *  # noqa: F403
