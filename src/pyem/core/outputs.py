"""The older path of `pyem.compat.outputs`."""

from pyem.compat.outputs import *  # noqa: F403
