"""The older path of `pyem.compat.priors`: the same module, so that what is replaced in one is replaced in the other."""

import sys

from pyem.compat import priors
from pyem.compat.priors import *  # noqa: F403

sys.modules[__name__] = priors
