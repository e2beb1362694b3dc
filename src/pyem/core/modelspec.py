"""The older path of `pyem.compat.modelspec`."""

from pyem.compat.modelspec import *  # noqa: F403
