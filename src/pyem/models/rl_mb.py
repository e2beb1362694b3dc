"""Models of the two-step task in the form of pyEM."""

from pyem.compat.models_rl_mb import *  # noqa: F403
