"""The older path of `pyem.compat.fitting`."""

from pyem.compat.fitting import *  # noqa: F403
