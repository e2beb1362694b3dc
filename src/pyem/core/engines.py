"""The older path of `pyem.compat.engines`."""

from pyem.compat.engines import *  # noqa: F403
