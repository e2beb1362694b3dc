"""The older path of `pyem.models.beliefs`, with its functions of the pyEM form."""

from pyem.compat.models_bayes import *  # noqa: F403
from pyem.models.beliefs import *  # noqa: F403
