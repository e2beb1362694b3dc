"""The older path of `pyem.compat.compare`."""

from pyem.compat.compare import *  # noqa: F403
