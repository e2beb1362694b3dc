"""The older path of `pyem.compat.posterior`: the same module, so that what is replaced in one is replaced in the other."""

import sys

from pyem.compat import posterior
from pyem.compat.posterior import *  # noqa: F403

sys.modules[__name__] = posterior
