"""The older path of `pyem.compat.em`."""

from pyem.compat.em import *  # noqa: F403
