"""The older path of `pyem.compat.traceable`."""

from pyem.compat.traceable import *  # noqa: F403
