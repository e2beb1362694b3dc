"""The older path of `pyem.compat.parts`."""

from pyem.compat.parts import *  # noqa: F403
