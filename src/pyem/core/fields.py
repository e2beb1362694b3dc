"""The older path of `pyem.compat.fields`."""

from pyem.compat.fields import *  # noqa: F403
