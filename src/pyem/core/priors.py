"""The older path of `pyem.compat.priors`."""

from pyem.compat.priors import *  # noqa: F403
