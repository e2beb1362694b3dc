"""The newer name of `pyem.models.rl`."""

from pyem.compat.models_rl import *  # noqa: F403
from pyem.models.learning import *  # noqa: F403
