"""The older path of `pyem.compat.groupdist`."""

from pyem.compat.groupdist import *  # noqa: F403
