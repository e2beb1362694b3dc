"""The older path of `pyem.compat.api`."""

from pyem.compat.api import *  # noqa: F403
