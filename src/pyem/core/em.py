"""The older path of `pyem.compat.em`: the same module, so that what is replaced in one is replaced in the other."""

import sys

from pyem.compat import em
from pyem.compat.em import *  # noqa: F403

sys.modules[__name__] = em
