"""The older path of `pyem.models.regression`, with its functions of the pyEM form."""

from pyem.compat.models_glm import *  # noqa: F403
from pyem.models.regression import *  # noqa: F403
