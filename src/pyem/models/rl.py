"""The older path of `pyem.models.learning`, with its functions of the pyEM form."""

from pyem.compat.models_rl import *  # noqa: F403
from pyem.models.learning import *  # noqa: F403
