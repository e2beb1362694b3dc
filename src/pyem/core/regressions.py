"""The older path of `pyem.compat.regressions`."""

from pyem.compat.regressions import *  # noqa: F403
