"""The older path of `pyem.compat.optim`."""

from pyem.compat.optim import *  # noqa: F403
